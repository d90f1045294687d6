# SPDX-License-Identifier: GPL-2.0
"""Roots that are built on a set: LVM, LUKS and both, btrfs and xfs."""

from typing import NamedTuple

import pytest

from harness.adopted import CONFIG
from harness.debian import PACKAGES
from harness.disk import Disk
from harness.hotplug import active
from harness.machine import Machine
from harness.root import DRIVERS, LVM, boot_lane, copying_root_to, initramfs_tools, root_image

WITH_STACKS = (*PACKAGES, "lvm2", "cryptsetup-initramfs", "btrfs-progs", "xfsprogs")
MODULES = ("dm-crypt", "btrfs", "xfs", "xts", "aes_generic")
PASSPHRASE = "one chance"
LUKS = "5c0ffee0-0000-4000-8000-0000000000ca"
SAY_IT = f"echo -n '{PASSPHRASE}' |"
FORMAT = (f"{SAY_IT} cryptsetup luksFormat -q --uuid {LUKS} --pbkdf pbkdf2 --pbkdf-force-iterations 1000 {{0}} - &&"
          f" {SAY_IT} cryptsetup open --key-file - {{0}} crypt")


class Stack(NamedTuple):
    """Shell commands that make it on {0} and take it down; what is mounted as root, and its file system."""

    make: str
    leave: str
    root: str
    type: str = "ext4"


STACKS = {
    "lvm": Stack(LVM, "vgchange -q -an group", "/dev/mapper/group-root"),
    "luks": Stack(FORMAT, "cryptsetup close crypt", "/dev/mapper/crypt"),
    "lvm-on-luks": Stack(f"{FORMAT} && {LVM.format('/dev/mapper/crypt')}",
                         "vgchange -q -an group && cryptsetup close crypt", "/dev/mapper/group-root"),
    "btrfs": Stack(":", ":", "/dev/mapper/root", "btrfs"),
    "xfs": Stack(":", ":", "/dev/mapper/root", "xfs"),
}


@pytest.mark.parametrize("kind", [pytest.param(kind, marks=() if kind == "lvm" else pytest.mark.thorough)
                                  for kind in STACKS])
def test_a_root_on(any_system, kind):
    """It was there before the set was."""
    # later Debians have systemd's part in a package of its own
    later = () if any_system.suite == "bookworm" else ("systemd-cryptsetup",)
    system = any_system._replace(packages=(*WITH_STACKS, *later))
    stack = STACKS[kind]
    tree = system.tree
    with Disk.copy_of(root_image(tree), bus="virtio") as old, Disk("2G", serial="MAIN") as main, \
            Disk("64M", serial="SPARE") as spare:
        with Machine(boot_lane(tree, initramfs_tools(tree)), [old, main, spare], memory=1024) as vm:
            vm.boot()
            device = stack.root if stack.leave != ":" else main.dev
            vm.run(f"export DM_DISABLE_UDEV=1; {stack.make.format(main.dev)} &&"
                   f" {copying_root_to(device, stack.type)} && {stack.leave}", timeout=600)
            uuid = vm.run(f"dmremap create root --main {main.dev} --spare {spare.dev}").strip()
            vm.shutdown()
        config = f"set {uuid} name=root main=serial:MAIN spare=serial:SPARE\n"
        image = system.image({CONFIG: config, **stack_files(system, kind)}, drivers=(*DRIVERS, *MODULES))
        append = f"rootfstype={stack.type} rd.luks.uuid={LUKS} rd.luks.name={LUKS}=crypt" if "luks" in kind else ""
        with Machine(system.boot(image, stack.root), [main, spare], append=append, memory=1024) as vm:
            vm.start()
            if "luks" in kind:
                vm.console.expect("[Pp]lease (unlock disk|enter passphrase).*:|Enter passphrase for .*:|Password.*:",
                                  240)
                vm.console.answer(PASSPHRASE, then="EXT4-fs .*mounted", timeout=240)
            vm.guest.wait_up(240)
            assert vm.run("readlink -f $(findmnt -no SOURCE /)") == vm.run(f"readlink -f {stack.root}")
            assert list(active(vm)) == ["root"]
            chain = vm.run(f"lsblk -nslpo NAME {stack.root}").split()
            assert chain.index("/dev/mapper/root") < chain.index(main.dev)


def stack_files(system, kind):
    """What the system's configuration says of the stack."""
    if "luks" not in kind or system.generator != "initramfs-tools":
        return {}
    return {"/etc/crypttab": f"crypt UUID={LUKS} none luks,initramfs\n",
            "/etc/cryptsetup-initramfs/conf-hook": "CRYPTSETUP=y\n"}
