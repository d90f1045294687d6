# SPDX-License-Identifier: GPL-2.0
"""What may happen to a set while somebody works on it."""

from collections import Counter
from random import Random
from typing import NamedTuple

from .assembler import examine
from .cache import execute
from .disk import SECTOR
from .oracle import GRID
from .qmp import QmpError

MESSAGES = ("save", "restore", "metadata_status", "pending", "set low_water 100",
            "set give_up 4000", "set budget 60000")
NOT_NOW = (11, 95)  # what RWF_NOWAIT may end with: EAGAIN, EOPNOTSUPP


class Partition:
    """The only partition of a disk, as if it was a disk itself."""

    START = 2048
    TABLE = b"label: dos\nstart=2048\n"

    def __init__(self, disk):
        execute("sfdisk", "--quiet", disk.path, input=self.TABLE)
        self.disk = disk
        self.size = disk.size - self.START * SECTOR
        self.bus, self.block_size = disk.bus, disk.block_size

    @property
    def dev(self):
        return f"{self.disk.dev}1"

    def bad_sectors(self, lba, *args, **options):
        self.disk.bad_sectors(lba + self.START, *args, **options)

    def heal(self, lba=None, count=1):
        self.disk.heal(lba if lba is None else lba + self.START, count)

    def fail(self, *args, **options):
        self.disk.fail(*args, **options)

    def fail_next(self, *args, **options):
        self.disk.fail_next(*args, **options)


def overlaps(range_, others):
    return any(range_[0] < end and range_[1] > start for start, end in others)


class Place(NamedTuple):
    """Sectors of main that may become bad."""

    start: int
    count: int
    kind: str
    on: str

    @property
    def range(self):
        return self.start, self.start + self.count


