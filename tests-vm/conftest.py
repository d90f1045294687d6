# SPDX-License-Identifier: GPL-2.0
"""What the tests are given: systems to boot, disks, seeds."""

import os
import random
from contextlib import ExitStack

import pytest

from harness import ackwriter, paths
from harness.cache import guest_program
from harness.debian import debian
from harness.disk import Disk
from harness.initramfs import fast_lane as build_fast_lane
from harness.root import guest_files, root_image

GUEST_PROGRAMS = {ackwriter.GUEST_PATH: guest_program("ackwriter")}


@pytest.fixture(scope="session")
def tree():
    """A Debian system as a folder."""
    return debian()


@pytest.fixture(scope="session")
def bare_lane(tree):
    """The fast lane without dm-remap."""
    return build_fast_lane(tree, GUEST_PROGRAMS)


@pytest.fixture(scope="session")
def products(tree):
    """What the Makefile builds, at its places in a guest."""
    return {f"/lib/modules/{tree.release}/updates/dm-remap.ko": paths.module(tree.release),
            "/usr/sbin/dmremap": paths.dmremap()}


@pytest.fixture(scope="session")
def fast_lane(tree, products):
    """Kernel, busybox, dm-remap.ko and dmremap: up in seconds, for tests of the target."""
    return build_fast_lane(tree, {**GUEST_PROGRAMS, **products})


@pytest.fixture(scope="session")
def root_tree(tree, products):
    """A whole Debian system with dm-remap installed, for the boot lane (harness/root.py)."""
    source = paths.SOURCE
    return tree.overlay({
        **guest_files(), **products,
        "/usr/lib/udev/rules.d/60-persistent-dm-remap.rules":
            source / "assembler/udev/60-persistent-dm-remap.rules",
        "/usr/lib/dracut/modules.d/50dm-remap": source / "dracut-module/50dm-remap"})


@pytest.fixture
def new_root(root_tree):
    """new_root(spare="64M", bus="scsi"): a disk whose first partition is that system."""
    with ExitStack() as disks:
        yield lambda size="1G", spare=None, **options: disks.enter_context(
            Disk.copy_of(root_image(root_tree, size, spare), **options))


@pytest.fixture
def new_disk():
    """new_disk("64M", bus="virtio"): a blank disk for this test, see Disk."""
    with ExitStack() as disks:
        yield lambda *args, **options: disks.enter_context(Disk(*args, **options))


@pytest.fixture
def seed():
    """A number to draw everything random from. DMREMAP_SEED=N repeats a run."""
    seed = int(os.environ.get("DMREMAP_SEED", random.randrange(1 << 32)))
    print(f"DMREMAP_SEED={seed}")
    return seed
