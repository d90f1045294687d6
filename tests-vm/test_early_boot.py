# SPDX-License-Identifier: GPL-2.0
"""
The root is a set, however it is named, and no boot goes on without it.

Each of these is promised of every system that early boot is for: `make check` does one of them on one
system and the next on another, `make check-all` all on all.
"""

import filecmp
import time
from typing import NamedTuple

import pytest

from harness.adopted import CONFIG, Adopted
from harness.assembler import dmremap, examine
from harness.copies import BLOCK
from harness.disk import SECTOR, Disk
from harness.hotplug import active
from harness.root import ROOT_LABEL, ROOT_PARTUUID, ROOT_UUID


@pytest.fixture
def adopted(any_system):
    with Adopted(any_system) as found:
        yield found


def assert_root_is_the_set(vm):
    dm = vm.run("readlink -f /dev/mapper/root")
    assert vm.run("readlink -f $(findmnt -no SOURCE /)") == dm
    assert list(active(vm)) == ["root"]
    for link in f"uuid/{ROOT_UUID}", f"label/{ROOT_LABEL}", f"partuuid/{ROOT_PARTUUID}":
        assert vm.run(f"readlink -f /dev/disk/by-{link}") == dm


@pytest.mark.parametrize("root", [
    pytest.param(f"UUID={ROOT_UUID}", id="uuid"),
    pytest.param(f"LABEL={ROOT_LABEL}", id="label", marks=pytest.mark.thorough),
    pytest.param(f"PARTUUID={ROOT_PARTUUID}", id="partuuid", marks=pytest.mark.thorough),
    pytest.param("/dev/vda1", id="bare-main"),
    pytest.param("/dev/disk/by-id/virtio-MAIN-part1", id="its-id", marks=pytest.mark.thorough),
    pytest.param("/dev/mapper/root", id="mapper")])
def test_root_named_by(adopted, root):
    with adopted.machine(root=root) as vm:
        vm.boot()
        assert_root_is_the_set(vm)


@pytest.mark.parametrize("root", [pytest.param(f"UUID={ROOT_UUID}", id="uuid", marks=pytest.mark.thorough),
                                  pytest.param("/dev/vda1", id="bare-main")])
def test_root_on_a_partition_of_a_main_that_is_a_whole_disk(any_system, root):
    # a swap partition would be looked for likewise; here is nothing to wake up from, and nothing to wait for
    with Adopted(any_system, whole=True) as adopted, adopted.machine(f"resume={root}", root=root) as vm:
        vm.boot()
        assert "Cancelling resume" not in vm.console.text
        assert vm.run("findmnt -no SOURCE /") == "/dev/mapper/root-part1\n"
        part = vm.run("readlink -f /dev/mapper/root-part1")
        for link in f"uuid/{ROOT_UUID}", f"partuuid/{ROOT_PARTUUID}":
            assert vm.run(f"readlink -f /dev/disk/by-{link}") == part
        assert vm.run("ls /dev/vda?* 2>/dev/null || true") == ""


def test_damage_is_mended_first(adopted):
    for copy in list(adopted.copies)[:4]:
        copy.corrupt("random")
    with adopted.machine() as vm:
        vm.boot()
        assert_root_is_the_set(vm)
        assert " rw ok " in vm.run("dmsetup status root")
        vm.shutdown()
    assert examine(adopted.spare.path)["valid_copies"] == 5


def assert_stopped(adopted, vm, reason, status=4):
    """With a reason on the console, and without the root; and dmremap ends with this status there."""
    vm.console.expect("dm-remap: a set that this boot needs could not be activated", 120)
    vm.console.expect("dm-remap: a set that this boot needs is not active:")
    vm.console.expect(f"^{reason}")
    vm.console.expect("dmremap assemble --all ")
    adopted.system.enter_shell(vm.console)
    assert not adopted.system.mounted(vm.console)
    vm.console.send("[ -e /dev/mapper/root ] || echo absent-$((1 + 1))")
    vm.console.expect("absent-2")
    vm.console.send("dmremap assemble --all > /dev/null 2>&1; echo exit-$?")
    assert vm.console.expect(r"exit-([0-9]+)\s")[1] == str(status)


def assert_stops(adopted, reason, append="", status=4, **options):
    with adopted.machine(f"rd.dmremap.timeout=3 {append}", **options) as vm:
        vm.start()
        assert_stopped(adopted, vm, reason, status)


@pytest.mark.parametrize("root", [f"UUID={ROOT_UUID}", "/dev/vda1"], ids=["uuid", "bare-main"])
def test_it_stops_without_metadata(adopted, root):
    """Even if what it was told to mount is there."""
    for copy in adopted.copies:
        copy.corrupt("random", block=0)
    assert_stops(adopted, "root: damaged: the metadata on /dev/sda cannot be used", root=root)


