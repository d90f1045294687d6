# SPDX-License-Identifier: GPL-2.0
"""The boot lane: a Debian system on a partition of a disk, started by its initramfs."""

import re
import shlex
from pathlib import Path

from .cache import cached, digest, execute, guest_program
from .disk import SECTOR, size_in_bytes
from .initramfs import Boot

ROOT_UUID = "5c0ffee0-0000-4000-8000-00000000f500"
ROOT_LABEL = "debian-root"
ROOT_PARTUUID = "5c0ffee0-0000-4000-8000-000000000001"
DISK_UUID = "5c0ffee0-0000-4000-8000-000000000000"
ROOT_START = 1 << 20
BIOS_BOOT, EFI_SYSTEM = "21686148-6449-6E6F-744E-656564454649", "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
EFI_SYSTEM_SIZE = 48 << 20

# As an init: hands over to the command agent as soon as there is a root.
LEAN_INIT = """#!/bin/sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
mountpoint -q /proc || mount -t proc proc /proc
mountpoint -q /sys || mount -t sysfs sysfs /sys
mountpoint -q /dev || mount -t devtmpfs dev /dev
mountpoint -q /run || mount -t tmpfs run /run
grep -qE '(^| )ro( |$)' /proc/cmdline || mount -o remount,rw /
exec /usr/sbin/guest-agent /dev/ttyS1
"""

AGENT_UNIT = """[Unit]
Description=Command agent of the VM tests
After=multi-user.target

[Service]
ExecStart=/usr/sbin/guest-agent /dev/ttyS1
"""


def guest_files():
    """What the harness needs in every root."""
    return {
        "/usr/sbin/guest-agent": guest_program("agent"),
        "/usr/sbin/ackwriter": guest_program("ackwriter"),
        "/usr/sbin/lean-init": LEAN_INIT,
        "/etc/systemd/system/guest-agent.service": AGENT_UNIT,
        "/etc/systemd/system/multi-user.target.d/agent.conf": "[Unit]\nWants=guest-agent.service\n",
        "/etc/machine-id": "5c0ffee0000040008000000000000000\n",
        "/etc/hostname": "guest\n",
        "/etc/fstab": "",
    }


# Makes a logical volume of all of {0}: /dev/mapper/group-root.
LVM = "pvcreate -q {0} && vgcreate -q group {0} && lvcreate -q -y -n root -l 100%FREE group"

DRIVERS = ("virtio_pci", "virtio_blk", "virtio_scsi", "sd_mod", "virtio_rng")
SYSTEMD = ("systemd", "systemd-initrd", "dracut-systemd")


def lean_initramfs_tools(drivers=DRIVERS):
    """Files that have an image smaller and sooner made than Debian's default."""
    return {"/etc/initramfs-tools/conf.d/lean": "MODULES=list\nCOMPRESS=zstd\nCOMPRESSLEVEL=1\nRESUME=none\n",
            "/etc/initramfs-tools/modules": "".join(f"{module}\n" for module in (*drivers, "ext4"))}


def dracut_command(release, place, *options, systemd=True, drivers=DRIVERS, compress="--no-compress"):
    """Makes an image for this kernel; a generic one, unless options say otherwise."""
    options = ["--quiet", "--force", "--no-hostonly", compress, *options]
    if drivers:
        options += ["--drivers", " ".join(drivers)]
    if not systemd:
        options += ["--omit", " ".join(SYSTEMD)]
    return f"dracut {shlex.join(options)} {place} {release}"


def initramfs_tools_command(release, place):
    return f"mkinitramfs -o {place} {release}"


def dracut(tree, *options, files=(), **others):
    """
    An initramfs made by the tree's own dracut; see dracut_command().

    `files` are put into the system before, such as /etc/dm-remap.conf, without becoming part of
    the tree. `drivers=()` takes all that dracut would take.
    """
    return _made_by(dracut_command(tree.release, "/tmp/initramfs", *options, **others), tree, files)


def initramfs_tools(tree, files=(), drivers=DRIVERS):
    """An initramfs made by the tree's own initramfs-tools; `files` as for dracut()."""
    return _made_by(initramfs_tools_command(tree.release, "/tmp/initramfs"), tree,
                    {**lean_initramfs_tools(drivers), **dict(files)})


def placing(files):
    """What puts these files to their places, as a shell script."""
    def mode(content):
        return "755" if content.startswith("#!") else "644"
    return "".join(f"mkdir -p $(dirname {place}); cat > {place} <<'END'\n{content}END\nchmod {mode(content)} {place}\n"
                   for place, content in files.items())


def _made_by(command, tree, files):
    files = dict(files)
    script = f"{placing(files)}{command} >&2 && cat /tmp/initramfs"
    return cached("images", digest(str(tree.path), command, sorted(files.items())),
                  lambda path: path.write_bytes(tree.run("sh", "-ec", script)))


def root_image(tree, size="1G", boot_loader=False):
    """
    A disk's image with the tree as its first partition and, if asked for, two for a boot loader: one in
    front for the BIOS, and a blank EFI system partition, which is the last.
    """
    key = digest(str(tree.path), size, boot_loader)
    return cached("roots", key, lambda path: _image(path, tree, size, boot_loader))


def _image(path, tree, size, boot_loader):
    root = size_in_bytes(size)
    parts = [f"start={ROOT_START // SECTOR}, size={root // SECTOR}, uuid={ROOT_PARTUUID}, "
             "name=root"]
    if boot_loader:
        parts.append(f"start=64, size={ROOT_START // SECTOR - 64}, type={BIOS_BOOT}")
        parts.append(f"size={EFI_SYSTEM_SIZE // SECTOR}, type={EFI_SYSTEM}")
    with open(path, "wb") as image:
        image.truncate(root + 2 * ROOT_START + (EFI_SYSTEM_SIZE if boot_loader else 0))
    table = "\n".join(["label: gpt", "first-lba: 64", f"label-id: {DISK_UUID}", *parts])
    execute("sfdisk", "--quiet", path, input=table.encode())
    execute("mke2fs", "-q", "-F", "-t", "ext4", "-m", "0", "-U", ROOT_UUID, "-L", ROOT_LABEL,
            "-d", tree.path, "-E", f"offset={ROOT_START}", path, f"{root >> 10}k")


def copying_root_to(device, kind="ext4"):
    """Makes a file system with all that is in the running root, as a shell script."""
    return f"mkfs.{kind} -q {device} && mount {device} /mnt && cp -ax /. /mnt && umount /mnt"


def sectors_of(vm, path):
    """The sectors of the disk with the root that hold a file's data."""
    said = vm.run(f"filefrag -b{SECTOR} -v {path}")
    for first, last in re.findall(r"^ *\d+: .*?(\d+)\.\. *(\d+): +\d+:", said, re.MULTILINE):
        yield from range(int(first) + ROOT_START // SECTOR, int(last) + 1 + ROOT_START // SECTOR)


def boot_lane(tree, initrd, root=f"PARTUUID={ROOT_PARTUUID}", lean=True):
    """The boot of a root image. Lean starts only the command agent, else all of systemd."""
    init = "init=/usr/sbin/lean-init" if lean else ""
    return Boot(tree.kernel, Path(initrd), f"root={root} rw {init}")
