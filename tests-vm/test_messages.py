# SPDX-License-Identifier: GPL-2.0
"""What the target is told and what it says: messages, table, sysfs; and several sets at once."""

import pytest

from harness import sectors
from harness.assembler import examine
from harness.errors import CommandFailed
from harness.remap import Remap
from harness.sectors import AREA, fill
from harness.sysfs import attribute, folder

BIGGEST = (1 << 64) - 1

# /sys/block/dm-N/remap/ of a set that has done nothing yet.
ATTRIBUTES = {"metadata_health": "5/5 copies valid", "metadata_repairs": "0",
              "last_repair_time": "0", "remapped_sectors": "0", "pending_sectors": "0",
              "extents": "0", "state": "ok", "mode": "rw", "scrubs_completed": "0"}


def test_every_message_and_what_it_does_not_take(boot, new_disk):
    main, spare = new_disk("64M"), new_disk("16M")
    vm = boot(main, spare)
    with Remap(vm, main, spare) as dev:
        fill(dev)
        dev.message("remap 100 50")
        before = dev.status()

        # Queries are answered.
        assert dev.pending() == []
        said = dev.message("metadata_status")
        assert "5" in said and str(before.generation) in said

        # What is saved is a new generation, and otherwise as it was.
        dev.message("save")
        saved = dev.status()
        assert saved.generation > before.generation
        assert saved._replace(generation=0) == before._replace(generation=0)

        # What is restored is what was committed: all of it.
        assert not sectors.write(dev, range(90, 160), version=2, depth=64)
        dev.message("restore")
        assert dev.status()._replace(generation=0) == before._replace(generation=0)
        assert not sectors.read(dev, range(90, 160), version=2)
        dev.message("remap 200 10")
        assert not sectors.read(dev, range(200, 210))
        assert dev.status().remapped == 60
        dev.message("remap 90 200")  # over what was moved already
        assert dev.status().remapped == 200
        assert not sectors.read(dev, range(90, 160), version=2)
        assert not sectors.read(dev, range(160, 290))

        # Whatever makes no sense changes nothing, and says why in the kernel log.
        table, status = vm.run("dmsetup table r0"), dev.status()
        for wrong in ("nonsense", "remap", "remap 1", "remap 1 1 1", "remap x 1", "remap 1 1x",
                      "remap 1 0", "remap -1 1", "remap 131072 1", "remap 131071 2",
                      "remap 8 8 15 1", "remap 8 8 0 8", "remap 0 8 8 x",
                      "remap " + " ".join(f"{sector} 1" for sector in range(0, 2 * 513, 2)),
                      f"remap {BIGGEST} 1", f"remap 1 {BIGGEST}", f"remap {BIGGEST} {BIGGEST}",
                      "save now", "restore it", "pending x", "metadata_status x",
                      "set", "set low_water", "set low_water 1 2", "set nonsense 1",
                      "set low_water x", "set low_water -1", "set give_up 1x", "set budget",
                      f"set budget 1{BIGGEST}"):
            vm.run("dmesg -c > /dev/null")
            with pytest.raises(CommandFailed):
                dev.message(wrong)
            assert "remap" in vm.run("dmesg"), wrong
        assert (vm.run("dmsetup table r0"), dev.status()) == (table, status)


def test_a_restore_leaves_out_what_is_no_longer_so(boot, new_disk):
    """Another's spare in its place is not read over a table that is in use."""
    main, spare, other = new_disk("64M"), new_disk("16M"), new_disk("16M")
    vm = boot(main, spare, other)
    with Remap(vm, main, other):
        pass
    with Remap(vm, main, spare) as dev:
        fill(dev)
        dev.message("remap 100 50")
        vm.run(f"dd if={spare.dev} of=/tmp/kept bs=1M iflag=direct status=none;"
               f"dd if={other.dev} of={spare.dev} bs=1M oflag=direct conv=fsync status=none")
        with pytest.raises(CommandFailed):
            dev.message("restore")
        assert dev.status().remapped == 50
        vm.run(f"dd if=/tmp/kept of={spare.dev} bs=1M oflag=direct conv=fsync status=none")
        dev.message("restore")
        assert not sectors.read(dev, AREA[::64], unit=64)
        assert (dev.status().mode, dev.status().remapped) == ("rw", 50)


