# SPDX-License-Identifier: GPL-2.0
"""A system with udev that disks are plugged into and taken away from, and what udev's links lead to."""

import json
from random import Random

import pytest

from harness.disk import Disk
from harness.hotplug import active, plug, plug_in, plugged, unplug
from harness.machine import Machine
from harness.root import boot_lane, dracut, root_image
from harness.udev import RECORD, linked, start_udev

UUID = "5c0ffee0-0000-4000-8000-0000000000aa"
BY_UUID = f"/dev/disk/by-uuid/{UUID}"


@pytest.fixture(scope="module")
def system(root_tree):
    """A running Debian, of which udevd is all that was started; dm-remap is in the real root only."""
    initrd = dracut(root_tree, systemd=False)
    with Disk.copy_of(root_image(root_tree)) as root, \
            Machine(boot_lane(root_tree, initrd), [root]) as vm:
        vm.boot()
        start_udev(vm)
        yield vm


@pytest.fixture
def vm(system):
    """The same without any set, and as it is when the boot is over."""
    system.run(f"rm -rf /run/dm-remap {RECORD} /etc/dm-remap.conf; mkdir -p /run/dm-remap/settled")
    before = list(system.disks)
    yield system
    system.run("udevadm settle; dmremap stop --all; udevadm settle")
    unplug(system, *(disk for disk in system.disks if disk not in before and plugged(system, disk)))


def leads_to(vm, link):
    return vm.run(f"readlink -f {link} || true").strip()


def made(vm, main, spare):
    """A set, of which nothing is plugged in. Nobody has named it."""
    plug(vm, main, spare)
    vm.run(f"mkfs.ext4 -q -U {UUID} {main.dev}")
    uuid = vm.run(f"dmremap create home --main {main.dev} --spare {spare.dev}").strip()
    unplug(vm, main, spare)
    vm.run(f"rm -f {RECORD}")
    return uuid


@pytest.fixture
def members(new_disk):
    return new_disk("64M", serial="MAIN"), new_disk("16M", serial="SPARE")


@pytest.mark.parametrize("first", ["main", "spare"])
def test_the_last_member_activates_the_set(vm, members, first):
    """And the links lead to it from then on; it cannot be mounted otherwise."""
    main, spare = members
    made(vm, main, spare)
    one, other = (main, spare) if first == "main" else (spare, main)
    plug(vm, one)
    assert not active(vm)
    plug(vm, other)
    assert active(vm)["home"]["main"] == main.dev
    node = leads_to(vm, "/dev/mapper/home")
    assert leads_to(vm, BY_UUID) == node
    links = vm.run(f"udevadm info -q symlink {main.dev} {spare.dev}")
    assert "by-uuid" not in links and "by-id" in links
    refused = vm.run(f"mount {main.dev} /mnt", check=False)
    assert refused.status != 0 and "busy" in refused.stderr
    vm.run(f"mount UUID={UUID} /mnt && findmnt -no SOURCE /mnt | grep -x /dev/mapper/home; umount /mnt")


def test_a_configured_main_never_has_the_links(vm, members):
    """Not for an instant: whoever waits for them would mount it."""
    main, spare = members
    uuid = made(vm, main, spare)
    vm.put("/etc/dm-remap.conf", f"set {uuid} name=home main=serial:MAIN spare=serial:SPARE\n")
    plug(vm, main)
    plug(vm, spare)
    assert list(active(vm)) == ["home"]
    vm.run("udevadm trigger -s block --settle")
    assert linked(vm, BY_UUID[5:]) == {leads_to(vm, "/dev/mapper/home")[5:]}


@pytest.mark.parametrize("use, leave", [
    ("mount {} /mnt", "umount /mnt"),
    ("echo 0 131072 linear {} 0 | dmsetup create top", "dmsetup remove top")], ids=["mounted", "below"])
def test_a_main_in_use_keeps_its_links(vm, members, use, leave):
    """A set that is made of what is in use must not take it away from systemd."""
    main, spare = members
    plug(vm, main, spare)
    vm.run(f"mkfs.ext4 -q -U {UUID} {main.dev}; {use.format(main.dev)}; udevadm settle")
    uuid = vm.run(f"dmremap create home --main {main.dev} --spare {spare.dev}").strip()
    vm.put("/etc/dm-remap.conf", f"set {uuid} main=serial:MAIN\n")
    vm.run("udevadm trigger --action=add -s block --settle")
    assert not active(vm)
    assert f"by-uuid/{UUID}" in vm.run(f"udevadm info -q symlink {main.dev}")
    assert "SYSTEMD_READY" not in vm.run(f"udevadm info {main.dev}")
    vm.run(leave)


