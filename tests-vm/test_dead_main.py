# SPDX-License-Identifier: GPL-2.0
"""A main that is gone, dead or worn out is no lot of bad sectors: it doesn't eat the spare."""

from types import SimpleNamespace

import pytest

from harness import sectors
from harness.errors import CommandFailed
from harness.remap import Mapped, Remap
from harness.sectors import AREA, fill
from harness.sysfs import folder

FAILED = {"Input/output error", "No such device", "No such device or address"}
BAD = 100  # the one of AREA that has been moved by then


class Watched:
    """A set with a past: a sector of its main was moved. Its events are watched for."""

    def __init__(self, dev):
        self.dev = dev
        self.vm = dev.vm
        self.seen = 0
        self.waiter = None
        self.watch()

    def watch(self):
        """From here on the next event is waited for."""
        self.seen = self.dev.events()
        self.waiter = self.vm.spawn(f"dmsetup wait {self.dev.name} {self.seen}")

    def now_says(self, health, timeout=20):
        """An event comes, or has come, and then this is the health."""
        says = None
        while says != health:
            assert self.waiter.wait(timeout).status == 0
            self.watch()
            says = self.dev.status().health
        assert self.dev.sysfs("state") == health


@pytest.fixture
def history():
    """history(dev, main): AREA is written, BAD has been moved, everything is fine."""
    def make(dev, main, kind="io"):
        fill(dev)
        main.bad_sectors(BAD, kind=kind, on="both")
        assert not sectors.write(dev, [BAD])
        assert (dev.status().remapped, dev.status().health) == (1, "ok")
        return Watched(dev)
    return make


def all_fail(found, wanted):
    assert set(found.values()) <= FAILED, found
    assert list(found) == list(wanted)


def moved_sector_is_served(dev, version):
    """What is on the spare needs no main."""
    assert not sectors.read(dev, [BAD], version=version)
    assert not sectors.write(dev, [BAD], version=version + 1)
    assert not sectors.read(dev, [BAD], version=version + 1)


def test_a_dead_main_eats_no_spare_and_comes_back(boot, new_disk, history):
    main, spare = new_disk("64M", bus="virtio"), new_disk("16M")
    vm = boot(main, spare)
    with Remap(vm, main, spare) as dev:
        set_ = history(dev, main)
        main.fail()
        all_fail(sectors.write(dev, range(200, 232), version=2), range(200, 232))
        set_.now_says("failing")
        all_fail(sectors.write(dev, [1024], unit=1024, version=2), [1024])
        all_fail(sectors.read(dev, range(300, 310)), range(300, 310))
        assert (dev.status().remapped, dev.status().mode) == (1, "rw")
        moved_sector_is_served(dev, 1)

        # The cable is back. The first write that arrives says so; bad sectors are moved again.
        main.heal()
        assert not sectors.write(dev, range(200, 210), version=3)
        set_.now_says("ok")
        assert not sectors.read(dev, range(200, 210), version=3)
        assert not sectors.read(dev, range(300, 310))
        main.bad_sectors(500, kind="io")
        assert not sectors.write(dev, [500], version=3)
        assert not sectors.read(dev, [500], version=3)
        assert dev.status().remapped == 2


@pytest.mark.parametrize("bus", ["scsi", "virtio"])
def test_main_is_pulled_out_while_it_is_written(boot, new_disk, history, bus):
    main, spare = new_disk("64M", bus=bus), new_disk("16M", bus="virtio")
    vm = boot(main, spare)
    with Remap(vm, main, spare) as dev:
        set_ = history(dev, main)
        writer = vm.spawn(f"while dd if=/dev/zero of={dev.dev} bs=64k count=64 seek=64 oflag=direct"
                          " status=none; do date > /tmp/writes; done")
        vm.wait_for("cat /tmp/writes")
        vm.unplug(main)
        # A write finds out: the writer's, or this one.
        assert writer.wait(30).status == 0 and "error" in writer.wait().stderr
        assert sectors.write(dev, [200], version=2)
        set_.now_says("failing")
        assert dev.status().remapped == 1
        all_fail(sectors.write(dev, range(300, 332), version=2), range(300, 332))
        assert sectors.read(dev, [300])
        moved_sector_is_served(dev, 1)
        assert dev.status().remapped == 1
        vm.run("dmsetup suspend r0", timeout=10)
        vm.run("dmsetup resume r0", timeout=10)
        assert not sectors.read(dev, [BAD], version=2)

    # Plugged in again it is the same set.
    main.heal()
    vm.plug(main)
    with Remap(vm, main, spare) as dev:
        assert (dev.status().remapped, dev.status().health) == (1, "ok")
        assert not sectors.read(dev, [BAD], version=2)
        assert not sectors.read(dev, [*range(90, BAD), *range(BAD + 1, 110)])
        assert not sectors.write(dev, AREA[::64], version=3, unit=64)
        assert not sectors.read(dev, AREA[::64], version=3, unit=64)


