# SPDX-License-Identifier: GPL-2.0
"""A set moves to another spare while it is in use, and at each instant one of the two is the truth."""

import pytest

from harness import sectors
from harness.assembler import examine, main_sectors
from harness.errors import CommandFailed
from harness.remap import Mapped, Remap

AREA = range(2048)  # sectors that hold version 1 before anything goes bad
MOVED = [*range(64, 128, 8), *range(1024, 1536, 4)]


def moved(dev):
    """A set with some remaps, in use."""
    assert not sectors.write(dev, AREA[::64], unit=64, depth=32)
    dev.message("remap " + " ".join(f"{sector} 2" for sector in MOVED))
    return dev


def numbers(dev):
    """A device as `dmsetup table` names it."""
    major, minor = dev.vm.run(f"stat -Lc '%t %T' {dev.dev}").split()
    return f"{int(major, 16)}:{int(minor, 16)}"


def spare_of(dev):
    return dev.vm.run(f"dmsetup table {dev.name}").split()[4]


def under_way(dev):
    return dev.vm.run(f"dmsetup status {dev.name}").split()[12] == "migrate"


def ended(dev, timeout=60):
    dev.vm.wait_for(f"dmsetup status {dev.name} | grep -v migrate", timeout)


def migrate(dev, new):
    """Has it moved, and waits for the end of that."""
    dev.message(f"migrate {new.dev}")
    ended(dev)
    assert spare_of(dev) == numbers(new), dev.vm.run("dmesg | tail -n 30")


def state(spare):
    return examine(spare.path)["state"]


@pytest.mark.every_kernel
@pytest.mark.parametrize("size", ("8M", "4M", "32M"))
def test_a_set_moves_to_another_spare(boot, new_disk, size):
    main, old, new = new_disk("8M"), new_disk("8M"), new_disk(size)
    vm = boot(main, old, new)
    with Remap(vm, main, old) as dev:
        before = moved(dev).status()
        migrate(dev, new)
        status = dev.status()
        assert (status.mode, status.health, status.valid_copies) == ("rw", "ok", "5/5")
        assert (status.remapped, status.extents) == (before.remapped, before.extents)
        assert not sectors.read(dev, AREA[::64], unit=64)
        assert not sectors.write(dev, AREA[::64], version=2, unit=64)
        dev.message("remap 500 1")
    assert (state(old), state(new)) == ("superseded", "clean")
    with pytest.raises(CommandFailed), Remap(vm, main, old):
        pass
    with Remap(vm, main, new) as dev:
        assert not sectors.read(dev, AREA[::64], version=2, unit=64)
        assert dev.status().remapped == before.remapped + 1
    assert {500, *MOVED} <= main_sectors(examine(new.path))


def places(spare):
    """Where on a spare sectors of main are: {main sector: spare sector}."""
    return {extent["main_sector"] + n: extent["spare_sector"] + n
            for extent in examine(spare.path)["extents"] for n in range(extent["sectors"])}


def test_what_cannot_be_read_is_listed_and_never_made_up(boot, new_disk):
    main, old, new = new_disk("8M"), new_disk("8M"), new_disk("8M")
    vm = boot(main, old, new)
    lost = [64, 65, 72, 1025]
    with Remap(vm, main, old) as dev:
        moved(dev)
        for sector in lost:
            old.bad_sectors(places(old)[sector], on="read")
        migrate(dev, new)
        assert dev.pending() == [(64, 2), (72, 1), (1025, 1)]
        assert dev.status().pending == len(lost)
        assert list(sectors.read(dev, range(60, 130))) == [64, 65, 72]
        assert list(sectors.read(dev, range(1024, 1540))) == [1025]
    old.heal()
    area = {*range(60, 130), *range(1024, 1540)}
    for found in (64, 65):
        # Also in another life, and when the disk that failed is gone.
        with Remap(vm, main, new) as dev:
            assert dev.pending()[-1] == (1025, 1)
            assert list(sectors.read(dev, sorted(area))) == lost
            assert not sectors.write(dev, [found], version=2)
            assert not sectors.read(dev, [found], version=2)
            lost.remove(found)
            area.remove(found)
            assert dev.status().pending == len(lost)
    with Remap(vm, main, new) as dev:
        assert not sectors.write(dev, AREA[::64], version=3, unit=64)
        assert dev.pending() == []
        dev.message("scrub")
        assert dev.wait(lambda now: now.scrubs == 1).health == "ok"
    with Remap(vm, main, new) as dev:
        assert not sectors.read(dev, AREA[::64], version=3, unit=64)
        assert dev.status().pending == 0


