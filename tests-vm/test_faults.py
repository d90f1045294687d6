# SPDX-License-Identifier: GPL-2.0
"""
Memory and metadata I/O that fail, on the debug kernel (make check-debug): everything ends with an
error or as if nothing had been, nothing leaks, and no acknowledged write is lost.
"""

from random import Random

import pytest

from harness import sectors
from harness.assembler import dmremap
from harness.faults import ALLOCATIONS, REQUESTS, Faults
from harness.oracle import Oracle
from harness.remap import Remap, slow

pytestmark = pytest.mark.faults

MOVED = range(100, 164)
WRITTEN = range(0, 1024)
CHANGES = 12  # of the device, while it is in use

# What is made ready before, the ioctl, and how it is all made as it was before. The others, such
# as a suspend, a removal or a status, allocate nothing and send nothing of their own.
CREATE = "dmsetup create r0 --table '{table}'"
RELOAD = "dmsetup load r0 --table '{table}' && dmsetup suspend r0"
BLANK = "dd if=/dev/zero of={spare} bs=1M count=1 oflag=direct conv=fsync status=none"
IOCTLS = {
    "load": (CREATE, "load remap {length} '{main} {spare}'", ""),
    "resume": (f"{CREATE} && {RELOAD}", "resume",
               "dmsetup resume r0 && dmsetup status r0 | grep -q ' 64/' && " + RELOAD),
    "move": (CREATE, "message 'remap 200 8'", ""),
    "save": (CREATE, "message save", ""),
    "restore": (CREATE, "message restore", ""),
    "repair": (CREATE, "message repair", ""),
    "first resume": (f"{CREATE} && {RELOAD} && {BLANK}", "resume",
                     f"dmsetup resume r0 && dmsetup status r0 | grep -q ' rw ' && {RELOAD} && {BLANK}"),
}


def meet_failures(fault, ioctl, names):
    before, command, undo = (text.format(**names) for text in IOCTLS[ioctl])
    fault.vm.run(before)
    places, survived = fault.every("r0", undo, command)
    print(f"{ioctl}: {places} places, {survived} survived")
    assert places
    fault.vm.run("dmsetup remove r0")


def test_ioctls_that_meet_a_failure(boot, new_disk):
    """At each place where one may: it ends with an error, or did it all, and can be repeated."""
    main, spare = new_disk("4M"), new_disk("1M")
    vm = boot(main, spare)
    fault = Faults(vm)
    with Remap(vm, main, spare) as dev:
        sectors.write(dev, WRITTEN, depth=64)
        dev.message(f"remap {MOVED.start} {len(MOVED)}")
    names = {"table": dev.table, "main": main.dev, "spare": spare.dev, "length": 8192}
    fault.of_requests_to(spare)
    for ioctl in IOCTLS:
        if ioctl == "first resume":
            fault.of_requests_to(spare, fail=False)
            with Remap(vm, main, spare):
                assert sectors.read(dev, WRITTEN, depth=64) == {}
                assert dev.status().mode == "rw"
            fault.of_requests_to(spare)
        meet_failures(fault, ioctl, names)


def change(dev, random):
    """Something that is done to a device in use; it may fail."""
    sector = random.randrange(0, 16384 - 64)
    return dev.vm.run(random.choice([
        f"dmsetup message r0 0 remap {sector} {random.choice((1, 8, 64))}",
        "dmsetup message r0 0 save",
        "dmsetup suspend r0",
        f"dmsetup load r0 --table '{dev.table}' && dmsetup suspend r0"]), check=False)


def resume(dev):
    """A resume that failed can be repeated."""
    dev.vm.run("for try in $(seq 100); do dmsetup resume r0 && exit; done; exit 1")


def hard_times(dev, random, **options):
    """Random I/O, and whatever else is done to a device, over a main that has bad sectors."""
    oracle = Oracle(random.getrandbits(32), "8M", 100, **options)
    oracle.start(dev.vm, dev.dev)
    ended = [0, 0]
    for _ in range(CHANGES):
        ended[change(dev, random).status != 0] += 1
        resume(dev)
    print("{} changes succeeded, {} failed".format(*ended))
    oracle.stop()
    return oracle


@pytest.fixture
def random(seed):
    return Random(seed)


@pytest.fixture
def worn_out(boot, new_disk, random):
    """A machine with a main that has many bad sectors, and a spare."""
    main, spare = new_disk("8M"), new_disk("16M")
    for _ in range(40):
        main.bad_sectors(random.randrange(16384 - 8), random.choice((1, 1, 2, 8)), on="write")
    return boot(main, spare), main, spare


@pytest.mark.parametrize("percent", [1, 5])
def test_memory_that_is_short_while_sectors_move(worn_out, random, percent):
    vm, main, spare = worn_out
    fault = Faults(vm)
    with Remap(vm, main, spare) as dev:
        with fault.on(ALLOCATIONS, percent):
            oracle = hard_times(dev, random)
        failures = oracle.ended()
        print(f"{oracle.summary}; {len(failures)} failed; {dev.status()}")
        assert oracle.verify(vm, dev.dev) == ""
        # Memory comes back: no reason to give up on the spare.
        assert dev.status().mode == "rw"
        assert dev.status().remapped
    assert dmremap("check", spare.path).returncode == 0
    with Remap(vm, main, spare) as dev:
        assert oracle.verify(vm, dev.dev) == ""


@pytest.mark.parametrize("percent", [1, 10])
def test_a_spare_that_fails_now_and_then(worn_out, random, percent):
    vm, main, spare = worn_out
    fault = Faults(vm)
    with Remap(vm, main, spare) as dev:
        fault.of_requests_to(spare)
        with fault.on(REQUESTS, percent):
            # A commit that failed may come about with a table that is loaded later.
            oracle = hard_times(dev, random, unsettled=True)
        failures = oracle.ended()
        print(f"{oracle.summary}; {len(failures)} failed; {dev.status()}")
        assert oracle.verify(vm, dev.dev) == ""
    assert dmremap("check", spare.path).returncode in (0, 1)
    with Remap(vm, main, spare) as dev:
        assert oracle.verify(vm, dev.dev) == ""
        assert dev.status().mode == "rw"


def test_memory_that_is_short_while_a_set_moves_to_another_spare(boot, new_disk, random):
    """Whatever could not be copied for the moment is copied later, and not left out."""
    main, old, new = new_disk("8M"), new_disk("8M"), new_disk("8M")
    vm = boot(main, old, new)
    fault = Faults(vm)
    moved = sorted(random.sample(range(0, 16384, 2), 500))
    with slow(vm, "slow", new) as below, Remap(vm, main, old) as dev:
        for i in range(0, len(moved), 25):
            dev.message("remap " + " ".join(f"{sector} 1" for sector in moved[i:i + 25]))
        assert not sectors.write(dev, moved, depth=64)
        dev.message(f"migrate {below.dev}")
        with fault.on(ALLOCATIONS, 5):
            vm.wait_for("! dmsetup message r0 0 metadata_status | grep '^migration ' && echo ended", timeout=120)
        assert f"moved from {old.dev[5:]}" in vm.run("dmesg")
        assert not sectors.read(dev, moved, depth=64)
        assert dev.status().remapped == len(moved)
