# SPDX-License-Identifier: GPL-2.0
"""The whole of it, as `make demo` tells it: a root disk with bad sectors and damaged metadata."""

import pytest

from story import Story


@pytest.mark.parametrize("systemd", [pytest.param(True, id="systemd"),
                                     pytest.param(False, id="no-systemd", marks=pytest.mark.thorough)])
def test_a_root_on_a_dying_disk_is_adopted_and_survives(root_tree, seed, systemd):
    with Story(root_tree, seed, systemd=systemd, say=print) as story:
        for chapter in story.chapters():
            print("---", chapter.__doc__)
            print(*chapter())
