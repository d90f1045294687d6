# SPDX-License-Identifier: GPL-2.0
"""Random I/O against a model in the guest, and what goes wrong with a set meanwhile."""

import subprocess
import time
from collections import Counter
from random import Random
from typing import NamedTuple

from .assembler import dmremap, examine
from .cache import guest_program
from .disk import SECTOR, size_in_bytes
from .errors import GuestError, TimedOut
from .patience import deadline

GUEST_PATH = "/sbin/oracle"
NOT_NOW = (11, 95)  # what RWF_NOWAIT may end with: EAGAIN, EOPNOTSUPP
GRID = 256  # as in guest/oracle.c


class Failure(NamedTuple):
    """An operation that ended with an error."""

    kind: str
    start: int
    count: int
    errno: int
    nowait: bool

    @property
    def range(self):
        return self.start, self.start + self.count


class Oracle:
    """
    Random operations on a whole device that is blank at first; see tests-vm/guest/oracle.c.

    `journal` is a path in the guest. start() lets it run; ended() raises for what the device
    got wrong and returns the operations that failed; verify() reads the whole device.
    """

    def __init__(self, seed, length, operations, block_size=SECTOR, jobs=4, journal="/run/journal"):
        self.journal = journal
        self.summary = ""
        self._options = (f"-s {seed} -l {size_in_bytes(length)} -b {block_size} -t {jobs}"
                         f" -n {operations}")
        self._job = None

    def start(self, vm, target):
        self._job = vm.spawn(f"{GUEST_PATH} run {self._options} -j {self.journal} {target}")

    @property
    def runs(self):
        return self._job.status is None

    def ended(self, timeout=60):
        result = self._job.wait(timeout)
        if result.status:
            raise AssertionError(f"the oracle ended with {result.status}\n"
                                 f"{result.stdout}{result.stderr}")
        *failures, self.summary = result.stdout.splitlines()
        return [_failure(line) for line in failures]

    def verify(self, vm, target, after_cut=False):
        """What is wrong on the device, "" if nothing."""
        result = vm.run(self._verify(GUEST_PATH, self.journal, target, after_cut), check=False,
                        timeout=300)
        return self._wrong(result.status, result.stdout + result.stderr)

    def verify_image(self, image, journal, after_cut=False):
        """The same for images of the device and the journal, on the host."""
        command = self._verify(guest_program("oracle"), journal, image, after_cut)
        done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=300)
        return self._wrong(done.returncode, done.stdout + done.stderr)

    def _verify(self, program, journal, target, after_cut=False):
        return f"{program} verify {self._options} -j {journal} {'-c' * after_cut} {target}"

    def _wrong(self, status, said):
        if status > 1:
            raise GuestError(f"the oracle cannot check: {said}")
        return said if status else ""


def _failure(line):
    _, kind, start, count, errno, *nowait = line.split()
    return Failure(kind, int(start), int(count), int(errno), bool(nowait))


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
    What happens to a set while the oracle works on it: one thing after the other, drawn from a seed.

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
        self.copies = self.random.sample(examine(spare.path)["copies"], self.BAD_COPIES)
        self.spare_reads_badly = False
        self.broken = []
        self.happened = Counter()
        self.of_disks = [self.worsen] * 6 + [self.heal] * 4 + [
            self.worsen_copy, self.worsen_fresh, self.heal_spare] + [self.worsen_moved] * reads
        self.of_device = [self.suspend, self.reload, self.move, self.message]

    def run(self, oracle, timeout=600):
        """Until the oracle has ended; then all is good again."""
        end = deadline(timeout)
        while oracle.runs:
            if time.monotonic() > end:
                raise TimedOut(f"the oracle has not ended in {timeout} s\n{self._stuck()}")
            self.step()
        self.main.heal()
        self.spare.heal()

    def step(self):
        """A few changes of the disks, which are quick, for each of the device."""
        for event in [*self.random.choices(self.of_disks, k=self.random.randrange(6)),
                      self.random.choice(self.of_device)]:
            event()
            self.happened[event.__name__] += 1

    def change_main(self):
        """Only that: what is safe where there is nobody to answer."""
        self.random.choice((self.worsen, self.heal))()

    def _stuck(self):
        """Where in the kernel the oracle is."""
        return self.vm.run("cd /proc/$(pidof oracle)/task; grep . */wchan */stack; dmesg | tail -n 40",
                           check=False).stdout

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
        copy = self.random.choice(self.copies)
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
            self.spare.bad_sectors(extent["spare_sector"], on=on)

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
        name = self.dev.name
        how = self.random.choice(("", "--noflush"))
        self._command(f"dmsetup table {name} | dmsetup load {name} &&"
                      f" dmsetup suspend {how} {name}; dmsetup resume {name}")

    def move(self):
        """Sectors that cannot be read can't be moved, and it says so."""
        count = self.unit * self.random.choice((1, 5, 40))
        start = self._start(count) // self.unit * self.unit
        self._command(f"dmsetup message {self.dev.name} 0 remap {start} {count}",
                      allowed=("Input/output error",) if self.may_be_unreadable(start, count) else ())

    def message(self):
        text = self.random.choice(("save", "restore", "metadata_status", "pending", "set low_water 100",
                                   "set give_up 4000", "set budget 60000"))
        self._command(f"dmsetup message {self.dev.name} 0 {text}")

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


def assembled(main, spare):
    """Turns an image of the main into what the set shows once its spare has been mended."""
    assert dmremap("repair", spare).returncode in (0, 1)
    for extent in examine(spare)["extents"]:
        with open(spare, "rb") as source, open(main, "r+b") as target:
            source.seek(extent["spare_sector"] * SECTOR)
            target.seek(extent["main_sector"] * SECTOR)
            target.write(source.read(extent["sectors"] * SECTOR))
    return main


def assert_check(spare, statuses):
    """`dmremap check` of a spare ends with one of these."""
    done = dmremap("check", spare.path)
    assert done.returncode in statuses, f"{done.returncode}: {done.stdout}{done.stderr}"
