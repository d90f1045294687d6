# SPDX-License-Identifier: GPL-2.0
"""
The power goes while writes over bad sectors are moved: nothing acknowledged is lost.

Of each cut many of the states that it may leave are judged on this machine, with the
same code that mends a spare at boot, and one is booted.
"""

import shutil
from random import Random

import pytest

from harness import paths
from harness.ackwriter import GUEST_PATH, AckWriter, mark_disk
from harness.assembler import dmremap, examine
from harness.cache import execute, guest_program
from harness.initramfs import fast_lane as build_fast_lane
from harness.machine import Machine
from harness.remap import Remap

CUTS = 20
STATES = 30
AREA = 2 << 20
SECTOR = 512


def assembled(main, spare):
    """Turns an image of the main into what the set would show."""
    for extent in examine(spare)["extents"]:
        with open(spare, "rb") as source, open(main, "r+b") as target:
            source.seek(extent["spare_sector"] * SECTOR)
            target.seek(extent["main_sector"] * SECTOR)
            target.write(source.read(extent["sectors"] * SECTOR))
    return main


def lost_in_state(writer, main, spare):
    """What a state has lost of the acknowledged writes: "" if nothing."""
    checked = dmremap("repair", spare)
    if checked.returncode not in (0, 1):
        return checked.stderr
    if examine(spare)["valid_copies"] != 5:
        return "not all copies could be mended"
    return writer.lost_in(assembled(main, spare))


class Campaign:
    """A set whose main gets worse, writes over it, and cuts at random instants."""

    def __init__(self, lane, disks, seed):
        self.random = Random(seed)
        self.main, self.spare, self.mark = disks
        self.vm = Machine(lane, disks, powerloss=True)
        self.writer = None

    def worsen(self):
        for _ in range(60):
            self.main.bad_sectors(self.random.randrange(AREA // SECTOR), kind="io")

    def cut(self):
        """Boots, says what the last cut has lost, and cuts again while sectors are moved."""
        with Remap(self.vm, self.main, self.spare, finish=False) as dev:
            if self.writer and (lost := self.writer.lost(self.vm, dev.dev)):
                return lost
            self.writer = AckWriter(self.random.getrandbits(32), self.mark, AREA, options="-d -b 512")
            self.worsen()
            self.vm.cut_after(self.random.randrange(1, 400))
            self.writer.start(self.vm, dev.dev)
            self.vm.wait_cut()
        for _ in range(STATES):
            with self.vm.after_power_loss(self.random.getrandbits(32)) as state:
                if lost := lost_in_state(self.writer, state[self.main], state[self.spare]):
                    return lost
        self.vm.power_cut(self.random.getrandbits(32))
        return ""

    def run(self):
        """What was lost first, "" if nothing was."""
        with self.vm:
            for _ in range(CUTS):
                self.vm.boot()
                if lost := self.cut():
                    return lost
            self.vm.boot()
            with Remap(self.vm, self.main, self.spare) as dev:
                assert dev.status().valid_copies == "5/5"
                assert dev.status().remapped > 100
                return self.writer.lost(self.vm, dev.dev)


@pytest.fixture
def disks(new_disk):
    with mark_disk() as mark:
        yield [new_disk("8M"), new_disk("8M"), mark]


def test_nothing_acknowledged_is_lost(fast_lane, disks, seed):
    assert Campaign(fast_lane, disks, seed).run() == ""


def lane_without(tree, tmp_path, file, flush):
    """The fast lane with a module from a scratch copy that lacks a flush."""
    source = shutil.copytree(paths.SOURCE / "kernel", tmp_path / "kernel")
    code = (source / file).read_text()
    assert code.count(flush) == 1
    (source / file).write_text(code.replace(flush, "0"))
    execute("make", "-C", f"/usr/src/linux-headers-{tree.release}", f"M={source}", "modules")
    return build_fast_lane(tree, {
        GUEST_PATH: guest_program("ackwriter"),
        f"/lib/modules/{tree.release}/updates/dm-remap.ko": source / "dm-remap.ko"})


@pytest.mark.parametrize("file, flush", [
    ("store_io.c", "blkdev_issue_flush(s->bdev)"),
    ("relocate.c", "blkdev_issue_flush(t->spare->bdev)"),
], ids=["metadata", "data"])
def test_the_campaign_sees_a_missing_flush(tree, disks, seed, tmp_path, file, flush):
    assert Campaign(lane_without(tree, tmp_path, file, flush), disks, seed).run()
