# SPDX-License-Identifier: GPL-2.0
"""Damaged copies: whatever is left somewhere is enough, and what is lost is not made up."""

import itertools
import os
from random import Random
from types import SimpleNamespace

import pytest

from harness.assembler import dmremap, examine
from harness.copies import BLOCK, Copies
from harness.disk import SECTOR, Disk
from harness.machine import Machine
from harness.remap import Remap


def remapped_data(vm, dev, sector, count):
    vm.run(f"dd if=/dev/urandom of=/tmp/data bs=512 count={count} status=none;"
           f"dd if=/tmp/data of={dev} bs=512 seek={sector} oflag=direct conv=fsync status=none")


@pytest.fixture(scope="module")
def remapped(fast_lane):
    """A set with remaps in several table blocks, as it was early on and as it is now."""
    with Disk("64M", serial="MAIN") as main, Disk("16M", serial="SPARE") as spare:
        with Machine(fast_lane, [main, spare]) as vm:
            vm.boot()
            vm.run(f"dmremap create home --main {main.dev} --spare {spare.dev}")
            with Remap(vm, main, spare) as dev:
                dev.message("remap 8 8")
            vm.run("sync")
            with spare.snapshot() as early:
                main.bad_sectors(1001)
                with Remap(vm, main, spare) as dev:
                    remapped_data(vm, dev.dev, 1000, 8)
                    for sector in range(4096, 4096 + 400, 2):
                        dev.message(f"remap {sector} 1")
                    digest = vm.run(f"sha256sum < {dev.dev}")
                vm.shutdown()
                with spare.snapshot() as now:
                    yield SimpleNamespace(main=main, spare=spare, early=early, now=now,
                                          copies=Copies.of(spare), digest=digest,
                                          extents=examine(spare.path)["extents"])


@pytest.fixture
def spare(remapped):
    """The set's spare, whole at the start of each test."""
    remapped.now.restore()
    return remapped


HOW = ["zero", "random", "flip", "stale", "torn"]


def assert_mended(spare):
    dmremap("check", spare.spare.path, check=1)
    dmremap("repair", spare.spare.path, check=1)
    dmremap("check", spare.spare.path, check=0)
    found = examine(spare.spare.path)
    assert (found["verdict"], found["valid_copies"]) == ("clean", 5)
    assert found["extents"] == spare.extents


def test_the_set_has_enough_to_lose(spare):
    assert len(spare.extents) == 202
    assert examine(spare.spare.path)["verdict"] == "clean"


@pytest.mark.parametrize("bad", [bad for n in (1, 2, 3, 4)
                                 for bad in itertools.combinations(range(5), n)], ids=str)
@pytest.mark.parametrize("first", range(5), ids=HOW)
def test_any_copies_but_one_may_be_bad(spare, bad, first):
    """Each in another way."""
    for n, copy in enumerate(bad):
        spare.copies[copy].corrupt(HOW[(first + n) % 5], seed=first, before=spare.early)
    assert_mended(spare)


def test_no_copy_is_whole_but_every_block_survives_somewhere(spare, seed):
    """Of each block one instance, in a copy drawn from the seed, is left."""
    random = Random(seed)
    for block in spare.copies[0].blocks:
        survivor = random.randrange(5)
        for n, copy in enumerate(spare.copies):
            if n != survivor:
                copy.corrupt("random", seed, block)
    assert examine(spare.spare.path)["valid_copies"] == 0
    assert_mended(spare)


def test_without_a_superblock_nothing_is_touched(spare):
    for copy in spare.copies:
        copy.corrupt("flip", block=0)
    before = spare.spare.read_at(0, spare.spare.size)
    for command in ("check", "repair", "examine"):
        done = dmremap(command, spare.spare.path, check=4)
        assert "checksum" in done.stdout + done.stderr
    assert spare.spare.read_at(0, spare.spare.size) == before


@pytest.mark.parametrize("how", ["random", "stale"])
def test_a_block_lost_in_every_copy_is_not_made_up(spare, how):
    """An old version of a block is not taken for a smaller table."""
    for copy in spare.copies:
        copy.corrupt(how, block=1, before=spare.early)
    before = spare.spare.read_at(0, spare.spare.size)
    for command in ("check", "repair"):
        dmremap(command, spare.spare.path, check=4)
    assert examine(spare.spare.path)["verdict"] == "lost"
    assert spare.spare.read_at(0, spare.spare.size) == before


def test_the_kernel_levels_the_copies_too(spare, fast_lane):
    """dmsetup alone, without the assembler, has the same promise."""
    for n in (0, 2, 3, 4):
        spare.copies[n].corrupt(HOW[n], before=spare.early)
    with Machine(fast_lane, [spare.main, spare.spare]) as vm:
        vm.boot()
        with Remap(vm, spare.main, spare.spare) as dev:
            status = dev.status()
            assert (status.valid_copies, status.health, status.repairs) == ("5/5", "ok", 1)
            assert vm.run(f"sha256sum < {dev.dev}") == spare.digest
        vm.shutdown()
    assert examine(spare.spare.path)["extents"] == spare.extents
    dmremap("check", spare.spare.path, check=0)


@pytest.mark.parametrize("mend", ["kernel", "dmremap"])
def test_a_spare_that_was_enlarged_is_found_by_a_superblock_that_was_torn(spare, fast_lane, mend):
    """Of a larger device it is the first one alone that tells where the others are."""
    with Disk.copy_of(spare.spare.path) as larger:
        os.truncate(larger.path, larger.size + 1000 * SECTOR)
        larger.zero(SECTOR, BLOCK - SECTOR)
        if mend == "dmremap":
            dmremap("repair", larger.path, check=1)
        else:
            with Machine(fast_lane, [spare.main, larger]) as vm:
                vm.boot()
                with Remap(vm, spare.main, larger) as dev:
                    assert dev.status().valid_copies == "5/5"
                    assert vm.run(f"sha256sum < {dev.dev}") == spare.digest
                vm.shutdown()
        assert examine(larger.path)["extents"] == spare.extents
        dmremap("check", larger.path, check=0)
