# SPDX-License-Identifier: GPL-2.0
"""What all disks of a guest receive, in one order, kept for campaigns/ to make every crash state of it."""

import struct
import threading

from .disk import copy_sparse

REQUEST = struct.Struct("=BBBBIQQ")
WRITE, ZEROES, FLUSH, MARK, LOSS = range(5)


class Record:
    """
    A folder, see campaigns/record.h, that belongs to one run of a Machine(powerloss=True, record=...).

    The disks have the numbers by which the machine was given them.
    """

    def __init__(self, folder):
        folder.mkdir(parents=True)
        self.folder = folder
        self.places = []  # (disk, offset, length) of each write; who wants to know empties it before
        self._disks = {}
        self._file = open(folder / "operations", "wb")
        self._lock = threading.Lock()

    def add(self, disk):
        number = self._disks[disk.node] = len(self._disks)
        copy_sparse(disk.path, self.folder / f"{number}.img")

    def write(self, disk, offset, length, data, fua):
        """A write; data None stands for zeroes."""
        kind = ZEROES if data is None else WRITE
        self.places.append((disk, offset, length))
        self._put(kind, self._disks[disk.node], fua, length, offset, 0, data or b"")

    def flush(self, disk, covers):
        self._put(FLUSH, self._disks[disk.node], False, 0, 0, covers)

    def loss(self, disk, numbers):
        """A flush failed, and writes are gone, by their numbers of those that the disk received."""
        data = struct.pack(f"={len(numbers)}Q", *numbers)
        self._put(LOSS, self._disks[disk.node], False, len(data), 0, 0, data)

    def mark(self, word):
        """Something that the guest does not know of."""
        self._put(MARK, 0, False, len(word), 0, 0, word.encode())

    def close(self):
        self._file.close()

    def _put(self, kind, disk, fua, length, offset, covers, data=b""):
        with self._lock:
            self._file.write(REQUEST.pack(kind, disk, fua, 0, length, offset, covers))
            self._file.write(data)
