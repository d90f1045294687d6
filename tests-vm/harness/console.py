# SPDX-License-Identifier: GPL-2.0
"""The guest's first serial port: everything it says is kept, searched and written to a file."""

import re
import threading
import time

from .errors import GuestGone, TimedOut

CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r|\x1b[c7-8]")


class Console:
    def __init__(self, sock, log):
        self._sock = sock
        self._log = log
        self._raw = bytearray()
        self._changed = threading.Condition()
        self._read_to = 0
        self.closed = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        with open(self._log, "wb", buffering=0) as log:
            while data := _receive(self._sock):
                log.write(data)
                with self._changed:
                    self._raw += data
                    self._changed.notify_all()
        with self._changed:
            self.closed = True
            self._changed.notify_all()

    @property
    def text(self):
        """Everything said so far, without carriage returns and colours."""
        return CONTROL.sub("", self._raw.decode(errors="replace"))

    def tail(self, lines=60):
        end = "\n".join(self.text.splitlines()[-lines:])
        return f"--- the console's last lines ---\n{end}\n---"

    def send(self, line):
        self._sock.sendall(line.encode() + b"\n")

    def expect(self, pattern, timeout=60):
        """Waits for a pattern after what was last expected; returns the match."""
        pattern = re.compile(pattern, re.MULTILINE)
        deadline = time.monotonic() + timeout
        with self._changed:
            while not (match := pattern.search(self.text, self._read_to)):
                if self.closed:
                    raise GuestGone(f"the guest ended before it said {pattern.pattern!r}\n"
                                    f"{self.tail()}")
                if not self._changed.wait(deadline - time.monotonic()):
                    raise TimedOut(f"not said in {timeout} s: {pattern.pattern!r}\n{self.tail()}")
            self._read_to = match.end()
            return match

    def close(self):
        """Call when QEMU has ended: reads the rest."""
        self._reader.join(10)
        self._sock.close()


def _receive(sock):
    try:
        return sock.recv(65536)
    except OSError:
        return b""