def test_main_is_pulled_out_in_the_middle_of_a_move(boot, new_disk):
    main, spare = new_disk("256M"), new_disk("512M", bus="virtio")
    vm = boot(main, spare)
    with Remap(vm, main, spare) as dev:
        assert not sectors.write(dev, AREA[::64], unit=64)
        move = vm.spawn("dmsetup message r0 0 remap 0 524288")
        dev.wait(lambda status: status.remapped >= 4096)
        vm.unplug(main)
        assert move.wait(20).status != 0
        moved = dev.status().remapped
        assert 4096 <= moved < 524288
        assert not sectors.read(dev, AREA[::64], unit=64)  # all of it on the spare by then
        assert dev.status().mode == "rw"
    vm.plug(main)
    with Remap(vm, main, spare) as dev:
        assert dev.status().remapped == moved
        assert not sectors.read(dev, AREA[::64], unit=64)


def test_a_main_that_only_reads_is_given_up(boot, new_disk, history):
    """Worn out flash: every write fails, and reads prove nothing."""
    main, spare = new_disk("64M", bus="virtio"), new_disk("16M")
    vm = boot(main, spare)
    with Remap(vm, main, spare) as dev:
        set_ = history(dev, main)
        dev.message("set give_up 16")
        main.fail(on="write")
        found = sectors.write(dev, range(200, 400, 2), version=2)
        moved = dev.status().remapped - 1
        assert 0 < moved <= 16
        assert len(found) == 100 - moved
        set_.now_says("failing")
        # Not one more, in whatever way it is tried.
        all_fail(sectors.write(dev, range(400, 800), version=2, depth=100), range(400, 800))
        all_fail(sectors.write(dev, [1024], unit=1024, version=2), [1024])
        with pytest.raises(CommandFailed):
            vm.run(f"blkdiscard -fz -o 0 -l 4096 {dev.dev}")
        assert dev.status().remapped == moved + 1
        # What was acknowledged is there, and main still reads.
        good = [sector for sector in range(200, 400, 2) if sector not in found]
        assert not sectors.read(dev, good, version=2)
        assert not sectors.read(dev, [*range(0, 100), *found])

        # A write that main takes begins the count anew.
        main.heal()
        assert not sectors.write(dev, [0], version=2)
        set_.now_says("ok")
        main.fail(on="write")
        found = sectors.write(dev, range(800, 900, 2), version=3)
        assert 0 < len(found) < 50
        assert dev.status().remapped <= moved + 1 + 16


def test_by_default_a_dead_main_may_have_an_eighth_of_the_spare(boot, new_disk):
    main, spare = new_disk("64M", bus="virtio"), new_disk("1M")
    vm = boot(main, spare)
    with Remap(vm, main, spare) as dev:
        main.fail(on="write")
        sectors.write(dev, range(1024), depth=128)
        status = dev.status()
        assert 0 < status.remapped <= status.usable // 8
        assert (status.mode, status.health) == ("rw", "failing")


def test_scattered_failures_are_not_a_dead_main(boot, new_disk):
    """With writes that succeed between them any number of bad sectors is moved."""
    main, spare = new_disk("64M", bus="virtio"), new_disk("16M")
    vm = boot(main, spare)
    with Remap(vm, main, spare) as dev:
        dev.message("set give_up 4")
        for sector in range(0, 256, 4):
            main.bad_sectors(sector, kind="io")
        assert not sectors.write(dev, range(256), version=2)
        assert not sectors.read(dev, range(256), version=2)
        assert (dev.status().remapped, dev.status().health) == (64, "ok")


