# SPDX-License-Identifier: GPL-2.0
"""
Random I/O over disks that go bad and good again, while the device is suspended, reloaded and sent
messages: what is read is what was written, and only what can't be read fails.

DMREMAP_SEED=N repeats a run's choices, DMREMAP_ORACLE_STEPS=N makes it longer.
"""

import os
from collections import Counter
from random import Random

import pytest

from harness.disk import Disk
from harness.machine import Machine
from harness.mutation import Mutant, lane_with
from harness.oracle import Oracle, assert_check
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


@pytest.mark.parametrize("mistake", [
    pytest.param(Mutant("a sector at the end of a bio", "kernel/target.c",
                        "if (place.run < bio_sectors(bio))", "if (place.run + 1 < bio_sectors(bio))"),
                 marks=pytest.mark.thorough),
    Mutant("what cannot be read", "kernel/reread.c", "a->status = status;", ";"),
], ids=lambda mistake: mistake.name)
def test_a_mistake_is_seen(tree, new_disk, seed, tmp_path, mistake):
    main, spare = virtio(new_disk)
    with Machine(lane_with([mistake], tree, tmp_path), [main, spare], append="loglevel=3") as vm:
        vm.boot()
        with pytest.raises(AssertionError, match="found"):
            weather(vm, main, spare, seed, LONG)