@pytest.mark.parametrize("part", ["", "1"], ids=["itself", "a partition"])
def test_spares_that_contest_a_main_mask_it(vm, members, new_disk, part):
    """It may be used with neither, and not without them, until they are spares no longer."""
    main, spare = members
    plug(vm, main, spare)
    if part:
        vm.run(f"echo start=2048 | sfdisk -q --label gpt {main.dev}; udevadm settle")
    vm.run(f"mkfs.ext4 -q -U {UUID} {main.dev}{part};"
           f" dmremap create home --main {main.dev} --spare {spare.dev}")
    unplug(vm, main, spare)
    plug(vm, main)
    assert leads_to(vm, BY_UUID) == f"{main.dev}{part}"
    copies = [new_disk("16M", serial=f"COPY{number}") for number in range(2)]
    for copy in copies:
        copy.path.write_bytes(spare.path.read_bytes())
        plug(vm, copy)
    assert not active(vm)
    assert leads_to(vm, BY_UUID) == BY_UUID, "the bare main must not have the link"
    for copy in copies:
        assert leads_to(vm, BY_UUID) == BY_UUID
        vm.run(f"dd if=/dev/zero of={copy.dev} bs=1M || true; udevadm settle")
    vm.wait_for(f"readlink -e {BY_UUID}")
    assert leads_to(vm, BY_UUID) == f"{main.dev}{part}"


def test_a_spare_that_cannot_be_read_any_more_is_still_one(vm, members):
    """Its main would be mounted without it."""
    main, spare = members
    made(vm, main, spare)
    plug(vm, main, spare)
    vm.run("dmremap stop home; udevadm settle")
    spare.fail("read")
    for disk in spare, main, spare:
        vm.run(f"udevadm trigger --settle {disk.dev}")
        assert leads_to(vm, BY_UUID) == BY_UUID
    spare.heal()
    vm.run(f"dd if=/dev/zero of={spare.dev} bs=1M || true; udevadm settle")
    vm.wait_for(f"readlink -e {BY_UUID}")


def test_a_set_that_was_stopped_stays_so_until_a_member_comes_anew(vm, members):
    """Writing to a member, as repair does, has udev look at it again."""
    main, spare = members
    made(vm, main, spare)
    plug(vm, main, spare)
    vm.run(f"dmremap stop home; dd if=/dev/zero of={spare.dev} bs=4k count=1 conv=notrunc,fsync")
    assert vm.run(f"udevadm settle; dmremap repair {spare.dev}", check=False).status == 1
    vm.run("udevadm settle")
    assert not active(vm)
    unplug(vm, spare)
    plug(vm, spare)
    assert list(active(vm)) == ["home"]


def test_before_the_boot_is_over_a_copy_does_not_win_by_being_first(vm, new_disk):
    """By its PARTUUID alone it could be the main; the disk itself comes a moment later."""
    main, copy = (new_disk("64M", "virtio", serial=serial) for serial in ("MAIN", "COPY"))
    spare = new_disk("16M", serial="SPARE")
    plug(vm, main, spare)
    vm.run(f"echo start=2048 | sfdisk -q --label gpt {main.dev}; udevadm settle")
    uuid = vm.run(f"dmremap create home --main {main.dev}1 --spare {spare.dev}").strip()
    partuuid = vm.run(f"lsblk -nro PARTUUID {main.dev}1").strip()
    unplug(vm, main, spare)
    copy.path.write_bytes(main.path.read_bytes())
    vm.put("/etc/dm-remap.conf", f"set {uuid} main=partuuid:{partuuid}\n")
    vm.run("rmdir /run/dm-remap/settled")
    plug(vm, copy)
    plug(vm, spare)
    assert not active(vm)
    plug(vm, main)
    assert active(vm)["home"]["main"] == f"{main.dev}1"


def test_members_that_go_and_come_back(vm, members):
    """It is said when one is gone, and nothing is activated twice."""
    main, spare = members
    made(vm, main, spare)
    plug(vm, main, spare)
    for disk, role in ((spare, "spare"), (main, "main")):
        (dev,) = unplug(vm, disk)
        assert f"dmremap: home: its {role} {dev} is gone" in vm.run("dmesg")
    plug(vm, main, spare)
    assert len(active(vm)) == 1
    vm.run("dmremap stop home; dmremap assemble home")
    assert " rw ok " in vm.run("dmsetup status home")
    assert active(vm)["home"]["main"] == main.dev


def test_assemble_again_changes_nothing(vm, members):
    main, spare = members
    made(vm, main, spare)
    plug(vm, main, spare)
    state = f"dmsetup table; dmsetup info home; sha256sum {spare.dev}"
    before = vm.run(state)
    for _ in range(2):
        done = json.loads(vm.run("dmremap assemble --all --json"))
        assert [found["decision"] for found in done["decisions"]] == ["active"]
    assert vm.run(state) == before
    assert sum(entry["activated"] for entry in
               json.loads(vm.run("dmremap log --json"))["decisions"]) == 1


