# SPDX-License-Identifier: GPL-2.0
"""Flushes: to whom they go, and who is told when one fails."""

import pytest

from harness import sectors
from harness.assembler import examine
from harness.copies import Copies
from harness.errors import CommandFailed
from harness.parts import two_parts
from harness.remap import Mapped, Remap
from harness.sectors import fill
from harness.sysfs import counted, folder

SECTOR = 512


@pytest.fixture
def one_moved(boot, new_disk):
    """A set whose sector 100 has moved, with nothing left to flush; and its main and spare."""
    main, spare = new_disk("64M", bus="virtio"), new_disk("16M", bus="virtio")
    with Remap(boot(main, spare), main, spare) as dev:
        fill(dev)
        dev.message("remap 100 1")
        dev.vm.run(f"sync {dev.dev}")
        yield dev, main, spare


def test_a_flush_reaches_the_disks_that_have_something_to_flush(one_moved):
    dev, main, spare = one_moved

    def flushes():
        """How many reach (main, spare) when the set is told to flush."""
        before = [counted(disk)["flushes"] for disk in (main, spare)]
        dev.vm.run(f"sync {dev.dev}")
        return tuple(counted(disk)["flushes"] - old
                     for disk, old in zip((main, spare), before))

    assert not sectors.write(dev, [99])
    assert flushes() == (1, 0)
    assert not sectors.write(dev, [100])
    assert flushes() == (1, 1)
    assert flushes() == (1, 0)
    assert not sectors.read(dev, [100])
    assert flushes() == (1, 0)
    dev.vm.run(f"blkdiscard -fz -o {100 * SECTOR} -l {SECTOR} {dev.dev}")
    assert flushes() == (1, 1)


@pytest.mark.parametrize("which, written", [("main", 99), ("spare", 100)])
def test_a_flush_that_failed_is_told(one_moved, which, written):
    """
    To whoever asked for it, and to the writes after it: device-mapper does not tell a write
    that wants a flush before it how that went.
    """
    dev, main, spare = one_moved
    {"main": main, "spare": spare}[which].fail_next(on="flush", kind="io")
    assert not sectors.write(dev, [written], version=2)
    with pytest.raises(CommandFailed, match="Input/output error"):
        dev.vm.run(f"sync {dev.dev}")
    assert list(sectors.write(dev, [99, 100, 500], version=3)) == [99, 100, 500]
    assert not sectors.read(dev, [98])
    dev.vm.run(f"sync {dev.dev}")
    assert not sectors.write(dev, [99, 100, 500], version=4)
    assert not sectors.read(dev, [99, 100, 500], version=4)
    assert (dev.status().remapped, dev.status().mode) == (1, "rw")


def test_a_flush_of_the_target_s_own_that_failed_is_told(one_moved):
    """What was written to the spare before it may be lost, and only the target was told."""
    dev, main, spare = one_moved
    main.bad_sectors(200, kind="io")
    spare.fail_next(on="flush", kind="io")
    assert not sectors.write(dev, [100], version=2)
    assert list(sectors.write(dev, [200], version=2)) == [200]
    with pytest.raises(CommandFailed, match="Input/output error"):
        dev.vm.run(f"sync {dev.dev}")
    assert list(sectors.write(dev, [100])) == [100]
    dev.vm.run(f"sync {dev.dev}")
    dev.message("restore")
    assert not sectors.write(dev, [100, 200, 500], version=3)
    dev.vm.run(f"sync {dev.dev}")
    assert not sectors.read(dev, [100, 200, 500], version=3)


def test_a_discard_that_fails_does_not_count_as_telling_a_write(one_moved):
    """Nobody minds it."""
    dev, main, _ = one_moved
    main.fail_next(on="flush", kind="io")
    assert not sectors.write(dev, [99], version=2)
    for command in f"sync {dev.dev}", f"blkdiscard -f -o {500 * SECTOR} -l {SECTOR} {dev.dev}":
        with pytest.raises(CommandFailed, match="Input/output error"):
            dev.vm.run(command)
    dev.vm.run(f"sync {dev.dev}")
    assert list(sectors.write(dev, [99], version=3)) == [99]
    assert not sectors.write(dev, [99], version=3)


