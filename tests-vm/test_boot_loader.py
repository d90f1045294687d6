# SPDX-License-Identifier: GPL-2.0
"""A machine on a set starts by its own boot loader, and gets its next kernel, all as Debian does that."""

import pytest

from harness.adopted import CONFIG, MAIN, SPARE
from harness.debian import CLOUD, PACKAGES, STOCK, debian, kernel
from harness.disk import Disk
from harness.kernels import module
from harness.machine import APPEND, Machine
from harness.products import with_dm_remap
from harness.root import (ROOT_PARTUUID, ROOT_UUID, boot_lane, dracut, initramfs_tools,
                          lean_initramfs_tools, root_image)

GRUB = ("grub-pc-bin", "grub-efi-amd64-bin", "grub2-common", "dosfstools")
# Without a place in the firmware's variables, which this machine's UEFI forgets.
INSTALL = {"bios": "grub-install --target=i386-pc {0}",
           "uefi": "mkfs.vfat {0}3 > /dev/null && mkdir /boot/efi && mount {0}3 /boot/efi &&"
                   " grub-install --target=x86_64-efi --removable --no-nvram"}
DEFAULT = f"""
GRUB_TIMEOUT=0
GRUB_TERMINAL=serial
GRUB_DISABLE_OS_PROBER=true
GRUB_CMDLINE_LINUX="{APPEND} init=/usr/sbin/lean-init"
"""
OTHERS = {"initramfs-tools": "dracut-core", "dracut": "initramfs-tools"}
MAKE = {"initramfs-tools": "update-initramfs -c -k all", "dracut": "dracut --quiet --regenerate-all --force"}


def assert_root_is_the_set(vm, flavour):
    assert vm.run("findmnt -no SOURCE /") == "/dev/mapper/root\n"
    assert vm.run("uname -r").strip().split("-", 2)[2] == flavour
    assert "BOOT_IMAGE=" in vm.run("cat /proc/cmdline")


@pytest.mark.thorough
@pytest.mark.parametrize("firmware", INSTALL)
@pytest.mark.parametrize("generator", OTHERS)
def test_a_kernel_upgrade_leaves_a_machine_that_boots(generator, firmware):
    stock = kernel("bookworm", STOCK)
    packages = [package for package in PACKAGES if package != OTHERS[generator]]
    if generator == "dracut":
        packages.append("dracut")
    system = debian(packages=(*packages, *GRUB), to_install=STOCK)
    tree = with_dm_remap(system).overlay({
        "/opt/dm-remap.ko": module(stock), "/etc/default/grub": DEFAULT, **lean_initramfs_tools()})
    plain = dracut(tree) if generator == "dracut" else initramfs_tools(tree)
    with Disk.copy_of(root_image(tree, "3G", boot_loader=True), **MAIN) as disk, Disk("64M", **SPARE) as spare:
        with Machine(boot_lane(tree, plain), [disk, spare], memory=1024) as vm:
            vm.boot()
            uuid = vm.run(f"dmremap create root --main {disk.dev}1 --spare {spare.dev}").strip()
            vm.put(CONFIG, f"set {uuid} name=root main=partuuid:{ROOT_PARTUUID} spare=serial:SPARE\n")
            vm.run(f"{INSTALL[firmware].format(disk.dev)} && {MAKE[generator]} && update-grub", timeout=900)
            vm.shutdown()
        with Machine(None, [disk, spare], memory=1024, uefi=firmware == "uefi") as vm:
            vm.boot()
            assert_root_is_the_set(vm, CLOUD)
            vm.run("cat >> /etc/default/grub", stdin=(
                f'GRUB_DEFAULT="gnulinux-advanced-{ROOT_UUID}>'
                f'gnulinux-{stock.release}-advanced-{ROOT_UUID}"\n').encode())
            # as DKMS would
            vm.run(f"install -D -t /lib/modules/{stock.release}/updates /opt/dm-remap.ko")
            said = vm.run("dpkg -i /opt/*.deb 2>&1", timeout=1800)
            assert "dm-remap" not in said  # nothing to be warned of
            vm.reboot()
            assert_root_is_the_set(vm, STOCK)
