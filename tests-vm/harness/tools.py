# SPDX-License-Identifier: GPL-2.0
"""Debian's programs for a guest of the fast lane: too many for its initramfs, so on a disk."""

import shlex

from .cache import cached, digest, execute
from .debian import unpacked
from .disk import Disk

PACKAGES = ("dash", "coreutils", "grep", "sed", "findutils", "diffutils", "mawk", "mount",
            "util-linux", "dmsetup", "fdisk", "kpartx", "cryptsetup-bin", "lvm2", "mdadm", "fio",
            "e2fsprogs", "xfsprogs", "btrfs-progs")
PLACE = "/root/tools"


def tools_disk():
    """A disk with these programs; what a guest changes on it is gone afterwards."""
    def make(path):
        execute("mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-d", tree.path, path, "600M")

    tree = unpacked("bookworm", PACKAGES)
    return Disk.copy_of(cached("tools", digest(str(tree.path)), make), bus="virtio")


class Tools:
    """What is run here finds them, and the guest's own /dev, /proc, /sys and /run."""

    def __init__(self, vm, disk):
        self.vm = vm
        vm.run(f"mkdir -p {PLACE}; mount {disk.dev} {PLACE}; cd {PLACE}; mkdir -p proc sys run mnt;"
               "for folder in dev proc sys run; do mount -o bind /$folder $folder; done")

    def start(self, script):
        return self.vm.spawn(f"exec chroot {PLACE} /bin/sh -ec {shlex.quote(script)}")

    def run(self, script, timeout=60):
        return self.vm.run(f"exec chroot {PLACE} /bin/sh -ec {shlex.quote(script)}", timeout)
