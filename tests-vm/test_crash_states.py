# SPDX-License-Identifier: GPL-2.0
"""No state that a power cut may leave breaks a promise: thousands of each workload are judged here."""

from random import Random

import pytest

from harness.workloads import WORKLOADS, record


@pytest.mark.parametrize("workload", WORKLOADS)
def test_nothing_acknowledged_is_lost_in_any_state(fast_lane, seed, tmp_path, workload):
    found = record(workload, fast_lane, Random(seed), tmp_path / "record", times=0.5).judge(seed, kept=2)
    print(found)
    assert found["states"] > 4000 and found["flushes"] > 20
