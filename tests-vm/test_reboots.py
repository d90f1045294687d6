# SPDX-License-Identifier: GPL-2.0
"""One machine, rebooted again and again, its metadata damaged before each boot."""

import json
from random import Random

from harness.adopted import Adopted
from harness.assembler import examine
from harness.copies import Copies
from harness.early import System

MOVES = 3  # ranges moved in each boot, so that the table grows


def damage(copies, random):
    """Up to four of the five instances of each block."""
    for block in copies[0].blocks:
        for number in random.sample(range(len(copies)), random.randrange(5)):
            copies[number].corrupt(random.choice(["zero", "random", "flip"]), random.random(), block)


def test_nothing_is_lost_however_often_it_boots(seed, reboots):
    """And each boot activates the set once, and says so."""
    random = Random(seed)
    sums = ""
    with Adopted(System("trixie", "initramfs-tools")) as adopted, adopted.machine() as vm:
        for boot in range(reboots):
            damage(Copies.of(adopted.spare), random)
            vm.boot()
            assert vm.run("findmnt -no SOURCE /") == "/dev/mapper/root\n"
            log = [json.loads(line) for line in vm.run("cat /run/dm-remap/activation.jsonl").splitlines()]
            assert [entry["name"] for entry in log if entry["activated"]] == ["root"]
            assert vm.run("dmesg | grep -c 'dmremap: root: activated'") == "1\n"
            assert "5 of 5 valid" in vm.run("dmremap status")
            vm.run("! test -d /kept || sha256sum --check --strict --quiet", stdin=sums.encode())
            vm.run(f"mkdir -p /kept; head -c {random.randrange(1, 1 << 18)} /dev/urandom > /kept/{boot}; sync")
            sums += vm.run(f"sha256sum /kept/{boot}")
            size = int(vm.run("blockdev --getsz /dev/mapper/root"))
            for _ in range(MOVES):
                vm.run(f"dmremap remap root {random.randrange(size // 8 - 4) * 8} {8 * random.randrange(1, 4)}")
            vm.shutdown()
        assert examine(adopted.spare.path)["valid_copies"] == 5
        assert len(sums.splitlines()) == reboots
