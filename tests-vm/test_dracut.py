# SPDX-License-Identifier: GPL-2.0
"""The dracut module and the udev rule: the root is a set, and no boot goes on without it."""

import filecmp
import json
import time
from types import SimpleNamespace

import pytest

from harness.adopted import adopted as adopted_root
from harness.adopted import assert_goes_on_from_the_bare_main
from harness.assembler import examine
from harness.disk import Disk
from harness.errors import TimedOut
from harness.machine import Machine
from harness.patience import deadline
from harness.root import ROOT_PARTUUID, ROOT_UUID, boot_lane, dracut
from harness.udev import RECORDER, RULES, linked

BY_UUID = f"/dev/disk/by-uuid/{ROOT_UUID}"
both = pytest.mark.parametrize("systemd", [True, False], ids=["systemd", "no-systemd"])


@pytest.fixture(scope="module")
def adopted_once(root_tree):
    with adopted_root(root_tree, dracut(root_tree, systemd=False)) as found:
        yield found


@pytest.fixture
def adopted(adopted_once):
    """The same for each test, as it was then."""
    adopted_once.restore()
    return adopted_once


def machine(adopted, systemd, root=f"UUID={ROOT_UUID}", append="", lean=True, disks=None):
    initrd = dracut(adopted.tree, "--add", "dm-remap", "--include", RULES, RULES, systemd=systemd,
                    files={"/etc/dm-remap.conf": adopted.config, RULES: RECORDER})
    return Machine(boot_lane(adopted.tree, initrd, root, lean),
                   [adopted.disk, adopted.spare] if disks is None else disks, append=append)


def assert_root_is_the_set(vm, disk, always=True):
    """Of a main that no config names the links may lead to it until its spare is found."""
    assert vm.run("findmnt -no SOURCE /") == "/dev/mapper/root\n"
    dm = vm.run("readlink -f /dev/mapper/root")
    assert vm.run(f"readlink -f {BY_UUID}") == dm
    assert vm.run("readlink -f /dev/disk/by-label/debian-root") == dm
    for link in f"disk/by-uuid/{ROOT_UUID}", f"disk/by-partuuid/{ROOT_PARTUUID}":
        assert not always or linked(vm, link) == {dm[5:].strip()}
    folders = "/dev/disk/by-uuid /dev/disk/by-label /dev/disk/by-partuuid"
    assert vm.run(f"find {folders} -lname '*/{disk.dev[5:]}1' 2>/dev/null || true") == ""


def enter_shell(console):
    """Gets past sulogin, which throws away what was typed before it began to read."""
    prompt = "(dm-remap:/|sh-[0-9.]+)# "
    entered = console.expect(f"Press Enter for maintenance|{prompt}")[0].endswith("# ")
    end = deadline(240)
    while time.monotonic() < end:
        if entered:
            return
        console.send("")
        try:
            entered = console.expect(prompt, timeout=2)
        except TimedOut:
            pass
    raise TimedOut(f"no shell however often Enter is typed\n{console.tail()}")


def assert_stopped_with_a_reason(vm, reason="damaged: the metadata on /dev/sd. cannot be used", status=4):
    vm.start()
    vm.console.expect("dm-remap: a set that this boot needs is not active:", 120)
    vm.console.expect(f"^root: {reason}")
    vm.console.expect("dmremap assemble --all ")
    enter_shell(vm.console)
    vm.console.send("grep /sysroot /proc/mounts; ls /dev/mapper; echo status-$?")
    assert "root" not in vm.console.expect("(?s)/dev/mapper; echo.*status-0")[0].split("\n", 1)[1]
    vm.console.send("dmremap assemble --all > /dev/null 2>&1; echo exit-$?")
    assert vm.console.expect(r"^exit-([0-9]+)\s")[1] == str(status)


def test_a_set_in_the_config_is_enough_for_the_image(adopted):
    """A kernel upgrade makes the next image, and nobody tells it --add dm-remap."""
    for config, there in ((adopted.config, True), ("# names no set\n", False)):
        image = dracut(adopted.tree, systemd=False, files={"/etc/dm-remap.conf": config})
        assert (b"usr/sbin/dmremap\0" in image.read_bytes()) == there


@both
def test_root_by_uuid_is_the_set(adopted, systemd):
    with machine(adopted, systemd) as vm:
        vm.boot()
        assert_root_is_the_set(vm, adopted.disk)


@both
def test_root_by_partuuid_is_the_set(adopted, systemd):
    with machine(adopted, systemd, root=f"PARTUUID={ROOT_PARTUUID}") as vm:
        vm.boot()
        assert_root_is_the_set(vm, adopted.disk)


def test_links_and_root_stay_when_all_of_systemd_starts(adopted):
    with machine(adopted, True, lean=False) as vm:
        vm.boot()
        assert vm.run("systemctl is-system-running --wait", timeout=240) == "running\n"
        vm.run("udevadm trigger --settle")
        assert_root_is_the_set(vm, adopted.disk)
        vm.shutdown()


@both
def test_without_a_superblock_the_boot_stops(adopted, systemd):
    for copy in adopted.copies:
        copy.corrupt("random", block=0)
    with machine(adopted, systemd, append="rd.dmremap.timeout=5") as vm:
        assert_stopped_with_a_reason(vm)


