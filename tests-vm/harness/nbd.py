# SPDX-License-Identifier: GPL-2.0
"""
An NBD server for all disks of one guest, whose power can be cut at one instant for all.

The protocol: https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md
"""

import errno
import itertools
import os
import socket
import struct
import threading
from collections import deque
from pathlib import Path
from random import Random

from . import patience
from .errors import TimedOut
from .powerloss import VolatileDisk

OPTION_MAGIC = b"IHAVEOPT"
OPTION_ABORT, OPTION_GO = 2, 7
OPTION_REPLY = struct.Struct(">QIII")
OPTION_REPLY_MAGIC = 0x3E889045565A9
REPLY_ACK, REPLY_INFO, REPLY_UNSUPPORTED = 1, 3, 0x80000001
FIXED_NEWSTYLE_NO_ZEROES = 3
HAS_FLAGS_FLUSH_FUA_TRIM_ZEROES = 1 | 4 | 8 | 32 | 64

REQUEST = struct.Struct(">IHHQQI")
REPLY = struct.Struct(">IIQ")
REPLY_MAGIC = 0x67446698
READ, WRITE, DISCONNECT, FLUSH, TRIM, WRITE_ZEROES = 0, 1, 2, 3, 4, 6
FAULTS = {READ: "read", WRITE: "write", WRITE_ZEROES: "write-zeroes"}
FUA = 1

_names = itertools.count(1)


class Server:
    """
    Serves the disks added to it on an abstract unix socket until close().

    Operations that change something are counted, over all disks and in one order, and put into
    a Record if there is one.
    """

    def __init__(self, record=None):
        self.address = f"dm-remap-{os.getpid()}-{next(_names)}"
        self.operations = 0
        self._record = record
        self._cut_at = None
        self._each = None
        self._cut = threading.Event()
        self._order = threading.Lock()
        self._exports = {}
        self._connections = []
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind("\0" + self.address)
        self._socket.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def add(self, disk):
        self._exports[disk.node] = disk, VolatileDisk(disk.path, disk.write_through)
        if self._record:
            self._record.add(disk)

    # --- power ---

    def cut(self):
        """Stops answering, between two operations."""
        with self._order:
            self._cut.set()

    def cut_after(self, count, each=None):
        """
        Stops answering with the count-th operation from now: that one is received.

        `each` is called with each operation that is received until then, before its answer.
        """
        with self._order:
            self._cut_at = self.operations + count
            self._each = each

    def wait_cut(self, timeout):
        if not self._cut.wait(timeout * patience.factor):
            raise TimedOut(f"the guest sent only {self.operations} of {self._cut_at} "
                           f"operations in {timeout} s")

    def lose_power(self, seed):
        """Leaves in each image what a power cut may leave; QEMU must have ended."""
        random = Random(seed)
        for _, volatile in self._exports.values():
            volatile.lose_power(random)

    def after_power_loss(self, seed, folder):
        """Images of what a cut at this instant may leave: {node: path}."""
        random = Random(seed)
        images = {node: Path(folder, f"{node}.img") for node in self._exports}
        for node, (_, volatile) in self._exports.items():
            volatile.after_power_loss(images[node], random)
        return images

    def close(self):
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for connection, thread in self._connections:
            thread.join(10)
            connection.close()
        for _, volatile in self._exports.values():
            volatile.close()

    # --- connections ---

    def _accept(self):
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._connections.append((connection, thread))
            thread.start()

    def _serve(self, connection):
        try:
            node = self._negotiate(connection)
            if node:
                self._transmit(connection, *self._exports[node])
        except (ConnectionError, EOFError):
            pass

    def _negotiate(self, connection):
        """Answers options until the client goes on with an export; returns its name."""
        connection.sendall(b"NBDMAGIC" + OPTION_MAGIC + struct.pack(">H", FIXED_NEWSTYLE_NO_ZEROES))
        _receive(connection, 4)
        while True:
            _, option, length = struct.unpack(">8sII", _receive(connection, 16))
            content = _receive(connection, length)

            def reply(kind, data=b""):
                head = OPTION_REPLY.pack(OPTION_REPLY_MAGIC, option, kind, len(data))
                connection.sendall(head + data)

            if option == OPTION_GO:
                name = content[4:4 + struct.unpack_from(">I", content)[0]].decode()
                size = self._exports[name][0].size
                reply(REPLY_INFO, struct.pack(">HQH", 0, size, HAS_FLAGS_FLUSH_FUA_TRIM_ZEROES))
                reply(REPLY_ACK)
                return name
            if option == OPTION_ABORT:
                reply(REPLY_ACK)
                return None
            reply(REPLY_UNSUPPORTED)

    def _transmit(self, connection, disk, volatile):
        """
        Handles one request after the other.

        A flush covers the writes that the guest knew to be complete when it asked for it: those that were
        answered before it arrived. So before each answer all that has arrived is taken. A real disk need not
        cover more either.
        """
        buffer, waiting = bytearray(), deque()

        def take(known_complete, flags=0):
            try:
                data = connection.recv(1 << 20, flags)
            except BlockingIOError:
                return True
            buffer.extend(data)
            waiting.extend((known_complete, *request) for request in _requests(buffer))
            return bool(data)

        while waiting or take(volatile.received):
            if not waiting:
                continue
            answered = volatile.received
            with self._order:
                if self._cut.is_set():
                    return
                reply = self._handle(disk, volatile, *waiting.popleft())
                if reply is None:
                    return
                take(answered, socket.MSG_DONTWAIT)
                connection.sendall(reply)

    def _handle(self, disk, volatile, known_complete, flags, kind, handle, offset, length, data):
        """Does one request and returns the reply, or None when there is none to be given."""
        answer, write, lost = b"", None, None
        if kind == DISCONNECT:
            return None
        if disk.fails(FAULTS.get(kind), offset, length):
            return REPLY.pack(REPLY_MAGIC, errno.EIO, handle)
        if kind == READ:
            answer = volatile.read(offset, length)
        elif kind != FLUSH:
            data = data if kind == WRITE else None
            write = volatile.write(offset, length, data)
            if self._record:
                self._record.write(disk, offset, length, data, bool(flags & FUA))
        elif disk.loses_flush() and volatile.at_risk(known_complete):
            lost = volatile.lose_cache(known_complete, disk.losses)
            if self._record:
                self._record.loss(disk, lost)
        elif self._record:
            self._record.flush(disk, known_complete)
        if kind != READ and self._is_cut_now():
            return None
        if kind == FLUSH and lost is not None:
            return REPLY.pack(REPLY_MAGIC, errno.EIO, handle)
        if kind == FLUSH:
            volatile.flush(known_complete)
        elif write and flags & FUA:
            write.safe = True
        return REPLY.pack(REPLY_MAGIC, 0, handle) + answer

    def _is_cut_now(self):
        self.operations += 1
        if self._each:
            self._each()
        if self.operations == self._cut_at:
            self._cut.set()
        return self._cut.is_set()


def _requests(buffer):
    """Takes the whole requests out of a buffer."""
    while len(buffer) >= REQUEST.size:
        _, flags, kind, handle, offset, length = REQUEST.unpack_from(buffer)
        end = REQUEST.size + (length if kind == WRITE else 0)
        if len(buffer) < end:
            return
        data = bytes(buffer[REQUEST.size:end])
        del buffer[:end]
        yield flags, kind, handle, offset, length, data


def _receive(connection, length):
    data = b""
    while len(data) < length:
        more = connection.recv(length - len(data))
        if not more:
            raise EOFError
        data += more
    return data
