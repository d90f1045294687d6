# SPDX-License-Identifier: GPL-2.0
"""
What a guest does to a set while all that its disks receive is recorded, and the judgement of every
state that a power cut might leave of it: campaigns/crash_states.c.
"""

import json
import os
import tempfile
import time
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from .assembler import examine
from .campaigns import campaign
from .complaints import complaints
from .debian import debian
from .disk import SECTOR, Disk
from .initramfs import Boot
from .loaded import load
from .machine import Machine
from .mutation import SMALL_STEPS, lane_with
from .oracle import Oracle
from .patience import deadline
from .record import Record
from .remap import Remap
from .saved import bare_kernel
from .storm import Storm

BLOCK = 4096
LENGTH = "2M"  # of main, which the oracle works on
CROWDED = 64 << 10  # of it, where writes overlap
RANGES = 20  # moved at once


class Recorded(NamedTuple):
    """A record, and what the judge has to know of it."""

    folder: Path
    spares: int
    seed: int
    oracle: Oracle  # None if there was none
    alone: int
    lane: Boot
    losses: bool

    def judge(self, seed, states=4, flush_states=10, kept=4, folder=None):
        """
        How many states there were, by what was done with them; the target loads so many of those that have to
        be mended. Raises for one that breaks a promise.
        """
        spares = [word for number in range(self.spares) for word in ("--spare", number + 1)]
        keep = self.folder / "kept"
        keep.mkdir()
        done = campaign("crash_states", self.folder, "--main", 0, *spares, "--journal", self.spares + 1,
                        "--oracle", self.seed, "--alone", self.alone, "--seed", seed,
                        *["--losses"] * self.losses, "--states", states, "--flush-states", flush_states, "--keep", keep, "--kept", kept, folder=folder)
        with bare_kernel(self.lane) as saved:
            for state in sorted(keep.iterdir()):
                load(saved, state, self.oracle)
        return {**done, "loaded_by_the_target": len(os.listdir(keep))}


