# SPDX-License-Identifier: GPL-2.0
"""Metadata that is damaged beneath a set in use, or on a disk that takes no writes, heals."""

import filecmp
import time
from contextlib import contextmanager
from random import Random

import pytest

from harness import sectors
from harness.assembler import dmremap, examine, main_sectors
from harness.copies import Copies
from harness.errors import CommandFailed
from harness.machine import Machine
from harness.patience import deadline
from harness.remap import Remap, slow
from harness.sectors import AREA, fill
from harness.sysfs import folder

MOVED = range(64, 128, 8)


def moved(dev):
    """A set with some remaps, in use."""
    fill(dev)
    for sector in MOVED:
        dev.message(f"remap {sector} 1")
    return dev


def scrub(dev):
    """Has a scrub done and waits for its end. Returns the status."""
    before = dev.status().scrubs
    dev.message("scrub")
    return dev.wait(lambda now: now.scrubs > before)


@pytest.mark.parametrize("how", ("zero", "random", "flip"))
@pytest.mark.parametrize("damaged", ([2], [0, 1, 3, 4]), ids=("one", "four"))
def test_copies_damaged_beneath_a_set_are_mended_by_a_scrub(boot, new_disk, damaged, how):
    main, spare = new_disk("8M"), new_disk("8M")
    vm = boot(main, spare)
    with Remap(vm, main, spare) as dev:
        moved(dev)
        extents = examine(spare.path)["extents"]
        for number in damaged:
            Copies.of(spare)[number].corrupt(how, seed=number)
        assert dev.status().repairs == 0
        status = scrub(dev)
        assert (status.health, status.valid_copies, status.repairs) == ("ok", "5/5", 1)
        found = examine(spare.path)
        assert (found["verdict"], found["extents"]) == ("clean", extents)
        assert not sectors.read(dev, AREA[::64], unit=64)
        for number in range(5):
            line = f"metadata copy {number}: "
            assert (line in vm.run("dmesg")) == (number in damaged)


def test_all_superblocks_of_a_set_in_use_are_written_anew(boot, new_disk):
    main, spare = new_disk("8M"), new_disk("8M")
    vm = boot(main, spare)
    with Remap(vm, main, spare) as dev:
        moved(dev)
        for copy in Copies.of(spare):
            copy.corrupt("random", block=0)
        status = scrub(dev)
        assert (status.health, status.valid_copies, status.repairs) == ("ok", "5/5", 1)
    assert examine(spare.path)["verdict"] == "clean"
    with Remap(vm, main, spare) as dev:
        assert dev.status().remapped == len(MOVED)
        assert not sectors.read(dev, AREA[::64], unit=64)


