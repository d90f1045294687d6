# SPDX-License-Identifier: GPL-2.0
"""The metadata copies of a spare, as byte ranges of an image that can be damaged."""

from random import Random

import xxhash

from .assembler import examine

BLOCK = 4096


class Copies:
    """copies[2].corrupt("random", seed): damages the third copy between two boots."""

    def __init__(self, disk, ranges):
        """`ranges` are pairs of offset and length in bytes, one for each copy."""
        self._disk = disk
        self._copies = [Copy(disk, offset, length) for offset, length in ranges]

    @classmethod
    def of(cls, disk):
        """Those of a disk that is a spare, as `dmremap examine` says where they are."""
        return cls.from_examine(disk, examine(disk.path))

    @classmethod
    def from_examine(cls, disk, examined, start=0):
        """The same from its answer; `start` is where in the disk a partition begins."""
        return cls(disk, [(start + copy["offset_bytes"], copy["length_bytes"])
                          for copy in examined["copies"]])

    def __getitem__(self, index):
        return self._copies[index]

    def __len__(self):
        return len(self._copies)

    def examine_without(self, lost):
        """What `dmremap examine` would find if nothing were left of the copies of these numbers."""
        kept = {self[number]: self[number].read() for number in lost}
        for copy in kept:
            copy.write(bytes(copy.length))
        found = examine(self._disk.path)
        for copy, data in kept.items():
            copy.write(data)
        return found

    def each_alone(self):
        """What would be found without the other four, one for each."""
        numbers = set(range(len(self)))
        return [self.examine_without(numbers - {number}) for number in range(len(self))]


class Copy:
    def __init__(self, disk, offset, length):
        self._disk = disk
        self.offset = offset
        self.length = length

    @property
    def blocks(self):
        return range(self.length // BLOCK)

    def read(self):
        return self._disk.read_at(self.offset, self.length)

    def write(self, data):
        self._disk.write_at(self.offset, data)

    def edit(self, block, changes):
        """Puts {offset: bytes} into one block, with a checksum that fits."""
        at = self.offset + block * BLOCK
        content = bytearray(self._disk.read_at(at, BLOCK))
        for offset, data in changes.items():
            content[offset:offset + len(data)] = data
        content[-8:] = xxhash.xxh64(content[:-8]).intdigest().to_bytes(8, "little")
        self._disk.write_at(at, bytes(content))

    def corrupt(self, how="zero", seed=0, block=None, before=None):
        """
        Damages the whole copy or one block of it.

        how: "zero"; "random"; "flip", one bit in each block; "stale", as it was in
        the Snapshot `before`; "torn", the first half as it is and the second as before.
        """
        random = Random(f"{seed}/{self.offset}")
        for index in self.blocks if block is None else [block]:
            offset = self.offset + index * BLOCK
            now = self._disk.read_at(offset, BLOCK)
            old = before.read_at(offset, BLOCK) if before else None
            self._disk.write_at(offset, DAMAGE[how](now, old, random))


def _flip(now, _, random):
    at, bit = random.randrange(BLOCK), 1 << random.randrange(8)
    return now[:at] + bytes([now[at] ^ bit]) + now[at + 1:]


DAMAGE = {
    "zero": lambda now, old, random: bytes(BLOCK),
    "random": lambda now, old, random: random.randbytes(BLOCK),
    "flip": _flip,
    "stale": lambda now, old, random: old,
    "torn": lambda now, old, random: now[:BLOCK // 2] + old[BLOCK // 2:],
}
