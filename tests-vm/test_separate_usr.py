# SPDX-License-Identifier: GPL-2.0
"""/usr is a file system of its own, on a set of its own: the initramfs mounts it, and never its bare main."""

import pytest

from harness.adopted import Adopted
from harness.disk import Disk
from harness.hotplug import active

USR = "5c0ffee0-0000-4000-8000-0000000000ee"
MOVE = f"""
export DM_DISABLE_UDEV=1
dmremap assemble usr
mkfs.ext4 -q -U {USR} /dev/mapper/usr
mount /dev/mapper/usr /mnt
cp -ax /usr/. /mnt
echo UUID={USR} /usr ext4 $options 0 2 >> /etc/fstab
mount --move /mnt /usr
mount --bind / /mnt
find /mnt/usr -mindepth 1 -delete
umount /mnt
"""


@pytest.mark.thorough
def test_usr_is_mounted_from_its_set(any_system):
    with Adopted(any_system) as adopted, Disk("1G", serial="USR") as main, Disk("64M", serial="USRSPARE") as spare:
        disks = [adopted.disk, adopted.spare, main, spare]
        with adopted.machine(disks=disks) as vm:
            vm.boot()
            uuid = vm.run(f"dmremap create usr --main {main.dev} --spare {spare.dev}").strip()
            # Without it systemd would look a minute and a half for what is not to be found. Where it isn't
            # there busybox may mount /usr, which takes the option for the file system's.
            options = "x-systemd.device-timeout=5" if any_system.generator == "dracut-systemd" else "defaults"
            vm.run(f"set -e; options={options}; {MOVE}", timeout=600)
            vm.shutdown()
        config = f"{adopted.config}set {uuid} name=usr main=serial:USR spare=serial:USRSPARE\n"
        with adopted.machine(disks=disks, config=config) as vm:
            vm.boot()
            assert vm.run("readlink -f $(findmnt -no SOURCE /usr)") == vm.run("readlink -f /dev/mapper/usr")
            assert sorted(active(vm)) == ["root", "usr"]
            vm.shutdown()
        with adopted.machine("rd.dmremap.timeout=3", disks=disks[:3], config=config) as vm:
            vm.start()
            vm.console.expect("usr: missing: its spare is not there", 240)
            adopted.system.enter_shell(vm.console)
        # the command line leaves its set out
        with adopted.machine(f"rd.dmremap.uuid={adopted.uuid}", disks=disks, config=config) as vm:
            vm.start()
            if any_system.generator == "initramfs-tools":
                vm.console.expect("/usr/ is mounted from the main of a set that is not active", 240)
            adopted.system.enter_shell(vm.console)
            # initramfs-tools asks nobody before it has been mounted, read-only
            mounted = {"", "/usr"} if any_system.generator == "initramfs-tools" else {""}
            assert adopted.system.mounted(vm.console) == mounted
            if any_system.generator == "initramfs-tools":
                vm.console.send(f"umount /root/usr; dmremap assemble {uuid}; mount -r /dev/mapper/usr /root/usr; exit")
                vm.guest.wait_up(240)
                assert vm.run("findmnt -no SOURCE /usr") == "/dev/mapper/usr\n"
