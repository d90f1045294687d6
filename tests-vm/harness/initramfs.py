# SPDX-License-Identifier: GPL-2.0
"""The fast lane: a kernel and an initramfs of busybox, some modules and the command agent."""

import lzma
import os
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

from .cache import cached, digest, execute, guest_program
from .debian import put

# Debian's own where busybox's differ: its dd ignores O_DIRECT, its sh runs no dd but its own.
PROGRAMS = ("bin/dash", "sbin/dmsetup", "bin/dd", "sbin/blockdev", "sbin/blkid", "sbin/blkdiscard",
            "sbin/mkfs.ext4", "sbin/e2fsck", "bin/sync", "usr/bin/cmp", "usr/bin/sha256sum")
MODULES = ("virtio_pci", "virtio_blk", "virtio_scsi", "sd_mod", "dm-mod", "ext4", "crc32c_generic")
AT_HAND = ("nvme", "scsi_debug", "null_blk", "dm-flakey", "dm-delay", "dm-log-writes", "loop",
           "brd", "dm-crypt", "dm-integrity", "nbd", "xxhash_generic", "libcrc32c",
           "crc32c_cryptoapi")

INIT = """#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin:/busybox
export DM_DISABLE_UDEV=1  # there is none: libdevmapper makes /dev/mapper/* itself
/bin/busybox mkdir -p /proc /sys /dev /run /tmp /etc /busybox
/bin/busybox --install -s /busybox
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mount -t tmpfs run /run
ln -s /busybox/modprobe /sbin/modprobe
ln -s /proc/mounts /etc/mtab
echo 'root:x:0:0:root:/:/bin/sh' > /etc/passwd
# Quietly: later kernels have some of them built in.
for module in {modules}; do modprobe -q $module; done
exec /sbin/agent /dev/ttyS1
"""


class Boot(NamedTuple):
    """What QEMU needs to start a kernel."""

    kernel: Path
    initrd: Path
    append: str = ""


def fast_lane(tree, files=(), modules=MODULES, at_hand=AT_HAND, kernel=None):
    """
    A boot that needs no disk and is up in seconds, of the tree's own kernel or that of another.

    `modules` are loaded in this order, those `at_hand` wait for modprobe. `files`
    are added as in Tree.overlay; a dm-remap.ko among them is found by modprobe.
    """
    files = dict(files)
    kernel = kernel or tree
    key = digest(str(tree.path), str(kernel.path), INIT, PROGRAMS, modules, at_hand,
                 guest_program("agent"),
                 *(part for place in sorted(files) for part in (place, files[place])))
    return Boot(kernel.kernel, cached(
        "initramfs", key, lambda path: _build(path, tree, kernel, files, modules, at_hand)))


def _build(path, tree, kernel, files, modules, at_hand):
    with tempfile.TemporaryDirectory() as folder:
        stage = Path(folder)
        put(stage / "bin/busybox", tree.path / "bin/busybox")
        (stage / "bin/sh").symlink_to("dash")
        put(stage / "sbin/agent", guest_program("agent"))
        put(stage / "init", INIT.format(modules=" ".join(modules)))
        _copy_programs(tree, stage)
        _copy_modules(kernel, stage, modules + at_hand)
        for place, content in files.items():
            put(stage / place.lstrip("/"), content)
        execute("depmod", "-b", stage, kernel.release)
        pack(stage, path)


def pack(folder, path):
    """Writes a folder as an uncompressed cpio archive: quicker to make and to boot."""
    names = b"\0".join(os.fsencode(p.relative_to(folder)) for p in sorted(folder.rglob("*")))
    with open(path, "wb") as out:
        subprocess.run(["cpio", "-o0", "-H", "newc", "-R", "0:0", "--quiet"], cwd=folder,
                       input=names, stdout=out, check=True, timeout=60)


def _copy_programs(tree, stage):
    """Copies programs with the libraries they are linked with."""
    said = tree.run("ldd", *(f"/{program}" for program in PROGRAMS)).decode()
    libraries = {word for line in said.splitlines() if "=>" in line or "ld-linux" in line
                 for word in line.split() if word.startswith("/") and not word.endswith(":")}
    for name in {f"/{program}" for program in PROGRAMS} | libraries:
        put(stage / name[1:], (tree.path / name[1:]).resolve())


def _copy_modules(tree, stage, wanted):
    """Copies modules and what they depend on; what this kernel has built in is left out."""
    needs = {}
    for line in (tree.modules / "modules.dep").read_text().splitlines():
        file, _, others = line.partition(":")
        needs[_name(file)] = [file, *others.split()]
    target = stage / "lib/modules" / tree.release
    for file in {file for name in wanted for file in needs.get(_name(name), ())}:
        content = (tree.modules / file).read_bytes()
        if file.endswith(".xz"):
            content, file = lzma.decompress(content), file[:-3]
        put(target / file, content)
    for index in ("modules.order", "modules.builtin", "modules.builtin.modinfo"):
        put(target / index, tree.modules / index)


def _name(file):
    return os.path.basename(file).split(".")[0].replace("-", "_")
