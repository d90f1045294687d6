# SPDX-License-Identifier: GPL-2.0
"""Unreadable sectors: exactly they fail, nothing is made up, and the next write mends them."""

import pytest

from harness import sectors
from harness.errors import CommandFailed
from harness.remap import Mapped, Remap
from harness.sectors import AREA, fill
from harness.sysfs import counted

IO_ERROR = "Input/output error"
UNREADABLE = {IO_ERROR, "No data available", "Remote I/O error"}
WRONG_CHECKSUM = "Invalid or incomplete multibyte or wide character"  # EILSEQ


def unreadable(found):
    """The sectors that failed, when none of them failed otherwise or held what it should not."""
    assert set(found.values()) <= UNREADABLE, found
    return list(found)


def settled(dev, main):
    """The status once whatever the reads so far have left to be done has had its turn."""
    main.bad_sectors(10000, on="read")
    assert sectors.read(dev, [10000])  # after it they are all done with,
    dev.message("save")  # and after this what they wanted moved is
    return dev.status()


@pytest.mark.parametrize("bus, kind", [("scsi", "medium"), ("scsi", "target"), ("virtio", "io")])
def test_exactly_the_unreadable_sectors_fail_and_are_pending(boot, new_disk, bus, kind):
    main, spare = new_disk("64M", bus=bus), new_disk("16M")
    vm = boot(main, spare)
    bad = [100, 1000, 1001, 1002]
    with Remap(vm, main, spare) as dev:
        fill(dev)
        for sector in bad:
            main.bad_sectors(sector, kind=kind, on="read")
        around = [*range(92, 112), *range(990, 1010)]
        for _ in range(2):  # nor is anything made up, or counted twice, the second time
            assert sorted(unreadable({**sectors.read(dev, around),
                                      **sectors.read(dev, [0, 2047])})) == bad
            assert dev.pending() == [(100, 1), (1000, 3)]
            assert dev.sysfs("pending_sectors") == "4"
            status = dev.status()
            assert (status.pending, status.remapped, status.extents) == (4, 0, 0)
            assert (status.mode, status.health) == ("rw", "ok")
        # A long request that holds one of them fails, and finds no others.
        assert unreadable(sectors.read(dev, [0, 512, 1024], unit=512)) == [0, 512]
        assert dev.status().pending == 4
        # No data, no move: what is asked to be moved stays, and stays unreadable.
        with pytest.raises(CommandFailed):
            dev.message("remap 1000 1")
        assert dev.status().remapped == 0
        assert unreadable(sectors.read(dev, around)) == bad

    # Pending sectors are not on the disk: the next read finds them again.
    with Remap(vm, main, spare) as dev:
        assert (dev.status().pending, dev.pending()) == (0, [])
        assert unreadable(sectors.read(dev, around)) == bad
        assert dev.status().pending == 4


@pytest.mark.every_kernel
def test_the_next_write_mends_or_moves(boot, new_disk):
    main, spare = new_disk("64M"), new_disk("16M")
    vm = boot(main, spare)
    with Remap(vm, main, spare) as dev:
        fill(dev)
        main.bad_sectors(100, count=20, on="read")
        assert unreadable(sectors.read(dev, range(90, 130))) == list(range(100, 120))
        assert dev.status().pending == 20

        # A write that main takes and can't give back: only reading it shows that it isn't there.
        assert not sectors.write(dev, [100], version=2)
        assert not sectors.read(dev, [100], version=2)
        assert (dev.status().pending, dev.status().remapped) == (19, 1)

        # One that it can give back by now stays where it is.
        main.heal(101)
        assert not sectors.write(dev, [101], version=2)
        assert not sectors.read(dev, [101], version=2)
        assert not sectors.read(main, [101], version=2)
        assert (dev.status().pending, dev.status().remapped) == (18, 1)

        # A long write: of its sectors those that are bad are moved, and no others.
        main.heal(104, count=4)
        assert not sectors.write(dev, [96], version=3, unit=16)
        assert not sectors.read(dev, range(96, 112), version=3)
        assert not sectors.read(main, range(104, 108), version=3)
        assert dev.pending() == [(112, 8)]
        assert dev.status().remapped == 1 + 2 + 4  # 100, 102 and 103, 108 to 111

        # Zeroes are data.
        vm.run(f"blkdiscard -z -o {112 * 512} -l 512 {dev.dev}")
        assert not sectors.read(dev, [112], version=0)
        assert dev.status().pending == 7

        # So is what doesn't even arrive on main: it goes to the spare at once.
        main.bad_sectors(113, count=7, on="both")
        assert not sectors.write(dev, [112], version=4, unit=8)
        assert not sectors.read(dev, range(112, 120), version=4)
        assert (dev.status().pending, dev.pending()) == (0, [])
        moved = dev.status().remapped

    with Remap(vm, main, spare) as dev:
        assert dev.status().remapped == moved
        for written, version in ((range(96, 100), 3), (range(100, 112), 3), (range(112, 120), 4),
                                 (range(120, 130), 1)):
            assert not sectors.read(dev, written, version)


