# SPDX-License-Identifier: GPL-2.0
"""LVM, md and btrfs, whose own udev rules claim what they know: the set, and never its bare main."""

from typing import NamedTuple

import pytest

from harness.debian import PACKAGES, debian
from harness.disk import Disk
from harness.hotplug import plug, unplug
from harness.machine import Machine
from harness.products import with_dm_remap
from harness.root import boot_lane, dracut, root_image
from harness.udev import start_udev

UUID = "5c0ffee0-0000-4000-8000-0000000000bb"
LINK = f"/dev/disk/by-uuid/{UUID}"


class Stack(NamedTuple):
    """Shell commands: what makes it on a disk, has it let go of that, and looks for it by hand."""

    make: str
    leave: str
    look: str


STACKS = {
    "lvm": Stack("pvcreate -q {0} && vgcreate -q group {0} && lvcreate -q -n volume -L 64M group"
                 f" && mkfs.ext4 -q -U {UUID} /dev/group/volume",
                 "vgchange -q -an group", "vgchange -q -ay group"),
    "md": Stack("mdadm --create /dev/md/array --homehost=any --run -q --level=1 --force -n 1 {0}"
                f" && mkfs.ext4 -q -U {UUID} /dev/md/array",
                "mdadm --stop -q /dev/md/array", "mdadm --assemble --scan"),
    "btrfs": Stack(f"mkfs.btrfs -q -U {UUID} {{0}}", ":", "btrfs device scan"),
}


@pytest.fixture(scope="module")
def system():
    """udevd of a Debian that has them all, and nothing else of it."""
    tree = with_dm_remap(debian(packages=(*PACKAGES, "lvm2", "mdadm", "btrfs-progs")))
    with Disk.copy_of(root_image(tree)) as root, \
            Machine(boot_lane(tree, dracut(tree, systemd=False)), [root]) as vm:
        vm.boot()
        start_udev(vm)
        yield vm


@pytest.fixture
def members(system, new_disk):
    """Main and spare, which the test plugs in."""
    disks = new_disk("256M", serial="MAIN"), new_disk("16M", serial="SPARE")
    yield disks
    system.run("dmremap stop --all; udevadm settle")
    unplug(system, *disks)


def made(vm, main, spare, stack):
    """A set that the config names, below the stack; nothing of it is plugged in."""
    plug(vm, main, spare)
    vm.run(f"{stack.make.format(main.dev)} && udevadm settle")
    uuid = vm.run(f"dmremap create home --main {main.dev} --spare {spare.dev}").strip()
    vm.put("/etc/dm-remap.conf", f"set {uuid} name=home main=serial:MAIN spare=serial:SPARE\n")
    vm.run(f"{stack.leave} && udevadm settle")
    unplug(vm, main, spare)


def above(vm, dev):
    """The names of the DM devices, and others, directly on it."""
    return vm.run(f"cd /sys/class/block/{dev[5:]}/holders; cat */dm/name /dev/null;"
                  " ls | grep -v dm- || true").split()


@pytest.mark.parametrize("stack", STACKS)
def test_only_the_set_is_claimed(system, members, stack):
    vm, stack = system, STACKS[stack]
    made(vm, *members, stack)
    main, spare = members
    plug(vm, main)
    bare = main.dev
    assert above(vm, bare) == []
    plug(vm, spare)
    vm.wait_for(f"test -e {LINK} && echo there")
    assert above(vm, bare) == ["home"]
    assert "home" in vm.run(f"lsblk -nsro NAME {LINK}").split()
    vm.run(f"mount UUID={UUID} /mnt && echo data >/mnt/file && umount /mnt")
    vm.run(f"{stack.leave}; {stack.look}; udevadm settle", check=False)
    assert above(vm, bare) == ["home"]
    vm.run(f"{stack.leave}; udevadm settle")


def test_lvm_by_hand(system, members):
    """It sees the main beside the set, wherever it looks for itself, and has to be told of that."""
    vm, lvm = system, STACKS["lvm"]
    made(vm, *members, lvm)
    plug(vm, *members)
    vm.wait_for(f"test -e {LINK} && echo there")
    vm.run(lvm.leave)
    refused = vm.run(lvm.look, check=False)
    assert "duplicate devices" in refused.stderr
    (link,) = vm.run(f"udevadm info -q symlink {members[0].dev} | grep -o 'disk/by-id/wwn-[^ ]*'").split()
    vm.put("/etc/lvm/lvmlocal.conf", f'devices {{ global_filter = [ "r|^/dev/{link}$|" ] }}\n')
    vm.run(f"{lvm.look} && udevadm settle && mount UUID={UUID} /mnt && umount /mnt")
    assert vm.run("pvs --noheadings -o pv_name").split() == ["/dev/mapper/home"]
    vm.run(f"{lvm.leave}; rm /etc/lvm/lvmlocal.conf")
