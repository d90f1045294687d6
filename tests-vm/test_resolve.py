# SPDX-License-Identifier: GPL-2.0
"""What an initramfs is told to use in place of the device that root= names."""

import re

import pytest

from harness.adopted import CONFIG
from harness.disk import Disk


@pytest.fixture
def vm(boot):
    """A whole disk with two partitions is the main of a set that is not active."""
    with Disk("64M", serial="MAIN") as main, Disk("16M", serial="SPARE") as spare, Disk("16M") as other:
        vm = boot(main, spare, other)
        # sfdisk is not there
        main.write_at(446, bytes.fromhex("00000000830000000008000000080000" "00000000830000000010000000080000"))
        main.write_at(510, b"\x55\xaa")
        vm.main, vm.spare, vm.other = main.dev, spare.dev, other.dev
        vm.run(f"blockdev --rereadpt {vm.main}; test -b {vm.main}1")
        uuid = vm.run(f"dmremap create disk --main {vm.main} --spare {spare.dev}").strip()
        vm.put(CONFIG, f"set {uuid} main=serial:MAIN spare=serial:SPARE\n")
        yield vm


def resolved(vm, path):
    return vm.run(f"dmremap resolve {path}").strip()


def test_a_bare_main_is_its_set(vm):
    vm.run("dmremap assemble disk")
    assert resolved(vm, vm.main) == "/dev/mapper/disk"
    assert resolved(vm, "/dev/mapper/disk") == "/dev/mapper/disk"


def test_a_partition_that_the_disk_has_no_longer_is_that_of_the_set(vm):
    vm.run(f"dmremap assemble disk; ! test -e {vm.main}2;"
           f" mkdir -p /dev/disk/by-id; ln -s {vm.main} /dev/disk/by-id/wwn-1")
    assert resolved(vm, f"{vm.main}2") == "/dev/mapper/disk-part2"
    assert resolved(vm, "/dev/disk/by-id/wwn-1-part1") == "/dev/mapper/disk-part1"
    assert resolved(vm, "/dev/mapper/disk-part1") == "/dev/mapper/disk-part1"
    assert resolved(vm, "/dev/mapper/disk-part3") == ""


def test_what_has_to_do_with_no_set_is_nothing(vm):
    vm.run("dmremap assemble disk")
    for path in vm.other, f"{vm.other}1", "/dev/mapper/nothing", "/dev/sdz", "UUID=1", "/etc/passwd", "/":
        assert resolved(vm, path) == ""


def refused(vm, path):
    result = vm.run(f"dmremap resolve {path}", check=False)
    said = re.search(f"{path} is, or is on, the main of set .*, which is not active: 'dmremap assemble ", result.stderr)
    return bool((result.status, result.stdout) == (4, "") and said)


def test_a_main_whose_set_is_not_active_is_refused(vm):
    """And what LVM or another has made on it, quicker than the set was."""
    assert refused(vm, vm.main) and refused(vm, f"{vm.main}1")
    vm.run(f"dmsetup create group-root --table '0 2048 linear {vm.main}1 0'; dmsetup mknodes")
    assert refused(vm, "/dev/mapper/group-root")


def test_what_was_made_on_the_bare_main_of_an_active_set_is_refused(vm):
    """LVM and a set can both have a device: the kernel lets them. Without its moved sectors a root is not used."""
    vm.put(CONFIG, "")
    vm.run("dmremap assemble disk")
    vm.run(f"dmsetup create group-root --table '0 2048 linear {vm.main} 2048'; dmsetup mknodes")
    result = vm.run("dmremap resolve /dev/mapper/group-root", check=False)
    assert (result.status, result.stdout) == (4, "") and "is on the bare main of set" in result.stderr
    vm.run("dmsetup create other-root --table '0 2048 linear /dev/mapper/disk 2048'; dmsetup mknodes")
    assert resolved(vm, "/dev/mapper/other-root") == ""


def test_nobody_has_to_have_named_that_set(vm):
    """A config that names others is no word about this one; auto 0 is."""
    vm.put(CONFIG, "set 5c0ffee0-0000-4000-8000-0000000000ee main=serial:OTHER\n")
    vm.run(f"dmremap incremental {vm.spare}", check=False)
    assert refused(vm, f"{vm.main}1")
    vm.run(f"dmsetup create group-root --table '0 2048 linear {vm.main}1 0'; dmsetup mknodes")
    assert refused(vm, "/dev/mapper/group-root")
    vm.put(CONFIG, "auto 0\n")
    assert resolved(vm, f"{vm.main}1") == resolved(vm, "/dev/mapper/group-root") == ""