@pytest.mark.parametrize("again", ["", "dmsetup load r0 --table '{table}';"],
                         ids=["same table", "another"])
def test_a_flush_that_fails_while_a_table_is_loaded_is_told(one_moved, again):
    """By the table that is in use at last: the one before had acknowledged what is lost."""
    dev, _, spare = one_moved
    dev.vm.run(f"dmsetup load r0 --table '{dev.table}'")
    spare.fail_next(on="flush", kind="io")
    assert not sectors.write(dev, [100], version=2)
    with pytest.raises(CommandFailed, match="Input/output error"):
        dev.vm.run("dmsetup suspend --nolockfs r0; dmsetup resume r0")
    dev.vm.run(again.format(table=dev.table) + "dmsetup resume r0")
    with pytest.raises(CommandFailed, match="Input/output error"):
        dev.vm.run(f"sync {dev.dev}")
    dev.vm.run(f"sync {dev.dev}")


def test_a_flush_that_fails_during_a_reload_is_told(boot, new_disk):
    """
    device-mapper keeps the data of a flush with data until the device has its new table, and
    forgets that the flush has failed: a journal would be valid whose blocks are not there.
    """
    main, spare = new_disk("64M", bus="virtio"), new_disk("16M", bus="virtio")
    vm = boot(main, spare)
    vm.run("modprobe dm-delay")
    delay = f"0 131072 delay {main.dev} 0 0 {main.dev} 0 0 {main.dev} 0 3000"
    with Mapped(vm, "slow", delay) as slow, Remap(vm, slow, spare) as dev:
        vm.run(f"mkfs.ext4 -q {dev.dev} && mkdir /mnt && mount {dev.dev} /mnt && sync")
        main.fail_next(on="flush", kind="io")
        sync = vm.spawn("echo something > /mnt/file && sync /mnt/file")
        vm.wait_for("dmesg -c > /dev/null; grep -l jbd2_journal_commit /proc/[0-9]*/stack")
        vm.run(f"dmsetup load r0 --table '{dev.table}'; dmsetup suspend --nolockfs r0; dmsetup resume r0")
        assert sync.wait(60).status != 0
        assert "Aborting journal" in vm.run("dmesg")
        vm.run("umount /mnt")


@pytest.mark.parametrize("which, written", [("main", 300), ("spare", 100)])
def test_a_flush_that_failed_behind_a_write_is_told(one_moved, which, written):
    """With it goes what others have written, and sending the write again does not bring that back."""
    dev, main, spare = one_moved
    {"main": main, "spare": spare}[which].fail_next(on="flush", kind="io")
    assert list(sectors.write(dev, [written], version=2, fua=True)) == [written]
    dev.vm.run(f"sync {dev.dev}")
    assert list(sectors.write(dev, [99, 100, 500])) == [99]
    assert (dev.status().remapped, dev.status().mode) == (1, "rw")


def test_a_bad_sector_is_not_mistaken_for_a_flush_that_failed_behind_a_write(one_moved):
    dev, main, spare = one_moved
    main.bad_sectors(200, kind="io")
    [extent] = examine(spare.path)["extents"]
    spare.bad_sectors(extent["spare_sector"], kind="io")
    main.fail_next(lba=300, kind="io", on="write")
    before = counted(main)["flushes"]
    for sector in 100, 200, 300, 400:
        assert not sectors.write(dev, [sector], version=2, fua=True)
    assert counted(main)["flushes"] >= before + 2
    assert not sectors.read(dev, [100, 200, 300, 400], version=2)
    assert (dev.status().remapped, dev.status().health) == (2, "ok")