def test_the_table_s_line_makes_the_same_set_again(boot, new_disk):
    main, spare = new_disk("64M"), new_disk("16M")
    vm = boot(main, spare)
    plain = f"0 131072 remap {attribute(main, 'dev')} {attribute(spare, 'dev')}"
    with Remap(vm, main, spare) as dev:
        assert vm.run("dmsetup table r0").split() == plain.split()
        fill(dev)
        dev.message("remap 100 50")

        # What is set is in the table from then on, and through a reload.
        for parameter, value in (("low_water", 100), ("give_up", 7), ("budget", 12345)):
            dev.message(f"set {parameter} {value}")
        table = vm.run("dmsetup table r0")
        assert table.startswith(f"{plain} 6 ")
        for option in ("low_water 100", "give_up 7", "budget 12345"):
            assert f" {option}" in table
        vm.run("dmsetup load r0 && dmsetup resume r0", stdin=table.encode())
        assert vm.run("dmsetup table r0") == table
        assert dev.status().remapped == 50

        # A table without them is one with the defaults.
        vm.run("dmsetup load r0 && dmsetup resume r0", stdin=plain.encode())
        assert vm.run("dmsetup table r0").split() == plain.split()
        assert not sectors.read(dev, AREA[::64], unit=64)

    # All options at once, and in any order.
    uuid = examine(spare.path)["uuid"]
    options = f"budget 10 uuid {uuid} no_repair give_up 20 low_water 30"
    with Remap(vm, main, spare, args=f"9 {options}") as dev:
        table = vm.run("dmsetup table r0")
        words = table.split()[5:]
        assert words[0] == "9" and sorted(words[1:]) == sorted(options.split())
        vm.run("dmsetup load r0 && dmsetup resume r0", stdin=table.encode())
        assert vm.run("dmsetup table r0") == table
        assert not sectors.read(dev, AREA[::64], unit=64)
    for wrong in ("1 low_water", "2 low_water x", "2 low_water -1", "2 give_up 1x", "3 budget 1",
                  "2 nonsense 1", "x", f"2 budget 1{BIGGEST}", "0 low_water 1"):
        with pytest.raises(CommandFailed, match="Invalid argument"):
            with Remap(vm, main, spare, args=wrong):
                pass


@pytest.mark.every_kernel
def test_sysfs_says_the_same_as_the_status(boot, new_disk):
    main, spare = new_disk("64M"), new_disk("16M")
    vm = boot(main, spare)
    with Remap(vm, main, spare) as dev:
        usable = dev.status().usable
        for name, value in ATTRIBUTES.items():
            assert dev.sysfs(name) == value, name
        assert dev.sysfs("spare_free_sectors") == str(usable)
        fill(dev)
        dev.message("remap 100 50")
        dev.message("remap 300 1")
        main.bad_sectors(200, count=2, on="read")
        assert list(sectors.read(dev, range(198, 204))) == [200, 201]
        for name, value in (("remapped_sectors", 51), ("extents", 2), ("pending_sectors", 2),
                            ("spare_free_sectors", usable - 51)):
            assert dev.sysfs(name) == str(value), name

        # There while it runs, and only then.
        place = f"{folder(dev)}/remap"
        vm.run("dmsetup suspend r0")
        vm.run(f"test ! -e {place}")
        vm.run("dmsetup resume r0")
        assert dev.sysfs("remapped_sectors") == "51"
        table = vm.run("dmsetup table r0")
        vm.run("dmsetup load r0 && dmsetup resume r0", stdin=table.encode())
        assert dev.sysfs("remapped_sectors") == "51"
        # A reader that keeps an attribute open is no reason to wait.
        reader = vm.spawn(f"exec 3< {place}/state; touch /tmp/open; sleep 600; cat <&3")
        vm.wait_for("ls /tmp/open")
        vm.run("dmsetup suspend r0; dmsetup resume r0")
    assert vm.run(f"ls {place} 2> /dev/null || echo gone") == "gone\n"
    assert reader.status is None


