# SPDX-License-Identifier: GPL-2.0
"""
Random I/O over disks that go bad and good again, while the device is suspended, reloaded and sent
messages: what is read is what was written, and only what can't be read fails.

DMREMAP_SEED=N repeats a run's choices, DMREMAP_ORACLE_STEPS=N makes it longer.
"""

import os
import shutil
import time
from collections import Counter
from random import Random

import pytest

from harness import paths
from harness.cache import execute, guest_program
from harness.disk import Disk
from harness.initramfs import fast_lane as build_fast_lane
from harness.machine import Machine
from harness.oracle import GUEST_PATH, Oracle, assembled, assert_check
from harness.remap import Remap
from harness.storm import Hurricane, Partition, Storm

STEPS = int(os.environ.get("DMREMAP_ORACLE_STEPS", 8))  # of the storm
LONG = 200  # until a mistake is seen
OPERATIONS = 2000  # at least
SIZE = "4M"


def virtio(new_disk):
    return new_disk(SIZE, bus="virtio"), new_disk("64M")


def scsi_partition(new_disk):
    return Partition(new_disk("5M", physical=4096)), new_disk("64M")


def virtio_4k(new_disk):
    """And a spare that knows no discards."""
    spare = new_disk("64M", bus="virtio")
    spare.device = lambda slot: {**Disk.device(spare, slot), "discard": False}
    return new_disk(SIZE, bus="virtio", block_size=4096), spare


def assert_the_spare_remembers(vm, main, spare, oracle, remapped):
    """What it says is what there was."""
    assert_check(spare, (0, 1))
    with Remap(vm, main, spare) as dev:
        assert oracle.verify(vm, dev.dev) == ""
        status = dev.status()
        assert (status.remapped, status.valid_copies) == (remapped, "5/5")
    assert_check(spare, (0,))


def weather(vm, main, spare, seed, steps=STEPS):
    """A storm over a set, calm after it, and what the spare says of it all later."""
    oracle = Oracle(seed, SIZE, OPERATIONS, main.block_size)
    with Remap(vm, main, spare) as dev:
        storm = Storm(dev, main, spare, seed)
        oracle.start(vm, dev.dev)
        failures = storm.run(oracle, steps)
        assert oracle.verify(vm, dev.dev) == ""
        dev.message("save")  # waits for moves in the background
        status = dev.status()
        assert storm.broken == []
        assert storm.unexplained(failures) == []
        assert status.mode == "rw"
        assert status.remapped > 0
    print(oracle.summary, dict(storm.happened), status, sep="\n")
    assert_the_spare_remembers(vm, main, spare, oracle, status.remapped)


@pytest.mark.every_kernel
@pytest.mark.parametrize("disks", [scsi_partition, virtio_4k])
def test_what_is_read_is_what_was_written(boot, new_disk, seed, disks):
    main, spare = disks(new_disk)
    vm = boot(*(getattr(disk, "disk", disk) for disk in (main, spare)))
    weather(vm, main, spare, seed)


@pytest.mark.every_kernel
def test_nothing_acknowledged_is_lost_when_all_fails(boot, new_disk, seed):
    """The spare may be too small for it all."""
    main, spare = new_disk(SIZE, bus="virtio"), new_disk(Random(seed).choice(("2M", "64M")))
    vm = boot(main, spare)
    oracle = Oracle(seed, SIZE, OPERATIONS, unsettled=True)
    with Remap(vm, main, spare) as dev:
        storm = Hurricane(dev, main, spare, seed)
        oracle.start(vm, dev.dev)
        failures = storm.run(oracle, STEPS)
        assert oracle.verify(vm, dev.dev) == ""
        status = dev.status()
        assert storm.broken == []
        assert status.mode == "rw"
    print(oracle.summary, Counter(failure.kind for failure in failures), dict(storm.happened),
          status, sep="\n")
    assert_the_spare_remembers(vm, main, spare, oracle, status.remapped)


def lane_with_mistake(tree, folder, file, right, wrong):
    """The fast lane with a module from a scratch copy that has a mistake."""
    source = shutil.copytree(paths.SOURCE / "kernel", folder / "kernel")
    code = (source / file).read_text()
    assert code.count(right) == 1
    (source / file).write_text(code.replace(right, wrong))
    execute("make", "-C", f"/usr/src/linux-headers-{tree.release}", f"M={source}", "modules")
    return build_fast_lane(tree, {
        GUEST_PATH: guest_program("oracle"),
        f"/lib/modules/{tree.release}/updates/dm-remap.ko": source / "dm-remap.ko"})