def test_a_write_that_is_being_moved_in_part_when_a_flush_fails_is_told_of_it(boot, new_disk):
    """The part that stays was in the cache of main, and is acknowledged only after that."""
    main, spare = new_disk("64M", bus="virtio"), new_disk("16M", bus="virtio")
    vm = boot(main, spare)
    vm.run("modprobe dm-delay")
    table = f"0 32768 delay {spare.dev} 0 {{}}"
    with Mapped(vm, "slow", table.format(0)) as slow, Remap(vm, main, slow) as dev:
        fill(dev)
        vm.run(f"sync {dev.dev}")
        main.bad_sectors(207, kind="io")
        slow.becomes(table.format(2000))
        tried = counted(main)["writes"] + 10  # as a whole, in a piece, and in blocks
        write = vm.spawn(f"dd if=/dev/urandom of={dev.dev} bs=4096 count=1 seek=25 oflag=direct")
        vm.wait_for(f"awk '$5 >= {tried}' {folder(main)}/stat | grep .")
        main.fail_next(on="flush", kind="io")
        assert not sectors.write(dev, [99], version=2)
        with pytest.raises(CommandFailed, match="Input/output error"):
            vm.run(f"sync {dev.dev}")
        assert "Input/output error" in write.wait(60).stderr
        slow.becomes(table.format(0))


