# SPDX-License-Identifier: GPL-2.0
"""What was written to a device of the guest, and with which flags: dm-log-writes around it."""

import struct
from typing import NamedTuple

from .disk import SECTOR
from .remap import Mapped

SUPER = struct.Struct("<QQQI")
ENTRY = struct.Struct("<QQQQ")
MAGIC = 0x6A736677736872
FLUSH, FUA, DISCARD, MARK = 1, 2, 4, 8


class Entry(NamedTuple):
    """A flush without data has no sectors."""

    sector: int
    sectors: int
    flush: bool
    fua: bool
    discard: bool


class LogWrites(Mapped):
    """`with LogWrites(vm, "log", disk, log) as main:` - afterwards written(log) has what was."""

    def __init__(self, vm, name, disk, log):
        vm.run("modprobe dm-log-writes")
        length = vm.run(f"blockdev --getsz {disk.dev}").strip()
        super().__init__(vm, name, f"0 {length} log-writes {disk.dev} {log.dev}")

    def mark(self, text):
        self.vm.run(f"dmsetup message {self.name} 0 mark {text}")


def written(log):
    """{mark: [Entry]}: from each mark to the next, in the order in which they became stable."""
    magic, _, count, block = SUPER.unpack(log.read_at(0, SUPER.size))
    assert magic == MAGIC
    found, here, at = {}, [], block
    for _ in range(count):
        sector, sectors, flags, length = ENTRY.unpack(log.read_at(at, ENTRY.size))
        if flags & MARK:
            text = log.read_at(at + ENTRY.size, length)
            here = found.setdefault(text.rstrip(b"\0").decode(), [])
        else:
            here.append(Entry(sector, sectors, *(bool(flags & flag)
                                                 for flag in (FLUSH, FUA, DISCARD))))
        at += block + (0 if flags & (DISCARD | MARK) else sectors * SECTOR)
    return found
