# SPDX-License-Identifier: GPL-2.0
"""A USB stick that claims to be the spare of a disk of this machine. Whoever can plug one in can write one."""

import json

import pytest

from harness import kernels
from harness.debian import STOCK
from harness.initramfs import MODULES
from harness.programs import PROGRAMS
from harness.remap import Mapped


@pytest.fixture(scope="module")
def fast_lane(tree):
    """Of the stock kernel, which has drivers for USB."""
    return kernels.lane(tree, "bookworm", PROGRAMS, flavour=STOCK,
                        modules=(*MODULES, "xhci_pci", "usb_storage", "loop"))


def test_a_stick_that_claims_a_disk_gets_nothing_unless_it_is_named(boot, new_disk):
    disk, stick = new_disk("64M", serial="DISK"), new_disk("16M", "usb", serial="STICK")
    vm = boot(disk, stick)
    uuid = vm.run(f"dmremap create root --main {disk.dev} --spare {stick.dev}").strip()
    vm.run(f"dmremap incremental {disk.dev}")
    vm.unplug(stick)
    vm.plug(stick)
    before = vm.run(f"sha256sum {stick.dev}")
    assert not vm.run(f"dmremap incremental {stick.dev} | grep -v 'skip: nobody named it, and its spare"
                      f" {stick.dev} is removable' || true")
    for options in "", "--threshold 0":
        done = json.loads(vm.run(f"dmremap assemble --all {options} --json"))["decisions"]
        assert [found["decision"] for found in done] == ["skip"]
    assert vm.run(f"dmremap udev {disk.dev}") == ""
    assert vm.run("dmsetup ls") == "No devices found\n"
    assert vm.run(f"sha256sum {stick.dev}") == before
    vm.put("/etc/dm-remap.conf", f"set {uuid} main=serial:DISK spare=path:{stick.dev}\n")
    assert "activated" in vm.run("dmremap assemble", check=False).stdout
    vm.run("dmremap stop root")


def assert_refused_as_removable(vm, spare):
    done = json.loads(vm.run("dmremap assemble --all --threshold 0 --json"))["decisions"]
    assert {found["decision"] for found in done} == {"skip"}
    assert f"its spare {spare} is removable" in "".join(found["reason"] for found in done)


def test_nor_by_way_of_a_device_on_it(boot, new_disk):
    """As a logical volume, which LVM would activate by itself, or in a file that somebody has set up."""
    disk, stick = new_disk("64M", serial="DISK"), new_disk("20M", "usb", serial="STICK")
    vm = boot(disk, stick)
    with Mapped(vm, "inner", f"0 32768 linear {stick.dev} 2048") as inner, \
            Mapped(vm, "outer", f"0 32768 linear {inner.dev} 0") as outer:
        vm.run(f"dmremap create root --main {disk.dev} --spare {outer.dev}")
        assert_refused_as_removable(vm, "/dev/dm-1")
        vm.run(f"dd if={outer.dev} of=/tmp/image bs=1M && losetup /dev/loop0 /tmp/image"
               f" && dd if=/dev/zero of={outer.dev} bs=1M || true")
    assert_refused_as_removable(vm, "/dev/loop0")
    vm.run("losetup -d /dev/loop0")


def test_nor_does_a_stick_that_claims_to_be_a_main(boot, new_disk):
    stick, spare = new_disk("64M", "usb", serial="STICK"), new_disk("16M", serial="SPARE")
    vm = boot(stick, spare)
    vm.run(f"mkfs.ext4 -q {stick.dev}; dmremap create root --main {stick.dev} --spare {spare.dev}")
    (found,) = json.loads(vm.run("dmremap assemble --all --threshold 60 --json"))["decisions"]
    assert (found["decision"], f"main {stick.dev} is removable" in found["reason"]) == ("skip", True)
    assert vm.run("dmsetup ls") == "No devices found\n"
