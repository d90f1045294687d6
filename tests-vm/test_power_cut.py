# SPDX-License-Identifier: GPL-2.0
"""The power cut of the harness: it loses what may be lost and nothing else."""

from random import Random

import pytest

from harness.ackwriter import AckWriter, mark_disk
from harness.machine import Machine

CUTS = 4
CHANCES = 12  # of five cuts one loses nothing


@pytest.fixture
def mark():
    with mark_disk() as disk:
        yield disk


def write_and_cut(vm, writer, disk, random):
    """Boots, writes until the power goes at a random operation, and says what is lost."""
    vm.boot()
    vm.cut_after(random.randrange(20, 2000))
    writer.start(vm, disk.dev)
    vm.wait_cut()
    vm.power_cut(random.getrandbits(32))
    return writer.lost_in(disk.path)


@pytest.mark.parametrize("bus", ["scsi", "virtio"])
def test_no_write_that_was_flushed_is_lost(bare_lane, new_disk, mark, seed, bus):
    random = Random(seed)
    disk = new_disk("64M", bus=bus)
    with Machine(bare_lane, [disk, mark], powerloss=True) as vm:
        for _ in range(CUTS):
            writer = AckWriter(random.getrandbits(32), mark, "16M", threads=2, options="-d")
            assert not write_and_cut(vm, writer, disk, random)
            assert sum(writer.acknowledged()) > 0


@pytest.mark.parametrize("bus", ["scsi", "virtio"])
def test_writes_that_were_not_flushed_are_lost(bare_lane, new_disk, mark, seed, bus):
    random = Random(seed)
    disk = new_disk("64M", bus=bus)
    with Machine(bare_lane, [disk, mark], powerloss=True) as vm:
        writers = [AckWriter(random.getrandbits(32), mark, "16M", options="-d -F")
                   for _ in range(CHANCES)]
        assert any(write_and_cut(vm, writer, disk, random) for writer in writers)
