# SPDX-License-Identifier: GPL-2.0
"""
Metadata that somebody has made up, with checksums that fit.

It is refused with a reason, by dmremap and by the target, and nothing is written to it.
"""

import json
from types import SimpleNamespace

import pytest

from harness.complaints import complaints
from harness.copies import Copies
from harness.disk import Disk
from harness.machine import Machine

SUPER, TABLE = 0, 1  # blocks of a copy, see docs/format.md
ALL = range(5)


def number(value, width=8):
    return value.to_bytes(width, "little")


def entry(main, spare, sectors, flags=0):
    return number(main) + number(spare) + number(sectors, 4) + number(flags, 4)


def entries(*list_of):
    """The change of a table block that makes it hold these."""
    return {28: number(len(list_of), 4), 56: b"".join(list_of)}


FAR = 1 << 63

SPLIT = "copies of one generation differ"
NONE_LEFT = "no current instance is left"
GEOMETRY = "recorded geometry is impossible"
NAME = "not a valid set name"

# what: (copies, block, {offset: bytes}, a part of the reason)
CRAFTED = {
    "a feature of a later version, in one copy": ([3], SUPER, {64: number(1, 4)}, "newer dm-remap"),
    "two superblocks of one generation": ([1, 4], SUPER, {152: number(7)}, SPLIT),
    "two table blocks of one generation": ([2], TABLE, entries(entry(0, 1000, 8)), SPLIT),
    "extents that overlap on the main":
        (ALL, TABLE, entries(entry(0, 1000, 16), entry(8, 2000, 8)), NONE_LEFT),
    "extents that overlap on the spare":
        (ALL, TABLE, entries(entry(0, 1000, 16), entry(800, 1008, 8)), "share one sector of spare"),
    "an extent beyond the main": (ALL, TABLE, entries(entry(131072, 1000, 8)), NONE_LEFT),
    "an extent at 2^63": (ALL, TABLE, entries(entry(FAR, 1000, 8)), NONE_LEFT),
    "an extent whose end wraps": (ALL, TABLE, entries(entry(2 ** 64 - 8, 1000, 16)), NONE_LEFT),
    "an extent in the metadata": (ALL, TABLE, entries(entry(0, 0, 8)), NONE_LEFT),
    "an extent beyond the spare": (ALL, TABLE, entries(entry(0, FAR, 8)), NONE_LEFT),
    "a huge extent": (ALL, TABLE, entries(entry(0, 1000, 2 ** 32 - 1)), NONE_LEFT),
    "a huge count of entries": (ALL, TABLE, {28: number(2 ** 32 - 1, 4)}, NONE_LEFT),
    "table blocks of another set": (ALL, TABLE, {8: bytes(range(16))}, NONE_LEFT),
    "a huge number of table blocks": (ALL, SUPER, {140: number(2 ** 32 - 1, 4)}, GEOMETRY),
    "a set that is longer than any disk": (ALL, SUPER, {72: number(FAR)}, GEOMETRY),
    "a spare that is larger than the device": (ALL, SUPER, {80: number(FAR)}, GEOMETRY),
    "copies that lie elsewhere": (ALL, SUPER, {96: number(FAR)}, GEOMETRY),
    "a name with a newline": (ALL, SUPER, {224: b"a\nb\0"}, NAME),
    "a name with slashes": (ALL, SUPER, {224: b"../../sda\0"}, NAME),
    "a name with control characters": (ALL, SUPER, {224: b"\x1b[2Jab\0"}, NAME),
    "a name without an end": (ALL, SUPER, {224: b"a" * 128}, NAME),
    "a generation after the last": (ALL, SUPER, {32: number(1 << 62)}, "impossible generation"),
}


@pytest.fixture(scope="module")
def lab(fast_lane):
    """One guest for all of them: what is refused leaves nothing behind."""
    with Disk("64M", serial="MAIN") as main, Disk("16M", serial="SPARE") as spare, \
            Disk("16M", serial="OTHER") as other, \
            Machine(fast_lane, [main, spare, other], append="loglevel=3") as vm:
        vm.boot()
        vm.run(f"dmremap create home --main {main.dev} --spare {spare.dev}")
        with spare.snapshot() as good:
            yield SimpleNamespace(vm=vm, main=main, spare=spare, other=other, good=good,
                                  copies=Copies.of(spare))


@pytest.fixture
def crafted(lab):
    """crafted(copies, block, changes): the good spare with these changes."""
    def craft(copies, block, changes):
        for number in copies:
            lab.copies[number].edit(block, changes)
    lab.good.restore()
    lab.vm.run("rm -rf /run/dm-remap")
    yield craft
    lab.vm.run("dmremap stop --all")
    assert not complaints(lab.vm)


def checksum(lab):
    return lab.vm.run(f"sha256sum {lab.spare.dev}")


def decided(lab):
    (decision,) = json.loads(lab.vm.run("dmremap assemble --all --json", check=False).stdout)["decisions"]
    return decision["decision"], decision["reason"]


@pytest.mark.parametrize("what", CRAFTED)
def test_it_is_refused(lab, crafted, what):
    copies, block, changes, reason = CRAFTED[what]
    crafted(copies, block, changes)
    before = checksum(lab)
    kind, why = decided(lab)
    assert kind == "damaged" and reason in why
    for command, status in (("repair", 4), ("incremental", 4), ("udev", 0)):
        said = lab.vm.run(f"dmremap {command} {lab.spare.dev} 2>&1", check=False)
        assert said.status == status and "\x1b" not in said.stdout
    refused = lab.vm.run(f"dmsetup create bad --table '0 131072 remap {lab.main.dev} {lab.spare.dev}'",
                         check=False)
    assert refused.status != 0
    assert checksum(lab) == before


def test_what_only_a_later_version_may_write_is_opened_read_only(lab, crafted):
    crafted(ALL, SUPER, {60: number(1, 4)})
    lab.copies[2].corrupt("zero")
    before = checksum(lab)
    assert decided(lab)[0] == "activate"
    assert lab.vm.run("blockdev --getro /dev/mapper/home") == "1\n"
    lab.vm.run("dmremap stop home")
    assert checksum(lab) == before


def test_names_of_devices_are_not_taken_at_their_word(lab, crafted):
    """What a disk says of itself may be made for a terminal, or for whoever reads line by line."""
    crafted(ALL, SUPER, {352 + 16: b"\x1b[2J\nroot: activated\0", 352 + 144: b"MAIN\0"})
    lab.vm.run("dmremap assemble --all", check=False)
    said = lab.vm.run(f"dmremap examine {lab.spare.dev}; dmremap log; dmremap scan; dmesg | grep dmremap")
    assert "\x1b" not in said and "\nroot: activated" not in said


def test_spares_that_each_say_the_other_one_took_over(lab, crafted):
    """State 2 and each other's UUID: nobody is left to be used."""
    one, two = bytes([1] * 16), bytes([2] * 16)
    crafted(ALL, SUPER, {68: number(2, 4), 192: one, 208: two})
    lab.other.path.write_bytes(lab.spare.path.read_bytes())
    for copy in Copies.of(lab.other):
        copy.edit(SUPER, {192: two, 208: one})
    decisions = json.loads(lab.vm.run("dmremap assemble --all --json", check=False).stdout)["decisions"]
    lab.other.zero(0, lab.other.size)
    assert [found["decision"] for found in decisions] == ["skip", "skip"]
    assert all("replaced by another one" in found["reason"] for found in decisions)
