# SPDX-License-Identifier: GPL-2.0
"""
Suspends, reloads, removals and vanished disks at every point of a move.

Whatever is under way, each of them is done within a second, and every write that was acknowledged is
there afterwards. Seconds pass too fast in a guest whose host is busy, so what is counted is the
requests that are waited for.
"""

import time
from random import Random
from typing import NamedTuple

from harness import sectors
from harness.remap import Mapped, Remap
from harness.sysfs import folder

POINTS = 30
UNPLUGS = 8

REGION = 2048  # sectors of main that one point is about
UNIT = 8  # sectors of a write; a bad one has all of them sent again one by one
BAD = 20  # bad sectors of a region
SLOW = 4  # milliseconds that a disk takes for everything, so that moves take their time, too
LONGEST = 0.6  # seconds until the interruption
IN_A_SECOND = 1000 // (2 * SLOW)  # requests that one of them does, one after the other, at least

WORK = {
    "move": "dmsetup message r0 0 remap {start} {count}",
    "write": f"{sectors.GUEST_PATH} write -v 2 -u {{unit}} -q 2 /dev/mapper/r0 {{writes}}",
}


class Interruption(NamedTuple):
    """What is done before, what must not take long, and what comes after it."""

    name: str
    command: str
    before: str = ""
    after: str = ""


LOAD = "dmsetup table r0 | dmsetup load r0"
RESUME = "dmsetup resume r0"
CREATE = "dmsetup create r0 --table '{table}'"
INTERRUPTIONS = [
    Interruption("suspend", "dmsetup suspend r0", "", RESUME),
    Interruption("suspend --noflush", "dmsetup suspend --noflush --nolockfs r0", "", RESUME),
    Interruption("reload", "dmsetup suspend r0", LOAD, RESUME),
    Interruption("reload --noflush", "dmsetup suspend --noflush r0", LOAD, RESUME),
    # A device that is in use can't be removed, but be made to fail from now on.
    Interruption("wipe", "dmsetup wipe_table --noflush r0"),
    Interruption("remove", "dmsetup remove r0", "", CREATE),
]

# Prints how many requests it waited for, how long it took, whether it found the work under way, how
# that ended and what it said.
SCRIPT = """
    requests() {{ cat {disks} | awk '{{ n += $1 + $5 + $16 }} END {{ print n }}'; }}
    ({work}) > /tmp/work 2>&1 & work=$!
    usleep {delay}
    {before}
    kill -0 $work 2> /dev/null && hit=1 || hit=0
    before=$(requests)
    read start rest < /proc/uptime
    {command} || echo failed >&2
    read end rest < /proc/uptime
    waited=$(($(requests) - before))
    {after}
    wait $work; echo $waited $start $end $hit $?; cat /tmp/work
"""


class Region:
    """A part of main and what is done to it: its sectors are moved, or written over bad ones."""

    def __init__(self, random, number):
        self.sectors = range(number * REGION, (number + 1) * REGION)
        self.writes = self.sectors[::UNIT]
        self.bad = random.sample(self.sectors, BAD)
        self.work = random.choice(list(WORK))
        self.said = []

    def command(self):
        return WORK[self.work].format(start=self.sectors.start, count=REGION, unit=UNIT,
                                      writes=" ".join(map(str, self.writes)))

    def damage(self, main):
        main.heal()
        for sector in self.bad:
            main.bad_sectors(sector, kind="io")

    def wrong(self, dev):
        """What it should not hold, after .said was said: {sector: reason}."""
        if self.work == "move":
            return sectors.read(dev, self.writes, 1, unit=UNIT, depth=64)
        failed = {int(line.split(":")[0]) for line in self.said}
        wrong = sectors.read(dev, sorted({*self.writes} - failed), 2, unit=UNIT, depth=64) \
            if len(failed) < len(self.writes) else {}
        if failed:  # is there in part, or not at all
            maybe = [sector for write in failed for sector in range(write, write + UNIT)]
            if old := sectors.read(dev, maybe, 2, depth=64):
                wrong |= sectors.read(dev, old, 1, depth=64)
        return wrong


