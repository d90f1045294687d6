# SPDX-License-Identifier: GPL-2.0
"""
Suspends, reloads, removals and vanished disks at every point of a move, a repair and a scrub.

Whatever is under way, each of them is done within a second, and every write that was acknowledged is
there afterwards. Seconds pass too fast in a guest whose host is busy, so what is counted is the
requests that are waited for.
"""

import time
from random import Random
from typing import NamedTuple

import pytest

from harness import sectors
from harness.assembler import examine
from harness.copies import Copies
from harness.remap import SLOW, Remap, slow
from harness.sysfs import folder

POINTS = 15
UNPLUGS = 4

REGION = 2048  # sectors of main that one point is about
UNIT = 8  # sectors of a write; a bad one has all of them sent again one by one
BAD = 20  # bad sectors of a region
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
    requests() {{ cat {disks} | awk '{{ n += {counted} }} END {{ print n }}'; }}
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


class Outcome(NamedTuple):
    """What came of an interruption."""

    name: str
    waited: int  # for so many requests
    took: float  # seconds
    hit: bool  # the work was under way
    status: int  # of the work
    said: list

    def ended_or_busy(self):
        ended = not self.status or any("busy" in line for line in self.said)
        assert ended, f"{self.name}: {self.said}"


def interrupt(dev, disks, work, delay, how, name, counted="$1 + $5 + $16"):
    """
    Begins some work and comes between after so many seconds.

    What is counted are the requests that come one after the other: fields of the disks' stat files.
    """
    done = dev.vm.run(SCRIPT.format(
        disks=" ".join(f"{folder(disk)}/stat" for disk in disks), work=work,
        delay=int(delay * 1e6), counted=counted, before=how.before, command=how.command,
        after=how.after.format(table=dev.table)), check=False)
    assert not done.stderr, f"{name}: {done.stderr}"
    first, *said = done.stdout.splitlines()
    waited, start, end, hit, status = first.split()
    outcome = Outcome(name, int(waited), float(end) - float(start), hit == "1", int(status), said)
    assert outcome.waited < IN_A_SECOND, \
        f"{name} waited for {outcome.waited} requests and took {outcome.took:.2f} s"
    return outcome


def summary(outcomes):
    hits = sum(outcome.hit for outcome in outcomes)
    print(f"{hits} of {len(outcomes)} came in the middle of the work, "
          f"they waited for {max(outcome.waited for outcome in outcomes)} requests and "
          f"took {max(outcome.took for outcome in outcomes):.2f} s at most")
    return hits


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
        self.outcome = None

    def __str__(self):
        return f"{self.how.name} {self.delay:.3f} s into the {self.work} of {self.sectors}"

    def run(self, dev, disks):
        self.outcome = interrupt(dev, disks, self.command(), self.delay, self.how, str(self))
        self.said = self.outcome.said

    def judge(self):
        if self.work == "move":
            self.outcome.ended_or_busy()
        elif self.how.name != "wipe":
            assert not self.said, f"{self}: {self.said}"


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
    assert summary([point.outcome for point in points]) > POINTS / 3


MENDING = {
    "repair": "dmsetup message r0 0 repair",
    "scrub": "dmsetup message r0 0 scrub && "
             "while dmsetup status r0 | grep -q ' scrub '; do usleep 10000; done",
}


READS_AND_FLUSHES = "$1 + $16"  # writes are many at once


def damage_copies(random, spare):
    """Most of it; the table of one copy stays, and its superblock."""
    copies = Copies.of(spare)
    for number in random.sample(range(5), 4):
        copies[number].corrupt("random", random.random())