def test_a_write_that_main_only_pretends_to_do_is_moved(boot, new_disk):
    """Read back it may well be readable, and old."""
    disk, spare = new_disk("64M"), new_disk("16M")
    vm = boot(disk, spare)
    honest, liar = (f"0 131072 {how}" for how in (
        f"linear {disk.dev} 0", f"flakey {disk.dev} 0 0 1000000 1 drop_writes"))
    with Mapped(vm, "below", honest) as main, Remap(vm, main, spare) as dev:
        fill(dev)
        disk.bad_sectors(100, on="read")
        assert unreadable(sectors.read(dev, range(96, 104))) == [100]
        disk.heal()
        main.becomes(liar)
        assert not sectors.write(dev, [100], version=2)
        assert not sectors.read(dev, [100], version=2)
        assert not sectors.read(main, [100], version=1)
        assert (dev.status().pending, dev.status().remapped) == (0, 1)


def test_neighbours_in_one_request_of_the_disk_do_not_fail_with_a_bad_sector(boot, new_disk):
    """The disk fails the request that they were merged into; each bio is owed its own answer."""
    main, spare = new_disk("64M"), new_disk("16M")
    vm = boot(main, spare)
    with Remap(vm, main, spare) as dev:
        fill(dev)
        main.bad_sectors(100, on="read")
        before = counted(main)["read_merges"]
        assert unreadable(sectors.read(dev, range(64, 192), depth=128)) == [100]
        assert counted(main)["read_merges"] > before
        assert dev.pending() == [(100, 1)]
        assert settled(dev, main).remapped == 0


def test_many_at_once_are_all_found(boot, new_disk):
    main, spare = new_disk("64M", bus="virtio"), new_disk("16M")
    bad = range(0, 512, 4)
    vm = boot(main, spare)
    with Remap(vm, main, spare) as dev:
        fill(dev)
        for sector in bad:
            main.bad_sectors(sector, kind="io", on="read")
        assert unreadable(sectors.read(dev, range(0, 512, 2), depth=256)) == list(bad)
        assert dev.status().pending == 128
        assert dev.pending() == [(sector, 1) for sector in bad]
        # Writes of them wait for nobody, and reads meanwhile get the old answer or the new data.
        assert not sectors.write(dev, range(0, 512), version=2, depth=512)
        assert not sectors.read(dev, range(0, 512), version=2, depth=512)
        assert (dev.status().pending, dev.status().remapped) == (0, 128)


def test_reads_of_a_disk_that_tries_for_long_wait_for_a_while_and_not_for_each_other(boot, new_disk):
    main, spare = new_disk("64M"), new_disk("16M")
    main.bad_sectors(0, count=2048, on="read")
    vm = boot(main, spare)
    vm.run("modprobe dm-delay")
    delay = f"0 131072 delay {main.dev} 0 200 {main.dev} 0 0"
    with Mapped(vm, "slow", delay) as slow, Remap(vm, slow, spare) as dev:
        # One after the other, to the end of each, would take seven minutes.
        assert unreadable(sectors.read(dev, AREA[::64], unit=64, depth=32)) == list(AREA[::64])
        assert 0 < dev.status().pending < 2048
        # What was not tried is not taken for unreadable.
        main.heal(2047)
        assert not sectors.read(dev, [2047], version=0)


