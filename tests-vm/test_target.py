# SPDX-License-Identifier: GPL-2.0
"""The target alone, by dmsetup: failed writes are moved, and nothing else is."""

import pytest

from harness.assembler import examine
from harness.copies import Copies
from harness.errors import CommandFailed
from harness.machine import Machine
from harness.mutation import SMALL_STEPS, lane_with
from harness.parts import two_parts
from harness.remap import Remap


def write_random(vm, dev, megabytes=1, at=0):
    """Writes random data in requests of 1 MiB past the page cache and keeps a copy."""
    vm.run(f"dd if=/dev/urandom of=/tmp/data bs=1M count={megabytes} status=none;"
           f"dd if=/tmp/data of={dev} bs=1M seek={at} oflag=direct conv=fsync status=none")


def assert_reads_back(vm, dev, megabytes=1, at=0):
    vm.run(f"dd if={dev} bs=1M skip={at} count={megabytes} iflag=direct status=none"
           " | cmp - /tmp/data")


@pytest.mark.parametrize("bus, kind", [("scsi", "medium"), ("scsi", "io"), ("virtio", "io")])
@pytest.mark.parametrize("bad", [[2048 + 777], [2048 + 5, 2048 + 1000, 2048 + 2047]],
                         ids=["one", "three"])
def test_only_the_bad_sectors_of_a_large_write_move(boot, new_disk, bus, kind, bad):
    main, spare = new_disk("64M", bus=bus), new_disk("16M")
    for sector in bad:
        main.bad_sectors(sector, kind=kind)
    vm = boot(main, spare)
    with Remap(vm, main, spare) as dev:
        write_random(vm, dev.dev, at=1)
        assert_reads_back(vm, dev.dev, at=1)
        status = dev.status()
        assert (status.remapped, status.extents) == (len(bad), len(bad))
        assert (status.mode, status.health, status.valid_copies) == ("rw", "ok", "5/5")
    data = vm.run("sha256sum < /tmp/data")
    vm.shutdown()

    vm = boot(main, spare)
    with Remap(vm, main, spare) as dev:
        assert vm.run(f"dd if={dev.dev} bs=1M skip=1 count=1 status=none | sha256sum") == data
        again = dev.status()
        assert (again.remapped, again.extents) == (len(bad), len(bad))


def test_partitions_stay_within_their_bounds(boot, new_disk):
    """What is sent again must go to the partition's sectors, not to the disk's of that number."""
    disk = new_disk("64M")
    main, spare = two_parts(disk)
    disk.bad_sectors(2048 + 20480 + 777)
    vm = boot(disk)
    with Remap(vm, main, spare) as dev:
        write_random(vm, dev.dev, at=10)
        assert_reads_back(vm, dev.dev, at=10)
        assert dev.status().remapped == 1
        rest = vm.run(f"dd if={dev.dev} bs=1M count=10 status=none | tr -d '\\0' | wc -c;"
                      f"dd if={dev.dev} bs=1M skip=11 status=none | tr -d '\\0' | wc -c")
        assert rest.split() == ["0", "0"]


def test_a_4k_disk_moves_whole_blocks(boot, new_disk):
    main, spare = new_disk("64M", block_size=4096), new_disk("16M", block_size=4096)
    main.bad_sectors(1003, kind="io")
    vm = boot(main, spare)
    with Remap(vm, main, spare) as dev:
        write_random(vm, dev.dev)
        assert_reads_back(vm, dev.dev)
        assert (dev.status().remapped, dev.status().extents) == (8, 1)


def test_neighbours_become_one_extent(boot, new_disk):
    main, spare = new_disk("64M"), new_disk("16M")
    main.bad_sectors(100, count=40)
    vm = boot(main, spare)
    with Remap(vm, main, spare) as dev:
        write_random(vm, dev.dev)
        assert_reads_back(vm, dev.dev)
        assert (dev.status().remapped, dev.status().extents) == (40, 1)


@pytest.fixture
def lane_of_small_steps(tree, tmp_path):
    """The fast lane with a module whose table grows by one block at a time."""
    return lane_with([SMALL_STEPS], tree, tmp_path)


