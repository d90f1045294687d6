# SPDX-License-Identifier: GPL-2.0
"""Looking at all devices at once: one that hangs, or that none can be read from, holds up nobody."""

import json
import time

from harness.hotplug import active
from harness.patience import deadline
from harness.remap import Mapped, slow

NEVER = 3_600_000  # milliseconds
PATIENCE = 30  # seconds, as in assembler/inventory.h


def test_a_disk_that_hangs_holds_up_nobody(boot, new_disk):
    """Longer than it takes to give it up; nothing is left that waits for it but what it holds."""
    main, spare, stuck = new_disk("64M", serial="MAIN"), new_disk("16M"), new_disk("64M")
    vm = boot(main, spare, stuck)
    vm.run(f"dmremap create home --main {main.dev} --spare {spare.dev}")
    with slow(vm, "stuck", stuck, NEVER) as hanging:
        began, end = time.monotonic(), deadline(2 * PATIENCE)
        done = vm.run("dmremap assemble home | cat", check=False, timeout=2 * PATIENCE)
        assert began + PATIENCE <= time.monotonic() < end
        assert done.status == 0 and "activated" in done.stdout
        (said,) = [line for line in done.stderr.splitlines() if "does not answer" in line]
        node = vm.run(f"dmsetup info -c --noheadings -o blkdevname {hanging.name}").strip()
        assert said.endswith(f"/dev/{node} does not answer; it is left out")
        assert "dm-remap/lock" not in vm.run("ls -l /proc/[0-9]*/fd", check=False).stdout
        vm.run("dmremap stop home")
        hanging.becomes(f"0 131072 linear {stuck.dev} 0")
        vm.wait_for(f"dmsetup info -c --noheadings -o open {hanging.name} | grep -w 0")


def test_nor_several_sets_whose_members_come_at_once(boot, new_disk):
    """Each event waits for it, and none of them for the others that do."""
    stuck = new_disk("64M")
    pairs = [(new_disk("8M", serial=f"MAIN{n}"), new_disk("2M", serial=f"SPARE{n}"))
             for n in range(4)]
    members = [disk for pair in pairs for disk in pair]
    vm = boot(stuck, *members)
    for number, (main, spare) in enumerate(pairs):
        vm.run(f"dmremap create set{number} --main {main.dev} --spare {spare.dev}")
    for disk in members[1::2]:
        vm.run(f"dmremap incremental --activate none {disk.dev}")
    with slow(vm, "stuck", stuck, NEVER) as hanging:
        vm.run(f"for disk in {' '.join(disk.dev for disk in members[::2])}; do"
               " dmremap incremental $disk & done; wait", timeout=2 * PATIENCE)
        assert len(active(vm)) == len(pairs)
        vm.run("dmremap stop --all")
        hanging.becomes(f"0 131072 linear {stuck.dev} 0")
        vm.wait_for(f"dmsetup info -c --noheadings -o open {hanging.name} | grep -w 0")


def test_what_no_member_can_be_on_is_passed_over(boot, new_disk):
    """A suspended device would keep whoever reads it waiting until it is resumed."""
    main, spare, other = new_disk("64M", serial="MAIN"), new_disk("16M"), new_disk("64M")
    vm = boot(main, spare, other)
    vm.run(f"dmremap create home --main {main.dev} --spare {spare.dev}")
    vm.run("dmremap assemble home")
    with Mapped(vm, "other", f"0 131072 linear {other.dev} 0") as frozen:
        frozen.freeze()
        done = vm.run("dmremap scan -v --json", check=False)
        frozen.thaw()
    assert done.status == 0 and len(json.loads(done.stdout)["sets"]) == 1
    passed = [line.split(" is passed over: ")[1] for line in done.stderr.splitlines()
              if " is passed over: " in line]
    assert {"the device of a set", "suspended"} <= set(passed)
    vm.run("dmremap stop home")
