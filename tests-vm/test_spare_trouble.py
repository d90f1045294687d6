# SPDX-License-Identifier: GPL-2.0
"""The spare is a disk, too: its bad sectors, its end, and its absence."""

import pytest

from harness import sectors
from harness.assembler import examine
from harness.copies import BLOCK, Copies
from harness.errors import CommandFailed
from harness.remap import Remap
from harness.sectors import AREA, fill
from harness.sysfs import counted

SECTOR = 512


def places_on(spare, *moved):
    """Where on the spare sectors of main are, all of them unless some are named."""
    places = {extent["main_sector"] + i: extent["spare_sector"] + i
              for extent in examine(spare.path)["extents"] for i in range(extent["sectors"])}
    return [places[sector] for sector in moved or sorted(places)]


def test_bad_places_are_passed_over_also_many_in_a_row(boot, new_disk):
    main, spare = new_disk("64M"), new_disk("16M")
    vm = boot(main, spare)
    with Remap(vm, main, spare) as dev:
        fill(dev)
        main.bad_sectors(100)
        assert not sectors.write(dev, [100])
        (first,) = places_on(spare, 100)
        spare.bad_sectors(first + 1, count=64)
        main.bad_sectors(200, count=8)
        assert not sectors.write(dev, [200], unit=8, version=2)
        assert not sectors.read(dev, range(200, 208), version=2)
        dev.message("remap 300 8")
        assert not sectors.read(dev, range(300, 308))
        assert (dev.status().remapped, dev.status().health) == (17, "ok")
        assert not set(places_on(spare)) & set(range(first + 1, first + 65))

    with Remap(vm, main, spare) as dev:
        assert not sectors.read(dev, [100, *range(300, 308)])
        assert not sectors.read(dev, range(200, 208), version=2)


def test_a_place_that_goes_bad_is_given_up_for_another(boot, new_disk):
    main, spare = new_disk("64M"), new_disk("16M")
    vm = boot(main, spare)
    with Remap(vm, main, spare) as dev:
        fill(dev)
        main.bad_sectors(100, count=8, on="both")
        assert not sectors.write(dev, [96], unit=16, version=2)
        assert dev.status().remapped == 8
        old = places_on(spare, *range(100, 108))
        spare.bad_sectors(old[0])
        spare.bad_sectors(old[5])
        assert not sectors.write(dev, [96], unit=16, version=3)
        assert not sectors.read(dev, range(96, 112), version=3)
        assert (dev.status().remapped, dev.status().health) == (8, "ok")
        new = places_on(spare, *range(100, 108))
        assert [sector for sector in range(8) if new[sector] != old[sector]] == [0, 5]
        # So is one for whose sake a long write fails, and one that gets zeroes.
        spare.bad_sectors(new[2])
        vm.run(f"blkdiscard -fz -o {102 * SECTOR} -l {SECTOR} {dev.dev}")
        assert not sectors.read(dev, [102], version=0)

        # One that can't be read has lost its data. Nothing is made up; the next write mends it.
        lost = places_on(spare, 103)[0]
        spare.bad_sectors(lost, on="both")
        assert list(sectors.read(dev, range(96, 112), version=None)) == [103]
        assert not sectors.write(dev, [103], version=4)
        assert not sectors.read(dev, [103], version=4)
        assert dev.status().remapped == 8

    with Remap(vm, main, spare) as dev:
        assert dev.status().remapped == 8
        for version, written in ((0, [102]), (4, [103]), (3, [100, 101, 104, 105, 106, 107])):
            assert not sectors.read(dev, written, version=version)