class Scene:
    """
    A guest with the disks of a set, and a journal of what an oracle does to it.

    The spares hold what nobody wrote: an entry that leads to a sector before its data is there
    shows it.
    """

    def __init__(self, lane, random, folder, spares=("4M",), bus="scsi"):
        self.random = random
        self.main = Disk(LENGTH, bus="virtio")  # it passes errors on at once
        self.spares = [Disk(size, bus=bus) for size in spares]
        self.journal = Disk("16M", write_through=True)
        for spare in self.spares:
            spare.write_at(0, b"\xa5" * spare.size)
        self.seed = random.getrandbits(32)
        self.oracle = None
        self.config = ""  # what dmremap has to be told of the set
        self.disks = [self.main, *self.spares, self.journal]
        self.record = Record(folder)
        self.vm = Machine(lane, self.disks, powerloss=True, append="loglevel=3", record=self.record)

    def __enter__(self):
        with ExitStack() as stack:
            for disk in self.disks:
                stack.enter_context(disk)
            stack.callback(self.record.close)
            stack.enter_context(self.vm)
            self.vm.boot()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error):
        return self._stack.__exit__(*error)

    @property
    def spare(self):
        return self.spares[0]

    def create(self, name="home"):
        """Makes the set; whatever is on the disk."""
        said = self.vm.run(f"dmremap create {name} --force --main {self.main.dev} --spare {self.spare.dev}")
        return said.strip()

    def make(self):
        """The same, and from then on there is a set, whatever happens."""
        uuid = self.create()
        self.record.mark("made")
        return uuid

    def device(self, **options):
        return self.again(self.make(), **options)

    def again(self, uuid, **options):
        return Remap(self.vm, self.main, self.spare, name="home", options=f"--uuid DMREMAP-{uuid}", **options)

    def start_oracle(self, dev, least=1 << 12, jobs=4, length=LENGTH, **options):
        self.oracle = Oracle(self.seed, length, least, jobs=jobs, journal=self.journal.dev, **options)
        self.oracle.start(self.vm, dev.dev)

    def sectors_become_bad(self, count, length=None):
        """A step in which so many more of main cannot be written, until all of it, or of a length of it, is bad."""
        sectors = list(range((length or self.main.size) // SECTOR))
        self.random.shuffle(sectors)
        left = iter(sectors)

        def step():
            for sector in islice(left, count):
                self.main.bad_sectors(sector, kind="io")
        return step

    def until(self, operations, step):
        """Does a step again and again until the disks have received so many operations more."""
        goal = self.vm.server.operations + operations
        end = deadline(300)
        while self.vm.server.operations < goal:
            assert self.oracle.runs, self.oracle.ended()
            assert time.monotonic() < end, "the guest does not get on"
            step()
            time.sleep(0.05)


def formatting(scene, _):
    """A set is made, again and again over another, and a little is moved."""
    for name in "abcdef":
        scene.create(name)
    with scene.device() as dev:
        for sector in range(0, 200, 2):
            dev.message(f"remap {sector} 1")


def growth(scene, count):
    """The target makes the set on an empty spare, and its table grows block by block as ranges of main are moved."""
    scene.create()
    for copy in examine(scene.spare.path)["copies"]:
        scene.vm.run(f"dd if=/dev/zero of={scene.spare.dev} bs={BLOCK} count={copy['length_bytes'] // BLOCK}"
                     f" seek={copy['offset_bytes'] // BLOCK} oflag=direct 2> /dev/null")
    with Remap(scene.vm, scene.main, scene.spare, name="home", finish=False) as dev:
        scene.record.mark("made")
        scene.config = f"set {examine(scene.spare.path)['uuid']} main=path:{scene.main.dev}\n"
        scene.start_oracle(dev)
        sectors = scene.random.sample(range(0, scene.main.size // SECTOR, 2), count)
        for some in (sectors[at:at + RANGES] for at in range(0, count, RANGES)):
            dev.message("remap " + " ".join(f"{sector} 1" for sector in sorted(some)))


def storm(scene, dev, operations):
    """Writes meet bad sectors, sectors are moved and tables reloaded, while the oracle runs."""
    weather = Storm(dev, scene.main, scene.spare, scene.seed, reads=False)
    job = None

    def step():
        nonlocal job
        weather.change_main()
        if not job or job.status is not None:
            succeeded(job)
            job = scene.vm.spawn(scene.random.choice((weather.reload_command, weather.move_command))())

    scene.until(operations, step)
    succeeded(job)


def succeeded(job):
    assert not job or job.wait().status == 0, job.wait()


def bursts(scene, operations):
    """A main that gets worse."""
    with scene.device(finish=False) as dev:
        scene.start_oracle(dev)
        storm(scene, dev, operations)


def bad_copies(scene, operations):
    """The same, while one copy after the other cannot be written, until two are left; then all can be again."""
    with scene.device(finish=False) as dev:
        scene.start_oracle(dev)
        copies = scene.random.sample(examine(scene.spare.path)["copies"], 3)
        for copy in copies:
            scene.spare.bad_sectors(copy["offset_bytes"] // SECTOR, kind="io")
            storm(scene, dev, operations)
        scene.spare.heal()
        dev.message("repair")
        storm(scene, dev, operations)


def groups(scene, operations):
    """Many writers meet bad sectors at once: commits are of many remaps each."""
    with scene.device(finish=False) as dev:
        scene.start_oracle(dev, jobs=16)
        scene.until(operations, scene.sectors_become_bad(40))


def failed_flushes(scene, operations):
    """
    Of either disk some fail, and take with them some of what they were for, while several writers meet bad sectors.
    """
    length = 8 * CROWDED
    with scene.device(finish=False) as dev:
        scene.start_oracle(dev, jobs=16, length=length, overlaps=True, losses=True)
        worsen = scene.sectors_become_bad(16, length)
        for disk in scene.main, scene.spare:
            disk.lose_flushes(0.1, scene.random.getrandbits(32))

        def step():
            worsen()
            # it may be that no commit is safe any more; then the table is loaded again
            scene.vm.run("dmsetup message home 0 restore", check=False)

        scene.until(operations, step)
        for disk in scene.main, scene.spare:
            disk.lose_flushes(0)


def overlaps(scene, operations):
    """Sectors become bad one by one where several writers write at once: what one has moved, others write to."""
    with scene.device(finish=False) as dev:
        scene.start_oracle(dev, jobs=8, length=CROWDED, overlaps=True)
        scene.until(operations, scene.sectors_become_bad(1, CROWDED))


def damage(scene, copies):
    """Writes over up to four of the five instances of each block; returns where on the spare."""
    places = [copy["offset_bytes"] // BLOCK + block for block in range(copies[0]["length_bytes"] // BLOCK)
              for copy in scene.random.sample(copies, scene.random.randrange(5))]
    scene.random.shuffle(places)
    commands = ["true"]
    for place in places:
        source = scene.random.choice(("/dev/zero", "/dev/urandom"))
        commands.append(f"dd if={source} of={scene.spare.dev} bs={BLOCK} count=1 oflag=direct seek={place} 2> /dev/null")
    scene.vm.run(" && ".join(commands))
    return places


def written(scene):
    """The blocks of the spare that have been written to since somebody emptied the places of the record."""
    return {(offset + at) // BLOCK for disk, offset, length in scene.record.places if disk is scene.spare
            for at in range(0, length, BLOCK)}


def repairs(scene, rounds):
    """Copies are damaged while nobody uses the set, and mended by dmremap or the target; then by a scrub."""
    uuid = scene.make()
    with scene.again(uuid) as dev:
        scene.start_oracle(dev, least=1)
        scene.until(300, lambda: None)
        scene.oracle.stop()
        scene.oracle.ended()
    copies = examine(scene.spare.path)["copies"]
    supers = [copy["offset_bytes"] // BLOCK for copy in copies]
    for _ in range(rounds):
        with scene.again(uuid) as dev:
            for _ in range(4):
                dev.message(f"remap {scene.random.randrange(4000)} {scene.random.randrange(1, 9)}")
            may_be_written = {*supers, *damage(scene, copies)}
            scene.record.places.clear()
            dev.message("repair")
            good = written(scene) - may_be_written
            assert not good, f"a repair wrote over good blocks, {sorted(good)} of the spare"
        damage(scene, copies)
        if scene.random.random() < 0.5:
            scene.vm.run(f"dmremap repair {scene.spare.dev}", check=False)


def migration(scene, _):
    """The set moves to another spare and back, twice, while it is written to; on the way back main gets worse."""
    with scene.device(finish=False) as dev:
        for sector in range(0, 4096, 64):
            dev.message(f"remap {sector} 4")
        scene.start_oracle(dev)
        worsen = scene.sectors_become_bad(4)
        for number in range(4):
            job = scene.vm.spawn(f"dmremap migrate home {scene.spares[(number + 1) % 2].dev} --force")
            while job.status is None:
                if number % 2:
                    worsen()
                time.sleep(0.05)
            assert job.wait().status == 0, job.stderr
        scene.until(300, worsen)


def stops(scene, rounds):
    """The set is written to, stopped and assembled again."""
    uuid = scene.make()
    with scene.again(uuid) as dev:
        storm = Storm(dev, scene.main, scene.spare, scene.seed, reads=False)
        scene.start_oracle(dev, least=1)
        scene.until(1000, storm.change_main)
        scene.oracle.stop()
        scene.oracle.ended()
        scene.main.heal()
    for _ in range(rounds):
        with scene.again(uuid) as dev:
            dev.message(f"remap {scene.random.randrange(4000)} {scene.random.randrange(1, 60)}")
            scene.vm.run(f"sync {dev.dev}")


def boot_after_cut(scene):
    """One of the states is booted: the kernel's code has to find in it what dmremap's does."""
    scene.vm.power_cut(scene.random.getrandbits(32))
    scene.vm.record = None
    scene.vm.boot()
    scene.vm.put("/etc/dm-remap.conf", scene.config)
    said = json.loads(scene.vm.run("dmremap assemble --json", check=False).stdout)
    activated = [decision for decision in said["decisions"] if decision["decision"] == "activate"]
    assert [decision["name"] for decision in activated] == ["home"], said
    assert " 5/5 " in scene.vm.run("dmsetup status home")
    if scene.oracle:
        scene.oracle.journal = scene.journal.dev  # perhaps another than before
        lost = scene.oracle.verify(scene.vm, "/dev/mapper/home", after_cut=True)
        assert not lost, f"after a boot:\n{lost}"


class Workload(NamedTuple):
    play: object
    size: int  # of a short run: see play
    spares: tuple = ("4M",)
    alone: int = 2  # copies that always do alone; 0: not promised
    losses: bool = False  # flushes fail
    changes: tuple = ()  # of the module


WORKLOADS = {
    "formatting": Workload(formatting, 0),
    "growth": Workload(growth, 600, spares=("8M",), changes=(SMALL_STEPS,)),
    "bursts": Workload(bursts, 4000),
    "bad copies": Workload(bad_copies, 1000, alone=1),
    "groups": Workload(groups, 4000),
    "overlaps": Workload(overlaps, 4000),
    "failed flushes": Workload(failed_flushes, 12000, alone=1, losses=True),
    "repairs": Workload(repairs, 8, alone=0),
    "migration": Workload(migration, 0, spares=("4M", "8M")),
    "stops": Workload(stops, 10),
}


def record(name, lane, random, folder, times=1, changes=()):
    """Plays one of them, `times` as long as a short run, until the power is cut; or with changes of the module."""
    workload = WORKLOADS[name]
    if changes := (*changes, *workload.changes):
        with tempfile.TemporaryDirectory() as sources:
            lane = lane_with(changes, debian(), Path(sources))
    # the kernel tries a SCSI disk's flush again, and would not tell anybody that the first one has failed
    with Scene(lane, random, folder, workload.spares, bus="virtio" if workload.losses else "scsi") as scene:
        workload.play(scene, int(workload.size * times))
        if scene.oracle and not scene.oracle.runs:
            scene.oracle.ended()
        assert not complaints(scene.vm)
        boot_after_cut(scene)
    return Recorded(folder, len(workload.spares), scene.seed, scene.oracle, workload.alone, lane, workload.losses)