def refusing_copy(spare, number):
    """The sectors of a copy that take no writes: its superblock's."""
    return {"lba": Copies.of(spare)[number].offset // 512, "count": 8}


def log_lines(vm, text):
    return [line for line in vm.run("dmesg").splitlines() if text in line]


def failed_writes(vm, place):
    """How many writes of the superblock there have failed, as the disk's driver says."""
    return len([line for line in log_lines(vm, f"sector {place['lba']} ") if "op 0x1:(WRITE)" in line])


def test_a_copy_that_cannot_be_written_is_tried_three_times_and_heals_by_itself(boot, new_disk):
    main, spare = new_disk("8M"), new_disk("8M")
    vm = boot(main, spare)
    with Remap(vm, main, spare, args="4 scrub_interval 1 repair_interval 24") as dev:
        moved(dev)
        bad = refusing_copy(spare, 1)
        spare.bad_sectors(**bad)
        dev.message("remap 500 1")  # the commit meets it
        dev.wait(lambda now: now.valid_copies == "4/5")
        assert dev.status().health == "degraded"
        vm.wait_for("dmsetup message r0 0 metadata_status | grep 'copy 1 degraded'")

        # Scrubs and commits go on, and leave it alone.
        tried, begun = failed_writes(vm, bad), dev.status().scrubs
        assert tried == 1 + 3
        dev.message("remap 600 1")
        dev.wait(lambda now: now.scrubs >= begun + 3)
        assert failed_writes(vm, bad) == tried
        assert len(log_lines(vm, "metadata copy 1 is damaged and cannot be mended")) == 3
        assert dev.status().valid_copies == "4/5"

        spare.heal()
        status = dev.wait(lambda now: now.valid_copies == "5/5", timeout=60)
        assert status.health == "ok"
        dev.message("remap 700 1")
        found = examine(spare.path)
        assert found["verdict"] == "clean"
        assert not sectors.read(dev, AREA[::64], unit=64)


def test_somebody_who_asks_for_a_repair_need_not_wait(boot, new_disk):
    main, spare = new_disk("8M"), new_disk("8M")
    vm = boot(main, spare)
    with Remap(vm, main, spare) as dev:
        moved(dev)
        spare.bad_sectors(**refusing_copy(spare, 3))
        dev.message("remap 500 1")
        with pytest.raises(CommandFailed, match="Input/output error"):
            dev.message("repair")
        assert dev.status().valid_copies == "4/5"
        spare.heal()
        dev.message("repair")
        assert (dev.status().valid_copies, dev.status().repairs) == ("5/5", 1)
        spare.bad_sectors(**refusing_copy(spare, 3))
        dev.message("remap 600 1")
        dev.wait(lambda now: now.valid_copies == "4/5")
        spare.heal()
        dev.set_sysfs("trigger_repair", 1)
        dev.wait(lambda now: now.valid_copies == "5/5")
    assert examine(spare.path)["verdict"] == "clean"


def test_nothing_is_mended_that_nobody_wants_mended(boot, new_disk):
    main, spare = new_disk("8M"), new_disk("8M")
    vm = boot(main, spare)
    with Remap(vm, main, spare) as dev:
        moved(dev)
    with Remap(vm, main, spare, args="1 no_repair") as dev:
        assert dev.sysfs("auto_repair_enabled") == "0"
        Copies.of(spare)[4].corrupt("random", block=1)
        with spare.snapshot() as before:
            assert scrub(dev).valid_copies == "4/5"
            copy = Copies.of(spare)[4]
            assert before.read_at(copy.offset, copy.length) == copy.read()
        dev.set_sysfs("auto_repair_enabled", 1)
        dev.wait(lambda now: now.valid_copies == "5/5")
        assert dev.sysfs("metadata_health") == "5/5 copies valid"
    assert examine(spare.path)["verdict"] == "clean"


def test_a_scrub_finds_replacement_sectors_that_cannot_be_read(boot, new_disk):
    main, spare = new_disk("8M"), new_disk("8M")
    vm = boot(main, spare)
    with Remap(vm, main, spare) as dev:
        moved(dev)
        extent = examine(spare.path)["extents"][3]
        spare.bad_sectors(extent["spare_sector"], on="read", kind="io")
        events = dev.events()
        assert scrub(dev).health == "degraded"
        dev.wait(lambda now: dev.events() > events)
        assert dev.sysfs("unreadable_sectors") == "1"
        (line,) = log_lines(vm, "and cannot be read")
        assert f"sectors {extent['main_sector']}+1" in line
        # Written anew it can be read again.
        spare.heal()
        assert not sectors.write(dev, [extent["main_sector"]], version=2)
        assert scrub(dev).health == "ok"
        assert dev.sysfs("unreadable_sectors") == "0"


def test_scrubs_come_by_themselves(boot, new_disk):
    main, spare = new_disk("8M"), new_disk("8M")
    vm = boot(main, spare)
    with Remap(vm, main, spare) as dev:
        moved(dev)
        assert dev.sysfs("scrub_interval_seconds") == "3600"
        assert "scrub_interval" not in vm.run("dmsetup table r0")
        dev.set_sysfs("scrub_interval_seconds", 1)
        dev.wait(lambda now: now.scrubs >= 3)
        # A reload keeps what was chosen, a reboot what was counted.
        assert "scrub_interval 1" in vm.run("dmsetup table r0")
        vm.run("dmsetup table r0 | dmsetup load r0; dmsetup suspend r0; dmsetup resume r0")
        begun = dev.status().scrubs
        assert begun >= 3
        dev.wait(lambda now: now.scrubs > begun)
        dev.set_sysfs("scrub_interval_seconds", 0)
        begun = dev.wait(lambda now: dev.sysfs("action") == "idle").scrubs
        dev.message("scrub")
        dev.wait(lambda now: now.scrubs == begun + 1)
        for nonsense in ("-1", "x", "99999999999"):
            with pytest.raises(CommandFailed):
                dev.set_sysfs("scrub_interval_seconds", nonsense)
    with Remap(vm, main, spare) as dev:
        assert dev.status().scrubs == begun + 1


@pytest.mark.parametrize("first", ("a move", "another place", "a new spare"))
def test_what_another_kernel_has_mended_is_not_lost_with_the_next_commit(boot, new_disk, first):
    """An initramfs has activated the set while this kernel was hibernated, and a copy was bad."""
    main, spare, new = new_disk("8M"), new_disk("8M"), new_disk("8M")
    vm = boot(main, spare, new)
    with Remap(vm, main, spare) as dev:
        moved(dev)
        spare.bad_sectors(Copies.of(spare)[3].offset // 512, 8)
        dev.message("remap 700 1")
        assert dev.status().valid_copies == "4/5"
        spare.heal()
        with spare.snapshot() as theirs:
            dmremap("repair", theirs.path, check=1)
            theirs.restore()
        if first == "another place":
            [place] = [extent["spare_sector"] for extent in examine(spare.path)["extents"]
                       if extent["main_sector"] == MOVED[0]]
            spare.bad_sectors(place)
            assert not sectors.write(dev, [MOVED[0]], version=2)
        elif first == "a new spare":
            dev.message(f"migrate {new.dev}")
            vm.wait_for("dmsetup status r0 | grep -v migrate", 60)
            spare = new
        # what another cut of the power would leave, here and after the next commit
        assert examine(spare.path)["verdict"] in ("clean", "repairable")
        dev.message("remap 800 1")
        found = examine(spare.path)
        assert found["verdict"] in ("clean", "repairable"), found["reason"]
        assert {700, 800} <= main_sectors(found)


@contextmanager
def shared_with_another(vm, main, spare):
    """
    A set in use that another kernel uses, too, as on a disk that two machines share, and has moved sectors in.

    This one may write nothing more to the spare.
    """
    with Remap(vm, main, spare) as dev:
        moved(dev)
    with spare.snapshot() as before:
        with Remap(vm, main, spare) as dev:
            for sector in range(500, 600, 10):
                dev.message(f"remap {sector} 1")
        with spare.snapshot() as theirs:
            before.restore()
            with Remap(vm, main, spare) as dev:
                theirs.restore()
                yield dev
                assert log_lines(vm, "written by somebody else")
            assert filecmp.cmp(spare.path, theirs.path, shallow=False)


@pytest.mark.parametrize("what", ("remap 700 1", "save"))
def test_nothing_is_committed_over_the_table_of_somebody_else(boot, new_disk, what):
    """Nor is a place given out that is in use there."""
    main, spare = new_disk("8M"), new_disk("8M")
    with shared_with_another(boot(main, spare), main, spare) as dev:
        with pytest.raises(CommandFailed):
            dev.message(what)
        assert dev.status().mode == "failed"


def test_somebody_else_who_writes_the_spare_is_not_written_over(boot, new_disk):
    main, spare = new_disk("8M"), new_disk("8M")
    with shared_with_another(boot(main, spare), main, spare) as dev:
        dev.message("scrub")
        status = dev.wait(lambda now: now.mode == "failed")
        assert status.health == "failing"
        main.bad_sectors(700)
        assert list(sectors.write(dev, [700])) == [700]


MOVES = "for i in 100 200 300 400; do dmsetup message r0 0 remap $i 1 || exit 1; done"


@pytest.mark.parametrize("damaged, moves", [
    (4, "true"), (2, MOVES)], ids=("nothing-moves", "sectors-move"))
@pytest.mark.parametrize("work", ("repair", "scrub"))
def test_power_cuts_at_every_instant_of_a_repair_and_a_scrub(fast_lane, new_disk, seed, tmp_path,
                                                             work, damaged, moves):
    """A commit writes to two copies at once, so it needs a third that is whole."""
    random = Random(seed)
    main, spare = new_disk("8M"), new_disk("8M")
    states = []
    wrong = []

    def judge_states():
        for _ in range(5):
            state = vm.after_power_loss(random.getrandbits(32), tmp_path)[spare]
            found = examine(state)
            states.append(state)
            if found["verdict"] == "lost" or not set(MOVED) <= main_sectors(found):
                wrong.append((vm.server.operations, found["verdict"], found["extents"]))

    with Machine(fast_lane, [main, spare], powerloss=True, append="loglevel=3") as vm:
        vm.boot()
        with Remap(vm, main, spare) as dev:
            moved(dev)
            for number in random.sample(range(5), damaged):
                Copies.of(spare)[number].corrupt("random", random.random())
            vm.cut_after(1 << 40, each=judge_states)
            beside = vm.spawn(moves)
            if work == "repair":
                dev.message("repair")
            else:
                scrub(dev)
            assert beside.wait().status == 0
            status = dev.status()
            assert (status.valid_copies, status.repairs) == ("5/5", 1)
        vm.shutdown()
    assert not wrong, f"{len(wrong)} of {len(states)} states, first: {wrong[0]}"
    assert len(states) >= 50
    moved_beside = {100, 200, 300, 400} if moves == MOVES else set()
    assert main_sectors(examine(spare.path)) == {*MOVED} | moved_beside


SCRUBS = 300
SCRUB_LOOP = """
    scrubs={folder}/remap/scrubs_completed
    read first < $scrubs
    while read done < $scrubs; [ $done -lt $((first + {count})) ]; do
        dmsetup message r0 0 scrub || exit 1
        until read now < $scrubs; [ $now -gt $done ]; do usleep 5000; done
    done
"""


def slab(vm):
    """KiB that the kernel has for objects of its own, without what it could give back."""
    return int(vm.run("echo 3 > /proc/sys/vm/drop_caches; awk '/SUnreclaim/ { print $2 }' /proc/meminfo"))


def test_many_scrubs_with_damage_of_every_kind(boot, new_disk, seed):
    random = Random(seed)
    main, spare = new_disk("8M"), new_disk("8M")
    vm = boot(main, spare)
    with Remap(vm, main, spare) as dev:
        moved(dev)
        extents = examine(spare.path)["extents"]
        copies = Copies.of(spare)
        vm.run(SCRUB_LOOP.format(folder=folder(dev), count=50), timeout=120)
        before = slab(vm)
        loop = vm.spawn(SCRUB_LOOP.format(folder=folder(dev), count=SCRUBS))
        damages, end = 0, deadline(600)
        while loop.status is None:
            assert time.monotonic() < end, f"{dev.status()} goes no further"
            how = random.choice(("zero", "random", "flip"))
            for number in random.sample(range(5), random.randint(1, 5)):
                block = random.choice((None, 0, 1, *copies[number].blocks))
                copies[number].corrupt(how, random.random(), block)
            damages += 1
            time.sleep(random.uniform(0, 0.5))
        assert loop.wait().status == 0
        # A copy that was damaged while it was mended may rest.
        dev.message("repair")
        assert scrub(dev).valid_copies == "5/5"
        after = slab(vm)
        assert after < before + 1024
        status = dev.status()
        print(f"{status.scrubs} scrubs, {damages} damages, {status.repairs} repairs;"
              f" {before} KiB of slab before, {after} after")
        # One repair for whatever a scrub finds.
        assert status.repairs > min(damages, status.scrubs) / 4
    found = examine(spare.path)
    assert (found["verdict"], found["extents"]) == ("clean", extents)
    with Remap(vm, main, spare) as dev:
        assert not sectors.read(dev, AREA[::64], unit=64)


def test_a_flush_that_fails_during_a_repair_is_not_taken_for_success(boot, new_disk):
    main, spare = new_disk("8M"), new_disk("8M")
    vm = boot(main, spare)
    with Remap(vm, main, spare) as dev:
        moved(dev)
        Copies.of(spare)[2].corrupt("random", block=1)
        spare.fail_next(on="flush")
        with pytest.raises(CommandFailed, match="Input/output error"):
            dev.message("repair")
        assert dev.status().valid_copies == "4/5"
        dev.message("repair")
        assert dev.status().valid_copies == "5/5"
        # What was written before may not be stable: the next flush says so, and all goes on.
        vm.run(f"sync {dev.dev}", check=False)
        assert not sectors.write(dev, [8], version=2) or not sectors.write(dev, [8], version=2)
    assert examine(spare.path)["verdict"] == "clean"


def test_a_spare_whose_flushes_fail_is_not_tried_without_end(boot, new_disk):
    main, spare = new_disk("8M"), new_disk("8M")
    vm = boot(main, spare)
    with Remap(vm, main, spare, args="4 scrub_interval 0 repair_interval 24") as dev:
        moved(dev)
        Copies.of(spare)[2].corrupt("random", block=1)
        spare.fail_next(3, on="flush")
        dev.message("scrub")
        vm.wait_for("dmsetup message r0 0 metadata_status | grep 'copy 2 degraded'")
        assert len(log_lines(vm, "metadata copy 2 is damaged and cannot be mended")) == 3
        dev.wait(lambda now: now.valid_copies == "5/5", timeout=60)
        assert dev.status().scrubs == 0, "one that gave up was counted"


def test_what_is_committed_while_a_copy_is_mended_is_in_it(boot, new_disk):
    """The other four are destroyed afterwards."""
    main, spare = new_disk("8M"), new_disk("64M")
    vm = boot(main, spare)
    with slow(vm, "spare", spare) as slow_spare:
        with Remap(vm, main, slow_spare) as dev:
            moved(dev)
            bad = refusing_copy(spare, 1)
            spare.bad_sectors(**bad, kind="io")
            dev.message("remap 500 1")
            dev.wait(lambda now: now.valid_copies == "4/5")
            Copies.of(spare)[1].corrupt("random")
            vm.wait_for("dmsetup status r0 | grep ' idle '")
            moves = vm.spawn("for i in $(seq 600 20 1600); do dmsetup message r0 0 remap $i 1 || exit 1; done")
            spare.heal()
            dev.message("repair")
            assert moves.status is None, "not one move was left for the time of the repair"
            assert moves.wait().status == 0
            assert dev.status().valid_copies == "5/5"
    found = examine(spare.path)
    assert found["verdict"] == "clean"
    alone = Copies.of(spare).examine_without([0, 2, 3, 4])
    assert (alone["verdict"], alone["extents"]) == ("repairable", found["extents"])


def test_sectors_that_cannot_be_read_do_not_hold_up_failed_writes(boot, new_disk):
    """A copy on a bad zone of a slow spare is looked at, again and again."""
    main, spare = new_disk("8M"), new_disk("64M")
    vm = boot(main, spare)
    with slow(vm, "spare", spare) as slow_spare, Remap(vm, main, slow_spare) as dev:
        moved(dev)
        spare.bad_sectors(Copies.of(spare)[1].offset // 512, count=128, kind="io", on="both")
        dev.message("scrub")
        dev.wait(lambda now: now.valid_copies == "4/5")
        for sector in range(2000, 2040):
            main.bad_sectors(sector)
        for sector in range(2000, 2040):
            dev.message("scrub")
            assert not sectors.write(dev, [sector])
        assert dev.status().remapped == len(MOVED) + 40


def test_a_kernel_that_mended_the_copies_meanwhile_is_no_stranger(boot, new_disk):
    """As an initramfs does, before it resumes a system that was hibernated."""
    main, spare = new_disk("8M"), new_disk("8M")
    vm = boot(main, spare)
    with Remap(vm, main, spare) as dev:
        moved(dev)
        Copies.of(spare)[3].corrupt("random")
        dmremap("repair", spare.path, check=1)
        generation = examine(spare.path)["generation"]
        status = scrub(dev)
        assert (status.mode, status.health, status.valid_copies) == ("rw", "ok", "5/5")
        assert status.generation > generation
        dev.message("remap 500 1")
    found = examine(spare.path)
    assert (found["verdict"], len(found["extents"])) == ("clean", len(MOVED) + 1)


def test_metadata_of_a_later_version_is_not_written_over(boot, new_disk):
    main, spare = new_disk("8M"), new_disk("8M")
    vm = boot(main, spare)
    with Remap(vm, main, spare) as dev:
        moved(dev)
        copy = Copies.of(spare)[1]
        copy.edit(0, {64: (1).to_bytes(4, "little")})  # incompat
        block = spare.read_at(copy.offset, 4096)
        dev.message("scrub")
        dev.wait(lambda now: now.mode == "failed")
        assert spare.read_at(copy.offset, 4096) == block


def test_who_asks_while_something_is_under_way(boot, new_disk):
    main, spare = new_disk("8M"), new_disk("64M")
    vm = boot(main, spare)
    with slow(vm, "spare", spare) as slow_spare, \
            Remap(vm, main, slow_spare, args="2 scrub_interval 0") as dev:
        moved(dev)
        two = [vm.spawn("dmsetup message r0 0 repair") for _ in range(2)]
        dev.message("scrub")
        dev.wait(lambda now: now.scrubs == 1)
        assert [repair.wait().status for repair in two] == [0, 0]
        dev.message("scrub")
        dev.message("repair")
        dev.wait(lambda now: now.scrubs == 2)
        # Suspended: asked for nothing, and nothing is kept for later.
        vm.run("dmsetup suspend r0")
        with pytest.raises(CommandFailed, match="busy"):
            dev.message("repair")
        vm.run("dmsetup resume r0")
    with Remap(vm, main, spare, options="--readonly") as dev:
        Copies.of(spare)[0].corrupt("random", block=3)
        with pytest.raises(CommandFailed, match="Read-only"):
            dev.message("repair")
        with spare.snapshot() as before:
            dev.message("scrub")
            dev.wait(lambda now: now.valid_copies == "4/5")
            assert before.read_at(0, spare.size) == spare.read_at(0, spare.size)
