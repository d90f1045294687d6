# SPDX-License-Identifier: GPL-2.0
"""The power goes while damaged copies are mended: that is just damage again."""

from random import Random

import pytest

from harness.assembler import examine, main_sectors
from harness.copies import Copies
from harness.disk import Disk
from harness.machine import Machine
from harness.remap import Remap


def by_kernel(vm, main, spare):
    with Remap(vm, main, spare):
        pass


def by_dmremap(vm, main, spare):
    assert vm.run(f"dmremap repair {spare.dev}", check=False).status == 1


@pytest.mark.parametrize("mend", [by_kernel, by_dmremap])
def test_what_a_commit_that_was_cut_did_not_reach_is_kept_until_something_else_is_whole(
        fast_lane, new_disk, seed, tmp_path, mend):
    """Of its two blocks one arrived in copy 0 and one in copy 1: 2, 3 and 4 need no other."""
    random = Random(seed)
    main, spare = new_disk("8M"), new_disk("8M")
    sectors = range(0, 2 * (144 + 32), 2)
    acknowledged = set(sectors[:144])
    lost = []

    def judge_states():
        for _ in range(30):
            state = vm.after_power_loss(random.getrandbits(32), tmp_path)[spare]
            for number in (0, 1):
                found = Copies.from_examine(Disk(state), found_before).examine_without([number])
                if found["verdict"] == "lost" or not acknowledged <= main_sectors(found):
                    lost.append(f"operation {vm.server.operations}, without copy {number}")

    def move(dev, some):
        dev.message("remap " + " ".join(f"{sector} 1" for sector in some))

    with Machine(fast_lane, [main, spare], powerloss=True, append="loglevel=3") as vm:
        vm.boot()
        with Remap(vm, main, spare) as dev:
            for at in range(0, 144, 16):
                move(dev, sectors[at:at + 16])
        vm.shutdown()
        with spare.snapshot() as before:
            vm.boot()
            with Remap(vm, main, spare) as dev:
                move(dev, sectors[144:])
            vm.shutdown()
            for number in range(5):
                for block in (0, 1, 2):
                    if (number, block) not in ((0, 1), (1, 2)):
                        Copies.of(spare)[number].corrupt("stale", block=block, before=before)
        found_before = examine(spare.path)
        assert (found_before["verdict"], main_sectors(found_before)) == ("repairable", set(sectors))
        vm.boot()
        vm.cut_after(1 << 40, each=judge_states)
        mend(vm, main, spare)
        vm.shutdown()
    assert not lost, f"{len(lost)} states, first: {lost[0]}"
    assert main_sectors(examine(spare.path)) == set(sectors)