def test_it_stops_without_the_module(adopted):
    assert_stops(adopted, "root: skip: the kernel has no target for it", "module_blacklist=dm_remap", status=12)


def test_it_stops_with_the_spare_of_another_set(adopted):
    dmremap("create", "other", "--main", adopted.disk.path, "--spare", adopted.spare.path, "--force", check=0)
    assert_stops(adopted, "root: missing: its spare is not there")


def test_it_stops_without_a_set_that_the_command_line_names(adopted):
    """Whatever else there is."""
    other = "5c0ffee0-0000-4000-8000-0000000000ee"
    assert_stops(adopted, f"root: skip: the kernel command line names other sets(?s:.*){other}",
                 f"rd.dmremap.uuid={other}")


def test_a_missing_spare_is_plugged_in(adopted):
    """It stops again as long as nothing is mended, and then goes on."""
    with adopted.machine("rd.dmremap.timeout=3", disks=[adopted.disk]) as vm:
        vm.start()
        assert_stopped(adopted, vm, "root: missing: its spare is not there")
        vm.console.send("exit")
        assert_stopped(adopted, vm, "root: missing: its spare is not there")
        vm.plug(adopted.spare)
        vm.console.send("exit")
        vm.guest.wait_up(240)
        assert_root_is_the_set(vm)


