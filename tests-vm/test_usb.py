# SPDX-License-Identifier: GPL-2.0
"""A USB stick that claims to be the spare of a disk of this machine. Whoever can plug one in can write one."""

import json

import pytest

from conftest import GUEST_PROGRAMS
from harness import kernels
from harness.debian import STOCK
from harness.initramfs import MODULES


@pytest.fixture(scope="module")
def fast_lane(tree):
    """Of the stock kernel, which has drivers for USB."""
    return kernels.lane(tree, "bookworm", GUEST_PROGRAMS, flavour=STOCK,
                        modules=(*MODULES, "xhci_pci", "usb_storage"))


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


def test_nor_does_a_stick_that_claims_to_be_a_main(boot, new_disk):
    stick, spare = new_disk("64M", "usb", serial="STICK"), new_disk("16M", serial="SPARE")
    vm = boot(stick, spare)
    vm.run(f"mkfs.ext4 -q {stick.dev}; dmremap create root --main {stick.dev} --spare {spare.dev}")
    (found,) = json.loads(vm.run("dmremap assemble --all --threshold 60 --json"))["decisions"]
    assert (found["decision"], f"main {stick.dev} is removable" in found["reason"]) == ("skip", True)
    assert vm.run("dmsetup ls") == "No devices found\n"