def test_what_was_lost_can_be_written_where_its_place_is_bad(boot, new_disk):
    """And moves on to a third spare as what it is."""
    main, old, new, third = (new_disk("8M") for _ in range(4))
    vm = boot(main, old, new, third)
    with Remap(vm, main, old) as dev:
        moved(dev)
        old.bad_sectors(places(old)[64], 2, on="read")
        migrate(dev, new)
        new.bad_sectors(places(new)[64], on="write")
        assert not sectors.write(dev, [64], version=2)
        migrate(dev, third)
        assert dev.pending() == [(65, 1)]
        assert not sectors.read(dev, [64], version=2)
        assert list(sectors.read(dev, range(60, 70), version=None)) == [65]


@pytest.mark.parametrize("how", ("from the start", "after a commit has failed"))
def test_an_old_spare_that_takes_no_writes_can_be_left(boot, new_disk, how):
    main, old, new = new_disk("8M"), new_disk("8M"), new_disk("8M")
    vm = boot(main, old, new)
    with Remap(vm, main, old) as dev:
        moved(dev)
        old.fail(on="write")
        if how == "after a commit has failed":
            with pytest.raises(CommandFailed):
                dev.message("remap 500 1")
            assert dev.status().health == "failing"
        migrate(dev, new)
        status = dev.status()
        assert (status.mode, status.health, status.valid_copies) == ("rw", "ok", "5/5")
        assert f"do not leave it in this machine" in vm.run("dmesg")
        assert not sectors.write(dev, AREA[::64], version=2, unit=64)
        dev.message("remap 500 1")
        old.heal()
    # Of two that both claim to be it, the one that has taken over is the newer.
    found = vm.run("dmremap assemble --dry-run --json", check=False)
    assert state(new) == "clean"
    assert examine(new.path)["generation"] > examine(old.path)["generation"]
    with Remap(vm, main, new) as dev:
        assert not sectors.read(dev, AREA[::64], version=2, unit=64)


def give_up_for(dev, error, timeout=60):
    """Waits until a move has ended without success, for this reason."""
    said = dev.vm.wait_for(f"dmsetup message {dev.name} 0 metadata_status | grep migration_failed",
                           timeout)
    assert said.split()[2] == str(-error)
    assert not under_way(dev)


def slowly(vm, disk, name="slow"):
    """So slow that a move is under way for a while."""
    vm.run("modprobe dm-delay")
    length = vm.run(f"blockdev --getsz {disk.dev}").strip()
    return Mapped(vm, name, f"0 {length} delay {disk.dev} 0 50")


def test_a_move_that_is_cancelled_leaves_nothing_behind(boot, new_disk):
    main, old, new = new_disk("8M"), new_disk("8M"), new_disk("8M")
    vm = boot(main, old, new)
    with slowly(vm, new) as slow, Remap(vm, main, old) as dev:
        with pytest.raises(CommandFailed, match="No data"):
            dev.message("cancel")
        before = moved(dev).status()
        dev.message(f"migrate {slow.dev}")
        vm.wait_for("dmsetup message r0 0 metadata_status | grep '^migration .* [1-9]'")
        assert (state(old), state(new)) == ("migrating", "incoming")
        dev.message("cancel")
        give_up_for(dev, 125)
        assert dev.status()._replace(generation=0) == before._replace(generation=0)
        assert state(old) == "clean"
        assert new.read_at(0, 4096) == bytes(4096)
        migrate(dev, slow)
        assert not sectors.read(dev, AREA[::64], unit=64)
        vm.run("dmsetup suspend r0; dmsetup resume r0")  # lets go of what it no longer uses


