# SPDX-License-Identifier: GPL-2.0
"""`dmremap monitor`: what happens to a set is said once, at once, and to a program as well."""

import pytest

from harness import sectors
from harness.copies import Copies
from harness.remap import Remap, slow

PROGRAM = "/tmp/told"
TOLD = "/tmp/told.log"


@pytest.fixture
def vm_and_disks(boot, new_disk):
    main, spare = new_disk("8M"), new_disk("8M")
    vm = boot(main, spare)
    vm.put(PROGRAM, f"""#!/bin/sh
echo "$1 $2|$DMREMAP_EVENT|$DMREMAP_DEVICE|$DMREMAP_MAIN|$DMREMAP_SPARE|$DMREMAP_HEALTH|$DMREMAP_MODE\
|$DMREMAP_VALID_COPIES|$DMREMAP_MESSAGE" >> {TOLD}
""")
    vm.run(f"chmod +x {PROGRAM}; : > {TOLD}; dmremap create home --main {main.dev} --spare {spare.dev}"
           " && dmremap assemble home")
    return vm, main, spare


def told(vm):
    """What the program was told: a list of fields for each event."""
    return [line.split("|") for line in vm.run(f"cat {TOLD}").splitlines()]


def test_what_happens_to_a_set(vm_and_disks):
    vm, main, spare = vm_and_disks
    dev = Remap(vm, main, spare, name="home")
    # Far less often than the test may take: it is told of events, and need not look.
    monitor = vm.spawn(f"echo $$ > /tmp/pid; exec dmremap monitor --program {PROGRAM} --interval 3600 --test")
    vm.wait_for(f"grep '^test home' {TOLD}")

    bad = {"lba": Copies.of(spare)[1].offset // 512, "count": 8}
    spare.bad_sectors(**bad)
    dev.message("remap 8 1")
    vm.wait_for(f"grep '^copies home' {TOLD}")
    spare.heal()
    vm.run("dmremap repair home", check=False)
    vm.wait_for(f"grep '^repair home' {TOLD}")
    main.bad_sectors(100, on="read")
    assert list(sectors.read(dev, [100], version=None)) == [100]
    vm.wait_for(f"grep '^pending home' {TOLD}")
    vm.run("dmremap stop home")
    vm.wait_for(f"grep '^gone home' {TOLD}")
    vm.run("dmremap assemble home")
    vm.wait_for(f"grep '^active home' {TOLD}")

    events = {}
    for (who, event, *facts) in told(vm):
        assert who == f"{event} home"
        events.setdefault(event, facts)
    assert {"test", "health", "copies", "repair", "moved", "pending", "gone", "active"} == set(events)
    assert events["test"][:-1] == ["/dev/mapper/home", main.dev, spare.dev, "ok", "rw", "5"]
    assert events["copies"][:-1] == ["/dev/mapper/home", main.dev, spare.dev, "degraded", "rw", "4"]
    assert events["copies"][-1] == "home 4 of 5 copies of its metadata are valid, 5 before"
    vm.run("kill $(cat /tmp/pid)")
    said = monitor.wait().stdout.splitlines()
    assert "copies: home 4 of 5 copies of its metadata are valid, 5 before" in said


def test_a_set_that_takes_long_to_be_made_is_seen(vm_and_disks):
    """There is no event for a device's first table."""
    vm, *_ = vm_and_disks
    table = vm.run("dmsetup table home").strip()
    uuid = vm.run("dmsetup info -c --noheadings -o uuid home").strip()
    monitor = vm.spawn(f"echo $$ > /tmp/pid; exec dmremap monitor --program {PROGRAM} --interval 3600 --test")
    vm.wait_for(f"grep '^test home' {TOLD}")
    vm.run("dmremap stop home")
    vm.wait_for(f"grep '^gone home' {TOLD}")
    vm.run(f"dmsetup create home --notable --uuid {uuid}")
    vm.run(f"dmsetup info home; dmsetup load home --table '{table}'; dmsetup resume home")
    vm.wait_for(f"grep '^active home' {TOLD}")
    vm.run("kill $(cat /tmp/pid)")
    monitor.wait()


def test_another_spare(boot, new_disk):
    main, old, new = new_disk("8M"), new_disk("8M"), new_disk("8M")
    vm = boot(main, old, new)
    vm.run(f"dmremap create home --main {main.dev} --spare {old.dev} && dmremap assemble home")
    monitor = vm.spawn("echo $$ > /tmp/pid; exec dmremap monitor --interval 3600 --test > /tmp/said")
    vm.wait_for("grep ^test: /tmp/said")
    vm.run("dmsetup message home 0 remap " + " ".join(f"{sector} 1" for sector in range(0, 8192, 256)))
    with slow(vm, "slow", new, delay=50) as below:
        vm.spawn(f"dmremap migrate home {below.dev}")
        vm.wait_for("grep ^migration: /tmp/said")
        vm.run("dmremap migrate home --cancel")
        vm.wait_for("grep 'cancel' /tmp/said", timeout=60)
    vm.run(f"dmremap migrate home {new.dev}")
    vm.wait_for("grep ^spare: /tmp/said")
    vm.run("kill $(cat /tmp/pid)")
    monitor.wait()
    said = [line for line in vm.run("cat /tmp/said").splitlines() if line.startswith(("migration", "spare"))]
    assert said[0] == "migration: home is being moved to the spare /dev/dm-1"
    assert said[1] == "migration: home was not moved to the spare /dev/dm-1: Operation canceled"
    assert said[-1].startswith(f"spare: home has the spare {new.dev} now, and not {old.dev} any more")
    # it may have been over before anybody looked
    assert said[2:-1] in ([], [f"migration: home is being moved to the spare {new.dev}"])


def test_a_main_that_is_gone_has_no_name(vm_and_disks):
    vm, main, _ = vm_and_disks
    node = main.dev
    vm.unplug(main)
    vm.wait_for(f"! test -e {node} && echo gone")
    vm.run(f"dmremap monitor --oneshot --test --program {PROGRAM}")
    (_, event, device, name, *_), *_ = told(vm)
    assert (event, device, name) == ("test", "/dev/mapper/home", "")


def test_oneshot_says_what_is_wrong(vm_and_disks):
    vm, main, spare = vm_and_disks
    assert vm.run("dmremap monitor --oneshot") == ""
    spare.bad_sectors(Copies.of(spare)[1].offset // 512, count=8)
    vm.run("dmsetup message home 0 remap 8 1")
    said = vm.run(f"dmremap monitor --oneshot --program {PROGRAM}").splitlines()
    assert [line.split(":")[0] for line in said] == ["health", "copies"]
    assert [fields[1] for fields in told(vm)] == ["health", "copies"]
    assert "degraded" in said[0]


def test_a_program_that_is_not_there(vm_and_disks):
    vm, *_ = vm_and_disks
    result = vm.run("dmremap monitor --oneshot --test --program /no/such", check=False)
    assert result.status == 0
    assert "/no/such" in result.stderr and result.stdout == "test: home is watched; this is a test\n"