@pytest.mark.parametrize("file, right, wrong", [
    ("target.c", "if (place.run < bio_sectors(bio))", "if (place.run + 1 < bio_sectors(bio))"),
    ("reread.c", "a->status = status;", ";"),
], ids=["a sector at the end of a bio", "what cannot be read"])
def test_a_mistake_is_seen(tree, new_disk, seed, tmp_path, file, right, wrong):
    lane = lane_with_mistake(tree, tmp_path, file, right, wrong)
    main, spare = virtio(new_disk)
    with Machine(lane, [main, spare], append="loglevel=3") as vm:
        vm.boot()
        with pytest.raises(AssertionError, match="found"):
            weather(vm, main, spare, seed, LONG)


CUTS = 2
MANY_CUTS = 12
STATES = 10  # of each cut, besides that which is booted


class Cut:
    """One run of the oracle over a main that gets worse, and what a power cut left of it."""

    def __init__(self, lane, new_disk, random, folder):
        self.random, self.folder = random, folder
        self.main = new_disk("2M", bus="virtio")
        self.spare = new_disk("8M")
        self.journal = new_disk("8M", write_through=True)
        self.disks = self.main, self.spare, self.journal
        self.vm = Machine(lane, self.disks, powerloss=True, append="loglevel=3")
        self.operations = 0
        self.wanted = ()
        self.states = []

    def run(self):
        """What was lost first, "" if nothing was."""
        seed = self.random.getrandbits(32)
        with self.vm:
            self.vm.boot()
            oracle = Oracle(seed, "2M", 1 << 12, journal=self.journal.dev)
            with Remap(self.vm, self.main, self.spare, finish=False) as dev:
                storm = Storm(dev, self.main, self.spare, seed, reads=False)
                self._cut_while(oracle, storm)
            self.vm.power_cut(seed)
            for state in self.states:
                if lost := self._lost_in(oracle, state):
                    return lost
            self.vm.boot()
            oracle.journal = self.journal.dev  # perhaps another than before
            with Remap(self.vm, self.main, self.spare) as dev:
                return oracle.verify(self.vm, dev.dev, after_cut=True)

    def _cut_while(self, oracle, storm):
        length = self.random.randrange(1000, 8000)
        self.wanted = self.random.sample(range(length), STATES)
        self.vm.cut_after(length, each=self._keep_state)
        oracle.start(self.vm, storm.dev.dev)
        job = None
        while self.operations < length:
            assert oracle.runs, oracle.ended()
            storm.change_main()
            if not job or job.status is not None:
                command = self.random.choice((storm.reload_command, storm.move_command))
                job = self.vm.spawn(command())
            time.sleep(0.05)
        self.vm.wait_cut()

    def _keep_state(self):
        """A state that a cut at this instant might leave."""
        self.operations += 1
        if self.operations in self.wanted:
            folder = self.folder / f"state{len(self.states)}"
            folder.mkdir()
            images = self.vm.after_power_loss(self.random.getrandbits(32), folder)
            self.states.append([images[disk] for disk in self.disks])

    @staticmethod
    def _lost_in(oracle, state):
        main, spare, journal = state
        return oracle.verify_image(assembled(main, spare), journal, after_cut=True)


def taken_by_cuts(count, lane, new_disk, seed, folder):
    """What the first of some cuts has taken that has taken anything."""
    random = Random(seed)
    for number in range(count):
        (folder / f"cut{number}").mkdir()
        cut = Cut(lane, new_disk, random, folder / f"cut{number}")
        if lost := cut.run():
            return lost
        print(cut.operations, "operations,", len(cut.states), "states judged")
    return ""


def test_a_power_cut_takes_nothing_that_was_flushed(fast_lane, new_disk, seed, tmp_path):
    assert taken_by_cuts(CUTS, fast_lane, new_disk, seed, tmp_path) == ""


def test_a_missing_flush_is_seen(tree, new_disk, seed, tmp_path):
    """The spare is taken to be clean although something was written to it."""
    lane = lane_with_mistake(tree, tmp_path, "target.h", "atomic64_inc(&t->flush.written);", ";")
    assert "found" in taken_by_cuts(MANY_CUTS, lane, new_disk, seed, tmp_path)
