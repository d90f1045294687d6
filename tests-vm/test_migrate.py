# SPDX-License-Identifier: GPL-2.0
"""A set moves to another spare while it is in use, and at each instant one of the two is the truth."""

import json
import time
from contextlib import ExitStack
from random import Random

import pytest

from harness import sectors
from harness.assembler import assembled, dmremap, examine, main_sectors
from harness.disk import Disk
from harness.errors import CommandFailed
from harness.machine import Machine
from harness.oracle import Oracle
from harness.patience import deadline
from harness.remap import Remap, slow
from harness.sectors import AREA, fill
from harness.storm import Storm

SLOWLY = 50  # milliseconds of each request, so that a move is under way for a while
MOVED = [*range(64, 128, 8), *range(1024, 1536, 4)]


def moved(dev):
    """A set with some remaps, in use."""
    fill(dev)
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


def test_a_large_disk_with_few_remaps_moves_at_once(boot, new_disk):
    main, old, new = new_disk("128G"), new_disk("8M"), new_disk("8M")
    vm = boot(main, old, new)
    last = (128 << 30) // 512 - 8
    with Remap(vm, main, old) as dev:
        assert not sectors.write(dev, [0, last])
        dev.message(f"remap 0 8 {last} 8")
        migrate(dev, new)
        assert not sectors.read(dev, [0, last])


def test_a_read_that_fails_now_and_then_loses_nothing(boot, new_disk):
    main, old, new = new_disk("8M"), new_disk("8M"), new_disk("8M")
    vm = boot(main, old, new)
    with slow(vm, "slow", new, SLOWLY) as below, Remap(vm, main, old) as dev:
        moved(dev)
        place = places(old)[1025]
        old.bad_sectors(place, on="read")
        dev.message(f"migrate {below.dev}")
        vm.wait_for("dmsetup message r0 0 metadata_status | grep '^migration .* [1-9]'")
        old.heal()
        ended(dev)
        assert dev.pending() == []
        assert not sectors.read(dev, AREA[::64], unit=64)
        vm.run("dmsetup suspend r0; dmsetup resume r0")


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
        assert "do not leave it in this machine" in vm.run("dmesg")
        assert not sectors.write(dev, AREA[::64], version=2, unit=64)
        dev.message("remap 500 1")
        old.heal()
    # Of two that both claim to be it, the one that has taken over is the newer.
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


def test_a_move_that_is_cancelled_leaves_nothing_behind(boot, new_disk):
    main, old, new = new_disk("8M"), new_disk("8M"), new_disk("8M")
    vm = boot(main, old, new)
    with slow(vm, "slow", new, SLOWLY) as below, Remap(vm, main, old) as dev:
        with pytest.raises(CommandFailed, match="No data"):
            dev.message("cancel")
        before = moved(dev).status()
        dev.message(f"migrate {below.dev}")
        vm.wait_for("dmsetup message r0 0 metadata_status | grep '^migration .* [1-9]'")
        assert (state(old), state(new)) == ("migrating", "incoming")
        dev.message("cancel")
        give_up_for(dev, 125)
        assert dev.status()._replace(generation=0) == before._replace(generation=0)
        assert state(old) == "clean"
        assert state(new) == "incoming"  # nobody uses it, and another attempt begins with it
        migrate(dev, below)
        assert not sectors.read(dev, AREA[::64], unit=64)
        vm.run("dmsetup suspend r0; dmsetup resume r0")  # lets go of what it no longer uses


def test_a_new_spare_that_fails_changes_nothing(boot, new_disk):
    main, old, new = new_disk("8M"), new_disk("8M"), new_disk("8M")
    vm = boot(main, old, new)
    with slow(vm, "slow", new, SLOWLY) as below, Remap(vm, main, old) as dev:
        before = moved(dev).status()
        dev.message(f"migrate {below.dev}")
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
        fill(dev)
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


