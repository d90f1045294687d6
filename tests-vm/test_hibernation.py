# SPDX-License-Identifier: GPL-2.0
"""A system whose root and swap are on sets sleeps on that swap, and wakes up again from its initramfs."""

import pytest

from harness.adopted import Adopted
from harness.copies import Copies
from harness.disk import Disk
from harness.hotplug import active

BARE = "/dev/vdb"
SWAP = "5c0ffee0-0000-4000-8000-0000000000dd"


def moved(vm):
    return {name: found["remapped_sectors"] for name, found in active(vm).items()}


@pytest.mark.parametrize("resume", [f"UUID={SWAP}", pytest.param(BARE, marks=pytest.mark.thorough)],
                         ids=["uuid", "bare-main"])
def test_a_system_wakes_up_on_its_sets(any_system, resume):
    """
    They were activated by the initramfs meanwhile, and the kernel that wakes up knows nothing of that,
    nor that a copy was mended which it could not write.
    """
    with Adopted(any_system) as adopted, Disk("1G", bus="virtio", serial="SWAP") as main, \
            Disk("64M", serial="SWAPSPARE") as spare:
        disks = [adopted.disk, adopted.spare, main, spare]
        with adopted.machine(disks=disks) as vm:
            vm.boot()
            uuid = vm.run(f"dmremap create swap --main {main.dev} --spare {spare.dev}").strip()
            vm.run(f"dmremap assemble swap; mkswap -q -U {SWAP} /dev/mapper/swap")
            vm.shutdown()
        config = f"{adopted.config}set {uuid} name=swap main=serial:SWAP spare=serial:SWAPSPARE\n"
        with adopted.machine(f"resume={resume}", disks=disks, config=config) as vm:
            vm.boot()
            adopted.spare.bad_sectors(Copies.of(adopted.spare)[3].offset // 512, 8)
            vm.run("swapon /dev/mapper/swap; echo awake > /run/memory; dmremap remap root 4096 8;"
                   "dmremap remap swap 1024 8; echo shutdown > /sys/power/disk")
            vm.run("(sleep 1; echo disk > /sys/power/state) > /dev/null 2>&1 < /dev/null &")
            vm.wait_exit()
            adopted.spare.heal()
            vm.start()
            vm.console.expect("PM: hibernation: Image restored successfully|PM: Image restored successfully"
                              "|PM: hibernation: hibernation exit", 240)
            assert vm.run("cat /run/memory", timeout=240) == "awake\n"
            vm.run("dmremap remap root 8192 8; dmremap remap swap 2048 8; echo kept > /kept; sync")
            assert {name: found["valid_copies"] for name, found in active(vm).items()} == {"root": 4, "swap": 5}
            before = moved(vm)
            vm.shutdown()
            vm.boot()
            assert vm.run("cat /kept") == "kept\n"
            assert moved(vm) == before
            assert active(vm)["root"]["valid_copies"] == 5
            assert "swap" in vm.run("blkid -o value -s TYPE /dev/mapper/swap")
            vm.shutdown()
        if resume == BARE:
            # the command line has no use for the set, so it is not active
            options = f"resume={resume} rd.dmremap.uuid={adopted.uuid}"
            with adopted.machine(options, disks=disks, config=config) as vm:
                vm.boot()
                assert f"resume={BARE} is left out" in vm.console.text