def test_what_is_moved_in_a_minute_has_a_budget(boot, new_disk, history):
    main, spare = new_disk("64M", bus="virtio"), new_disk("16M")
    vm = boot(main, spare)
    with Remap(vm, main, spare) as dev:
        set_ = history(dev, main)
        dev.message("set budget 16")
        for sector in range(200, 328, 2):
            main.bad_sectors(sector, kind="io")
        found = sectors.write(dev, range(200, 328), version=2)
        assert set(found) <= set(range(200, 328, 2))
        moved = dev.status().remapped - 1
        assert moved == 64 - len(found)
        assert 0 < moved <= 16
        set_.now_says("failing")
        # Only what moves by itself is limited.
        dev.message("remap 1000 100")
        assert dev.status().remapped == moved + 101
        # What is too much for this minute is not for the next, whatever happens in between.
        vm.run("dmsetup suspend r0; dmsetup resume r0")
        set_.now_says("ok", timeout=65)
        assert not sectors.write(dev, list(found)[:16], version=3)
        assert dev.status().remapped == moved + 101 + 16
        # Nor is it for those who set themselves another limit.
        assert sectors.write(dev, list(found)[16:], version=3)
        dev.message("set budget 1000")
        assert not sectors.write(dev, range(200, 328), version=4)
        assert not sectors.read(dev, range(200, 328), version=4)
        assert dev.status().remapped == 64 + 101
        assert dev.status().health == "ok"


def test_a_main_that_became_read_only_eats_no_spare(boot, new_disk):
    """scsi_debug can be write-protected while it runs, as a worn out disk protects itself."""
    spare = new_disk("16M")
    vm = boot(spare)
    vm.run("modprobe scsi_debug dev_size_mb=8")
    main = SimpleNamespace(dev="/dev/" + vm.wait_for(
        "cd /sys/bus/pseudo/drivers/scsi_debug/adapter*/host*/target*/*:*/block && ls").strip())
    with Remap(vm, main, spare) as dev:
        assert not sectors.write(dev, AREA[::64], unit=64)
        vm.run(f"echo 1 > /sys/module/scsi_debug/parameters/wp; blockdev --setro {main.dev}")
        assert len(sectors.write(dev, range(0, 64, 2), version=2)) == 32
        assert (dev.status().remapped, dev.status().health) == (0, "failing")
        assert not sectors.read(dev, AREA[::64], unit=64)
        vm.run(f"echo 0 > /sys/module/scsi_debug/parameters/wp; blockdev --setrw {main.dev}")
        assert not sectors.write(dev, range(64), version=3)
        assert (dev.status().remapped, dev.status().health) == (0, "ok")


def test_a_frozen_main_holds_up_nothing_but_itself(boot, new_disk, history):
    disk, spare = new_disk("64M"), new_disk("16M")
    vm = boot(disk, spare)
    answers, fails = f"0 131072 linear {disk.dev} 0", "0 131072 error"
    with Mapped(vm, "below", answers) as main, Remap(vm, main, spare) as dev:
        history(dev, disk, kind="medium")
        for end, left in ((answers, {}), (fails, {300: "Input/output error"})):
            main.freeze()
            writer = vm.spawn(f"/sbin/sectors write -v 2 {dev.dev} 300")
            vm.wait_for(f"awk '$2 > 0' {folder(dev)}/inflight")
            moved_sector_is_served(dev, 1)
            assert not sectors.write(dev, [BAD])
            assert dev.status().health == "ok" and dev.sysfs("state") == "ok"
            dev.message("metadata_status")
            main.becomes(end)
            said = writer.wait(20).stdout
            assert said == "".join(f"{sector}: {reason}\n" for sector, reason in left.items())
        assert dev.status().remapped == 1
        assert dev.status().health == "failing"
        main.becomes(answers)
        assert not sectors.write(dev, [300], version=4)
        assert not sectors.read(dev, [300], version=4)
        assert (dev.status().remapped, dev.status().health) == (1, "ok")


def test_what_is_no_bad_sector_goes_up_and_moves_nothing(boot, new_disk):
    """A thin disk that is full says so. The names that a bad sector goes by are another matter."""
    main, spare = new_disk("64M"), new_disk("16M")
    vm = boot(main, spare)
    with Remap(vm, main, spare) as dev:
        main.bad_sectors(100, kind="space")
        main.bad_sectors(200, kind="target")
        main.bad_sectors(300, kind="medium")
        assert sectors.write(dev, [99, 100, 200, 300]) == {100: "No space left on device"}
        assert (dev.status().remapped, dev.status().health) == (2, "ok")
        assert not sectors.read(dev, [99, 200, 300])
        main.bad_sectors(400, count=8, on="discard")
        with pytest.raises(CommandFailed, match="No data available"):
            vm.run(f"blkdiscard -f -o {400 * 512} -l 4096 {dev.dev}")
        assert dev.status().remapped == 2