def test_partitions_of_a_whole_disk(vm, members):
    """Its partitions are those of the set while it is active, and of the disk again when it is stopped."""
    main, spare = members
    plug(vm, main, spare)
    vm.run(f"printf 'size=16M\\nsize=16M\\n' | sfdisk -q --label gpt {main.dev}; udevadm settle;"
           f" mkfs.ext4 -q -U {UUID} {main.dev}2")
    partuuid = vm.run(f"lsblk -nro PARTUUID {main.dev}2").strip()
    uuid = vm.run(f"dmremap create disk --main {main.dev} --spare {spare.dev}").strip()
    unplug(vm, main, spare)
    vm.run(f"rm -f {RECORD}")
    vm.put("/etc/dm-remap.conf", f"set {uuid} name=disk main=serial:MAIN spare=serial:SPARE\n")
    plug(vm, main)
    bare = main.dev
    assert leads_to(vm, BY_UUID) == BY_UUID, "a bare partition must not have the link"
    plug(vm, spare)
    assert vm.run(f"ls {bare}2 2>/dev/null || true") == ""
    part = leads_to(vm, "/dev/mapper/disk-part2")
    assert leads_to(vm, BY_UUID) == leads_to(vm, f"/dev/disk/by-partuuid/{partuuid}") == part
    assert vm.run(f"blockdev --getsz {part}") == "32768\n"
    vm.run("dmsetup remove disk-part2 && dmremap assemble && ! test -e /dev/mapper/disk-part2"
           " && dmremap assemble disk")
    assert leads_to(vm, BY_UUID) == leads_to(vm, "/dev/mapper/disk-part2")

    vm.run("mount /dev/mapper/disk-part2 /mnt")
    refused = vm.run("dmremap stop disk", check=False)
    assert refused.status == 8 and "disk-part2 is in use" in refused.stderr
    assert vm.run("ls /dev/mapper").split() == ["control", "disk", "disk-part1", "disk-part2"]
    vm.run("umount /mnt; dmremap stop disk; udevadm settle")
    assert vm.run("ls /dev/mapper").split() == ["control"]
    assert vm.run(f"blockdev --getsz {bare}2") == "32768\n"
    assert not active(vm)
    assert linked(vm, BY_UUID[5:]) == {part[5:]}


def test_a_main_that_is_a_dm_device(vm, members):
    """It has rules of its own; it comes when it is resumed, and with a change."""
    main, spare = members
    plug(vm, main, spare)
    # not from the disk's start, or the disk would have the file system, too
    lower = f"echo '0 65536 linear {main.dev} 2048' | dmsetup create lower --uuid LOWER; udevadm settle;"
    vm.run(f"{lower} mkfs.ext4 -q -U {UUID} /dev/mapper/lower; udevadm settle")
    bare = leads_to(vm, "/dev/mapper/lower")
    assert leads_to(vm, BY_UUID) == bare
    vm.run(f"dmremap create home --main {bare} --spare {spare.dev}; udevadm settle;"
           f" dmsetup remove lower; udevadm settle; {lower}")
    node = leads_to(vm, "/dev/mapper/home")
    for event in "change", "add":
        vm.run(f"udevadm trigger --action={event} -s block --settle")
        assert active(vm)["home"]["main"] == leads_to(vm, "/dev/mapper/lower")
        assert leads_to(vm, BY_UUID) == node
        assert "by-uuid" not in vm.run("udevadm info -q symlink /dev/mapper/lower")

    vm.run(f"dmremap stop home; dd if=/dev/zero of={spare.dev} bs=1M || true; udevadm settle;"
           " udevadm trigger -s block --settle")
    assert leads_to(vm, BY_UUID) == leads_to(vm, "/dev/mapper/lower")
    vm.run("dmsetup remove lower")


def test_a_storm_of_disks(vm, new_disk, seed):
    """Thirty disks in any order, twenty of them members of ten sets, and udev told of each three times."""
    random = Random(seed)
    pairs = [(new_disk("8M", serial=f"MAIN{n}"), new_disk("2M", serial=f"SPARE{n}"))
             for n in range(10)]
    disks = [disk for pair in pairs for disk in pair] + \
            [new_disk("8M", serial=f"OTHER{n}") for n in range(10)]
    plug(vm, *disks)
    for number, (main, spare) in enumerate(pairs):
        vm.run(f"dmremap create set{number} --main {main.dev} --spare {spare.dev}")
    unplug(vm, *disks)

    random.shuffle(disks)
    for number, disk in enumerate(disks):
        plug_in(vm, disk)
        if number in (len(disks) // 2, len(disks) - 1):
            vm.run("udevadm trigger --action=add -s block")
    vm.wait_for("test $(ls /sys/block | grep -c ^sd) = 31 && echo there")
    vm.wait_for("udevadm settle -t 1 && echo settled", timeout=180)
    found = {name: (one["main"], one["spare"]) for name, one in active(vm).items()}
    assert found == {f"set{number}": (main.dev, spare.dev)
                     for number, (main, spare) in enumerate(pairs)}
    log = json.loads(vm.run("dmremap log --json"))["decisions"]
    assert sum(entry["activated"] for entry in log) == len(pairs)
    assert not [entry for entry in log if entry["decision"] in ("conflict", "damaged")]