class Storm:
    """
    What happens to a set while the oracle works on it: one thing after the other, by a seed.

    Sectors of main and spare become bad and good again, also in at most three of the copies; the
    device is suspended, reloaded and sent messages. `broken` tells of what failed that should not.
    """

    PLACES = 30
    BAD_COPIES = 3

    def __init__(self, dev, main, spare, seed, reads=True):
        self.dev, self.vm = dev, dev.vm
        self.main, self.spare = main, spare
        self.random = Random(seed)
        self.unit = main.block_size // SECTOR
        self.places = [self._place(reads) for _ in range(self.PLACES)]
        self.copies = self.random.sample(examine(spare.path)["copies"], 5)
        self.spare_reads_badly = False
        self.broken = []
        self.happened = Counter()
        self.of_disks = [self.worsen] * 6 + [self.heal] * 4 + [
            self.worsen_copy, self.worsen_fresh, self.heal_spare] + [self.worsen_moved] * reads
        self.of_device = [self.suspend, self.reload, self.move, self.move, self.message]
        for _ in range(self.PLACES // 3):
            self.worsen()

    def run(self, oracle, steps):
        """So many steps while the oracle runs; then all is good again. Returns what failed."""
        for _ in range(steps):
            if oracle.runs:
                self.step()
        oracle.stop()
        failures = oracle.ended()
        self.main.heal()
        self.spare.heal()
        return failures

    def step(self):
        """A few changes of the disks, which are quick, for each of the device."""
        for event in [*self.random.choices(self.of_disks, k=self.random.randrange(4, 12)),
                      self.random.choice(self.of_device)]:
            event()
            self.happened[event.__name__] += 1

    def change_main(self):
        """Only that: what is safe where there is nobody to answer."""
        self.random.choice((self.worsen, self.heal))()

    # --- disks ---

    def _place(self, reads):
        count = self.random.choice((1, 1, 1, 2, 3, 8, 40))
        start = self._start(count)
        kinds = ("io",) if self.main.bus == "virtio" else ("io", "medium")
        on = ("write", "write", "read", "both") if reads else ("write",)
        return Place(start, count, self.random.choice(kinds), self.random.choice(on))

    def _start(self, count):
        """Often where operations often begin or end."""
        start = self.random.randrange(self.main.size // SECTOR - count)
        return start - start % GRID if self.random.random() < 0.7 else start

    def worsen(self):
        place = self.random.choice(self.places)
        self.main.bad_sectors(place.start, place.count, place.kind, place.on)

    def heal(self):
        place = self.random.choice(self.places)
        self.main.heal(place.start, place.count)

    def worsen_copy(self):
        copy = self.random.choice(self.copies[:self.BAD_COPIES])
        sector = (copy["offset_bytes"] + self.random.randrange(copy["length_bytes"])) // SECTOR
        self.spare.bad_sectors(sector, on=self.random.choice(("write", "both")))

    def worsen_fresh(self):
        """Where the next sectors may go."""
        ends = [extent["spare_sector"] + extent["sectors"]
                for extent in examine(self.spare.path)["extents"]]
        if ends:
            self.spare.bad_sectors(max(ends) + self.random.randrange(8 * self.unit),
                                   self.random.choice((1, 1, 2)), on="write")

    def worsen_moved(self):
        """Where sectors have gone."""
        extents = examine(self.spare.path)["extents"]
        if extents:
            extent = self.random.choice(extents)
            on = self.random.choice(("read", "write", "both"))
            self.spare_reads_badly |= on != "write"
            self.spare.bad_sectors(extent["spare_sector"] +
                                   self.random.randrange(extent["sectors"]), on=on)

    def heal_spare(self):
        self.spare.heal()

    # --- the device ---

    def _command(self, command, allowed=()):
        result = self.vm.run(command, check=False)
        if result.status and not any(reason in result.stderr for reason in allowed):
            self.broken.append(f"{command}: {result.stderr}{self.vm.run('dmesg | tail -n 5')}")

    def suspend(self):
        how = self.random.choice(("", "--noflush", "--nolockfs"))
        self._command(f"dmsetup suspend {how} {self.dev.name}")
        self.change_main()
        self._command(f"dmsetup resume {self.dev.name}")

    def reload(self):
        self._command(self.reload_command())

    def reload_command(self):
        name = self.dev.name
        how = self.random.choice(("", "--noflush"))
        return (f"dmsetup table {name} | dmsetup load {name} &&"
                f" dmsetup suspend {how} {name}; dmsetup resume {name}")

    def move(self):
        """Sectors that cannot be read can't be moved, and it says so."""
        start, count = self._range_to_move()
        self._command(self.move_command(start, count),
                      allowed=("Input/output error",) * self.may_be_unreadable(start, count))

    def _range_to_move(self):
        count = self.unit * self.random.choice((1, 5, 40, 600 // self.unit))
        return self._start(count) // self.unit * self.unit, count

    def move_command(self, start=None, count=None):
        if start is None:
            start, count = self._range_to_move()
        return f"dmsetup message {self.dev.name} 0 remap {start} {count}"

    def message(self):
        self._command(f"dmsetup message {self.dev.name} 0 {self.random.choice(MESSAGES)}")

    # --- judgement ---

    def may_be_unreadable(self, start, count):
        return overlaps((start, start + count), [self._blocks(place.range) for place in self.places
                                                 if place.on != "write"])

    def _blocks(self, range_):
        """Whole logical blocks of main."""
        return range_[0] // self.unit * self.unit, -(-range_[1] // self.unit) * self.unit

    def unexplained(self, failures):
        """The failures that no bad sector explains."""
        moved = [(extent["main_sector"], extent["main_sector"] + extent["sectors"])
                 for extent in examine(self.spare.path)["extents"]]
        return [failure for failure in failures if not self._explains(failure, moved)]

    def _explains(self, failure, moved):
        if failure.nowait and failure.errno in NOT_NOW:
            return True
        if failure.kind != "read":
            return False
        return (self.may_be_unreadable(failure.start, failure.count) or
                self.spare_reads_badly and overlaps(failure.range, moved))


class Hurricane(Storm):
    """
    Also whole disks fail for a while, their flushes, or the superblocks of all copies.

    Any operation may fail then, so nothing is broken but what goes wrong when all is well again.
    """

    def __init__(self, *args):
        super().__init__(*args)
        self.of_device += [self.calamity] * 4

    def run(self, oracle, steps):
        failures = super().run(oracle, steps)
        self._restore()
        return failures

    def calamity(self):
        disk = self.random.choice((self.main, self.spare, self.spare))
        how = self.random.choice(("read", "write", "both", "flush", "copies"))
        if how == "copies":
            disk = self.spare
            for copy in self.copies:
                disk.bad_sectors(copy["offset_bytes"] // SECTOR)
        elif how == "flush":
            disk.fail_next(3, on="flush")
        else:
            disk.fail(how)
        for _ in range(self.random.randrange(1, 4)):
            self.random.choice((self.move, self.message))()
        self._heal_all_of(disk)
        self._restore()

    @staticmethod
    def _heal_all_of(disk):
        """QEMU flushes a disk before it changes anything, and that may be the flush that fails."""
        for _ in range(3):
            try:
                return disk.heal()
            except QmpError:
                pass
        return disk.heal()

    def _restore(self):
        Storm._command(self, f"dmsetup message {self.dev.name} 0 restore")

    def _command(self, command, allowed=()):
        super()._command(command, allowed if "resume" in command else ("",))
