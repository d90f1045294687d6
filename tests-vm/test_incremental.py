# SPDX-License-Identifier: GPL-2.0
"""`dmremap incremental`, which udev calls for each device: a set is activated with the last of its members."""

import json
from random import Random

import pytest

from harness.assembler import examine
from harness.disk import copy_sparse
from harness.hotplug import active, take_away


def came(vm, disk):
    """A disk is plugged in, and dmremap told, by a link; what it said and how it ended."""
    vm.plug(disk)
    return vm.run(f"ln -sf {vm.device_of(disk)} /run/link; dmremap incremental /run/link", check=False)


def went(vm, disk, environment=""):
    """The same, and dmremap is told."""
    dev = take_away(vm, disk)
    return dev, vm.run(f"{environment} dmremap incremental {dev} 2>&1")


@pytest.fixture
def pair(boot, new_disk):
    """A guest, and main and spare of a set, which are not plugged in."""
    main, spare = new_disk("64M", "virtio", serial="MAIN"), new_disk("16M", "virtio", serial="SPARE")
    vm = boot(main, spare)
    vm.run(f"dmremap create home --main {main.dev} --spare {spare.dev}")
    for disk in main, spare:
        take_away(vm, disk)
    yield vm, main, spare
    vm.run("dmremap stop --all")


@pytest.mark.parametrize("first", ["main", "spare"])
def test_whichever_comes_first_the_other_completes_the_set(pair, first):
    vm, main, spare = pair
    one, other = (main, spare) if first == "main" else (spare, main)
    assert came(vm, one).status == 0
    assert not active(vm)
    done = came(vm, other)
    assert done.status == 0 and "home: activated: " in done.stdout
    assert list(active(vm)) == ["home"]
    for disk in main, spare:
        assert not vm.run(f"dmremap incremental {vm.device_of(disk)}")
    decisions = [found["decision"] for found in json.loads(vm.run("dmremap log --json"))["decisions"]]
    assert decisions == (["activate"] if first == "main" else ["missing", "activate"])


def test_a_clone_does_not_complete_a_set_though_it_is_named(pair, new_disk):
    """Nobody looks on. Whoever types it may say so."""
    vm, main, spare = pair
    uuid = examine(spare.path)["uuid"]
    clone = new_disk("16M", "virtio", serial="CLONE")
    copy_sparse(spare.path, clone.path)
    vm.put("/etc/dm-remap.conf", f"set {uuid} main=serial:MAIN\n")
    came(vm, main)
    done = came(vm, clone)
    assert done.status == 4 and "which may be a clone of it" in done.stdout + done.stderr
    assert not active(vm)
    vm.run("dmremap assemble home")
    assert list(active(vm)) == ["home"]


def test_a_spare_that_has_gone_is_forgotten(pair):
    """And the main that comes then is nobody's."""
    vm, main, spare = pair
    came(vm, spare)
    dev, said = went(vm, spare)
    assert said.endswith(f": its spare {dev} is gone\n") and said.strip() in vm.run("dmesg")
    assert came(vm, main).stdout == ""
    assert not active(vm)
    assert came(vm, spare).status == 0
    assert list(active(vm)) == ["home"]


def test_a_member_of_an_active_set_that_has_gone_is_told(pair):
    vm, main, spare = pair
    came(vm, main)
    came(vm, spare)
    major, minor = vm.run(f"cat /sys/class/block/{vm.device_of(spare)[5:]}/dev").split(":")
    dev, said = went(vm, spare, f"MAJOR={major} MINOR={minor.strip()}")
    assert said == f"dmremap: home: its spare {dev} is gone\n"
    assert said.strip() in vm.run("dmesg")


def test_a_clone_that_comes_with_its_like_is_not_used(pair, new_disk):
    """Of two spares the one on the disk that was recorded stands, in whichever order they come."""
    vm, main, spare = pair
    clone = new_disk("16M", "virtio", serial="CLONE")
    clone.path.write_bytes(spare.path.read_bytes())
    assert came(vm, clone).status == 4
    assert came(vm, main).status == 4
    assert not active(vm)
    came(vm, spare)
    assert active(vm)["home"]["spare"] == vm.device_of(spare)


@pytest.mark.parametrize("seed", [1, 2])
def test_many_disks_in_any_order_told_at_once(boot, new_disk, seed):
    """As udev's workers do, each for a device of its own."""
    random = Random(seed)
    print(f"seed {seed}")
    pairs = [(new_disk("8M", serial=f"MAIN{n}"), new_disk("2M", serial=f"SPARE{n}"))
             for n in range(5)]
    others = [new_disk("8M", serial=f"OTHER{n}") for n in range(5)]
    disks = [disk for pair in pairs for disk in pair] + others
    vm = boot(*disks)
    for number, (main, spare) in enumerate(pairs):
        vm.run(f"dmremap create set{number} --main {main.dev} --spare {spare.dev}")
    random.shuffle(disks)
    told = " ".join(disk.dev for disk in disks)
    vm.run(f"for disk in {told} {told}; do dmremap incremental $disk & done; wait", timeout=120)
    found = {name: (one["main"], one["spare"]) for name, one in active(vm).items()}
    assert found == {f"set{number}": (main.dev, spare.dev)
                     for number, (main, spare) in enumerate(pairs)}
    log = json.loads(vm.run("dmremap log --json"))["decisions"]
    assert sum(entry["activated"] for entry in log) == len(pairs)
    vm.run("dmremap stop --all")