@pytest.mark.every_kernel
def test_a_set_moves_while_it_is_used_and_its_disk_gets_worse(boot, new_disk, seed):
    """From one spare to the next, through suspends and reloads."""
    main, *spares = new_disk("4M", bus="virtio"), *(new_disk("32M") for _ in range(4))
    vm = boot(main, *spares)
    oracle = Oracle(seed, "4M", 2000)
    with Remap(vm, main, spares[0]) as dev:
        storm = Storm(dev, main, spares[0], seed, reads=False)
        oracle.start(vm, dev.dev)
        for spare in spares[1:]:
            dev.message(f"migrate {spare.dev}")
            end = deadline(120)
            while under_way(dev):
                assert time.monotonic() < end, vm.run("dmesg | tail -n 20")
                storm.change_main()
                storm.random.choice((storm.suspend, storm.move, storm.message))()
            assert spare_of(dev) == numbers(spare), vm.run("dmesg | tail -n 20")
        oracle.stop()
        failures = oracle.ended()
        main.heal()
        assert oracle.verify(vm, dev.dev) == ""
        assert storm.unexplained(failures) == []
        status = dev.status()
        assert (status.mode, status.health, status.valid_copies) == ("rw", "ok", "5/5")
        assert status.remapped > 0
    with Remap(vm, main, spares[-1]) as dev:
        assert oracle.verify(vm, dev.dev) == ""
        assert dev.status().remapped == status.remapped
    assert [state(spare) for spare in spares] == ["superseded"] * 3 + ["clean"]


def made(vm, main, spare, **options):
    """A set as dmremap makes it, in use."""
    uuid = vm.run(f"dmremap create home --main {main.dev} --spare {spare.dev}").strip()
    return Remap(vm, main, spare, name="home", options=f"--uuid DMREMAP-{uuid}", **options)


def decisions(vm, *options):
    said = vm.run(f"dmremap assemble --json {' '.join(options)}", check=False).stdout
    return {decision["spare"]: decision for decision in json.loads(said)["decisions"]}


def test_dmremap_moves_a_set_and_the_old_spare_can_be_taken_away(boot, new_disk):
    main, old, new = new_disk("8M"), new_disk("8M"), new_disk("8M")
    vm = boot(main, old, new)
    with made(vm, main, old) as dev:
        moved(dev)
        said = vm.run(f"dmremap migrate home {new.dev}")
        assert f"its spare is {new.dev} now; {old.dev} is superseded" in said
        vm.run(f"dmremap examine {old.dev}")  # nobody has it open
        vm.run(f"blkdiscard -z -l 4096 -o 65536 {old.dev} || dd if=/dev/zero of={old.dev} bs=4k "
               "seek=16 count=1")
        assert not sectors.read(dev, AREA[::64], unit=64)
    found = decisions(vm)
    assert found[old.dev]["decision"] == "skip" and "was replaced" in found[old.dev]["reason"]
    assert found[new.dev]["decision"] == "activate"
    assert "wwid agrees" in found[new.dev]["evidence"] or found[new.dev]["confidence"] == 100
    assert examine(new.path)["spare"]["serial"] or examine(new.path)["spare"]["wwid"]
    vm.run("cmp -n 1048576 /dev/mapper/home " + dev.dev)
    vm.run("dmremap stop home")


def test_dmremap_says_what_was_lost(boot, new_disk):
    main, old, new = new_disk("8M"), new_disk("8M"), new_disk("8M")
    vm = boot(main, old, new)
    with made(vm, main, old) as dev:
        moved(dev)
        old.bad_sectors(places(old)[64], 2, on="read")
        result = vm.run(f"dmremap migrate home {new.dev}", check=False)
        assert result.status == 4
        assert "cannot be read: 64" in result.stderr
        assert spare_of(dev) == numbers(new)


@pytest.mark.parametrize("how", ("pkill -INT dmremap", "dmremap migrate home --cancel"))
def test_dmremap_cancels(boot, new_disk, how):
    main, old, new = new_disk("8M"), new_disk("8M"), new_disk("8M")
    vm = boot(main, old, new)
    with slow(vm, "slow", new, SLOWLY) as below, made(vm, main, old) as dev:
        moved(dev)
        job = vm.spawn(f"dmremap migrate home {below.dev}")
        vm.wait_for("dmsetup message home 0 metadata_status | grep '^migration .* [1-9]'")
        vm.run(how.replace("pkill -INT dmremap", "kill -INT $(pidof dmremap)"))
        result = job.wait()
        assert result.status == 4
        assert f"cancelled; the spare of home is still {old.dev}" in result.stderr
        assert (state(old), spare_of(dev)) == ("clean", numbers(old))
        assert vm.run("dmremap migrate home --cancel", check=False).status == 4


