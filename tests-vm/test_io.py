# SPDX-License-Identifier: GPL-2.0
"""Every kind of request, through extents and the gaps between them, as a disk would do it."""

from contextlib import ExitStack

import pytest

from harness import sectors
from harness.assembler import examine
from harness.disk import SECTOR
from harness.errors import CommandFailed
from harness.logwrites import LogWrites, written
from harness.remap import Mapped, Remap
from harness.sectors import fill
from harness.sysfs import attribute, counted, folder

AREA = range(4096)
WOULD_WAIT = "Resource temporarily unavailable"

# Ranges that were moved: single sectors, neighbours that were moved one after the other, in the
# order of main and against it, a long one, and gaps of all lengths.
MOVED = [(5, 1), (8, 1), (7, 1), (16, 48), (65, 1), (100, 3), (103, 5), (1000, 1), (1002, 1),
         (1004, 200), (2040, 16), (4095, 1)]
MOVED_SECTORS = {sector for start, count in MOVED for sector in range(start, start + count)}


def move(dev):
    for start, count in MOVED:
        dev.message(f"remap {start} {count}")


def place_of(spare, sector):
    (place,) = (extent["spare_sector"] + sector - extent["main_sector"]
                for extent in examine(spare.path)["extents"]
                if 0 <= sector - extent["main_sector"] < extent["sectors"])
    return place


def test_requests_cross_extents_and_gaps(boot, new_disk):
    main, spare = new_disk("8M"), new_disk("8M", bus="virtio")
    vm = boot(main, spare)
    with Remap(vm, main, spare) as dev:
        fill(dev, area=AREA)
        move(dev)
        assert dev.status().remapped == len(MOVED_SECTORS)
        # Whoever reads a moved sector of main is caught.
        assert not sectors.write(main, sorted(MOVED_SECTORS), version=9)
        ways = [(4096, 1), (512, 8), (8, 512), (1, 1024), (2048, 2)]
        for version, (unit, depth) in enumerate(ways, 2):
            assert not sectors.write(dev, AREA[::unit], version=version, unit=unit, depth=depth)
            unit, depth = ways[1 - version]  # read in another way than written
            assert not sectors.read(dev, AREA[::unit], version=version, unit=unit, depth=depth)
        # Requests that begin and end anywhere.
        for start, count in ((3, 3), (6, 3), (15, 51), (99, 10), (999, 207), (2047, 100),
                             (4090, 6)):
            assert not sectors.write(dev, [start], version=7, unit=count)
            assert not sectors.read(dev, [start], version=7, unit=count)
            around = [sector for sector in (start - 1, start + count) if sector in AREA]
            assert not sectors.read(dev, around, version=6)
            assert not sectors.write(dev, [start], version=6, unit=count)
        assert not sectors.read(main, sorted(MOVED_SECTORS), version=9)
        assert not sectors.read(main, [sector for sector in AREA if sector not in MOVED_SECTORS],
                                version=6, depth=64)
        # Through the page cache, too.
        vm.run(f"dd if={dev.dev} bs=1M count=2 iflag=direct status=none > /tmp/direct;"
               "echo 3 > /proc/sys/vm/drop_caches;"
               f"dd if={dev.dev} bs=1M count=2 status=none | cmp - /tmp/direct;"
               f"dd if=/tmp/direct of={dev.dev} bs=1000 seek=3000 conv=fsync,notrunc status=none;"
               f"dd if={dev.dev} bs=1000 skip=3000 count=2000 iflag=fullblock status=none"
               " | cmp -n 2000000 - /tmp/direct")


