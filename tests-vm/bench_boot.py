# SPDX-License-Identifier: GPL-2.0
"""`make bench-boot`: from the initramfs's start to the mounted root, and the size of the image, beside others."""

import re
import statistics
from contextlib import ExitStack
from typing import NamedTuple

from harness.adopted import CONFIG
from harness.debian import PACKAGES
from harness.disk import Disk
from harness.early import System
from harness.machine import Machine
from harness.root import LVM, boot_lane, copying_root_to, initramfs_tools, root_image

ROUNDS = 7
SYSTEM = System("bookworm", "initramfs-tools")
ARRAY = "5c0ffee0:00004000:80000000:000000ad"

# dm-linear has no tool of its own in an initramfs.
LINEAR = {"/etc/initramfs-tools/hooks/linear": """#!/bin/sh
[ "$1" = prereqs ] && exit 0
. /usr/share/initramfs-tools/hook-functions
manual_add_modules dm-mod
copy_exec /usr/sbin/dmsetup
""", "/etc/initramfs-tools/scripts/local-top/linear": """#!/bin/sh
[ "$1" = prereqs ] && exit 0
. /scripts/functions
wait_for_udev 10
modprobe dm-mod
dmsetup create linear --table "0 $(cat /sys/class/block/vda/size) linear /dev/vda 0"
wait_for_udev 10
"""}


class Kind(NamedTuple):
    """What is built on {0}, and {1} if it is of two disks; what is mounted then, and what that takes."""

    make: str
    root: str
    packages: tuple = ()
    files: dict = {}


KINDS = {
    "plain": Kind(":", "/dev/vda"),
    "dm-linear": Kind(":", "/dev/mapper/linear", files=LINEAR),
    "dm-remap": Kind(":", "/dev/mapper/root"),
    "LVM": Kind(LVM, "/dev/mapper/group-root", ("lvm2",)),
    "md raid1": Kind(f"mdadm --create /dev/md0 --uuid={ARRAY} --run -q --level=1 --assume-clean -n 2 {{0}} {{1}}",
                     "/dev/md0", ("mdadm",), {"/etc/mdadm/mdadm.conf": f"ARRAY /dev/md0 UUID={ARRAY}\n"}),
}


class Contender:
    """A system on such a device, built once."""

    def __init__(self, name, kind, disks):
        self.name = name
        system = SYSTEM._replace(packages=(*PACKAGES, *kind.packages))
        main, other = disks.enter_context(Disk("1200M", bus="virtio", serial="MAIN")), \
            disks.enter_context(Disk("1200M" if name == "md raid1" else "64M", bus="virtio", serial="SPARE"))
        files = dict(kind.files)
        with Disk.copy_of(root_image(system.tree), bus="virtio") as old, \
                Machine(boot_lane(system.tree, initramfs_tools(system.tree)), [old, main, other]) as vm:
            vm.boot()
            device = kind.root if kind.packages else main.dev
            vm.run(f"export DM_DISABLE_UDEV=1; {kind.make.format(main.dev, other.dev)} && {copying_root_to(device)}",
                   timeout=900)
            if name == "dm-remap":
                uuid = vm.run(f"dmremap create root --main {main.dev} --spare {other.dev}").strip()
                files[CONFIG] = f"set {uuid} name=root main=serial:MAIN spare=serial:SPARE\n"
            vm.shutdown()
        self.vm = Machine(system.boot(system.image(files), kind.root), [main, other])
        self.taken = []

    def boot(self):
        with self.vm as vm:
            vm.boot()
            began, ended = (float(re.search(rf"\[ *([0-9.]+)\] {what}", vm.console.text)[1])
                            for what in ("Run /init as init process", r"EXT4-fs \(.*\): mounted filesystem"))
            self.taken.append(ended - began)


def boots():
    with ExitStack() as disks:
        contenders = [Contender(name, kind, disks) for name, kind in KINDS.items()]
        for _ in range(ROUNDS):
            for contender in contenders:
                contender.boot()
    median = {contender.name: statistics.median(contender.taken) for contender in contenders}
    print(f"from the initramfs's start to the mounted root, guest's seconds, medians of {ROUNDS}:")
    for contender in contenders:
        print(f"  {contender.name:10} {median[contender.name]:6.2f} ({min(contender.taken):.2f}-"
              f"{max(contender.taken):.2f})  {median[contender.name] / median['dm-linear']:.3f} times dm-linear")


def sizes():
    """What each adds to an image of its own making, as Debian compresses it."""
    plain = initramfs_tools(SYSTEM.tree).stat().st_size
    named = {CONFIG: "set 5c0ffee0-0000-4000-8000-0000000000cc\n"}
    print("added to an initramfs, compressed by zstd -1:")
    print(f"  dm-remap           {initramfs_tools(SYSTEM.tree, named).stat().st_size - plain:9,} bytes")
    for package in "lvm2", "mdadm", "cryptsetup-initramfs":
        tree = SYSTEM._replace(packages=(*PACKAGES, package)).tree
        files = {"/etc/cryptsetup-initramfs/conf-hook": "CRYPTSETUP=y\n"} if "crypt" in package else {}
        print(f"  {package:18} {initramfs_tools(tree, files).stat().st_size - plain:9,} bytes")


if __name__ == "__main__":
    boots()
    sizes()
