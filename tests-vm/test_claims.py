# SPDX-License-Identifier: GPL-2.0
"""What others find on a main: LVM, md and btrfs take the set's device and never the bare main."""

import pytest

from harness.debian import PACKAGES, debian
from harness.disk import Disk
from harness.machine import Machine
from harness.products import with_dm_remap
from harness.root import boot_lane, dracut, root_image
from harness.udev import start_udev

# How it is put on a disk, and which command then says what device it is on.
OTHERS = {
    "lvm": ("pvcreate -qy {dev}; vgcreate -qy vg {dev}", "pvs --noheadings -o pv_name"),
    "md": ("mdadm --create /dev/md0 --run --metadata=1.2 --level=1 --force --raid-devices=1 {dev} 2>&1;"
           " mdadm --stop /dev/md0", "cat /sys/block/md*/md/rd0/block/uevent | sed -n s/DEVNAME=//p"),
    "btrfs": ("mkfs.btrfs -q {dev}", "btrfs filesystem show | sed -n 's/.* path //p'"),
}


@pytest.fixture(scope="module")
def system():
    """A running Debian that has them, and udevd."""
    tree = with_dm_remap(debian(packages=(*PACKAGES, "lvm2", "mdadm", "btrfs-progs")))
    with Disk.copy_of(root_image(tree)) as root, \
            Machine(boot_lane(tree, dracut(tree, systemd=False)), [root]) as vm:
        vm.boot()
        vm.run("modprobe -a raid1 btrfs; mkdir -p /run/dm-remap/settled")
        start_udev(vm)
        yield vm


@pytest.mark.parametrize("other", OTHERS)
def test_the_set_is_theirs_and_not_its_main(system, new_disk, other):
    vm, (make, ask) = system, OTHERS[other]
    main, spare = new_disk("128M", "virtio", serial=f"MAIN-{other}"), new_disk("16M", "virtio")
    vm.plug(main)
    vm.plug(spare)
    bare = vm.device_of(main)
    vm.run(make.format(dev=bare))
    uuid = vm.run(f"dmremap create {other} --main {bare} --spare {vm.device_of(spare)}").strip()
    for disk in main, spare:
        dev = vm.device_of(disk)
        vm.unplug(disk)
        vm.wait_for(f"test ! -e {dev} && echo gone")
    vm.put("/etc/dm-remap.conf", f"set {uuid} name={other} main=serial:MAIN-{other}\n")

    vm.plug(main)
    bare = vm.device_of(main)
    vm.run("udevadm settle")
    assert bare not in vm.run(f"{ask} || true"), "claimed before the spare has come"
    vm.plug(spare)
    vm.device_of(spare)
    vm.run("udevadm settle")
    node = vm.run(f"readlink -f /dev/mapper/{other}").strip()
    assert vm.run(ask).strip() in (f"/dev/mapper/{other}", node, node[5:])
    vm.run(f"mdadm --stop --scan; dmremap stop {other}")
