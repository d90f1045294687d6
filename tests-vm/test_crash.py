# SPDX-License-Identifier: GPL-2.0
"""
The power goes while writes over bad sectors are moved: nothing acknowledged is lost.

What each cut leaves is booted. All that it might have left: test_crash_states.py.
"""

import time
from random import Random

from harness.ackwriter import AckWriter, mark_disk
from harness.machine import Machine
from harness.patience import deadline
from harness.remap import Remap

CUTS = 8
AREA = 1 << 20
BAD_SECTORS = 60
LONGEST = 150  # operations until a cut
WRITTEN_BEFORE = 150  # writes: most of the area then holds something to lose
SECTOR = 512


def worsen(main, random):
    for _ in range(BAD_SECTORS):
        main.bad_sectors(random.randrange(AREA // SECTOR), kind="io")


def write_until_cut(vm, dev, main, writer, random):
    """Writes; the disk gets worse meanwhile; the power goes while sectors are moved."""
    writer.start(vm, dev)
    end = deadline(120)
    while sum(writer.acknowledged()) < WRITTEN_BEFORE:
        assert time.monotonic() < end, "the guest does not get on with its writes"
        time.sleep(0.05)
    worsen(main, random)
    vm.cut_after(random.randrange(1, LONGEST))
    vm.wait_cut()
    vm.power_cut(random.getrandbits(32))


def test_nothing_acknowledged_is_lost(fast_lane, new_disk, seed):
    random = Random(seed)
    # virtio passes errors on at once; the SCSI layer tries a few times before it does.
    main, spare = new_disk("8M", bus="virtio"), new_disk("8M")
    writer = None
    with mark_disk() as mark, \
            Machine(fast_lane, [main, spare, mark], powerloss=True, append="loglevel=3") as vm:
        for _ in range(CUTS):
            vm.boot()
            with Remap(vm, main, spare, finish=False) as dev:
                assert not writer or writer.lost(vm, dev.dev) == ""
                writer = AckWriter(random.getrandbits(32), mark, AREA, options="-d -b 512 -x 32")
                write_until_cut(vm, dev.dev, main, writer, random)
        vm.boot()
        with Remap(vm, main, spare) as dev:
            assert dev.status().valid_copies == "5/5"
            assert dev.status().remapped > 50
            assert writer.lost(vm, dev.dev) == ""
