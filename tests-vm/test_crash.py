# SPDX-License-Identifier: GPL-2.0
"""
The power goes while writes over bad sectors are moved: nothing acknowledged is lost.

Before each cut the disks are watched: a state that a cut at that instant might leave is kept of each
operation, and judged on this machine with the same code that mends a spare at boot. What the
cut itself leaves is booted.
"""

import shutil
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from harness import paths
from harness.ackwriter import GUEST_PATH, AckWriter, mark_disk
from harness.assembler import assembled, dmremap, examine
from harness.cache import execute, guest_program
from harness.copies import Copies
from harness.disk import Disk
from harness.initramfs import fast_lane as build_fast_lane
from harness.machine import Machine
from harness.patience import deadline
from harness.remap import Remap

CUTS = 20
AREA = 1 << 20
BAD_SECTORS = 60
LONGEST = 150  # operations until a cut
WRITTEN_BEFORE = 150  # writes: most of the area then holds something to lose
STATES = 20  # of each operation of a commit
SECTOR = 512


def lost_in_state(writer, state):
    """What a state has lost of the acknowledged writes: "" if nothing."""
    main, spare, mark = state
    checked = dmremap("repair", spare)
    if checked.returncode not in (0, 1):
        return checked.stderr
    if examine(spare)["valid_copies"] != 5:
        return "not all copies could be mended"
    return writer.lost_in(assembled(main, spare), mark)


class Campaign:
    """A set whose main gets worse, writes over it, and cuts at random instants."""

    def __init__(self, lane, disks, seed, tmp_path, states_each=1):
        self.random = Random(seed)
        self.disks = self.main, self.spare, self.mark = disks
        # The kernel says a lot of each bad sector, and its console is slow.
        self.vm = Machine(lane, disks, powerloss=True, append="loglevel=3")
        self.writer = None
        self.folder = tmp_path
        self.states = []
        self.states_each = states_each
        self.judged = 0

    def worsen(self):
        for _ in range(BAD_SECTORS):
            self.main.bad_sectors(self.random.randrange(AREA // SECTOR), kind="io")

    def write_until_cut(self, dev):
        """Writes; the disk gets worse meanwhile; the power goes while sectors are moved."""
        self.writer = AckWriter(self.random.getrandbits(32), self.mark, AREA,
                                options="-d -b 512 -x 32")
        self.writer.start(self.vm, dev)
        end = deadline(120)
        while sum(self.writer.acknowledged()) < WRITTEN_BEFORE:
            assert time.monotonic() < end, "the guest does not get on with its writes"
            time.sleep(0.05)
        self.worsen()
        self.vm.cut_after(self.random.randrange(1, LONGEST), each=self.keep_states)
        self.vm.wait_cut()

    def keep_states(self):
        for _ in range(self.states_each):
            folder = Path(tempfile.mkdtemp(dir=self.folder))
            state = self.vm.after_power_loss(self.random.getrandbits(32), folder)
            self.states.append([state[disk] for disk in self.disks])

    def lost_in_states(self):
        """Judges the states kept, and forgets them."""
        for state in self.states:
            if lost := lost_in_state(self.writer, state):
                return lost
            shutil.rmtree(state[0].parent)
        self.judged += len(self.states)
        self.states.clear()
        return ""

    def cut(self):
        """Boots, says what the last cut has lost, and cuts again while sectors are moved."""
        with Remap(self.vm, self.main, self.spare, finish=False) as dev:
            if self.writer and (lost := self.writer.lost(self.vm, dev.dev)):
                return lost
            self.write_until_cut(dev.dev)
        self.vm.power_cut(self.random.getrandbits(32))
        return self.lost_in_states()

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
                assert dev.status().remapped > 50
                return self.writer.lost(self.vm, dev.dev)


@pytest.fixture
def disks(new_disk):
    with mark_disk() as mark:
        # virtio passes errors on at once; the SCSI layer tries a few times before it does.
        yield [new_disk("8M", bus="virtio"), new_disk("8M"), mark]


def test_nothing_acknowledged_is_lost(fast_lane, disks, seed, tmp_path):
    campaign = Campaign(fast_lane, disks, seed, tmp_path)
    assert campaign.run() == ""
    print(f"{CUTS} cuts, {campaign.judged} states judged")


def that_would_do_alone(spare, moved):
    """The number of copies that each lead to all that was moved, were the others lost."""
    alone = [{extent["main_sector"] for extent in found["extents"]}
             for found in Copies.of(spare).each_alone() if found["verdict"] == "repairable"]
    return sum(moved <= extents for extents in alone)


@pytest.mark.parametrize("bad", [(), (0,), (2, 4), (1, 2, 4)], ids=str)
def test_copies_are_left_whole_at_every_instant_of_a_commit(fast_lane, new_disk, seed, tmp_path,
                                                            bad):
    """A cut while the table is written does not make it depend on several copies at once."""
    random = Random(seed)
    main, spare = new_disk("8M"), new_disk("8M")
    moved, found = {0}, Counter()

    def judge_states():
        for _ in range(STATES):
            state = vm.after_power_loss(random.getrandbits(32), tmp_path)[spare]
            found[that_would_do_alone(Disk(state), moved)] += 1

    with Machine(fast_lane, [main, spare], powerloss=True, append="loglevel=3") as vm:
        vm.boot()
        vm.run(f"dmremap create home --main {main.dev} --spare {spare.dev}")
        copies = Copies.of(spare)
        with Remap(vm, main, spare) as dev:
            for copy in bad:
                spare.bad_sectors(copies[copy].offset // SECTOR, kind="io")
            dev.message("remap 0 1")
            vm.cut_after(1 << 40, each=judge_states)
            for sector in (100, 200, 300):
                dev.message(f"remap {sector} 1")
                moved.add(sector)
        vm.shutdown()
    print(found)
    assert min(found) >= (2 if len(bad) < 2 else 1)


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
    ("store_io.c", "dmr_store_settle(s, w->lost_flushes)"),
    ("batch.c", "dmr_store_settle(s, b->lost_flushes)"),
], ids=["metadata", "data"])
def test_the_campaign_sees_a_missing_flush(tree, disks, seed, tmp_path, file, flush):
    lane = lane_without(tree, tmp_path, file, flush)
    assert Campaign(lane, disks, seed, tmp_path, states_each=5).run()
