# SPDX-License-Identifier: GPL-2.0
"""dmremap remap and import: sectors that somebody names move with their data, or are reported."""

import json
import os
import re

import pytest

from harness.initramfs import fast_lane as build_fast_lane
from harness.products import products

NOT_DONE, ERROR, USAGE = 4, 8, 16
SECTORS = 32 * 2048

# In the words of ddrescue's manual, which has the same example for a floppy disk.
MAP = """# Mapfile. Created by GNU ddrescue version 1.27
# Command line: ddrescue -d -n {main} image mapfile
# Start time:   2026-11-21 10:00:00
# Current time: 2026-11-21 10:10:00
# Finished
# current_pos  current_status  current_pass
0x{position:08X}     +               1
#      pos        size  status
"""


@pytest.fixture(scope="session")
def fast_lane(tree):
    """The one of all tests, with Debian's badblocks."""
    return build_fast_lane(tree, {**products(tree), "/sbin/badblocks": tree.path / "sbin/badblocks"})


@pytest.fixture
def active_set(boot, new_disk):
    """vm, main = active_set(): the set "home", its main full of random data."""
    def make(spare="16M", **options):
        main, spare = new_disk("32M", **options), new_disk(spare)
        main.write_at(0, os.urandom(main.size))
        vm = boot(main, spare)
        vm.run(f"dd if={main.dev} of=/tmp/before bs=1M iflag=direct status=none")
        vm.run(f"dmremap create home --main {main.dev} --spare {spare.dev}")
        vm.run("dmremap assemble home")
        return vm, main
    return make


def status(vm):
    (found,) = json.loads(vm.run("dmremap status home --json"))["sets"]
    return found


def put(vm, path, text):
    vm.run(f"cat > {path} <<'END'\n{text}END")


def map_of(main, *areas):
    """A map of the whole device, its `areas` (start, sectors, type) not rescued."""
    lines, at = [], 0
    for start, sectors, kind in (*areas, (SECTORS, 0, "?")):
        lines += [(at, start - at, "+"), (start, sectors, kind)]
        at = start + sectors
    return MAP.format(main=main.dev, position=SECTORS * 512) + "".join(
        f"0x{start * 512:08X}  0x{count * 512:08X}  {kind}\n" for start, count, kind in lines if count)


def assert_on_the_spare(vm, main, start, sectors):
    """The set still has the data when the main no longer does."""
    vm.run(f"dd if=/dev/zero of={main.dev} bs=512 seek={start} count={sectors} oflag=direct status=none")
    assert_data(vm, start, sectors)


def assert_data(vm, start, sectors):
    vm.run(f"dd if=/dev/mapper/home bs=512 skip={start} count={sectors} iflag=direct status=none"
           f" > /tmp/now && dd if=/tmp/before bs=512 skip={start} count={sectors} status=none"
           " | cmp - /tmp/now")


def said_not_moved(result):
    return re.findall(r"not moved: (\S+)", result.stderr)


def test_what_badblocks_found(active_set):
    vm, main = active_set()
    bad = [1000, 1001, 5001, 40000]
    for sector in bad:
        main.bad_sectors(sector, on="read")
    vm.run(f"badblocks -b 4096 {main.dev} > /tmp/list")
    assert vm.run("cat /tmp/list").split() == ["125", "625", "5000"]

    done = vm.run("dmremap import home /tmp/list -b 4096 --dry-run")
    assert done == "24 sectors in 3 places: 24 to be moved, 0 on the spare already\n"
    assert status(vm)["remapped_sectors"] == 0

    done = vm.run("dmremap import home /tmp/list -b 4096", check=False)
    assert done.status == NOT_DONE
    assert done.stdout == ("24 sectors in 3 places: 20 moved, 0 on the spare before, "
                           "4 not moved\n")
    assert said_not_moved(done) == ["1000-1001", "5001", "40000"]
    assert "cannot be read: 1000-1001, 5001, 40000\n" in vm.run("dmremap status home")
    found = status(vm)
    assert (found["remapped_sectors"], found["pending_sectors"]) == (20, 4)
    assert found["pending"] == [{"sector": 1000, "sectors": 2}, {"sector": 5001, "sectors": 1},
                                {"sector": 40000, "sectors": 1}]
    for start, sectors in ((1002, 6), (5000, 1), (5002, 6), (40001, 7)):
        assert_on_the_spare(vm, main, start, sectors)

    # What is pending gets its place when it is written: on the spare, unless the main has healed.
    main.heal(40000)
    for start, sectors in ((1000, 2), (40000, 1)):
        vm.run(f"dd if=/tmp/before of=/dev/mapper/home bs=512 skip={start} seek={start}"
               f" count={sectors} oflag=direct conv=notrunc status=none")
        assert_data(vm, start, sectors)
    found = status(vm)
    assert found["remapped_sectors"] == 22
    assert found["pending"] == [{"sector": 5001, "sectors": 1}]