def strike(spare, copy, block=0, **how):
    """Makes a block of a copy bad: 0 is the superblock, 1 the first of the table."""
    offset = Copies.of(spare)[copy].offset + block * BLOCK
    spare.bad_sectors(offset // SECTOR, count=BLOCK // SECTOR, **how)


def test_copies_go_bad_one_by_one(boot, new_disk):
    main, spare = new_disk("64M"), new_disk("16M", bus="virtio")
    vm = boot(main, spare)
    with Remap(vm, main, spare) as dev:
        fill(dev)
        main.bad_sectors(0, count=512)
        written = 0
        for copy, block, left in ((0, 0, 4), (3, 1, 3), (4, 0, 2)):
            events = dev.events()
            strike(spare, copy, block, kind="io")
            assert not sectors.write(dev, [written], version=2)
            written += 1
            status = dev.status()
            assert (status.mode, status.health) == ("rw", "degraded")
            assert (status.valid_copies, status.remapped) == (f"{left}/5", written)
            assert dev.sysfs("metadata_health") == f"{left}/5 copies valid"
            assert dev.sysfs("state") == "degraded"
            if left == 4:
                assert dev.events() > events

        # The last one on its own is too few: the write is not acknowledged, nor any after it.
        events = dev.events()
        strike(spare, 1, kind="io")
        assert sectors.write(dev, [written], version=2)
        assert dev.events() > events
        assert (dev.status().mode, dev.status().health) == ("failed", "failing")
        lost = [written, written + 1]
        assert list(sectors.write(dev, lost, version=2)) == lost
        assert dev.sysfs("mode") == "failed"
        # Its entry may be stable in some copy, and would hide what a main that heals took now.
        main.heal(written)
        assert sectors.write(dev, [written], version=2)
        # All else goes on: sectors that were moved before, and main's good ones.
        assert not sectors.read(dev, range(written), version=2)
        assert not sectors.write(dev, range(written), version=3)
        assert not sectors.read(dev, range(written), version=3)
        assert not sectors.write(dev, range(1024, 1088), version=3)
        assert not sectors.read(dev, range(1024, 1088), version=3)
        assert not sectors.read(dev, range(written + 1, 512))
        vm.run(f"sync {dev.dev}")

        # Mended, the set is as before the failure. Nothing acknowledged is missing.
        spare.heal()
        dev.message("restore")
        assert (dev.status().mode, dev.status().valid_copies) == ("rw", "5/5")
        assert not sectors.read(dev, range(written), version=3)
        assert not sectors.read(dev, range(1024, 1088), version=3)
        assert not sectors.write(dev, range(16), version=4)
        assert not sectors.read(dev, range(16), version=4)

    with Remap(vm, main, spare) as dev:
        assert (dev.status().health, dev.status().valid_copies) == ("ok", "5/5")
        assert not sectors.read(dev, range(16), version=4)


def test_a_copy_that_cannot_be_read_is_done_without(boot, new_disk):
    main, spare = new_disk("64M"), new_disk("16M")
    main.bad_sectors(100)
    vm = boot(main, spare)
    with Remap(vm, main, spare) as dev:
        fill(dev)
    for copy in (0, 2, 4):
        strike(spare, copy, on="both")
    with Remap(vm, main, spare) as dev:
        assert (dev.status().health, dev.status().valid_copies) == ("degraded", "2/5")
        assert not sectors.read(dev, AREA[::64], unit=64)
        main.bad_sectors(200)
        assert not sectors.write(dev, [200], version=2)
        assert dev.status().remapped == 2
    spare.heal()
    with Remap(vm, main, spare) as dev:
        assert (dev.status().health, dev.status().valid_copies) == ("ok", "5/5")
        assert not sectors.read(dev, [200], version=2)
        assert not sectors.read(dev, [100])


def test_the_spare_fills_up(boot, new_disk):
    """It says so early, and when it is full: to the writer, too, but for nothing that was moved."""
    main, spare = new_disk("8M", bus="virtio"), new_disk("1M")
    vm = boot(main, spare)
    with Remap(vm, main, spare) as dev:
        assert not sectors.write(dev, range(0, 16384, 64), unit=64, depth=32)
        usable = dev.status().usable
        assert int(dev.sysfs("spare_free_sectors")) == usable

        # By default an eighth left is low. What is low can be said otherwise, at once.
        dev.message(f"remap 4096 {usable - usable // 8}")
        assert dev.status().health == "ok"
        events = dev.events()
        dev.message("remap 100 1")
        assert (dev.status().health, dev.sysfs("state")) == ("degraded", "degraded")
        assert dev.events() > events
        dev.message("set low_water 8")
        assert dev.status().health == "ok"

        dev.message(f"remap 8192 {usable - dev.status().remapped - 40}")
        assert dev.sysfs("spare_free_sectors") == "40"
        moved = range(200, 280, 2)
        for sector in moved:
            main.bad_sectors(sector, kind="io")
        events = dev.events()
        assert not sectors.write(dev, moved[:32], version=2)
        assert (dev.status().health, dev.events()) == ("ok", events)
        assert not sectors.write(dev, moved[32:33], version=2)
        assert dev.status().health == "degraded"
        assert dev.events() > events

        events = dev.events()
        assert not sectors.write(dev, moved[33:], version=2)
        assert (dev.status().remapped, dev.sysfs("spare_free_sectors")) == (usable, "0")

        main.bad_sectors(0, count=64, kind="io")
        assert list(sectors.write(dev, [0], version=2)) == [0]
        assert (dev.status().mode, dev.status().health) == ("rw", "failing")
        assert dev.events() > events
        assert list(sectors.write(dev, range(64), version=2)) == list(range(64))
        with pytest.raises(CommandFailed, match="No space left"):
            dev.message("remap 2000 1")

        # Nobody else notices.
        assert not sectors.read(dev, moved, version=2)
        assert not sectors.write(dev, moved, version=3)
        assert not sectors.write(dev, [3000], version=3)
        assert not sectors.read(dev, [*moved, 3000], version=3)

    # The next activation knows that it is full.
    with Remap(vm, main, spare) as dev:
        assert (dev.status().remapped, dev.status().valid_copies) == (usable, "5/5")
        assert list(sectors.write(dev, [0], version=2)) == [0]
        assert not sectors.read(dev, [*moved, 3000], version=3)
        assert not sectors.read(dev, range(4096, 4096 + 1600, 64), unit=64)
    vm.shutdown()

    # No place was given out twice, and none lies in the metadata.
    found = examine(spare.path)
    taken = [(copy["offset_bytes"] // SECTOR, copy["length_bytes"] // SECTOR)
             for copy in found["copies"]]
    taken += [(extent["spare_sector"], extent["sectors"]) for extent in found["extents"]]
    taken.sort()
    assert (found["verdict"], found["valid_copies"]) == ("clean", 5)
    assert all(start + length <= after for (start, length), (after, _) in zip(taken, taken[1:]))


def scatter(dev, count):
    """Moves single sectors with nothing in common, every other one from 10000 on."""
    moved = range(10000, 10000 + 2 * count, 2)
    for at in range(0, count, 32):
        dev.message("remap " + " ".join(f"{sector} 1" for sector in moved[at:at + 32]))
    return moved


def test_the_table_fills_up(boot, new_disk):
    """Before the spare does, where what is moved is scattered."""
    main, spare = new_disk("8M", bus="virtio"), new_disk("1M")
    vm = boot(main, spare)
    with Remap(vm, main, spare) as dev:
        fill(dev)
        scatter(dev, 256)
        assert dev.status().health == "ok"
        events = dev.events()
        scatter(dev, 300)
        assert (dev.status().health, dev.events()) == ("degraded", events + 1)
        moved = scatter(dev, 320)
        assert (dev.status().health, dev.events()) == ("failing", events + 2)
        assert dev.status().extents == 320
        assert "room 0\n" in dev.message("metadata_status")
        free = dev.sysfs("spare_free_sectors")
        assert int(free) > 1000
        main.bad_sectors(100, kind="io")
        assert list(sectors.write(dev, [100])) == [100]
        with pytest.raises(CommandFailed, match="No space left"):
            dev.message("remap 200 1")
        assert dev.sysfs("spare_free_sectors") == free
        # What is there can still change its place.
        assert not sectors.write(dev, moved, depth=32)
        spare.bad_sectors(places_on(spare, moved[7])[0])
        assert not sectors.write(dev, moved, version=2, depth=32)
        assert not sectors.read(dev, moved, version=2, depth=32)

    with Remap(vm, main, spare) as dev:
        assert (dev.status().health, dev.status().extents) == ("failing", 320)
        assert not sectors.read(dev, moved, version=2, depth=32)


def test_a_place_that_goes_bad_costs_one_block_of_the_table(boot, new_disk):
    main, spare = new_disk("8M", bus="virtio"), new_disk("16M", bus="virtio")
    vm = boot(main, spare)
    with Remap(vm, main, spare) as dev:
        moved = scatter(dev, 1600)
        spare.bad_sectors(places_on(spare, moved[0])[0], kind="io")
        before = counted(spare)["writes"]
        assert not sectors.write(dev, [moved[0]])
        # It is tried three times, and moves; a block of the table and a superblock in five copies;
        # flushes count as writes.
        assert counted(spare)["writes"] - before <= 4 + 10 + 4
        assert not sectors.read(dev, [moved[0]])


@pytest.mark.parametrize("bus", ["scsi", "virtio"])
def test_the_spare_is_pulled_out(boot, new_disk, bus):
    main, spare = new_disk("64M"), new_disk("16M", bus=bus)
    vm = boot(main, spare)
    with Remap(vm, main, spare) as dev:
        fill(dev)
        main.bad_sectors(100, on="both")
        assert not sectors.write(dev, [100], version=2)
        vm.run(f"sync {dev.dev}")
        vm.unplug(spare)
        # What needs it fails, and nothing else does.
        assert list(sectors.read(dev, range(96, 104))) == [100]
        assert list(sectors.write(dev, range(96, 104), version=3)) == [100]
        vm.run(f"sync {dev.dev}")
        main.bad_sectors(200)
        assert list(sectors.write(dev, range(196, 204), version=3)) == [200]
        others = [*range(96, 100), *range(101, 104), *range(196, 200)]
        assert not sectors.read(dev, others, version=3)
        assert not sectors.write(dev, [1024], unit=1024, version=3)
        vm.run(f"sync {dev.dev}")
        assert dev.status().remapped == 1
        assert dev.status().health == "failing"

    vm.plug(spare)
    with Remap(vm, main, spare) as dev:
        assert (dev.status().health, dev.status().remapped) == ("ok", 1)
        assert not sectors.read(dev, [100], version=2)
        assert not sectors.write(dev, [200], version=4)
        assert not sectors.read(dev, [200], version=4)


def test_a_spare_that_fails_for_a_while_is_used_again(boot, new_disk):
    main, spare = new_disk("64M", bus="virtio"), new_disk("16M", bus="virtio")
    vm = boot(main, spare)
    with Remap(vm, main, spare) as dev:
        fill(dev)
        main.bad_sectors(100, kind="io", on="both")
        assert not sectors.write(dev, [100], version=2)
        main.bad_sectors(200, count=8, kind="io")
        events = dev.events()
        spare.fail(on="write")
        assert list(sectors.write(dev, [100, *range(200, 208)], version=3)) == [
            100, *range(200, 208)]
        assert (dev.status().mode, dev.status().health) == ("rw", "failing")
        assert dev.events() > events
        assert not sectors.read(dev, [100], version=2)
        assert not sectors.write(dev, [300], version=3)
        events = dev.events()
        # That it takes discards does not mean that it can be written.
        vm.run(f"blkdiscard -o {100 * SECTOR} -l {SECTOR} {dev.dev}")
        assert (dev.status().health, dev.events()) == ("failing", events)
        spare.heal()
        # Nothing was wasted, and nothing is forgotten.
        assert not sectors.write(dev, [100, *range(200, 208)], version=4)
        assert not sectors.read(dev, [100, *range(200, 208)], version=4)
        status = dev.status()
        assert (status.mode, status.health, status.remapped) == ("rw", "ok", 9)
        assert int(dev.sysfs("spare_free_sectors")) == status.usable - 9
        assert dev.events() > events


def test_the_spare_is_pulled_out_in_the_middle_of_a_move(boot, new_disk):
    main, spare = new_disk("256M", bus="virtio"), new_disk("512M")
    vm = boot(main, spare)
    with Remap(vm, main, spare) as dev:
        fill(dev)
        move = vm.spawn("dmsetup message r0 0 remap 1024 520000")
        dev.wait(lambda status: status.remapped >= 4096)
        vm.unplug(spare)
        assert move.wait(20).status != 0
        # If a commit failed its sectors are counted, but nobody was told that they have moved.
        moved = dev.status().remapped - (256 if dev.status().mode == "failed" else 0)
        assert moved >= 4096 - 256
        assert not sectors.read(dev, AREA[:1024:64], unit=64)
        assert sectors.read(dev, [1024], unit=64)
        assert not sectors.write(dev, [0], unit=64, version=2)
        assert dev.status().health == "failing"
        vm.run("dmsetup suspend r0; dmsetup resume r0", timeout=20)

    # The move may have got further than anybody was told, but what moved is there.
    vm.plug(spare)
    with Remap(vm, main, spare) as dev:
        assert dev.status().remapped >= moved
        assert not sectors.read(dev, AREA[64::64], unit=64)
        assert not sectors.read(dev, [0], unit=64, version=2)