@pytest.mark.parametrize("work", MENDING)
def test_interruptions_at_every_point_of_mending(boot, new_disk, seed, work):
    random = Random(seed)
    main, spare = new_disk("8M"), new_disk("64M")
    vm = boot(main, spare)
    sectors.write(main, range(0, REGION, 64), unit=64, depth=64)
    outcomes = []
    with slow(vm, "main", main) as slow_main, slow(vm, "spare", spare) as slow_spare:
        with Remap(vm, slow_main, slow_spare) as dev:
            dev.message(f"remap 0 {REGION}")
        extents = examine(spare.path)["extents"]
        for _ in range(POINTS):
            how, delay = random.choice(INTERRUPTIONS), random.uniform(0, LONGEST)
            with Remap(vm, slow_main, slow_spare) as dev:
                damage_copies(random, spare)
                outcomes.append(interrupt(dev, [slow_main, slow_spare], MENDING[work], delay, how,
                                          f"{how.name} {delay:.3f} s into a {work}",
                                          counted=READS_AND_FLUSHES))
                outcomes[-1].ended_or_busy()
            assert examine(spare.path)["extents"] == extents
        with Remap(vm, slow_main, slow_spare) as dev:
            assert dev.status().valid_copies == "5/5"
            assert not sectors.read(dev, range(0, REGION, 64), unit=64)
    assert summary(outcomes) > POINTS / 3


MIGRATION = ("dmsetup message r0 0 migrate {new} && "
             "while dmsetup status r0 | grep -q ' migrate '; do usleep 10000; done")


def test_interruptions_at_every_point_of_a_migration(boot, new_disk, seed):
    """It goes on after a suspend, and after a removal the old spare is as it was."""
    random = Random(seed)
    main, old, new = new_disk("8M"), new_disk("64M"), new_disk("64M")
    vm = boot(main, old, new)
    sectors.write(main, range(0, REGION, 64), unit=64, depth=64)
    outcomes = []
    with slow(vm, "main", main) as slow_main, slow(vm, "a", old) as a, slow(vm, "b", new) as b:
        used, blank = (a, old), (b, new)
        with Remap(vm, slow_main, a) as dev:
            dev.message(f"remap 0 {REGION // 4}")
        for _ in range(POINTS):
            how, delay = random.choice(INTERRUPTIONS), random.uniform(0, LONGEST)
            if how.name == "remove":
                how = how._replace(after="")
            if how.before:  # a table that names the old spare can't be loaded in the turn
                how = how._replace(before=f"until {LOAD} 2> /dev/null; do usleep 10000; done")
            with Remap(vm, slow_main, used[0], finish=False) as dev:
                outcomes.append(interrupt(dev, [slow_main, a, b],
                                          MIGRATION.format(new=blank[0].dev), delay, how,
                                          f"{how.name} {delay:.3f} s into a migration",
                                          counted=READS_AND_FLUSHES))
                outcomes[-1].ended_or_busy()
            vm.run("dmsetup remove r0", check=how.name != "remove")
            if examine(used[1].path)["state"] == "superseded":
                used, blank = blank, used
            vm.run(f"dd if=/dev/zero of={blank[0].dev} bs=1M oflag=direct 2> /dev/null || true")
            with Remap(vm, slow_main, used[0]) as dev:
                assert dev.status().remapped == REGION // 4
                assert not sectors.read(dev, range(0, REGION, 64), unit=64)
            assert examine(used[1].path)["state"] == "clean"
    assert summary(outcomes) > POINTS / 3


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


@pytest.mark.parametrize("work", MENDING)
def test_the_spare_vanishes_while_it_is_mended(boot, new_disk, seed, work):
    random = Random(seed)
    main, spare = new_disk("8M"), new_disk("64M")
    vm = boot(main, spare)
    sectors.write(main, range(0, REGION, 64), unit=64, depth=64)
    with Remap(vm, main, spare) as dev:
        dev.message("remap 0 64")
    extents = examine(spare.path)["extents"]
    for _ in range(UNPLUGS):
        with Remap(vm, main, spare) as dev:
            damage_copies(random, spare)
            job = vm.spawn(MENDING[work])
            time.sleep(random.uniform(0, LONGEST / 4))
            vm.unplug(spare)
            job.wait()
            assert not sectors.read(dev, range(64, 128))
        vm.plug(spare)
        assert examine(spare.path)["extents"] == extents
    with Remap(vm, main, spare) as dev:
        assert (dev.status().mode, dev.status().valid_copies) == ("rw", "5/5")
        assert not sectors.read(dev, range(0, REGION, 64), unit=64)