@pytest.mark.parametrize("times", [1, 2])
def test_a_sector_that_needed_a_second_try_is_moved_while_it_can_be_read(boot, new_disk, times):
    """`times`: it comes back when its piece of the request is read again, or only by itself."""
    main, spare = new_disk("64M"), new_disk("16M")
    vm = boot(main, spare)
    with Remap(vm, main, spare) as dev:
        fill(dev)
        main.fail_next(times, lba=100)
        assert not sectors.read(dev, [96], unit=8)
        moved = dev.wait(lambda status: status.remapped).remapped
        assert moved <= 8
        assert dev.status().pending == 0
        main.bad_sectors(100, on="both")
        assert not sectors.read(dev, range(90, 110))

    with Remap(vm, main, spare) as dev:
        assert not sectors.read(dev, range(90, 110))
        assert dev.status().remapped == moved


def test_nothing_readable_is_moved_where_a_bad_sector_explains_the_failure(boot, new_disk):
    main, spare = new_disk("64M"), new_disk("16M")
    vm = boot(main, spare)
    with Remap(vm, main, spare) as dev:
        fill(dev)
        main.bad_sectors(100, on="read")
        assert unreadable(sectors.read(dev, [64], unit=128)) == [64]
        assert dev.status().pending == 1
        assert settled(dev, main).remapped == 0


def test_read_ahead_that_fails_is_nobody_s_loss(boot, new_disk):
    """Nobody asked for it: no second try, nothing pending, and what was asked for is read."""
    main, spare = new_disk("64M"), new_disk("16M")
    vm = boot(main, spare)
    with Remap(vm, main, spare) as dev:
        fill(dev)
        main.bad_sectors(28, on="read")
        vm.run(f"echo 3 > /proc/sys/vm/drop_caches; blockdev --setra 256 {dev.dev}")
        # The page cache reads 16 KiB when it is asked for 4 KiB at the start.
        vm.run(f"dd if={dev.dev} bs=4k count=1 status=none > /tmp/read;"
               f"dd if={main.dev} bs=4k count=1 iflag=direct status=none | cmp - /tmp/read")
        assert (dev.status().pending, dev.status().remapped) == (0, 0)
        # Asked for it fails, and is pending.
        with pytest.raises(CommandFailed, match=IO_ERROR):
            vm.run(f"dd if={dev.dev} bs=4k count=4 of=/dev/null status=none")
        assert dev.pending() == [(28, 1)]


def integrity(vm, disk):
    """A table of dm-integrity for a disk that is made one: without a journal, 512 bytes a block."""
    def table(length):
        return f"0 {length} integrity {disk.dev} 0 - D 2 internal_hash:crc32c block_size:512"

    with Mapped(vm, "format", table(8)):
        _, _, _, _, length, *_ = vm.run("dmsetup status format").split()
    return table(length)


def place_of(image, content):
    """Where on a disk some bytes are."""
    at = image.read_at(0, image.size).find(content)
    assert at >= 0
    return at


def test_a_wrong_checksum_below_is_an_unreadable_sector(boot, new_disk):
    """dm-integrity under main: it knows that the data is wrong, and the disk doesn't."""
    disk, spare = new_disk("8M"), new_disk("8M")
    vm = boot(disk, spare)
    with Mapped(vm, "below", integrity(vm, disk)) as main:
        vm.run(f"blkdiscard -fz {main.dev}")  # only what was written has a checksum
        with Remap(vm, main, spare) as dev:
            fill(dev)
            content = vm.run(f"dd if={dev.dev} bs=512 skip=100 count=1 iflag=direct status=none"
                             " | od -An -v -tx1")
            disk.flip(place_of(disk, bytes.fromhex(content)) + 200)
            assert sectors.read(dev, range(96, 104))[100] in (IO_ERROR, WRONG_CHECKSUM)
            assert list(sectors.read(dev, range(96, 104))) == [100]
            assert dev.pending() == [(100, 1)]
            assert dev.status().remapped == 0
            # Written anew it has a right one.
            assert not sectors.write(dev, [100], version=2)
            assert not sectors.read(dev, [100], version=2)
            assert not sectors.read(main, [100], version=2)
            assert (dev.status().pending, dev.status().remapped) == (0, 0)