def test_what_ddrescue_left(active_set):
    vm, main = active_set()
    put(vm, "/tmp/map", map_of(main, (1000, 1, "-"), (2000, 300, "/"), (3000, 8, "-"),
                               (4000, 8, "*"), (60000, 5536, "?")))
    done = vm.run("dmremap import home /tmp/map")
    assert done == "9 sectors in 2 places: 9 moved, 0 on the spare before, 0 not moved\n"
    done = vm.run("dmremap import home /tmp/map --types='-/*'")
    assert done == "317 sectors in 4 places: 308 moved, 9 on the spare before, 0 not moved\n"
    done = vm.run("dmremap import home - --types='-/*' < /tmp/map")
    assert done == "317 sectors in 4 places: 0 moved, 317 on the spare before, 0 not moved\n"
    found = status(vm)
    assert (found["remapped_sectors"], found["extents"]) == (317, 4)
    assert found["spare_free_sectors"] == found["spare_sectors"] - 317
    for start, sectors in ((1000, 1), (2000, 300), (3000, 8), (4000, 8)):
        assert_on_the_spare(vm, main, start, sectors)


def test_a_long_list_of_single_sectors_takes_few_commits(active_set):
    vm, main = active_set()
    bad = range(100, SECTORS, SECTORS // 1000)
    put(vm, "/tmp/map", map_of(main, *((sector, 1, "-") for sector in bad)))
    before = status(vm)["generation"]
    assert f"{len(bad)} moved" in vm.run("dmremap import home /tmp/map")
    found = status(vm)
    assert (found["remapped_sectors"], found["extents"]) == (len(bad), len(bad))
    assert found["generation"] - before < len(bad) / 20
    vm.run("cmp /dev/mapper/home /tmp/before")


def test_sectors_named_by_hand(active_set):
    vm, main = active_set()
    assert "1 moved" in vm.run("dmremap remap home 777")
    assert "1000 moved" in vm.run("dmremap remap home 10000 1000")
    assert "1 moved" in vm.run(f"dmremap remap home {SECTORS - 1}")
    assert "0 moved, 1000 on the spare before" in vm.run("dmremap remap home 10000 1000")
    assert status(vm)["extents"] == 3
    for start, sectors in ((777, 1), (10000, 1000), (SECTORS - 1, 1)):
        assert_on_the_spare(vm, main, start, sectors)
    vm.run("cmp /dev/mapper/home /tmp/before")


def test_whole_blocks_of_a_4k_disk_move(active_set):
    vm, main = active_set(block_size=4096)
    put(vm, "/tmp/list", "3\n5\n6\n")
    assert vm.run("dmremap import home /tmp/list").startswith("16 sectors in 1 place: 16 moved")
    assert vm.run("dmremap remap home 100 1").startswith("8 sectors in 1 place: 8 moved")
    vm.run("cmp /dev/mapper/home /tmp/before")


def test_a_full_spare(active_set):
    vm, main = active_set("1M")
    room = status(vm)["spare_sectors"]
    done = vm.run(f"dmremap remap home 0 {room + 100}", check=False)
    assert done.status == NOT_DONE
    assert f"{room} moved" in done.stdout and "100 not moved" in done.stdout
    assert said_not_moved(done) == [f"{room}-{room + 99}"]
    assert "No space left" in done.stderr
    vm.run("cmp /dev/mapper/home /tmp/before")


def test_status_of_sets_that_are_well_suspended_or_not_there(active_set):
    vm, main = active_set()
    promised = {"uuid", "name", "device", "main", "spare", "mode", "health", "remapped_sectors",
                "spare_sectors", "spare_free_sectors", "extents", "pending_sectors", "pending",
                "valid_copies", "generation", "repairs", "scrubs", "last_repair_time"}
    found = status(vm)
    assert set(found) >= promised
    assert (found["name"], found["device"], found["main"]) == ("home", "/dev/mapper/home", main.dev)
    assert (found["mode"], found["health"], found["valid_copies"]) == ("rw", "ok", 5)
    assert "home: rw, ok\n" in vm.run("dmremap status")

    vm.run("dmsetup suspend home")
    assert status(vm) == found
    done = vm.run("dmremap remap home 1", check=False)
    assert done.status == NOT_DONE | ERROR and "1 not moved" in done.stdout
    vm.run("dmsetup resume home")

    done = vm.run("dmremap status away", check=False)
    assert (done.status, done.stdout) == (NOT_DONE, "") and "away" in done.stderr
    vm.run("dmremap stop home")
    assert vm.run("dmremap status") == "no set is active\n"
    assert json.loads(vm.run("dmremap status --json")) == {"sets": []}


def test_progress_is_for_terminals(active_set):
    vm, main = active_set()
    vm.run("dmremap remap home 0 4096 2> /dev/ttyS0")
    vm.console.expect(r"2048 of 4096 sectors, 50 %")
    done = vm.run("dmremap remap home 8192 4096", check=False)
    assert (done.status, done.stderr) == (0, "")


def test_what_makes_no_sense_moves_nothing(active_set):
    vm, main = active_set()
    def refused(exit_status, about, command):
        done = vm.run(f"dmremap {command}", check=False)
        assert (done.status, done.stdout) == (exit_status, ""), done
        assert len(done.stderr.strip().splitlines()) == 1 and about in done.stderr, done

    put(vm, "/tmp/blocks", "1\n2\n")
    put(vm, "/tmp/far", f"1\n{SECTORS // 2}\n")
    put(vm, "/tmp/words", "1\n2\nthree\n")
    put(vm, "/tmp/map", map_of(main, (1000, 1, "-")))
    put(vm, "/tmp/other", map_of(main, (1000, 1, "-")) + f"0x{SECTORS * 512:X} 0x200 +\n")

    refused(NOT_DONE, "no active set is called away", "import away /tmp/blocks")
    refused(NOT_DONE, f"speaks of sector {SECTORS + 1}", "import home /tmp/far")
    refused(NOT_DONE, f"speaks of sector {SECTORS}", "import home /tmp/other")
    refused(NOT_DONE, "line 3", "import home /tmp/words")
    refused(NOT_DONE, "/bin/dash", "import home /bin/dash")
    refused(ERROR, "/tmp/nowhere", "import home /tmp/nowhere")
    refused(ERROR, "directory", "import home /tmp")
    refused(USAGE, "badblocks", "import home /tmp/map -b 512")
    refused(USAGE, "ddrescue", "import home /tmp/blocks --types /")
    refused(USAGE, "'1000'", "import home /tmp/blocks -b 1000")
    refused(USAGE, "'x'", "import home /tmp/map --types x")
    refused(USAGE, "-b", "import home /tmp/map -b")
    refused(USAGE, "a set and a file", "import home")
    refused(USAGE, "--nonsense", "import home /tmp/map --nonsense")
    refused(NOT_DONE, "no active set is called away", "remap away 1")
    refused(NOT_DONE, f"{SECTORS} sectors", f"remap home {SECTORS}")
    refused(NOT_DONE, f"{SECTORS} sectors", f"remap home 1 {SECTORS}")
    refused(USAGE, "'1K'", "remap home 1K")
    refused(USAGE, "'0'", "remap home 1 0")
    refused(USAGE, "sector", "remap home")
    assert status(vm)["remapped_sectors"] == 0
    assert "names no bad sectors" in vm.run("dmremap import home /dev/null")

    vm.run("dmremap stop home; dmremap assemble home --read-only")
    refused(NOT_DONE, "'ro'", "remap home 1")
    refused(NOT_DONE, "'ro'", "import home /tmp/blocks")