def test_a_flush_after_one_of_the_target_s_own_that_failed_is_not_believed(boot, new_disk):
    """The target is busy with what came of it, and meanwhile the user's succeeds: for what is no longer there."""
    main, spare = new_disk("64M", bus="virtio"), new_disk("16M", bus="virtio")
    vm = boot(main, spare)
    vm.run("modprobe dm-delay")
    table = f"0 32768 delay {spare.dev} 0 0 {spare.dev} 0 0 {spare.dev} 0 {{}}"
    with Mapped(vm, "slow", table.format(0)) as slow, Remap(vm, main, slow) as dev:
        fill(dev)
        copies = Copies.of(spare)
        for number in 3, 4:
            spare.bad_sectors(copies[number].offset // SECTOR, 8)
        dev.message("remap 100 1")
        assert dev.status().valid_copies == "3/5"
        spare.heal()
        # what could not be written is there now: each copy is whole, once a flush says so
        for number in 3, 4:
            copies[number].write(copies[2].read())
        slow.becomes(table.format(3000))
        begun = counted(spare)["flushes"]
        repair = vm.spawn("dmsetup message r0 0 repair")
        vm.wait_for(f"awk '$16 > {begun}' {folder(spare)}/stat | grep .")
        spare.fail_next(on="flush", kind="io")
        assert not sectors.write(dev, [100], version=2)
        vm.wait_for(f"awk '$16 > {begun + 1}' {folder(spare)}/stat | grep .")
        with pytest.raises(CommandFailed, match="Input/output error"):
            vm.run(f"sync {dev.dev}")
        repair.wait(60)
        slow.becomes(table.format(0))


def test_a_loss_on_the_old_spare_is_told_after_the_set_has_left_it(boot, new_disk):
    """It was made by a first attempt to move, and the second one copies what is there since."""
    main, disk = new_disk("64M", bus="virtio"), new_disk("64M", bus="virtio")
    spare, new = two_parts(disk)
    vm = boot(main, disk)
    with Remap(vm, main, spare) as dev:
        fill(dev)
        dev.message("remap 100 1")
        vm.run(f"sync {dev.dev}")
        disk.fail_next(on="flush", kind="io")
        assert not sectors.write(dev, [100], version=2)
        with pytest.raises(CommandFailed, match="Input/output error"):
            dev.message(f"migrate {new.dev}")
        dev.message(f"migrate {new.dev}")
        vm.wait_for("dmsetup status r0 | grep -v migrate", 60)
        with pytest.raises(CommandFailed, match="Input/output error"):
            vm.run(f"sync {dev.dev}")
        vm.run(f"sync {dev.dev}")


def test_a_new_spare_on_the_disk_of_main_shares_its_flushes(boot, new_disk):
    """When one fails that was for the new spare, what is on main may be lost."""
    disk, spare = new_disk("64M", bus="virtio"), new_disk("16M", bus="virtio")
    main, new = two_parts(disk)
    vm = boot(disk, spare)
    with Remap(vm, main, spare) as dev:
        fill(dev)
        vm.run(f"sync {dev.dev}")
        disk.fail_next(on="flush", kind="io")
        assert not sectors.write(dev, [99], version=2)
        for command in f"dmsetup message r0 0 migrate {new.dev}", f"sync {dev.dev}":
            with pytest.raises(CommandFailed, match="Input/output error"):
                vm.run(command)
        vm.run(f"sync {dev.dev}")


def test_a_set_does_not_move_to_where_a_flush_of_main_has_lost_something(boot, new_disk):
    disk, spare = new_disk("64M", bus="virtio"), new_disk("16M", bus="virtio")
    main, new = two_parts(disk)
    vm = boot(disk, spare)
    vm.run("modprobe dm-delay")
    table = f"0 32768 delay {spare.dev} 0 {{}}"
    with Mapped(vm, "slow", table.format(0)) as slow, Remap(vm, main, slow) as dev:
        fill(dev)
        dev.message("remap 100 1 2000 1 4000 1")
        vm.run(f"sync {dev.dev}")
        before = vm.run("dmsetup table r0").split()[4]
        slow.becomes(table.format(1500))
        dev.message(f"migrate {new.dev}")
        vm.wait_for("dmsetup message r0 0 metadata_status | grep '^migration .* [1-9]'")
        disk.fail_next(on="flush", kind="io")
        assert not sectors.write(dev, [99], version=2)
        with pytest.raises(CommandFailed, match="Input/output error"):
            vm.run(f"sync {dev.dev}")
        vm.wait_for("dmsetup status r0 | grep -v migrate", 60)
        slow.becomes(table.format(0))
        assert vm.run("dmsetup table r0").split()[4] == before


def test_main_and_spare_on_one_disk_share_its_flushes(boot, new_disk):
    """When the target's own fails for something on the spare, what is on main may be lost as well."""
    disk = new_disk("64M", bus="virtio")
    main, spare = two_parts(disk)
    vm = boot(disk)
    with Remap(vm, main, spare) as dev:
        fill(dev)
        vm.run(f"sync {dev.dev}")
        assert not sectors.write(dev, [99], version=2)
        disk.fail_next(on="flush", kind="io")
        for command in "dmsetup message r0 0 save", f"sync {dev.dev}":
            with pytest.raises(CommandFailed, match="Input/output error"):
                vm.run(command)


def test_a_block_that_a_flush_has_failed_for_still_moves(boot, new_disk):
    """Where main and spare are on one disk: it goes to the spare after that."""
    disk = new_disk("64M", bus="virtio")
    main, spare = two_parts(disk)
    vm = boot(disk)
    with Remap(vm, main, spare) as dev:
        fill(dev)
        vm.run(f"sync {dev.dev}")
        begin = int(vm.run(f"cat {folder(disk)}/{main.dev[5:]}/start"))
        disk.bad_sectors(begin + 200, on="read")
        assert list(sectors.read(dev, [200])) == [200]
        disk.heal()
        disk.fail_next(on="flush", kind="io")
        assert not sectors.write(dev, [200], version=2)
        assert (dev.status().mode, dev.status().remapped) == ("rw", 1)
        with pytest.raises(CommandFailed, match="Input/output error"):
            vm.run(f"sync {dev.dev}")
        vm.run(f"sync {dev.dev}")


def test_a_flush_that_fails_while_a_sector_moves_is_not_lost_on_it(boot, new_disk):
    """What the mover had written by then may be gone, though its own flush succeeds."""
    main, spare = new_disk("64M", bus="virtio"), new_disk("16M", bus="virtio")
    vm = boot(main, spare)
    vm.run("modprobe dm-delay")
    table = f"0 32768 delay {spare.dev} 0 {{}}"
    with Mapped(vm, "slow", table.format(0)) as slow, Remap(vm, main, slow) as dev:
        fill(dev)
        dev.message("remap 100 1")
        vm.run(f"sync {dev.dev}")
        main.bad_sectors(200, kind="io")
        slow.becomes(table.format(2000))
        spare.fail_next(on="flush", kind="io")
        assert not sectors.write(dev, [100], version=2)
        tried = counted(main)["writes"] + 2
        write = vm.spawn(f"{sectors.GUEST_PATH} write -v 2 {dev.dev} 200")
        vm.wait_for(f"awk '$5 >= {tried}' {folder(main)}/stat | grep .")
        with pytest.raises(CommandFailed, match="Input/output error"):
            vm.run(f"sync {dev.dev}")
        assert write.wait(60).stdout.startswith("200: ")
        slow.becomes(table.format(0))
        dev.message("restore")
