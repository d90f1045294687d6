# SPDX-License-Identifier: GPL-2.0
"""The mover does one thing at a time; nobody has to wait for more than what concerns him."""

import pytest

from harness import sectors
from harness.assembler import examine
from harness.errors import CommandFailed
from harness.remap import Mapped, Remap
from harness.sysfs import folder


def test_nobody_waits_for_all_of_a_move(boot, new_disk):
    main, spare = new_disk("1G"), new_disk("2G")
    main.bad_sectors(2000000)
    vm = boot(main, spare)
    with Remap(vm, main, spare) as dev:
        vm.run("(dmsetup message r0 0 remap 0 1000000; touch /tmp/ended) > /tmp/message 2>&1 &")
        dev.wait(lambda status: status.remapped)
        # A write that the mover has to deal with, some to what is being moved, and a message.
        assert not sectors.write(dev, [2000000, *range(0, 100000, 5000)])
        dev.message("save")
        vm.run("test ! -e /tmp/ended; dmsetup suspend r0; dmsetup resume r0")
        vm.wait_for("ls /tmp/ended")
        assert not sectors.read(dev, [2000000, *range(0, 100000, 5000)])


def test_a_write_does_not_wait_for_a_disk_that_tries_for_long(boot, new_disk):
    """Nor does a suspend: what cannot be read is given up step by step."""
    main, spare = new_disk("64M"), new_disk("16M")
    main.bad_sectors(0, count=256, on="read")
    main.bad_sectors(2000)
    vm = boot(main, spare)
    vm.run("modprobe dm-delay")
    delay = f"0 131072 delay {main.dev} 0 200 {main.dev} 0 0"
    with Mapped(vm, "slow", delay) as slow, Remap(vm, slow, spare) as dev:
        vm.run("(dmsetup message r0 0 remap 0 256; touch /tmp/ended) > /tmp/message 2>&1 &")
        vm.wait_for(f"awk '$1 > 4' {folder(slow)}/stat | grep .")
        assert not sectors.write(dev, [2000])
        assert 0 < dev.status().pending < 256
        vm.run("test ! -e /tmp/ended; dmsetup suspend r0; dmsetup resume r0")
        vm.wait_for("ls /tmp/ended")
        assert "busy" in vm.run("cat /tmp/message")
        assert 0 < dev.status().pending < 256


def test_a_write_does_not_wait_for_many_that_a_disk_takes_long_to_refuse(boot, new_disk):
    """What waits for the mover shares a commit, as far as it gets in half a minute."""
    main, spare = new_disk("64M", bus="virtio"), new_disk("16M")
    main.bad_sectors(1000, count=192, kind="io")
    vm = boot(main, spare)
    vm.run("modprobe dm-delay")
    delay = f"0 131072 delay {main.dev} 0 0 {main.dev} 0 1000"
    with Mapped(vm, "slow", delay, finish=False) as slow, \
            Remap(vm, slow, spare, finish=False) as dev:
        writes = [vm.spawn(f"{sectors.GUEST_PATH} write -u 64 {dev.dev} {sector}")
                  for sector in (1000, 1064, 1128)]

        def ended():
            return [job for job in writes if job.status is not None]

        # The first may have been alone when the mover began; the other two were not.
        vm.guest.wait(lambda: len(ended()) >= 2, 120, "two writes")
        vm.run("true")  # what ended together with them is known to have ended by then
        assert len(ended()) == 2
        assert all((job.status, job.stdout) == (0, "") for job in ended())


def test_a_write_does_not_wait_for_sectors_that_take_long_to_read(boot, new_disk):
    """A move of such sectors stops for it."""
    main, spare = new_disk("64M"), new_disk("16M")
    main.bad_sectors(2000)
    ranges = range(0, 64, 2)
    vm = boot(main, spare)
    vm.run("modprobe dm-delay")
    delay = f"0 131072 delay {main.dev} 0 2000 {main.dev} 0 0"
    with Mapped(vm, "slow", delay) as slow, Remap(vm, slow, spare) as dev:
        move = vm.spawn("dmsetup message r0 0 remap " + " ".join(f"{n} 1" for n in ranges))
        vm.wait_for(f"awk '$1 > 2' {folder(slow)}/stat | grep .")
        assert not sectors.write(dev, [2000])
        assert 1 < dev.status().remapped < len(ranges)
        vm.run("dmsetup suspend r0; dmsetup resume r0")
        assert "busy" in move.wait().stderr
        assert 1 < dev.status().remapped < len(ranges)