def test_a_copy_that_cannot_be_mended_stops_no_boot(adopted):
    """Though no time may be left when that is known: such a disk takes long."""
    damaged = adopted.copies[1]
    damaged.corrupt()
    adopted.spare.bad_sectors(damaged.offset // SECTOR, BLOCK // SECTOR)
    with adopted.machine("rd.dmremap.timeout=0", disks=[adopted.disk]) as vm:
        vm.start()
        assert_stopped(adopted, vm, "root: missing: its spare is not there")
        # udev's own activation would come first
        vm.console.send("sed -i '/dmremap incremental/d' /usr/lib/udev/rules.d/60-persistent-dm-remap.rules;"
                        " udevadm control --reload; echo deaf-$((1 + 1))")
        vm.console.expect("deaf-2")
        vm.plug(adopted.spare)
        vm.console.send("until [ -b /dev/sda ]; do sleep 1; done; udevadm settle; echo there-$((1 + 1))")
        vm.console.expect("there-2", 120)
        vm.console.send("exit")
        vm.guest.wait_up(240)
        assert_root_is_the_set(vm)
        assert active(vm)["root"]["valid_copies"] == 4


@pytest.mark.parametrize("late", [pytest.param("main", marks=pytest.mark.thorough), "spare", "both"])
def test_members_that_come_late_are_waited_for(adopted, late):
    """Ten seconds and more, for a disk that takes its time."""
    there = {"main": [adopted.spare], "spare": [adopted.disk], "both": []}[late]
    with adopted.machine(disks=there) as vm:
        vm.start()
        vm.console.expect(f"root: missing: its {'main' if late == 'main' else 'spare'} is not there", 120)
        time.sleep(10 if late == "spare" else 0)
        for disk in {adopted.disk, adopted.spare} - set(there):
            vm.plug(disk)
        vm.guest.wait_up(240)
        assert_root_is_the_set(vm)


def test_a_clone_of_the_root_disk_is_left_alone(adopted):
    """It has the UUIDs of the main, but is another disk."""
    with Disk.copy_of(adopted.disk.path, bus="virtio", serial="CLONE") as clone, clone.snapshot() as before:
        with adopted.machine(disks=[clone, adopted.disk, adopted.spare]) as vm:
            vm.boot()
            assert_root_is_the_set(vm)
            assert active(vm)["root"]["main"] == "/dev/vdb1"
            vm.shutdown()
        assert filecmp.cmp(clone.path, before.path, shallow=False)


@pytest.mark.parametrize("what", [pytest.param("main", marks=pytest.mark.thorough), "spare"])
def test_a_clone_does_not_take_the_place_of_a_disk_that_is_late_or_gone(adopted, what):
    """Though the config lets it be either. Only a person can say that it does."""
    own = {"main": adopted.disk, "spare": adopted.spare}[what]
    config = adopted.config.replace(" spare=serial:SPARE", "")
    with Disk.copy_of(own.path, bus=own.bus, serial="CLONE") as clone:
        there = [clone if disk is own else disk for disk in (adopted.disk, adopted.spare)]
        with adopted.machine(disks=there, config=config) as vm:
            vm.start()
            vm.console.expect(f"root: missing: its {what} is not there, but /dev/[a-z0-9]+, which may be a clone", 120)
            vm.plug(own)
            vm.guest.wait_up(240)
            assert_root_is_the_set(vm)
            assert active(vm)["root"][what].startswith(own.dev)
        with adopted.machine("rd.dmremap.timeout=3", disks=there, config=config) as vm:
            vm.start()
            assert_stopped(adopted, vm, f"root: missing: its {what} is not there, but /dev/", status=0)  # by hand
            vm.console.send("exit")
            vm.guest.wait_up(240)
            assert_root_is_the_set(vm)
            assert active(vm)["root"][what].startswith(clone.dev)


def test_it_may_be_allowed_to_go_on_from_the_bare_main(adopted):
    """When its time is up, and not before."""
    with adopted.machine("rd.dmremap.timeout=3 rd.dmremap.allow_raw=1", disks=[adopted.disk]) as vm:
        vm.start()
        vm.console.expect("root: missing: its spare is not there", 120)
        vm.console.expect("going on without it, from the bare main", 120)
        vm.guest.wait_up(240)
        assert_root_is_bare(vm)


def assert_root_is_bare(vm):
    assert vm.run("findmnt -no SOURCE /") == "/dev/vda1\n"
    assert not active(vm)


def test_it_can_be_told_to_stay_away(adopted):
    with adopted.machine("rd.dmremap=0") as vm:
        vm.boot()
        assert_root_is_bare(vm)


class Other(NamedTuple):
    """A set that is not the root's."""

    disks: list
    uuid: str
    config: str


@pytest.fixture
def other():
    with Disk("64M", serial="OTHER") as main, Disk("16M", serial="ITSSPARE") as spare:
        uuid = dmremap("create", "other", "--main", main.path, "--spare", spare.path, check=0).stdout.strip()
        yield Other([main, spare], uuid, f"set {uuid} main=serial:OTHER spare=serial:ITSSPARE\n")


@pytest.mark.parametrize("named", [pytest.param(True, marks=pytest.mark.thorough), False], ids=["left-out", "unnamed"])
def test_a_root_that_nobody_asks_for_is_not_mounted_bare(adopted, other, named):
    """Another set is named, on the command line, or in the config alone."""
    append = f"rd.dmremap.uuid={other.uuid} rd.dmremap.threshold=0" if named else ""
    with adopted.machine(f"rd.dmremap.timeout=3 {append}", root="/dev/vda1",
                         disks=[adopted.disk, adopted.spare, *other.disks],
                         config=other.config + adopted.config * named) as vm:
        vm.start()
        vm.console.expect(f"/dev/vda1 is, or is on, the main of set {adopted.uuid}, which is not active", 120)
        adopted.system.enter_shell(vm.console)
        vm.console.send(f"dmremap assemble {adopted.uuid}; exit")
        vm.guest.wait_up(240)
        assert vm.run("findmnt -no SOURCE /") == "/dev/mapper/root\n"


def test_a_main_that_comes_late_is_not_mounted_bare(adopted, other):
    """Its set is none that this boot was to wait for."""
    # file systems are being looked for; dracut says nothing of that, and finds by name what is not masked, at any time
    looking = "Waiting for root" if adopted.system.generator == "initramfs-tools" else "Attached SCSI disk"
    with adopted.machine("rd.retry=10", disks=[adopted.spare, *other.disks], config=other.config) as vm:
        vm.start()
        vm.console.expect(looking, 120)
        vm.plug(adopted.disk)
        vm.console.expect("^root: skip: ", 240)
        vm.console.expect("dmremap assemble --all ", 120)
        adopted.system.enter_shell(vm.console)
        assert not adopted.system.mounted(vm.console)
        vm.console.send(f"dmremap assemble {adopted.uuid}; exit")
        vm.guest.wait_up(240)
        assert vm.run("readlink -f $(findmnt -no SOURCE /)") == vm.run("readlink -f /dev/mapper/root")


@pytest.mark.parametrize("value", ["false", pytest.param("perhaps", marks=pytest.mark.thorough)])
def test_allow_raw_has_to_be_said(adopted, value):
    assert_stops(adopted, "root: missing", f"rd.dmremap.allow_raw={value}", disks=[adopted.disk], root="/dev/vda1")


def test_dry_run_goes_on_whatever_is_missing(adopted):
    with adopted.machine("rd.dmremap.dry_run=1", disks=[adopted.disk]) as vm:
        vm.boot()
        assert_root_is_bare(vm)
        assert "root: missing: its spare is not there" in vm.console.text


def test_dry_run_tells_and_does_nothing(adopted):
    with adopted.spare.snapshot() as before, adopted.machine("rd.dmremap.dry_run=1") as vm:
        vm.start()
        vm.console.expect("root: activate: ", 120)
        vm.guest.wait_up(240)
        assert_root_is_bare(vm)
        vm.shutdown()
        assert filecmp.cmp(adopted.spare.path, before.path, shallow=False)


def test_read_only_writes_nothing_anywhere(adopted):
    adopted.copies[1].corrupt("random")
    with adopted.disk.snapshot() as main, adopted.spare.snapshot() as spare, \
            adopted.machine("rd.dmremap.ro=1 ro") as vm:
        vm.boot()
        assert_root_is_the_set(vm)
        assert " ro " in vm.run("dmsetup status root")
        vm.shutdown()
        assert filecmp.cmp(adopted.disk.path, main.path, shallow=False)
        assert filecmp.cmp(adopted.spare.path, spare.path, shallow=False)


def test_without_repair_the_damage_stays(adopted):
    for number in (1, 3):
        adopted.copies[number].corrupt("random")
    with adopted.machine("rd.dmremap.repair=no") as vm:
        vm.boot()
        assert_root_is_the_set(vm)
        assert "degraded" in vm.run("dmsetup status root")
        vm.shutdown()
    assert examine(adopted.spare.path)["valid_copies"] == 3
    with adopted.machine() as vm:
        vm.boot()
        vm.shutdown()
    assert examine(adopted.spare.path)["valid_copies"] == 5


def test_without_the_config_it_is_recognised(adopted):
    with adopted.machine("rd.dmremap.conf=0") as vm:
        vm.boot()
        assert_root_is_the_set(vm)


def test_what_nobody_named_is_left_alone_if_told_so(adopted):
    with adopted.machine("rd.dmremap.conf=0 rd.dmremap.auto=0") as vm:
        vm.boot()
        assert_root_is_bare(vm)


def test_a_set_that_the_command_line_alone_names(adopted):
    with adopted.machine(f"rd.dmremap.conf=0 rd.dmremap.uuid={adopted.uuid}") as vm:
        vm.boot()
        assert_root_is_the_set(vm)


def test_debug_tells_more(adopted):
    with adopted.machine("rd.dmremap.debug") as vm:
        vm.start()
        vm.console.expect("dmremap: .*/dev/dm-0 is passed over", 120)
        vm.guest.wait_up(240)
        assert_root_is_the_set(vm)


TYPOS = ("=perhaps", ".uuid=me", ".auto=maybe", ".threshold=101", ".repair=please", ".ro=readonly",
         ".dry_run=dry", ".timeout=soon", ".conf=none", ".allow_raw=raw", ".debug=loud", ".shout=1")


def test_typos_are_told_by_name_and_stop_nothing(adopted):
    with adopted.machine(" ".join(f"rd.dmremap{typo}" for typo in TYPOS)) as vm:
        vm.boot()
        assert_root_is_the_set(vm)
        for typo in TYPOS[:-1]:
            assert f"rd.dmremap{typo} on the kernel command line makes no sense" in vm.console.text
        assert "rd.dmremap.shout on the kernel command line is no option of dm-remap" in vm.console.text


def test_a_system_on_a_set_makes_its_next_image_by_itself(adopted):
    """Also if no config names the set. What is wrong with an image that is there is told."""
    with adopted.machine() as vm:
        vm.boot()
        vm.run(f"cp {CONFIG} /root/; printf 'scrub_interval 7' > {CONFIG}")
        # later dracuts tell no warnings if they are to be quiet
        make = adopted.system.command("/boot/next", "--hostonly", "--hostonly-cmdline", "--verbose")
        said = vm.run(f"exec 2>&1; {make}", timeout=900)
        vm.run("dm-remap-check-image /boot/next $(uname -r)", timeout=300)
        vm.run(f"cp /root/dm-remap.conf {CONFIG}")
        check = vm.run("dm-remap-check-image /boot/next $(uname -r)", check=False, timeout=300)
        assert "/etc/dm-remap.conf, or another one" in check.stderr and check.status == 1
        assert len(check.stderr.splitlines()) == 1
        vm.run("rm /etc/dm-remap.conf")
        vm.shutdown()
    assert f"does not name set {adopted.uuid}, which this system runs from" in said
    image = adopted.out_of_the_root("/boot/next")
    with adopted.machine_with(image) as vm:
        vm.boot()
        assert_root_is_the_set(vm)
        vm.shutdown()
    with adopted.machine_with(image, "rd.dmremap.timeout=3", disks=[adopted.disk]) as vm:
        vm.start()
        assert_stopped(adopted, vm, "root: missing: its spare is not there")