@pytest.mark.every_kernel
def test_discards_go_to_both_and_leave_the_neighbours_alone(boot, new_disk):
    main, spare = new_disk("8M"), new_disk("8M", bus="virtio")
    vm = boot(main, spare)

    def discards():
        return [counted(disk)["discards"] for disk in (main, spare)]

    with Remap(vm, main, spare) as dev:
        fill(dev, area=AREA)
        move(dev)
        assert int(attribute(dev, "queue/discard_max_bytes")) > 0
        before = discards()
        vm.run(f"blkdiscard -f -o {512 * SECTOR} -l {128 * SECTOR} {dev.dev}")
        assert discards() == [before[0] + 1, before[1]]
        vm.run(f"blkdiscard -f -o {1024 * SECTOR} -l {64 * SECTOR} {dev.dev}")
        assert discards() == [before[0] + 1, before[1] + 1]
        # From main through an extent to main again.
        before = discards()
        vm.run(f"blkdiscard -f -o {1960 * SECTOR} -l {120 * SECTOR} {dev.dev}")
        assert all(now > then for now, then in zip(discards(), before))
        gone = {*range(512, 640), *range(1024, 1088), *range(1960, 2080)}
        assert not sectors.read(dev, [sector for sector in AREA if sector not in gone], depth=64)
        assert not sectors.read(dev, sorted(gone), version=None, depth=64)
        assert dev.status().remapped == len(MOVED_SECTORS)
        vm.run(f"blkdiscard -f {dev.dev}")
        assert dev.status().remapped == len(MOVED_SECTORS)
        fill(dev, version=2, area=AREA)
        assert not sectors.read(dev, AREA[::64], unit=64, version=2)
        # What can't be promised through a map is not offered.
        with pytest.raises(CommandFailed, match="not supported"):
            vm.run(f"blkdiscard -f --secure {dev.dev}")
        assert not sectors.read(dev, AREA[::64], unit=64, version=2)


@pytest.mark.every_kernel
def test_zeroes_reach_the_spare(boot, new_disk):
    main, spare = new_disk("8M"), new_disk("8M", bus="virtio")
    vm = boot(main, spare)
    with Remap(vm, main, spare) as dev:
        fill(dev, area=AREA)
        move(dev)
        vm.run(f"blkdiscard -fz -o {990 * SECTOR} -l {30 * SECTOR} {dev.dev}")
        assert not sectors.read(dev, range(990, 1020), version=0)
        assert not sectors.read(dev, [*range(900, 990), *range(1020, 1100)])
        assert not spare.read_at(place_of(spare, 1004) * SECTOR, SECTOR).strip(b"\0")
        assert not sectors.read(main, [1004, 1019])  # and not main, where it has no business
        assert attribute(dev, "queue/write_zeroes_max_bytes") != "0"
        # Zeroes that main can't write are moved like any other data.
        main.bad_sectors(3000, count=2)
        vm.run(f"blkdiscard -fz -o {2990 * SECTOR} -l {30 * SECTOR} {dev.dev}")
        assert not sectors.read(dev, range(2990, 3020), version=0)
        assert not sectors.read(dev, [2989, 3020])
        assert dev.status().remapped == len(MOVED_SECTORS) + 2


@pytest.mark.every_kernel
def test_flush_and_fua_arrive_where_the_data_goes(boot, new_disk):
    """And a move is in order: its data, a flush, only then metadata, and that flushed, too."""
    main, spare, main_log, spare_log = (new_disk(size) for size in ("8M", "8M", "64M", "64M"))
    vm = boot(main, spare, main_log, spare_log)
    with LogWrites(vm, "main", main, main_log) as below, \
            LogWrites(vm, "spare", spare, spare_log) as beside, Remap(vm, below, beside) as dev:
        def step(name, act):
            """What an act wrote can be found in both logs, and nothing else."""
            vm.run(f"sync {below.dev}; sync {beside.dev}")
            for log in (below, beside):
                log.mark(name)
            act()
            vm.run(f"sync {below.dev}; sync {beside.dev}")
            for log in (below, beside):
                log.mark("end")

        assert attribute(dev, "queue/write_cache") == "write back"
        dev.message("remap 100 4")
        step("plain", lambda: sectors.write(dev, [98], unit=4))
        step("fua", lambda: sectors.write(dev, [98], unit=4, fua=True))
        step("flush", lambda: (sectors.write(dev, [100]), vm.run(f"sync {dev.dev}")))
        main.bad_sectors(200)
        step("move", lambda: sectors.write(dev, [200]))
        moved, place = place_of(spare, 100), place_of(spare, 200)

    to_main, to_spare = written(main_log), written(spare_log)
    data = {(entry.sector, entry.sectors): entry for entry in to_main["plain"] + to_spare["plain"]
            if entry.sectors}
    assert not any(entry.fua for entry in data.values())
    assert set(data) == {(98, 2), (moved, 2)}
    for log, sector in ((to_main, 98), (to_spare, moved)):
        assert any(entry.fua and (entry.sector, entry.sectors) == (sector, 2)
                   for entry in log["fua"])
        assert any(entry.flush for entry in log["flush"])

    *_, metadata = [number for number, entry in enumerate(to_spare["move"])
                    if entry.sector == place and entry.sectors == 1]
    after = to_spare["move"][metadata + 1:]
    assert metadata == 0 or not to_spare["move"][0].sectors
    assert after[0].flush
    assert sum(entry.sectors >= 8 for entry in after) >= 5
    assert all(not entry.sectors or entry.sectors % 8 == 0 for entry in after)