def test_a_move_can_be_killed_and_many_that_wait_end_with_a_suspend(boot, new_disk):
    main, spare = new_disk("64M"), new_disk("64M")
    vm = boot(main, spare)
    vm.run("modprobe dm-delay")
    delay = f"0 131072 delay {spare.dev} 0 100"
    with Mapped(vm, "slow", delay) as slow, Remap(vm, main, slow) as dev:
        def move():
            before = dev.status().remapped
            job = vm.spawn("exec dmsetup message r0 0 remap 0 100000")
            dev.wait(lambda status: status.remapped > before)
            return job

        job = move()
        vm.run("kill -KILL $(pidof dmsetup)")
        assert job.wait().status != 0
        dev.message("save")  # it waits for the step that was under way
        left = dev.status()
        dev.message("save")
        assert dev.status().remapped == left.remapped < 10000

        # Sectors that were read with trouble wait until the move is done.
        job = move()
        for sector in range(110000, 110240, 10):
            main.fail_next(lba=sector)
            assert not sectors.read(dev, [sector], version=0)
        vm.run("dmsetup suspend r0; dmsetup resume r0")
        assert "busy" in job.wait().stderr
        assert dev.status().remapped < 20000


def test_scattered_ranges_move_with_one_commit(boot, new_disk):
    main, spare = new_disk("64M"), new_disk("16M")
    ranges = [(1000 + 4000 * n, 1 + n % 5) for n in range(32)]
    moved = [sector for start, count in ranges for sector in range(start, start + count)]
    pairs = " ".join(f"{start} {count}" for start, count in ranges)
    vm = boot(main, spare)
    with Remap(vm, main, spare) as dev:
        assert not sectors.write(dev, moved, depth=32)
        main.bad_sectors(ranges[7][0], on="read")
        main.bad_sectors(moved[-1], on="read")
        before = dev.status()
        with pytest.raises(CommandFailed, match="Input/output error"):
            dev.message(f"remap {pairs}")
        after = dev.status()
        assert (after.generation, after.extents) == (before.generation + 1, len(ranges))
        assert dev.pending() == [(ranges[7][0], 1), (moved[-1], 1)]
        main.heal()
        dev.message(f"remap {pairs}")
        assert (dev.status().remapped, dev.status().pending) == (len(moved), 0)
        sectors.write(main, moved, version=2, depth=32)
        assert not sectors.read(dev, moved, depth=32)


def test_pending_sectors_are_counted_right_when_writes_move_beside_them(boot, new_disk):
    main, spare = new_disk("64M"), new_disk("16M")
    main.bad_sectors(200, count=64, on="both")
    vm = boot(main, spare)
    with Remap(vm, main, spare) as dev:
        vm.run("for i in $(seq 200 263); do"
               f" dd if={dev.dev} of=/dev/null bs=512 skip=$i count=1 iflag=direct 2> /dev/null &"
               f" dd if=/dev/zero of={dev.dev} bs=512 seek=$((i ^ 1)) count=1 oflag=direct 2> /dev/null &"
               " done; wait")
        assert sum(count for _, count in dev.pending()) == dev.status().pending
        assert dev.status().remapped + dev.status().pending == 64


@pytest.mark.every_kernel
def test_a_write_zeroes_of_half_blocks_leaves_the_table_whole(boot, new_disk):
    """The block layer cuts a large one at what a driver says, also in the middle of a block."""
    main, spare = (new_disk("5G", bus="virtio", block_size=4096) for _ in range(2))
    vm = boot(main, spare)
    with Remap(vm, main, spare) as dev:
        vm.run(f"blkdiscard -z -l {4 << 30} {dev.dev}", timeout=120)
    assert examine(spare.path)["verdict"] == "clean"
    with Remap(vm, main, spare) as dev:
        assert dev.status().health == "ok"


def test_a_device_is_in_one_set_at_a_time(boot, new_disk):
    """A spare with two tables would give one place to two sectors."""
    main, spare, other, more = (new_disk("64M") for _ in range(4))
    vm = boot(main, spare, other, more)
    with Remap(vm, main, spare) as dev:
        for taken in (Remap(vm, other, spare, name="r1"), Remap(vm, main, more, name="r1"),
                      Remap(vm, spare, more, name="r1"), Remap(vm, other, main, name="r1")):
            with pytest.raises(CommandFailed):
                taken.__enter__()
        assert not sectors.write(dev, range(64))
        with Remap(vm, other, more, name="r1") as apart:
            assert not sectors.write(apart, range(64))
        # Another table for the same device takes them over.
        dev.becomes(dev.table)
        assert not sectors.read(dev, range(64))


def test_a_set_that_was_made_after_its_table_was_loaded_is_looked_at_again(boot, new_disk):
    main, spare = new_disk("64M"), new_disk("16M")
    vm = boot(main, spare)
    vm.run(f"dmsetup create late --notable; echo '0 65536 remap {main.dev} {spare.dev}' | dmsetup load late")
    with Remap(vm, main, spare) as dev:
        dev.message("remap 131000 8")
    with pytest.raises(CommandFailed):
        vm.run("dmsetup resume late")
    said = vm.run("dmesg | grep device-mapper | tail -n 5")
    assert "the set has 131072 sectors, the table 65536" in said
    vm.run("dmsetup remove late")


def test_a_4k_main_takes_a_spare_of_an_odd_size(boot, new_disk):
    main, spare = new_disk("64M", block_size=4096), new_disk("16M")
    vm = boot(main, spare)
    with Mapped(vm, "odd", f"0 32767 linear {spare.dev} 0") as odd, Remap(vm, main, odd) as dev:
        dev.message("remap 800 80")
        assert dev.status().remapped == 80
