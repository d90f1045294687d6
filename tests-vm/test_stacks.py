# SPDX-License-Identifier: GPL-2.0
"""What people put on a device: nothing on top of a set notices the bad sectors below."""

from random import Random

import pytest

from harness import kernels
from harness.errors import CommandFailed
from harness.initramfs import AT_HAND
from harness.remap import Remap
from harness.tools import Tools, tools_disk

MODULES = ("raid1", "xfs", "btrfs", "aes_generic", "xts", "ecb", "cbc", "sha256_generic",
           "algif_skcipher", "algif_hash", "crct10dif_generic")


@pytest.fixture(scope="session")
def fast_lane(tree, suite):
    """With the modules of these stacks."""
    return kernels.lane(tree, suite, at_hand=AT_HAND + MODULES)


@pytest.fixture
def boot_with_tools(boot):
    """boot_with_tools(disk, ...): a machine with these disks, and Tools in it."""
    with tools_disk() as disk:
        def machine(*disks):
            vm = boot(*disks, disk)
            return vm, Tools(vm, disk)
        yield machine


def grow_weak(disk, random, areas, count=8):
    """Sectors that can't be written any more, in some areas of a disk."""
    for _ in range(areas):
        disk.bad_sectors(random.randrange(disk.size // 512 - count), count=count)


# How a layer is made on a set, found again on it, and left; its device is `top`.
LAYERS = {
    "luks": dict(
        make="echo secret > /tmp/key; cryptsetup luksFormat --batch-mode --pbkdf pbkdf2"
             " --pbkdf-force-iterations 1000 {dev} /tmp/key",
        find="cryptsetup open --key-file /tmp/key {dev} top",
        leave="cryptsetup close top",
        top="/dev/mapper/top"),
    "lvm": dict(
        make="pvcreate {lvm} {dev}; vgcreate {lvm} vg {dev}; lvcreate {lvm} -n top -l 100%FREE vg;"
             "vgchange {lvm} -an vg",
        find="vgchange {lvm} -ay vg",
        leave="vgchange {lvm} -an vg",
        top="/dev/mapper/vg-top"),
    "partitions": dict(
        make="printf 'label: gpt\n,4M\n,\n' | sfdisk --quiet {dev}",
        find="kpartx -as {dev}",
        leave="kpartx -d {dev}",
        top="/dev/mapper/r0p2"),
    "set": dict(
        make="true",
        find='dmsetup create top --table "0 $(blockdev --getsz {dev}) remap {dev} {other}"',
        leave="dmsetup remove top",
        top="/dev/mapper/top"),
}
# The main has the same content as the device: without the assembler nothing hides it.
LVM = """-qq --config 'devices {{ filter=["a|^{dev}$|", "r|.*|"] }} backup {{ backup=0 archive=0 }}'"""


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_on_a_set_notices_nothing(boot_with_tools, new_disk, seed, layer):
    random = Random(seed)
    main, spare, other = new_disk("96M"), new_disk("16M"), new_disk("16M")
    grow_weak(main, random, areas=100)
    vm, tools = boot_with_tools(main, spare, other)

    def run(command):
        names = dict(dev="/dev/mapper/r0", other=other.dev, top=LAYERS[layer]["top"])
        tools.run(command.format(lvm=LVM.format(**names), **names))

    with Remap(vm, main, spare) as dev:
        run(LAYERS[layer]["make"])
        run(LAYERS[layer]["find"])
        run("mkfs.ext4 -q {top}; mount {top} /mnt; cp -a /usr/sbin /mnt; umount /mnt")
        run(LAYERS[layer]["leave"])
        assert dev.status().remapped > 0
        before = dev.status()
    with Remap(vm, main, spare) as dev:
        run(LAYERS[layer]["find"])
        run("e2fsck -fn {top}; mount {top} /mnt; diff -r --no-dereference /usr/sbin /mnt/sbin;"
            "umount /mnt")
        run(LAYERS[layer]["leave"])
        assert (dev.status().mode, dev.status().health) == ("rw", before.health)


def test_a_mirror_keeps_both_its_sets(boot_with_tools, new_disk):
    """md throws a device out for a write that fails, and rewrites what it can't read."""
    mains, spares = [new_disk("64M"), new_disk("64M")], [new_disk("16M"), new_disk("16M")]
    for main in mains:
        for sector in range(0, main.size // 512, 2048):
            main.bad_sectors(sector, count=8)
    vm, tools = boot_with_tools(*mains, *spares)
    with (Remap(vm, mains[0], spares[0], name="r0") as first,
          Remap(vm, mains[1], spares[1], name="r1") as second):
        tools.run(f"mdadm --create /dev/md0 --quiet --run --level=1 --raid-devices=2"
                  f" --metadata=1.2 --assume-clean {first.dev} {second.dev};"
                  "mkfs.ext4 -q /dev/md0; mount /dev/md0 /mnt; cp -a /usr/sbin /mnt; sync")
        file = int(tools.run("filefrag -v -b512 /mnt/sbin/lvm | awk '$1 == \"0:\" {print +$4}'"))
        data = int(tools.run(f"mdadm --examine {first.dev} | awk '/Data Offset/ {{print $4}}'"))
        bad = (data + file) // 2048 * 2048 + 3072  # one of the places that are not moved yet
        mains[0].bad_sectors(bad, count=4, on="both")
        read = f"dd bs=512 skip={bad} count=4 iflag=direct status=none"
        with pytest.raises(CommandFailed):
            vm.run(f"{read} if={first.dev}")
        tools.run("cd /sys/block/md0/md; echo check > sync_action;"
                  "while ! grep -q idle sync_action; do sleep 0.1; done")
        vm.run(f"{read} if={second.dev} of=/tmp/right && {read} if={first.dev} | cmp - /tmp/right")
        assert "[UU]" in vm.run("cat /proc/mdstat")
        for dev in first, second:
            assert (dev.status().remapped > 0, dev.status().pending) == (True, 0)
        tools.run("umount /mnt; e2fsck -fn /dev/md0; mount /dev/md0 /mnt;"
                  "diff -r --no-dereference /usr/sbin /mnt/sbin; umount /mnt; mdadm --quiet --stop /dev/md0")


FILESYSTEMS = {"ext4": ("mkfs.ext4 -q", "e2fsck -fn"),
               "xfs": ("mkfs.xfs -q", "xfs_repair -n"),
               "btrfs": ("mkfs.btrfs -q", "btrfs check --readonly")}
FIO = ("fio --name=storm --directory=/mnt --size=16M --loops=2 --rw=randwrite --bsrange=4k-64k"
       " --verify_interval=4k --verify=crc32c --verify_fatal=1 --ioengine=libaio --direct=1"
       " --iodepth=8 --fsync=16 --end_fsync=1 --randseed={seed} --output=/tmp/fio")


@pytest.mark.parametrize("filesystem", FILESYSTEMS)
def test_a_filesystem_outlives_a_storm(boot_with_tools, new_disk, seed, filesystem):
    """Area after area of the disk goes bad while it is written."""
    make, check = FILESYSTEMS[filesystem]
    random = Random(seed)
    main, spare = new_disk("320M"), new_disk("64M")
    grow_weak(main, random, areas=100)
    vm, tools = boot_with_tools(main, spare)
    with Remap(vm, main, spare) as dev:
        tools.run(f"{make} {dev.dev}; mount {dev.dev} /mnt")
        storm = tools.start(FIO.format(seed=seed) + " && cp -a /usr/sbin /mnt && umount /mnt")
        for _ in range(60):
            if storm.status is None:
                grow_weak(main, random, areas=1, count=16)
        assert storm.wait(120).status == 0, storm.stderr + tools.run("cat /tmp/fio")
        assert dev.status().remapped > 0
        assert dev.status().mode == "rw"
    with Remap(vm, main, spare) as dev:
        tools.run(f"{check} {dev.dev} && mount {dev.dev} /mnt")
        tools.run(f"{FIO.format(seed=seed)} --verify_only; diff -r --no-dereference /usr/sbin"
                  " /mnt/sbin; umount /mnt")


def test_swapping_goes_on_while_writes_fail(boot, new_disk, seed):
    """Memory is freed by writing to the set: moving sectors must not wait for memory."""
    random = Random(seed)
    main, spare = new_disk("256M"), new_disk("64M")
    grow_weak(main, random, areas=150)
    vm = boot(main, spare)
    with Remap(vm, main, spare) as dev:
        vm.run(f"mkswap {dev.dev} && swapon {dev.dev} && mkdir /hog /ballast &&"
               " mount -t tmpfs -o size=128M tmpfs /hog && mount -t ramfs ramfs /ballast")
        vm.run("available=$(awk '/MemAvailable/ {print $2}' /proc/meminfo);"
               " head -c $(((available - 64 * 1024) * 1024)) /dev/zero > /ballast/zeroes",
               timeout=120)
        summed = f"head -c {104 << 20} /dev/urandom | tee /hog/data | sha256sum"
        before = vm.run(summed, timeout=120)
        assert vm.run("sha256sum < /hog/data", timeout=120) == before
        used = int(vm.run("awk '/SwapTotal/ {t = $2} /SwapFree/ {f = $2} END {print t - f}'"
                          " /proc/meminfo"))
        assert used > 16 << 10
        assert dev.status().remapped > 0
        vm.run(f"rm /hog/data; swapoff {dev.dev}", timeout=120)