def test_dmremap_refuses_what_it_cannot_use(boot, new_disk):
    main, old, new, other = (new_disk("8M") for _ in range(4))
    vm = boot(main, old, new, other)
    with made(vm, main, old) as dev:
        vm.run(f"mkfs.ext4 -q {new.dev}")
        for arguments, status, why in (
                (f"home {new.dev}", 4, "holds a signature of type ext4; --force"),
                (f"home {main.dev}", 4, "name another device"),
                (f"home {old.dev}", 4, "name another device"),
                ("home /dev/nothing", 8, "/dev/nothing"),
                (f"work {new.dev}", 4, "no active set is called work"),
                ("home", 16, "a set and a device")):
            result = vm.run(f"dmremap migrate {arguments}", check=False)
            assert (result.status, why in result.stderr) == (status, True), result
        vm.run(f"mount {new.dev} /mnt || (mkdir -p /mnt && mount {new.dev} /mnt)")
        result = vm.run(f"dmremap migrate home {new.dev} --force", check=False)
        assert result.status == 4 and "mounted on /mnt" in result.stderr
        vm.run(f"umount /mnt; dmremap migrate home {new.dev} --force")
        assert spare_of(dev) == numbers(new)


STATES = 60
BOOTS = 6


def truth(old, new):
    """Which of the two is the set's spare, by what docs/format.md says."""
    return new if examine(old)["state"] == "superseded" else old


class Cut:
    """A migration under random writes, and states that a power cut at some instants would leave."""

    def __init__(self, lane, new_disk, random, folder):
        self.random, self.folder = random, folder
        self.main, self.old, self.new = new_disk("2M"), new_disk("4M"), new_disk("8M")
        self.journal = new_disk("8M", write_through=True)
        self.disks = [self.main, self.old, self.new, self.journal]
        self.vm = Machine(lane, self.disks, powerloss=True, append="loglevel=3")
        self.oracle = None
        self.states = []
        self.operations = 0

    def keep_state(self):
        """More of those in which superblocks are written, which come last."""
        self.operations += 1
        if self.random.random() > 0.25:
            return
        folder = self.folder / f"state{self.operations}"
        folder.mkdir()
        images = self.vm.after_power_loss(self.random.getrandbits(32), folder)
        self.states.append([images[disk] for disk in self.disks])

    def run(self):
        with self.vm:
            self.vm.boot()
            self.oracle = Oracle(self.random.getrandbits(32), "2M", 1 << 12,
                                 journal=self.journal.dev)
            with made(self.vm, self.main, self.old, finish=False) as dev:
                for sector in range(0, 4096, 64):
                    dev.message(f"remap {sector} 4")
                self.oracle.start(self.vm, dev.dev)
                self.vm.cut_after(1 << 40, each=self.keep_state)
                self.vm.run(f"dmremap migrate home {self.new.dev}", timeout=240)
            self.vm.power_cut(self.random.getrandbits(32))

    def lost_in(self, state):
        main, old, new, journal = state
        spare = truth(old, new)
        assert dmremap("repair", spare).returncode in (0, 1)
        return self.oracle.verify_image(assembled(main, spare), journal, after_cut=True)

    def lost_in_boot(self, lane, state):
        """What the system that finds this has lost, as dmremap decides what is to be used."""
        with ExitStack() as stack:
            disks = [stack.enter_context(Disk.copy_of(image, serial=disk.serial, wwn=disk.wwn))
                     for image, disk in zip(state, self.disks)]
            vm = stack.enter_context(Machine(lane, disks, append="loglevel=3"))
            vm.boot()
            found = decisions(vm)
            used = [spare for spare, decision in found.items()
                    if decision["decision"] == "activate"]
            assert len(used) == 1, found
            self.oracle.journal = disks[3].dev
            lost = self.oracle.verify(vm, "/dev/mapper/home", after_cut=True)
            vm.run("dmremap stop home")
            if used == [disks[2].dev]:  # the old one says so in all of its copies
                old = examine(disks[1].path)
                assert (old["verdict"], old["state"]) == ("clean", "superseded")
                assert examine(disks[2].path)["generation"] > old["generation"]
            return lost


def test_a_power_cut_at_any_instant_of_a_migration_loses_nothing(fast_lane, new_disk, seed,
                                                                 tmp_path):
    random = Random(seed)
    cut = Cut(fast_lane, new_disk, random, tmp_path)
    cut.run()
    print(cut.operations, "operations,", len(cut.states), "states")
    assert len(cut.states) >= STATES
    turning = [kept for kept in cut.states if truth(kept[1], kept[2]) == kept[2]]
    assert turning, "no state in which the new spare is the truth"
    booted = [turning[0], turning[-1], cut.states[cut.states.index(turning[0]) - 1],
              *random.sample(cut.states, BOOTS - 3)]
    for number, kept in enumerate(booted):
        assert cut.lost_in_boot(fast_lane, kept) == "", number
    for kept in cut.states:
        assert cut.lost_in(kept) == "", kept[0].parent.name