@pytest.mark.every_kernel
def test_nowait_never_waits_and_is_never_taken_for_a_bad_sector(boot, new_disk):
    disk, spare = new_disk("64M"), new_disk("16M")
    vm = boot(disk, spare)
    with Mapped(vm, "below", f"0 131072 linear {disk.dev} 0") as main, \
            Remap(vm, main, spare) as dev:
        fill(dev, area=AREA)
        move(dev)
        for device in (disk, dev):  # it can do what a disk can
            assert not sectors.read(device, range(200, 210), nowait=True, depth=10)
        assert not sectors.write(dev, [90], version=2, unit=64, nowait=True)
        assert not sectors.read(dev, range(90, 154), version=2, nowait=True)
        # Mending takes time. Either way it's the truth.
        disk.bad_sectors(300)
        if found := sectors.write(dev, [300], version=2, nowait=True):
            assert found == {300: WOULD_WAIT}
            assert not sectors.write(dev, [300], version=2)
        assert not sectors.read(dev, [300], version=2, nowait=True)
        before = dev.status()

        main.freeze()
        for act in (sectors.read, sectors.write):
            assert act(dev, [400], nowait=True) == {400: WOULD_WAIT}
            assert not act(dev, [100], version=2, nowait=True)
        main.thaw()
        vm.run("dmsetup suspend r0")
        assert sectors.read(dev, [400], nowait=True) == {400: WOULD_WAIT}
        vm.run("dmsetup resume r0")
        assert not sectors.write(dev, [400], version=2)
        assert not sectors.read(dev, [400], version=2, nowait=True)
        status = dev.status()
        assert (status.remapped, status.pending) == (before.remapped, 0)
        assert (status.mode, status.health) == ("rw", "ok")


GEOMETRY = ("size", "ro", "alignment_offset", "queue/logical_block_size",
            "queue/physical_block_size", "queue/minimum_io_size", "queue/optimal_io_size",
            "queue/hw_sector_size", "queue/rotational", "queue/zoned",
            "queue/discard_granularity")


def geometry(device):
    said = device.vm.run(f"cd {folder(device)} && cat {' '.join(GEOMETRY)}").split()
    return dict(zip(GEOMETRY, said, strict=True))


