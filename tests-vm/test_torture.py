# SPDX-License-Identifier: GPL-2.0
"""A part of the campaigns that boot systems, and of the one that lets a set run, see docs/testing.md."""

from harness.early import System
from harness.paths import scratch
from harness.restarts import Bare, Waiting
from harness.soak import soak
from harness.torture import Life

BOOTS, RESTARTS, MINUTES = 3, 3, 0.3


def test_nothing_is_lost_however_often_it_boots(seed):
    """Whatever happens to the disks meanwhile."""
    life = Life(scratch() / "life", System("trixie", "initramfs-tools"), seed)
    life.live(BOOTS)
    print(life.done)


def test_what_an_initramfs_finds_is_told_apart(seed):
    with Waiting(System("bookworm", "dracut"), seed) as saved:
        for number in range(RESTARTS):
            print(saved.restart(number))


def test_what_is_damaged_is_mended_or_refused(fast_lane, seed):
    with Bare(fast_lane, seed) as saved:
        for number in range(5 * RESTARTS):
            print(saved.restart(number))


def test_all_at_once(fast_lane, seed):
    print(soak(fast_lane, seed, MINUTES))
