# SPDX-License-Identifier: GPL-2.0
"""Whatever is damaged on a spare, alone or together: campaigns/corruptions.c."""

from harness.campaigns import campaign


def test_what_is_left_is_found_and_nothing_else_is_touched(seed):
    found = campaign("corruptions", "--seed", seed, "--count", 20000)
    assert found["corruptions"] > 150000  # with every bit of two blocks
    assert min(found["catalogue"].values()) > 0