def test_the_table_grows(lane_of_small_steps, new_disk):
    main, spare = new_disk("4M", bus="virtio"), new_disk("4M")
    for sector in range(0, 1024, 2):
        main.bad_sectors(sector, kind="io")
    with Machine(lane_of_small_steps, [main, spare], powerloss=True, append="loglevel=3") as vm:
        vm.boot()
        with Remap(vm, main, spare) as dev:
            write_random(vm, dev.dev)
            assert dev.status().extents == 512
        with Remap(vm, main, spare) as dev:
            assert_reads_back(vm, dev.dev)
            assert (dev.status().extents, dev.status().valid_copies) == (512, "5/5")
        vm.shutdown()
    found = examine(spare.path)
    assert (found["verdict"], len(found["extents"])) == ("clean", 512)


def test_a_flush_that_fails_while_the_table_grows_is_told(lane_of_small_steps, new_disk):
    """What was written to the spare before may be lost with it."""
    main, spare = new_disk("4M", bus="virtio"), new_disk("4M", bus="virtio")
    with Machine(lane_of_small_steps, [main, spare], append="loglevel=3") as vm:
        vm.boot()
        with Remap(vm, main, spare) as dev:
            for start in range(0, 320, 64):
                dev.message("remap " + " ".join(f"{start + at} 1" for at in range(0, 64, 2)))
            vm.run(f"sync {dev.dev}")
            vm.run(f"dd if=/dev/urandom of={dev.dev} count=1 oflag=direct status=none")
            spare.fail_next(on="flush", kind="io")
            for command in "dmsetup message r0 0 remap 400 1", f"sync {dev.dev}":
                with pytest.raises(CommandFailed, match="Input/output error"):
                    vm.run(command)
            assert "table_blocks 1/" in dev.message("metadata_status")


def test_a_bad_place_on_the_spare_is_passed_over(boot, new_disk):
    main, spare = new_disk("64M"), new_disk("16M")
    main.bad_sectors(100)
    vm = boot(main, spare)
    with Remap(vm, main, spare):
        pass  # formats the spare
    first_place = int(vm.run(f"dmremap examine {spare.dev} --json | tr ',' '\\n'"
                             " | sed -n 's/.*\"length_bytes\": *//p' | head -n 1")) // 512
    spare.bad_sectors(first_place, count=2)
    with Remap(vm, main, spare) as dev:
        write_random(vm, dev.dev)
        assert_reads_back(vm, dev.dev)
        assert dev.status().remapped == 1


@pytest.mark.every_kernel
def test_named_sectors_move_with_their_data(boot, new_disk):
    main, spare = new_disk("64M"), new_disk("16M")
    vm = boot(main, spare)
    with Remap(vm, main, spare) as dev:
        write_random(vm, dev.dev, megabytes=4)
        dev.message("remap 1000 3000")
        vm.run(f"dd if=/dev/zero of={main.dev} bs=512 seek=1000 count=3000 oflag=direct status=none")
        assert_reads_back(vm, dev.dev, megabytes=4)
        assert dev.status().remapped == 3000
        dev.message("remap 900 200")
        assert dev.status().remapped == 3100
        for wrong in ("remap", "remap 1", "remap 131072 1", "remap 0 0", "remap 131071 2",
                      "remap x 1", "nonsense"):
            with pytest.raises(CommandFailed):
                dev.message(wrong)
        assert dev.status().remapped == 3100


@pytest.mark.every_kernel
def test_writes_go_on_while_their_sectors_move(boot, new_disk):
    """A move that misses a write in flight would bring old data back."""
    main, spare = new_disk("64M"), new_disk("32M")
    vm = boot(main, spare)
    with Remap(vm, main, spare) as dev:
        vm.run("dd if=/dev/urandom of=/tmp/data bs=1M count=4 status=none")
        vm.run(f"""
            (while [ ! -e /tmp/moved ]; do
                dd if=/tmp/data of={dev.dev} bs=4k oflag=direct status=none || echo failed
                dd if=/dev/zero of={dev.dev} bs=64k count=64 oflag=direct status=none || echo failed
            done; dd if=/tmp/data of={dev.dev} bs=4k oflag=direct status=none) > /tmp/writer 2>&1 &
            dmsetup message r0 0 remap 0 8192; moved=$?
            touch /tmp/moved; wait; cat /tmp/writer; exit $moved""", timeout=120)
        assert vm.run("cat /tmp/writer") == ""
        assert_reads_back(vm, dev.dev, megabytes=4)
        assert dev.status().remapped == 8192