@both
def test_nor_without_the_module(adopted, systemd):
    with machine(adopted, systemd, append="rd.dmremap.timeout=5 module_blacklist=dm_remap") as vm:
        assert_stopped_with_a_reason(vm, "skip: the kernel has no target for it", status=12)


@both
def test_nor_does_it_go_on_from_the_device_that_is_there(adopted, systemd):
    for copy in adopted.copies:
        copy.corrupt("random", block=0)
    bare = f"/dev/disk/by-id/wwn-{adopted.disk.wwn:#x}-part1"
    with machine(adopted, systemd, root=bare, append="rd.dmremap.timeout=5") as vm:
        assert_stopped_with_a_reason(vm)


def test_nor_without_the_spare(adopted):
    with machine(adopted, True, append="rd.dmremap.timeout=5", disks=[adopted.disk]) as vm:
        assert_stopped_with_a_reason(vm, "missing: its spare is not there")


@pytest.mark.parametrize("late", ["main", "spare", "both"])
def test_members_that_come_late_are_waited_for(adopted, late):
    """Ten seconds and more, for a disk that takes its time."""
    there = {"main": [adopted.spare], "spare": [adopted.disk], "both": []}[late]
    with machine(adopted, late == "spare", disks=there) as vm:
        vm.start()
        vm.console.expect(f"root: missing: its {'main' if late == 'main' else 'spare'} is not there", 120)
        time.sleep(10 if late == "spare" else 0)
        for disk in {adopted.disk, adopted.spare} - set(there):
            vm.plug(disk)
        vm.guest.wait_up(240)
        assert_root_is_the_set(vm, adopted.disk)


@both
def test_it_may_be_allowed_to_go_on_from_the_bare_main(adopted, systemd):
    with machine(adopted, systemd, disks=[adopted.disk],
                 append="rd.dmremap.timeout=3 rd.dmremap.allow_raw=1") as vm:
        assert_goes_on_from_the_bare_main(vm, adopted.disk)


def test_a_clone_of_the_root_disk_is_left_alone(adopted):
    """It has the UUIDs of the main, but is another disk."""
    with Disk.copy_of(adopted.disk.path, serial="CLONE") as clone, clone.snapshot() as before:
        with machine(adopted, True, disks=[clone, adopted.disk, adopted.spare]) as vm:
            vm.boot()
            assert vm.run("findmnt -no SOURCE /") == "/dev/mapper/root\n"
            (found,) = json.loads(vm.run("dmremap status --json"))["sets"]
            assert found["main"] == f"{adopted.disk.dev}1"
            vm.shutdown()
        assert filecmp.cmp(clone.path, before.path, shallow=False)


@both
def test_rd_dmremap_0_does_nothing(adopted, systemd):
    with machine(adopted, systemd, append="rd.dmremap=0") as vm:
        vm.boot()
        assert vm.run("findmnt -no SOURCE /") == f"{adopted.disk.dev}1\n"


def test_a_root_on_a_partition_of_a_whole_disk_that_is_covered(root_tree, new_root, new_disk):
    """Partition table and all: its partitions are those of the set."""
    disk, spare = new_root(serial="MAIN"), new_disk("64M", serial="SPARE")
    plain = boot_lane(root_tree, dracut(root_tree, systemd=False))
    with Machine(plain, [disk, spare]) as vm:
        vm.boot()
        uuid = vm.run(f"dmremap create disk --main {disk.dev} --spare {spare.dev}").strip()
        vm.shutdown()
    adopted = SimpleNamespace(tree=root_tree, disk=disk, spare=spare,
                              config=f"set {uuid} main=serial:MAIN spare=serial:SPARE\n")
    with machine(adopted, True) as vm:
        vm.boot()
        assert vm.run("findmnt -no SOURCE /") == "/dev/mapper/disk-part1\n"
        part = vm.run("readlink -f /dev/mapper/disk-part1")
        for link in f"disk/by-uuid/{ROOT_UUID}", f"disk/by-partuuid/{ROOT_PARTUUID}":
            assert vm.run(f"readlink -f /dev/{link}") == part
            assert linked(vm, link) == {part[5:].strip()}
        assert vm.run(f"ls {disk.dev}?* 2>/dev/null || true") == ""


def test_a_set_named_on_the_command_line_alone(adopted):
    adopted_uuid = adopted.config.split()[1]
    adopted = SimpleNamespace(**{**vars(adopted), "config": "# names no set\n"})
    with machine(adopted, True, append=f"rd.dmremap.uuid={adopted_uuid}") as vm:
        vm.boot()
        assert_root_is_the_set(vm, adopted.disk, always=False)


def test_without_repair_the_damage_stays(adopted):
    for number in (1, 3):
        adopted.copies[number].corrupt("random")
    with machine(adopted, False, append="rd.dmremap.repair=no") as vm:
        vm.boot()
        assert vm.run("findmnt -no SOURCE /") == "/dev/mapper/root\n"
        assert "degraded" in vm.run("dmsetup status root")
        vm.shutdown()
    assert examine(adopted.spare.path)["valid_copies"] == 3
    with machine(adopted, False) as vm:
        vm.boot()
        vm.shutdown()
    assert examine(adopted.spare.path)["valid_copies"] == 5
