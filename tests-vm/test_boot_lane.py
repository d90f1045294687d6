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


@pytest.mark.parametrize("systemd", [True, False], ids=["systemd", "no-systemd"])
def test_dracut_mounts_the_partition(plain, systemd):
    initrd = dracut(plain, systemd=systemd, files={"/etc/carried.conf": "yes\n"})
    with Disk.copy_of(root_image(plain, spare="32M")) as disk, \
            Machine(boot_lane(plain, initrd), [disk]) as vm:
        vm.boot()
        assert vm.run("findmnt -no SOURCE,PARTUUID /").split() == [f"{disk.dev}1", ROOT_PARTUUID]
        assert vm.run("cat /proc/1/comm") == "guest-agent\n"
        assert vm.run(f"blockdev --getsize64 {disk.dev}2") == f"{32 << 20}\n"
        vm.run("echo kept > /kept")
        vm.reboot()
        assert vm.run("cat /kept") == "kept\n"


def test_the_whole_of_systemd_starts(plain):
    with Disk.copy_of(root_image(plain), bus="virtio") as disk, \
            Machine(boot_lane(plain, dracut(plain), lean=False), [disk]) as vm:
        vm.boot()
        assert vm.run("systemctl is-system-running --wait", timeout=240) == "running\n"
        vm.shutdown()


def test_files_that_were_synced_survive_power_cuts(plain, seed):
    random = Random(seed)
    with Disk.copy_of(root_image(plain)) as disk, mark_disk() as mark, \
            Machine(boot_lane(plain, dracut(plain)), [disk, mark], powerloss=True) as vm:
        vm.boot()
        for _ in range(2):
            writer = AckWriter(random.getrandbits(32), mark, "8M")
            vm.cut_after(random.randrange(100, 1500))
            writer.start(vm, "/data")
            vm.wait_cut()
            vm.power_cut(random.getrandbits(32))
            vm.boot()
            assert not writer.lost(vm, "/data")