def test_the_set_has_the_geometry_of_its_main(boot, new_disk):
    """512n, 512e and 4Kn, with a spare of any kind but a 4Kn one where smaller blocks may move."""
    kinds = {"512n": (512, 512), "512e": (512, 4096), "4Kn": (4096, 4096)}
    mains, spares = ({kind: new_disk(size, bus=bus, block_size=block, physical=physical)
                      for kind, (block, physical) in kinds.items()}
                     for size, bus in (("2M", "scsi"), ("1M", "virtio")))
    vm = boot(*mains.values(), *spares.values())

    def empty(spare):
        vm.run(f"dd if=/dev/zero of={spare.dev} bs=1M count=1 oflag=direct status=none")
        return spare

    for main, spare in ("512n", "512e"), ("512e", "512n"), ("4Kn", "512n"), ("4Kn", "4Kn"):
        main, spare = mains[main], empty(spares[spare])
        with Remap(vm, main, spare) as dev:
            assert geometry(dev) == geometry(main)
            assert attribute(dev, "queue/write_cache") == "write back"
            unit = main.block_size // SECTOR
            main.bad_sectors(160, count=unit)
            assert not sectors.write(dev, [160 - unit], unit=3 * unit, version=2)
            assert not sectors.read(dev, [160 - unit], unit=3 * unit, version=2)
            assert (dev.status().remapped, dev.status().extents) == (unit, 1)
            if unit > 1:
                assert sectors.read(dev, [161], version=2) == {161: "Invalid argument"}
                with pytest.raises(CommandFailed):
                    dev.message("remap 4 8")
            main.heal()
    for main in "512n", "512e":
        with pytest.raises(CommandFailed), Remap(vm, mains[main], empty(spares["4Kn"])):
            pass
        assert "logical block is larger" in vm.run("dmesg | grep device-mapper | tail -n 3")
        assert not spares["4Kn"].read_at(0, spares["4Kn"].size).strip(b"\0")


def test_what_cannot_be_a_set_is_refused(boot, new_disk):
    main, spare = new_disk("8M"), new_disk("1M")
    vm = boot(main, spare)

    def refused(table, reason):
        vm.run("dmesg -c > /dev/null")
        with pytest.raises(CommandFailed):
            vm.run("dmsetup create r1", stdin=table.encode())
        assert reason in vm.run("dmesg")

    both = f"remap {main.dev} {spare.dev}"
    vm.run(f"mkfs.ext4 -q -F {main.dev}")
    before = vm.run(f"sha256sum {main.dev} {spare.dev}")
    refused(f"8 16376 {both}\n", "")
    refused(f"0 8 linear {main.dev} 0\n8 16376 {both}\n", "")
    refused(f"0 8 {both}\n8 8 {both}\n", "")
    refused(f"0 16385 {both}\n", "smaller")
    refused(f"0 16384 remap {main.dev}\n", "Invalid argument count")
    refused(f"0 16384 remap {main.dev} /dev/nonesuch\n", "spare")
    refused(f"0 2048 remap {spare.dev} {main.dev}\n", "not dm-remap metadata")
    vm.run("modprobe null_blk zoned=1 zone_size=4 gb=1 memory_backed=0")
    zoned = "/dev/" + vm.wait_for("cd /sys/block && ls -d nullb0").strip()
    refused(f"0 2097152 remap {zoned} {spare.dev}\n", "oned")
    refused(f"0 16384 remap {main.dev} {zoned}\n", "oned")
    assert vm.run(f"sha256sum {main.dev} {spare.dev}") == before

    # A part of main is all that the set has then.
    with Remap(vm, main, spare, length=4096) as dev:
        assert attribute(dev, "size") == "4096"
        assert sectors.write(dev, [4096])
        with pytest.raises(CommandFailed):
            dev.message("remap 4095 2")
    refused(f"0 16384 {both}\n", "the set has 4096 sectors")


def test_read_only_means_nothing_is_written(boot, new_disk):
    main, spare = new_disk("8M"), new_disk("8M", bus="virtio")
    vm = boot(main, spare)
    with Remap(vm, main, spare) as dev:
        fill(dev, area=AREA)
        move(dev)
    writes = [counted(disk)["writes"] for disk in (main, spare)]
    with Remap(vm, main, spare, options="--readonly") as dev:
        assert (dev.status().mode, dev.sysfs("mode")) == ("ro", "ro")
        assert attribute(dev, "ro") == "1"
        assert not sectors.read(dev, AREA[::64], unit=64)
        with pytest.raises(CommandFailed):
            vm.run(f"dd if=/dev/zero of={dev.dev} bs=512 count=1 oflag=direct status=none")
        # What can't be read is pending here, too; what is weak can't be moved.
        main.bad_sectors(200, on="read")
        assert list(sectors.read(dev, range(196, 204))) == [200]
        assert dev.pending() == [(200, 1)]
        main.fail_next(lba=300)
        assert not sectors.read(dev, [300])
        for message in ("remap 0 1", "save"):
            with pytest.raises(CommandFailed, match="Read-only"):
                dev.message(message)
        vm.run(f"blkdiscard -f {dev.dev} && exit 1 || true")
        assert dev.status().remapped == len(MOVED_SECTORS)
    assert [counted(disk)["writes"] for disk in (main, spare)] == writes