@pytest.mark.every_kernel
def test_table_round_trips_and_reload_keeps_remaps(boot, new_disk):
    main, spare = new_disk("64M"), new_disk("16M")
    main.bad_sectors(100)
    uuid = "6d5f1c3e-91d3-4d0c-9d0b-6f2a4a8e2b11"
    vm = boot(main, spare)
    with Remap(vm, main, spare, args=f"2 uuid {uuid}") as dev:
        write_random(vm, dev.dev)
        table = vm.run("dmsetup table r0")
        assert table.endswith(f" 2 uuid {uuid}\n")
        vm.run(f"echo '{table}' | dmsetup reload r0; dmsetup suspend r0; dmsetup resume r0")
        assert dev.status().remapped == 1
        assert vm.run("dmsetup table r0") == table
        assert_reads_back(vm, dev.dev)
        vm.run("dmsetup suspend r0; dmsetup resume r0")
        assert dev.status().remapped == 1


@pytest.mark.every_kernel
def test_a_suspend_ends_a_move(boot, new_disk):
    main, spare = new_disk("1G"), new_disk("2G")
    vm = boot(main, spare)
    with Remap(vm, main, spare) as dev:
        move = vm.spawn("dmsetup message r0 0 remap 0 2097152")
        dev.wait(lambda status: status.remapped)
        vm.run("dmsetup suspend r0")
        assert "busy" in move.wait().stderr
        vm.run("dmsetup resume r0")
        moved = dev.status().remapped
        assert 0 < moved < 2097152
        dev.message("remap 2000000 8")
        assert dev.status().remapped == moved + 8


def test_what_is_not_this_set_s_spare_is_refused_untouched(boot, new_disk):
    main, spare, other = new_disk("64M"), new_disk("16M"), new_disk("1M")
    small = new_disk("64K")
    vm = boot(main, spare, other, small)

    def refused(spare, args="", reason=""):
        before = vm.run(f"sha256sum < {spare.dev}")
        with pytest.raises(CommandFailed):
            with Remap(vm, main, spare, args):
                pass
        assert vm.run(f"sha256sum < {spare.dev}") == before
        assert reason in vm.run("dmesg | grep device-mapper | tail -n 20")

    vm.run(f"mkfs.ext4 -q {other.dev}")
    refused(other, reason="not dm-remap metadata")
    # All that a format would write over has to be empty: btrfs, for one, begins at 64 KiB.
    vm.run(f"echo something | dd of={spare.dev} bs=64k seek=1 conv=notrunc status=none; sync {spare.dev}")
    refused(spare, reason="not empty at sector 128")
    vm.run(f"blkdiscard -z {spare.dev}")
    refused(small, reason="too small")
    refused(main, reason="overlap")
    with Remap(vm, main, spare):
        pass
    refused(spare, args="2 uuid 11111111-2222-3333-4444-555555555555",
            reason="belongs to another set")
    refused(spare, args="1 nonsense", reason="Invalid optional arguments")


def test_a_first_resume_that_failed_can_be_repeated(boot, new_disk):
    main, spare = new_disk("1M"), new_disk("1M")
    for copy in (504, 1008, 1512, 2024):
        spare.bad_sectors(copy + 8)
    vm = boot(main, spare)
    vm.run(f"dmsetup create r0 --notable; echo '0 2048 remap {main.dev} {spare.dev}' | dmsetup load r0")
    with pytest.raises(CommandFailed):
        vm.run("dmsetup resume r0")
    spare.heal()
    vm.run("dmsetup resume r0; dmsetup remove r0")
    with Remap(vm, main, spare) as dev:
        assert dev.status().valid_copies == "5/5"


def test_one_misplaced_superblock_leads_nowhere(boot, new_disk):
    """A copy 0 of another, smaller spare is damage: the other four say where they are."""
    main, spare, small = new_disk("64M"), new_disk("16M"), new_disk("1M")
    main.bad_sectors(100)
    vm = boot(main, spare, small)
    with Remap(vm, main, small):
        pass
    with Remap(vm, main, spare) as dev:
        write_random(vm, dev.dev)
    vm.run(f"dd if={small.dev} of={spare.dev} bs=4k count=1 oflag=direct conv=fsync status=none")
    with Remap(vm, main, spare) as dev:
        assert_reads_back(vm, dev.dev)
        assert (dev.status().remapped, dev.status().valid_copies) == (1, "5/5")