def test_a_new_spare_that_fails_changes_nothing(boot, new_disk):
    main, old, new = new_disk("8M"), new_disk("8M"), new_disk("8M")
    vm = boot(main, old, new)
    with slowly(vm, new) as slow, Remap(vm, main, old) as dev:
        before = moved(dev).status()
        dev.message(f"migrate {slow.dev}")
        vm.wait_for("dmsetup message r0 0 metadata_status | grep '^migration .* [1-9]'")
        new.fail()
        give_up_for(dev, 5)
        assert not sectors.write(dev, AREA[::64], version=2, unit=64)
        dev.message("remap 500 1")
        assert dev.status().remapped == before.remapped + 1
        new.heal()
    with Remap(vm, main, old) as dev:
        assert not sectors.read(dev, AREA[::64], version=2, unit=64)


def test_bad_places_of_a_new_spare_are_passed_over(boot, new_disk):
    main, old, new = new_disk("8M"), new_disk("8M"), new_disk("8M")
    vm = boot(main, old, new)
    with Remap(vm, main, old) as dev:
        moved(dev)
        first = min(places(old).values())
        new.bad_sectors(first, 3, on="write")
        new.bad_sectors(first + 50, 1, on="write")
        migrate(dev, new)
        assert not sectors.read(dev, AREA[::64], unit=64)
        assert dev.status().health == "ok"
    with Remap(vm, main, new) as dev:
        assert not sectors.read(dev, AREA[::64], unit=64)


def test_an_old_spare_that_is_gone_is_not_taken_for_unreadable_sectors(boot, new_disk):
    main, old, new = new_disk("8M"), new_disk("8M"), new_disk("8M")
    vm = boot(main, old, new)
    with Remap(vm, main, old) as dev:
        moved(dev)
        old.fail()
        dev.message(f"migrate {new.dev}")
        give_up_for(dev, 5)
        assert dev.pending() == []
        old.heal()
        dev.message("restore")
        migrate(dev, new)
        assert not sectors.read(dev, AREA[::64], unit=64)


def test_what_cannot_become_the_spare_is_refused_with_a_reason(boot, new_disk):
    main, old, other, small = new_disk("8M"), new_disk("8M"), new_disk("8M"), new_disk("1M")
    used, large, blocks = new_disk("8M"), new_disk("8M"), new_disk("8M", block_size=4096)
    used.write_at(4096 * 3, b"precious")
    vm = boot(main, old, other, small, used, large, blocks)
    with Remap(vm, main, old) as dev, Remap(vm, large, other, name="r1"):
        assert not sectors.write(dev, AREA[::64], unit=64, depth=32)
        dev.message("remap 0 4096")
        before = vm.run("dmsetup status r0; dmsetup table r0")
        for device, why in ((main.dev, "Main and spare overlap"),
                            (old.dev, "It overlaps the spare in use"),
                            (other.dev, "in use by a set"),
                            (large.dev, "in use by a set"),
                            (small.dev, "too small: has"),
                            (used.dev, "not empty at sector"),
                            (blocks.dev, "Spare's logical block is larger than main's"),
                            ("/dev/nothing", "cannot open it")):
            vm.run("dmesg -c")
            with pytest.raises(CommandFailed):
                dev.message(f"migrate {device}")
            assert why in vm.run("dmesg"), device
            assert vm.run("dmsetup status r0; dmsetup table r0") == before
    assert used.read_at(4096 * 3, 8) == b"precious"
    with Remap(vm, main, old, options="--readonly") as dev, pytest.raises(CommandFailed):
        dev.message(f"migrate {large.dev}")