def test_sysfs_and_status_are_read_while_sets_come_and_go(boot, new_disk):
    main, spare = new_disk("8M"), new_disk("8M", bus="virtio")
    vm = boot(main, spare)
    readers = [vm.spawn(f"while [ ! -e /tmp/stop ]; do {command}; done > /dev/null 2>&1; true")
               for command in ("cat /sys/block/dm-*/remap/*", "dmsetup status; dmsetup table",
                               "for message in metadata_status 'remap 16 8' save;"
                               " do dmsetup message r0 0 $message; done")]
    for _ in range(4):
        with Remap(vm, main, spare):
            table = vm.run("dmsetup table r0")
            for _ in range(4):
                vm.run("dmsetup suspend r0 && dmsetup resume r0"
                       " && dmsetup load r0 && dmsetup resume r0", stdin=table.encode())
    vm.run("touch /tmp/stop")
    assert all(reader.wait().status == 0 for reader in readers)
    with Remap(vm, main, spare) as dev:
        assert dev.status().mode == dev.sysfs("mode") == "rw"
        assert dev.status().valid_copies == "5/5"


def test_two_sets_are_two(boot, new_disk):
    mains = [new_disk("64M", bus="virtio") for _ in range(2)]
    spares = [new_disk("16M"), new_disk("1M")]
    vm = boot(*mains, *spares)
    with Remap(vm, mains[0], spares[0], name="first") as first, \
            Remap(vm, mains[1], spares[1], name="second") as second:
        for version, (dev, main) in enumerate(zip((first, second), mains), 1):
            fill(dev, version)
            main.bad_sectors(100 * version, kind="io", on="both")
            assert not sectors.write(dev, [100 * version], version=version)
        first.message("set low_water 1")
        second.message("remap 500 20")
        mains[1].bad_sectors(300, kind="io", on="read")
        assert list(sectors.read(second, range(299, 302), version=2)) == [300]
        assert (first.status().remapped, first.status().pending) == (1, 0)
        assert (second.status().remapped, second.status().pending) == (21, 1)
        assert "low_water" not in vm.run("dmsetup table second")
        mains[1].fail()
        assert list(sectors.write(second, [1000])) == [1000]
        assert (first.status().health, second.status().health) == ("ok", "failing")
        assert not sectors.read(first, AREA[::64], unit=64)
        vm.run("dmsetup suspend second")
        assert not sectors.write(first, AREA[::64], unit=64, version=3)
        vm.run("dmsetup resume second")
        assert not sectors.read(first, AREA[::64], unit=64, version=3)


def test_a_spare_serves_one_set_at_a_time(boot, new_disk):
    """Two would write over each other's tables. device-mapper lets its own devices share disks."""
    main, other, spare = new_disk("64M"), new_disk("64M"), new_disk("16M")
    vm = boot(main, other, spare)
    with Remap(vm, main, spare) as dev:
        dev.message("remap 100 4")
        for second in (main, other):
            with pytest.raises(CommandFailed):
                with Remap(vm, second, spare, name="r1"):
                    pass
        # It is the same set when it is loaded again.
        table = vm.run("dmsetup table r0")
        vm.run("dmsetup load r0 && dmsetup resume r0", stdin=table.encode())
        dev.message("remap 200 4")
    with Remap(vm, main, spare, name="r1") as dev:
        assert dev.status().remapped == 8


def test_a_set_on_a_set(boot, new_disk):
    """The lower one moves what it can. What it can't is a bad sector to the upper one."""
    main, lower_spare, upper_spare = new_disk("64M", bus="virtio"), new_disk("1M"), new_disk("16M")
    vm = boot(main, lower_spare, upper_spare)
    with Remap(vm, main, lower_spare, name="lower") as lower, \
            Remap(vm, lower, upper_spare, name="upper") as upper:
        fill(upper)
        main.bad_sectors(100, kind="io")
        assert not sectors.write(upper, range(90, 110), version=2)
        assert (lower.status().remapped, upper.status().remapped) == (1, 0)
        lower.message(f"remap 8192 {lower.status().usable - 1}")
        main.bad_sectors(200, kind="io")
        assert not sectors.write(upper, range(190, 210), version=2)
        assert (lower.status().health, upper.status().remapped) == ("failing", 1)
        main.bad_sectors(300, kind="io", on="read")
        assert list(sectors.read(upper, range(299, 302))) == [300]
        assert (lower.status().pending, upper.status().pending) == (1, 1)
        assert not sectors.write(upper, [300], version=2)
        assert (lower.status().pending, upper.status().pending) == (1, 0)
        for area in (range(90, 110), range(190, 210), [300]):
            assert not sectors.read(upper, area, version=2)