def test_a_disk_that_was_read_only_for_a_while_keeps_a_table_that_is_not(boot, new_disk):
    main, spare = new_disk("8M"), new_disk("8M", bus="virtio")
    vm = boot(main, spare)
    with Remap(vm, main, spare) as dev:
        vm.run(f"blockdev --setro {dev.dev}")
        dev.becomes(dev.table)
        vm.run(f"blockdev --setrw {dev.dev}")
        assert dev.status().mode == "rw"
        main.bad_sectors(7)
        assert not sectors.write(dev, [7])
        assert dev.status().remapped == 1


@pytest.mark.every_kernel
def test_suspends_and_reloads_with_failures_in_flight(boot, new_disk):
    main, spare = new_disk("8M", bus="virtio"), new_disk("8M")
    vm = boot(main, spare)
    written = range(256)
    bad = written[::3]
    with Remap(vm, main, spare) as dev:
        dev.message("set give_up 100000")
        fill(dev, area=AREA)
        for sector in bad:
            main.bad_sectors(sector, kind="io", on="both")
        table = vm.run("dmsetup table r0")
        writer = vm.spawn(f"""version=2
            while [ ! -e /tmp/stop ]; do
                sectors write -q 64 -v $version {dev.dev} $(seq 0 255)
                sectors read -q 64 -v $version {dev.dev} $(seq 0 255)
                version=$((version + 1))
                echo $version > /tmp/version
            done""")
        for _ in range(5):
            vm.run("dmsetup suspend r0 && dmsetup resume r0", timeout=20)
            vm.run("dmsetup suspend --noflush r0 && dmsetup resume r0", timeout=20)
            vm.run("dmsetup load r0 && dmsetup resume r0", stdin=table.encode(), timeout=20)
        vm.wait_for("cat /tmp/version")
        vm.run("touch /tmp/stop")
        assert writer.wait(60).stdout == ""
        version = int(vm.run("cat /tmp/version")) - 1
        assert not sectors.read(dev, written, version=version, depth=64)
        assert dev.status().remapped == len(bad)
        # Twice the same, and twice removed.
        vm.run("dmsetup suspend r0; dmsetup suspend r0; dmsetup resume r0; dmsetup resume r0")
        assert not sectors.read(dev, written, version=version, depth=64)
        vm.run("dmsetup suspend r0")
    with Remap(vm, main, spare) as dev:
        assert not sectors.read(dev, written, version=version, depth=64)
        assert (dev.status().remapped, dev.status().valid_copies) == (len(bad), "5/5")


def test_a_removal_waits_for_failures_in_flight_and_for_nothing_else(boot, new_disk):
    main, spare = new_disk("64M", bus="virtio"), new_disk("32M")
    vm = boot(main, spare)
    with ExitStack() as stack:
        dev = stack.enter_context(Remap(vm, main, spare, finish=False))
        main.bad_sectors(0, count=256, kind="io", on="both")
        writer = vm.spawn(f"dd if=/dev/zero of={dev.dev} bs=128k count=8 oflag=direct status=none")
        moving = vm.spawn("dmsetup message r0 0 remap 65536 30000")
        writer.wait(60)
        vm.run("dmsetup suspend r0 && dmsetup resume r0", timeout=20)
        assert moving.wait(20).status != 0
        vm.run("dmsetup remove r0", timeout=20)
    with Remap(vm, main, spare) as dev:
        assert dev.status().remapped >= 256
        assert not sectors.read(dev, range(256), version=0, depth=64)
