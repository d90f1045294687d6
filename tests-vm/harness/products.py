# SPDX-License-Identifier: GPL-2.0
"""dm-remap as it is built, at its places in a guest."""

from . import paths
from .root import guest_files


def products(tree, module=None):
    """The programs alone: assembler and module, for the tree's kernel the one of `make module`."""
    module = module or paths.module(tree.release)
    return {f"/lib/modules/{tree.release}/updates/dm-remap.ko": module,
            "/usr/sbin/dmremap": paths.dmremap()}


def with_dm_remap(tree, module=None):
    """A whole Debian system with dm-remap installed, for the boot lane (root.py)."""
    source = paths.SOURCE
    return tree.overlay({
        **guest_files(), **products(tree, module),
        "/usr/share/dm-remap/emergency.txt": source / "assembler/emergency.txt",
        "/usr/lib/udev/rules.d/60-persistent-dm-remap.rules":
            source / "assembler/udev/60-persistent-dm-remap.rules",
        "/usr/lib/dracut/modules.d/50dm-remap": source / "dracut-module/50dm-remap",
        "/usr/share/dm-remap/image-config": source / "initramfs-check/image-config",
        "/usr/sbin/dm-remap-check-image": source / "initramfs-check/dm-remap-check-image",
        "/etc/initramfs/post-update.d": source / "initramfs-check/post-update.d",
        "/etc/kernel/postinst.d": source / "initramfs-check/postinst.d",
        "/usr/share/initramfs-tools": source / "initramfs-tools-hook",
        "/usr/lib/systemd/system": source / "assembler/systemd",
        "/etc/systemd/system/sysinit.target.d/dm-remap.conf":
            "[Unit]\nWants=dm-remap-boot.service dm-remap-boot-unnamed.service dm-remap-stop.service\n"})
