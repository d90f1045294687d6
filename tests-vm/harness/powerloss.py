# SPDX-License-Identifier: GPL-2.0
"""
A disk whose write cache is lost with the power.

What a completed flush or FUA write covers is stable. Of everything else any
part may have reached the medium before the power went: each write whole, torn
between sectors, or not at all, whatever became of the writes before it.
"""

import os

from .disk import SECTOR, copy_sparse

CHUNK = 1 << 20


class Write:
    """A write in the cache; data None stands for zeroes."""

    __slots__ = ("offset", "length", "data", "safe")

    def __init__(self, offset, length, data):
        self.offset = offset
        self.length = length
        self.data = data
        self.safe = False

    def apply(self, file, start=0, end=None):
        """Puts the bytes from start to end of this write into an image."""
        end = self.length if end is None else end
        if self.data is None:
            _zero(file, self.offset + start, end - start)
        else:
            os.pwrite(file, memoryview(self.data)[start:end], self.offset + start)


class VolatileDisk:
    def __init__(self, image, view, write_through=False):
        """`image` is the medium; what the guest reads, `view`, starts as a copy of it."""
        self._view_path = view
        copy_sparse(image, view)
        self._medium = os.open(image, os.O_RDWR)
        self._view = os.open(view, os.O_RDWR)
        self._write_through = write_through
        self._cache = []
        self._flushed = 0

    @property
    def received(self):
        """How many writes there have been: an instant, for flush()."""
        return self._flushed + len(self._cache)

    def read(self, offset, length):
        return os.pread(self._view, length, offset)

    def write(self, offset, length, data):
        """
        A write that arrived. It may be lost until a flush covers it or, for FUA, it is made safe.

        It stays in the cache even then: a flush brings all to the medium in their order.
        """
        write = Write(offset, length, data)
        write.apply(self._view)
        if self._write_through:
            write.apply(self._medium)
        else:
            self._cache.append(write)
        return write

    def flush(self, instant):
        """Makes what was received before an instant stable."""
        count = max(0, instant - self._flushed)
        for write in self._cache[:count]:
            write.apply(self._medium)
        del self._cache[:count]
        self._flushed += count

    def lose_power(self, random):
        """
        Leaves in the image what one power cut may leave.

        How much survives is drawn once for the disk, so that "nothing here, all
        there" between two disks comes up as often as the states in between.
        """
        luck = random.choice((0, 0.1, 0.5, 0.9, 1))
        for write in self._cache:
            if write.safe:
                write.apply(self._medium)
            elif random.random() < 0.5:
                if random.random() < luck:
                    write.apply(self._medium)
            else:
                _tear(write, self._medium, luck, random)
        self._cache.clear()

    def close(self):
        """Ends without a power cut: a cache that has power is written out."""
        for write in self._cache:
            write.apply(self._medium)
        os.close(self._medium)
        os.close(self._view)
        os.unlink(self._view_path)


def _tear(write, file, luck, random):
    """Applies some of a write's sectors; of a long one, some of a few runs of sectors."""
    sectors = write.length // SECTOR
    cuts = random.sample(range(1, sectors), min(7, sectors - 1))
    edges = [0, *(cut * SECTOR for cut in sorted(cuts)), write.length]
    for start, end in zip(edges, edges[1:]):
        if random.random() < luck:
            write.apply(file, start, end)


def _zero(file, offset, length):
    """Writes zeroes where an image has data: holes read as zeroes already."""
    end = offset + length
    while offset < end:
        try:
            offset = os.lseek(file, offset, os.SEEK_DATA)
        except OSError:
            return
        for at in range(offset, min(end, os.lseek(file, offset, os.SEEK_HOLE)), CHUNK):
            offset = min(end, at + CHUNK)
            os.pwrite(file, bytes(offset - at), at)
