# SPDX-License-Identifier: GPL-2.0
"""The whole of systemd, and sets that other file systems than the root are on: dm-remap is in the real root only."""

import pytest

from harness.machine import Machine
from harness.root import boot_lane, dracut
from harness.udev import start_udev

HOME = "5c0ffee0-0000-4000-8000-0000000000aa"
SRV = "5c0ffee0-0000-4000-8000-0000000000bb"
# An emulated machine may take longer than the 90 s that systemd waits for a device.
OPTIONS = "defaults,x-systemd.device-timeout=300"
FSTAB = f"UUID={HOME} /home ext4 {OPTIONS} 0 2\n/dev/mapper/srv /srv ext4 {OPTIONS} 0 2\n"


@pytest.mark.parametrize("named", [pytest.param(True, marks=pytest.mark.thorough), False], ids=["named", "unnamed"])
def test_file_systems_on_sets_are_mounted_and_these_stopped(root_tree, root, new_disk, named):
    """
    What the hardware vouches for udev activates, the rest waits for the boot service.

    Where nobody has named them nothing is checked or mounted before that: it could be a bare main.
    """
    home = new_disk("64M", serial="MAIN"), new_disk("16M", serial="SPARE")
    srv = new_disk("64M", "virtio", serial="OTHER"), new_disk("16M")
    boot = boot_lane(root_tree, dracut(root_tree, systemd=False))
    with Machine(boot, [root, *home, *srv]) as vm:
        vm.boot()
        start_udev(vm)
        for name, uuid, (main, spare) in (("home", HOME, home), ("srv", SRV, srv)):
            vm.run(f"echo start=2048 | sfdisk -q --label gpt {main.dev}; udevadm settle;"
                   f" mkfs.ext4 -q -U {uuid} {main.dev}1;"
                   f" dmremap create {name} --main {main.dev}1 --spare {spare.dev}")
        vm.put("/etc/fstab", FSTAB)
        if named:
            vm.run("dmremap assemble --all; dmremap config > /etc/dm-remap.conf; dmremap stop --all")
            # another partition table, so that it could be another partition, for all that anybody knows
            vm.run(f"sfdisk -q --disk-id {srv[0].dev} 5c0ffee0-0000-4000-8000-0000000000cc")
        vm.shutdown()
    with Machine(boot_lane(root_tree, boot.initrd, lean=False), [root, *home, *srv]) as vm:
        vm.boot()
        states = vm.run("systemctl show -P ActiveState dm-remap-boot dm-remap-boot-unnamed").split()
        assert states == (["active", "inactive"] if named else ["inactive", "active"])
        assert vm.run("systemctl is-system-running --wait", timeout=240) == "running\n"
        for name in "home", "srv":
            assert vm.run(f"findmnt -no SOURCE /{name}") == f"/dev/mapper/{name}\n"
        vm.shutdown()
        assert "Stopped dm-remap-stop.service" in vm.console.text
        assert "Detaching DM /dev/" not in vm.console.text
