# SPDX-License-Identifier: GPL-2.0
"""
A disk whose write cache is lost with the power.

What a completed flush or FUA write covers is stable. Of everything else any
part may have reached the medium before the power went: each write whole, torn
between sectors, or not at all, whatever became of the writes before it.
"""

import os
from collections import defaultdict

from .disk import SECTOR, copy_sparse

CHUNK = 1 << 20
PAGE = 32 << 10


class Write:
    """A write in the cache; data None stands for zeroes. Safe means that it can't be lost."""

    __slots__ = ("number", "offset", "end", "data", "safe")

    def __init__(self, number, offset, length, data):
        self.number = number
        self.offset = offset
        self.end = offset + length
        self.data = data
        self.safe = False

    @property
    def pages(self):
        return range(self.offset // PAGE, -(-self.end // PAGE))

    def bytes(self, start, end):
        if self.data is None:
            return bytes(end - start)
        return memoryview(self.data)[start - self.offset:end - self.offset]

    def apply(self, file, start=None, end=None):
        """Puts this write, or its bytes from start to end, into an image."""
        start = self.offset if start is None else start
        end = self.end if end is None else end
        if self.data is None:
            _zero(file, start, end)
        else:
            os.pwrite(file, self.bytes(start, end), start)


class VolatileDisk:
    """An image, the medium, with a cache of writes that are not on it yet."""

    def __init__(self, image, write_through=False):
        self._medium = os.open(image, os.O_RDWR)
        self._write_through = write_through
        self._cache = []
        self._by_page = defaultdict(list)
        self.received = 0

    def read(self, offset, length):
        """What the medium has, with the writes in the cache laid over it."""
        end = offset + length
        data = os.pread(self._medium, length, offset)
        cached = {write.number: write for page in range(offset // PAGE, -(-end // PAGE))
                  for write in self._by_page.get(page, ())}
        if not cached:
            return data
        data = bytearray(data)
        for _, write in sorted(cached.items()):
            first, last = max(offset, write.offset), min(end, write.end)
            if first < last:
                data[first - offset:last - offset] = write.bytes(first, last)
        return bytes(data)

    def write(self, offset, length, data):
        """
        A write that arrived. It may be lost until a flush covers it or, for FUA, it is made safe.

        It stays in the cache even then: a flush brings all to the medium in their order.
        """
        write = Write(self.received, offset, length, data)
        self.received += 1
        if self._write_through:
            write.apply(self._medium)
            return write
        self._cache.append(write)
        for page in write.pages:
            self._by_page[page].append(write)
        return write

    def flush(self, instant):
        """Makes stable what was received before an instant, an earlier value of `received`."""
        covered = 0
        for write in self._cache:
            if write.number >= instant:
                break
            write.apply(self._medium)
            covered += 1
            self._leaves(write)
        del self._cache[:covered]

    def at_risk(self, instant):
        """The writes that were received before an instant, and are not stable yet."""
        return [write for write in self._cache if write.number < instant and not write.safe]

    def lose_cache(self, instant, random):
        """
        A flush failed, and took some of what it was for with it, which was received before an instant.

        Returns the numbers of the writes that are gone.
        """
        luck = random.choice((0.1, 0.5, 0.9, 1))
        lost = [write for write in self.at_risk(instant) if random.random() < luck]
        for write in lost:
            self._cache.remove(write)
            self._leaves(write)
        return [write.number for write in lost]

    def _leaves(self, write):
        for page in write.pages:
            self._by_page[page].remove(write)
            if not self._by_page[page]:
                del self._by_page[page]

    def lose_power(self, random):
        """Leaves in the image what one power cut may leave."""
        self._survivors_to(self._medium, random)
        self._cache.clear()
        self._by_page.clear()

    def after_power_loss(self, image, random):
        """Makes another image of what a power cut now may leave; this one goes on."""
        copy_sparse(f"/proc/self/fd/{self._medium}", image)
        file = os.open(image, os.O_RDWR)
        self._survivors_to(file, random)
        os.close(file)

    def _survivors_to(self, file, random):
        """
        Puts into an image what survives of the cache.

        How much does is drawn once for the disk, so that "nothing here, all
        there" between two disks comes up as often as the states in between.
        """
        luck = random.choice((0, 0.1, 0.5, 0.9, 1))
        for write in self._cache:
            if write.safe:
                write.apply(file)
            elif random.random() < 0.5:
                if random.random() < luck:
                    write.apply(file)
            else:
                _tear(write, file, luck, random)

    def close(self):
        """Ends without a power cut: a cache that has power is written out."""
        self.flush(self.received)
        os.close(self._medium)


def _tear(write, file, luck, random):
    """Applies some of a write's sectors; of a long one, some of a few runs of sectors."""
    sectors = range(write.offset + SECTOR, write.end, SECTOR)
    cuts = sorted(random.sample(sectors, min(7, len(sectors))))
    for start, end in zip([write.offset, *cuts], [*cuts, write.end]):
        if random.random() < luck:
            write.apply(file, start, end)


def _zero(file, offset, end):
    """Writes zeroes where an image has data: holes read as zeroes already."""
    while offset < end:
        try:
            offset = os.lseek(file, offset, os.SEEK_DATA)
        except OSError:
            return
        for at in range(offset, min(end, os.lseek(file, offset, os.SEEK_HOLE)), CHUNK):
            offset = min(end, at + CHUNK)
            os.pwrite(file, bytes(offset - at), at)
