# SPDX-License-Identifier: GPL-2.0
"""initramfs-tools: the root is a set, however it is named, and no boot goes on without it."""

import pytest

from harness.adopted import adopted as adopted_root
from harness.adopted import assert_goes_on_from_the_bare_main
from harness.debian import PACKAGES, debian
from harness.hotplug import active
from harness.machine import Machine
from harness.products import with_dm_remap
from harness.root import ROOT_LABEL, ROOT_PARTUUID, ROOT_UUID, boot_lane, initramfs_tools

PROMPT = r"\(initramfs\) "


@pytest.fixture(scope="module")
def adopted_once():
    packages = (*(package for package in PACKAGES if package != "dracut"), "initramfs-tools")
    tree = with_dm_remap(debian(packages=packages))
    with adopted_root(tree, initramfs_tools(tree)) as found:
        yield found


@pytest.fixture
def adopted(adopted_once):
    adopted_once.restore()
    return adopted_once


def machine(adopted, root=f"UUID={ROOT_UUID}", append="", disks=None):
    initrd = initramfs_tools(adopted.tree, {"/etc/dm-remap.conf": adopted.config})
    return Machine(boot_lane(adopted.tree, initrd, root),
                   [adopted.disk, adopted.spare] if disks is None else disks, append=append)


def assert_root_is_the_set(vm):
    assert vm.run("findmnt -no SOURCE /") == "/dev/mapper/root\n"
    assert list(active(vm)) == ["root"]


def assert_stopped(vm, reason):
    vm.start()
    vm.console.expect("dm-remap: a set that this boot needs could not be activated", 120)
    vm.console.expect(f"^root: {reason}")
    vm.console.expect("dmremap assemble --all ")
    vm.console.expect(PROMPT)
    vm.console.send("ls /root; ls /dev/mapper; echo status-$?")
    assert "root" not in vm.console.expect("(?s)/dev/mapper; echo.*status-0")[0].split("\n", 1)[1]


@pytest.mark.parametrize("root", [f"UUID={ROOT_UUID}", f"LABEL={ROOT_LABEL}", f"PARTUUID={ROOT_PARTUUID}",
                                  "/dev/disk/by-id/wwn-{:#x}-part1", "/dev/mapper/root"])
def test_however_the_root_is_named(adopted, root):
    """By the path of the bare main, too."""
    with machine(adopted, root.format(adopted.disk.wwn)) as vm:
        vm.boot()
        assert_root_is_the_set(vm)


def test_without_a_config_an_image_has_nothing_of_it(adopted):
    image = initramfs_tools(adopted.tree, {"/etc/dm-remap.conf": "# names no set\n"})
    named = initramfs_tools(adopted.tree, {"/etc/dm-remap.conf": adopted.config})
    assert named.stat().st_size > image.stat().st_size + 500_000


def test_damage_is_mended_first(adopted):
    for copy in list(adopted.copies)[:4]:
        copy.corrupt("random")
    with machine(adopted) as vm:
        vm.boot()
        assert_root_is_the_set(vm)
        assert " rw ok " in vm.run("dmsetup status root")


def test_without_metadata_the_boot_stops(adopted):
    for copy in adopted.copies:
        copy.corrupt("random", block=0)
    with machine(adopted, append="panic= rd.dmremap.timeout=3") as vm:
        assert_stopped(vm, "damaged: the metadata on /dev/sd. cannot be used")


def test_without_the_module_the_boot_stops(adopted):
    with machine(adopted, append="panic= rd.dmremap.timeout=3 module_blacklist=dm_remap") as vm:
        assert_stopped(vm, "skip: the kernel has no target for it")


def test_a_spare_that_was_missing_is_plugged_in(adopted):
    """And the boot goes on."""
    with machine(adopted, disks=[adopted.disk], append="panic= rd.dmremap.timeout=3") as vm:
        assert_stopped(vm, "missing: ")
        vm.plug(adopted.spare)
        vm.console.send("exit")
        vm.guest.wait_up(120)
        assert_root_is_the_set(vm)


def test_it_may_be_allowed_to_go_on_from_the_bare_main(adopted):
    with machine(adopted, disks=[adopted.disk],
                 append="rd.dmremap.timeout=3 rd.dmremap.allow_raw=1") as vm:
        assert_goes_on_from_the_bare_main(vm, adopted.disk)


def test_it_can_be_told_to_stay_away(adopted):
    with machine(adopted, append="rd.dmremap=0") as vm:
        vm.boot()
        assert vm.run("findmnt -no SOURCE /") == f"{adopted.disk.dev}1\n"
        assert not active(vm)
