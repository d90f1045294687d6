# SPDX-License-Identifier: GPL-2.0
"""The boot lane of the harness: real roots, real initramfs, and power cuts under a file system."""

from random import Random

import pytest

from harness.ackwriter import AckWriter, mark_disk
from harness.disk import Disk
from harness.machine import Machine
from harness.root import ROOT_PARTUUID, boot_lane, dracut, guest_files, root_image


@pytest.fixture(scope="module")
def plain(tree):
    """A Debian system without dm-remap."""
    return tree.overlay(guest_files())


def test_a_root_on_a_partition_keeps_what_was_synced(plain, seed):
    random = Random(seed)
    initrd = dracut(plain)
    with Disk.copy_of(root_image(plain)) as disk, mark_disk() as mark, \
            Machine(boot_lane(plain, initrd), [disk, mark], powerloss=True) as vm:
        vm.boot()
        assert vm.run("findmnt -no SOURCE,PARTUUID /").split() == [f"{disk.dev}1", ROOT_PARTUUID]
        writer = AckWriter(random.getrandbits(32), mark, "8M")
        vm.cut_after(random.randrange(100, 1500))
        writer.start(vm, "/data")
        vm.wait_cut()
        vm.power_cut(random.getrandbits(32))
        vm.boot()
        assert not writer.lost(vm, "/data")
        assert sum(writer.acknowledged()) > 0
