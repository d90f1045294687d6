# SPDX-License-Identifier: GPL-2.0
"""The model of a write cache by itself, without a machine."""

from random import Random

import pytest

from harness.copies import BLOCK, Copies
from harness.disk import SECTOR, Disk
from harness.powerloss import VolatileDisk

SIZE = 64 << 10


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "image"
    path.write_bytes(bytes(SIZE))
    return path


def states(image, writes, tries=300):
    """All contents of an image that cuts after some writes leave."""
    found = set()
    for seed in range(tries):
        image.write_bytes(bytes(SIZE))
        disk = VolatileDisk(image)
        writes(disk)
        disk.lose_power(Random(seed))
        disk.close()
        found.add(image.read_bytes())
    return found


def letters(found, sectors):
    return {"".join(chr(state[s * SECTOR] or ord("-")) for s in range(sectors)) for state in found}


def put(disk, sector, letter, sectors=1):
    return disk.write(sector * SECTOR, sectors * SECTOR, letter.encode() * sectors * SECTOR)


def test_what_is_in_the_cache_is_read(image):
    disk = VolatileDisk(image)
    put(disk, 2, "a", 3)
    put(disk, 3, "b")
    disk.write(4 * SECTOR, SECTOR, None)
    assert disk.read(SECTOR, 4 * SECTOR) == b"".join(
        letter * SECTOR for letter in (b"\0", b"a", b"b", b"\0"))
    assert image.read_bytes() == bytes(SIZE)
    disk.close()
    after = image.read_bytes()[2 * SECTOR:5 * SECTOR]
    assert after == b"a" * SECTOR + b"b" * SECTOR + bytes(SECTOR)


def test_any_part_of_what_was_not_flushed_survives(image):
    def writes(disk):
        put(disk, 0, "a", 2)
        put(disk, 2, "b")

    assert letters(states(image, writes), 3) == {
        "---", "a--", "-a-", "aa-", "--b", "a-b", "-ab", "aab"}


def test_a_flush_covers_what_was_complete_when_it_was_sent(image):
    def writes(disk):
        put(disk, 0, "a")
        instant = disk.received
        put(disk, 1, "b")
        disk.flush(instant)

    assert letters(states(image, writes), 2) == {"a-", "ab"}


def test_fua_covers_itself_and_outlives_what_it_overwrote(image):
    def writes(disk):
        put(disk, 0, "a", 2)
        put(disk, 1, "b").safe = True
        put(disk, 2, "c")
        disk.flush(1)

    assert letters(states(image, writes), 3) == {"ab-", "abc"}


def test_a_disk_without_a_cache_loses_nothing(image):
    disk = VolatileDisk(image, write_through=True)
    put(disk, 0, "a")
    disk.lose_power(Random(0))
    disk.close()
    assert image.read_bytes()[:SECTOR] == b"a" * SECTOR


def test_a_copy_is_damaged_and_its_neighbours_are_not():
    with Disk("64K") as disk:
        disk.write_at(0, b"o" * disk.size)
        with disk.snapshot() as before:
            disk.write_at(0, b"n" * disk.size)
            copies = Copies(disk, [(index * 2 * BLOCK, 2 * BLOCK) for index in range(6)])
            copies[0].corrupt("zero", block=1)
            copies[1].corrupt("random", seed=1)
            copies[2].corrupt("flip")
            copies[3].corrupt("torn", before=before)
            copies[4].corrupt("stale", before=before)
        blocks = [disk.read_at(index * BLOCK, BLOCK) for index in range(12)]
    new, old, half = b"n" * BLOCK, b"o" * BLOCK, BLOCK // 2
    assert blocks[:2] == [new, bytes(BLOCK)]
    assert new not in blocks[2:4] and blocks[2] != blocks[3]
    assert [sum(byte != ord("n") for byte in block) for block in blocks[4:6]] == [1, 1]
    assert blocks[6:8] == [new[:half] + old[half:]] * 2
    assert blocks[8:] == [old, old, new, new]