class Point(Region):
    """One interruption of one piece of work on a region of its own."""

    def __init__(self, random, number):
        super().__init__(random, number)
        *others, remove = INTERRUPTIONS
        self.how = random.choice([*others, remove] if self.work == "move" else others)
        self.delay = random.uniform(0, LONGEST)
        self.waited = self.took = self.hit = self.status = None

    def __str__(self):
        return f"{self.how.name} {self.delay:.3f} s into the {self.work} of {self.sectors}"

    def run(self, dev, disks):
        done = dev.vm.run(SCRIPT.format(
            disks=" ".join(f"{folder(disk)}/stat" for disk in disks), work=self.command(),
            delay=int(self.delay * 1e6), before=self.how.before, command=self.how.command,
            after=self.how.after.format(table=dev.table)), check=False)
        assert not done.stderr, f"{self}: {done.stderr}"
        first, *self.said = done.stdout.splitlines()
        waited, start, end, hit, status = first.split()
        self.waited, self.took = int(waited), float(end) - float(start)
        self.hit, self.status = hit == "1", int(status)

    def judge(self):
        assert self.waited < IN_A_SECOND, \
            f"{self} waited for {self.waited} requests and took {self.took:.2f} s"
        if self.work == "move":
            ended = not self.status or any("busy" in line for line in self.said)
            assert ended, f"{self}: {self.said}"
        elif self.how.name != "wipe":
            assert not self.said, f"{self}: {self.said}"


def slow(vm, name, disk):
    vm.run("modprobe dm-delay")
    length = vm.run(f"blockdev --getsz {disk.dev}").strip()
    return Mapped(vm, name, f"0 {length} delay {disk.dev} 0 {SLOW}")


def test_interruptions_at_every_point_of_a_move(boot, new_disk, seed):
    random = Random(seed)
    main, spare = new_disk(f"{POINTS}M"), new_disk("64M")
    points = [Point(random, number) for number in range(POINTS)]
    vm = boot(main, spare)
    sectors.write(main, range(0, POINTS * REGION, 64), unit=64, depth=64)
    with slow(vm, "main", main) as slow_main, slow(vm, "spare", spare) as slow_spare:
        for point in points:
            point.damage(main)
            with Remap(vm, slow_main, slow_spare) as dev:
                point.run(dev, [slow_main, slow_spare])
            point.judge()
        with Remap(vm, slow_main, slow_spare) as dev:
            assert {str(point): wrong for point in points if (wrong := point.wrong(dev))} == {}
            assert dev.status().valid_copies == "5/5"
    hits = sum(point.hit for point in points)
    print(f"{hits} of {POINTS} came in the middle of the work, "
          f"they waited for {max(point.waited for point in points)} requests and "
          f"took {max(point.took for point in points):.2f} s at most")
    assert hits > POINTS / 3


def test_a_disk_vanishes_at_every_point_of_a_move(boot, new_disk, seed):
    random = Random(seed)
    main, spare = new_disk(f"{UNPLUGS}M"), new_disk("64M")
    vm = boot(main, spare)
    sectors.write(main, range(0, UNPLUGS * REGION, 64), unit=64, depth=64)
    for number in range(UNPLUGS):
        region = Region(random, number)
        victim = random.choice([main, spare])
        region.damage(main)
        with Remap(vm, main, spare) as dev:
            job = vm.spawn(region.command())
            time.sleep(random.uniform(0, LONGEST))
            vm.unplug(victim)
            region.said = job.wait().stdout.splitlines()
            vm.run("dmsetup suspend --nolockfs r0; dmsetup resume r0")
        main.heal()
        vm.plug(victim)
        with Remap(vm, main, spare) as dev:
            assert region.wrong(dev) == {}
            assert dev.status().mode == "rw"
