# SPDX-License-Identifier: GPL-2.0
"""The campaigns see deliberate mistakes: a few of those that `make mutants` makes."""

import pytest

from harness import paths
from harness.mutants import MUTANTS, seen_by
from harness.mutation import mutated

OF_A_COMMIT = "no flush of the data before its entries"


def test_each_mistake_can_be_made():
    """Its place has not changed since."""
    for mutant in MUTANTS:
        assert mutated(mutant, paths.SOURCE)


def chosen():
    """That one, and all that are seen without a guest."""
    return [mutant for mutant in MUTANTS if mutant.name == OF_A_COMMIT or mutant.seen_by == ("corruptions",)]


@pytest.mark.parametrize("mutant", chosen(), ids=lambda mutant: mutant.name)
def test_a_mistake_is_seen(tree, seed, tmp_path, mutant):
    assert seen_by(mutant, tree, tmp_path, seed)