@pytest.mark.every_kernel
def test_a_full_spare_fails_the_write_and_keeps_what_was_moved(boot, new_disk):
    main, spare = new_disk("64M"), new_disk("1M")
    main.bad_sectors(4096, count=2048)
    vm = boot(main, spare)
    with Remap(vm, main, spare) as dev:
        usable = dev.status().usable
        with pytest.raises(CommandFailed, match="Input/output error"):
            write_random(vm, dev.dev, megabytes=2, at=2)
        status = dev.status()
        assert status.mode == "rw"
        assert 0 < status.remapped <= usable
        write_random(vm, dev.dev, megabytes=1, at=8)
        assert_reads_back(vm, dev.dev, megabytes=1, at=8)


@pytest.mark.every_kernel
def test_a_read_only_device_writes_nothing(boot, new_disk):
    main, spare = new_disk("64M"), new_disk("16M")
    main.bad_sectors(100)
    vm = boot(main, spare)
    with Remap(vm, main, spare) as dev:
        write_random(vm, dev.dev)
    before = vm.run(f"sha256sum < {spare.dev}")
    with Remap(vm, main, spare, options="--readonly") as dev:
        assert dev.status().mode == "ro"
        assert_reads_back(vm, dev.dev)
        with pytest.raises(CommandFailed):
            dev.message("remap 0 8")
    assert vm.run(f"sha256sum < {spare.dev}") == before


class CutsNearTheEnd:
    """A set whose metadata is nearly gone, and what cuts at each of its writes would leave of it."""

    def __init__(self, lane, new_disk, folder):
        self.main, self.spare = new_disk("1M", bus="virtio"), new_disk("1M")
        self.lane = lane
        self.folder = folder
        self.states = 0
        self.lost = []
        with self._machine() as self.vm:
            self.vm.boot()
            with Remap(self.vm, self.main, self.spare) as dev:
                self._write_over(dev, 100)

    def _machine(self):
        return Machine(self.lane, [self.main, self.spare], powerloss=True, append="loglevel=3")

    def _write_over(self, dev, bad):
        self.main.bad_sectors(bad, kind="io")
        self.vm.run(f"dd if=/dev/zero of={dev.dev} seek={bad} count=1 oflag=direct status=none")

    def _judge(self):
        for _ in range(40):
            self.states += 1
            image = self.vm.after_power_loss(self.states, self.folder)[self.spare]
            found = examine(image)
            if found["verdict"] == "lost" or not found["extents"]:
                self.lost.append(f"operation {self.vm.server.operations}, seed {self.states}")

    def run(self, bad, args=""):
        with self._machine() as self.vm:
            self.vm.boot()
            self.vm.cut_after(1000, each=self._judge)
            with Remap(self.vm, self.main, self.spare, args) as dev:
                for sector in bad:
                    self._write_over(dev, sector)
        assert not self.lost, f"{len(self.lost)} of {self.states} states, first {self.lost[0]}"


@pytest.fixture
def near_the_end(fast_lane, new_disk, tmp_path):
    return CutsNearTheEnd(fast_lane, new_disk, tmp_path)


@pytest.mark.parametrize("damaged", [[2, 3, 4], [3, 4]], ids=["two", "three"])
def test_a_cut_leaves_a_good_one_of_few_copies(near_the_end, damaged):
    copies = Copies.of(near_the_end.spare)
    for copy in damaged:
        copies[copy].corrupt()
    near_the_end.run([200, 300], "1 no_repair")
    assert near_the_end.states > 100


@pytest.mark.parametrize("only", [0, 3])
def test_a_cut_leaves_a_superblock_while_copies_are_brought_level(near_the_end, only):
    copies = Copies.of(near_the_end.spare)
    for copy in {0, 1, 2, 3, 4} - {only}:
        copies[copy].corrupt(block=0)
    near_the_end.run([])
    assert near_the_end.states > 20


def test_without_repair_the_last_copy_is_left_alone(near_the_end):
    copies = Copies.of(near_the_end.spare)
    for copy in range(1, 5):
        copies[copy].corrupt()
    near_the_end.run([], "1 no_repair")
