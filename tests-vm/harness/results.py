# SPDX-License-Identifier: GPL-2.0
"""What campaigns have done so far: a line for each run, from which one that was interrupted goes on."""

import json
import subprocess
import time
from collections import Counter

from . import paths

RESULTS = paths.BUILD / "campaigns/results.jsonl"


def _revision():
    """Of the sources; with a + if they have been changed since."""
    said = subprocess.run(["git", "describe", "--always", "--dirty=+"], cwd=paths.SOURCE,
                          capture_output=True, text=True, check=False)
    return said.stdout.strip()


def keep(campaign, name, seed, found):
    """Adds a run; `found` are counts, also by name."""
    with open(RESULTS, "a", encoding="utf-8") as file:
        print(json.dumps({"campaign": campaign, "name": name, "seed": seed, "time": round(time.time()),
                          "revision": _revision(), "found": found}), file=file)


def runs(campaign=None):
    """All runs, of one campaign or of any."""
    if not RESULTS.exists():
        return []
    lines = map(json.loads, RESULTS.read_text(encoding="utf-8").splitlines())
    return [run for run in lines if campaign in (None, run["campaign"])]


def totals(chosen):
    """The sums of what some runs have found."""
    total = Counter()
    for run in chosen:
        for what, count in run["found"].items():
            total.update(count if isinstance(count, dict) else {what: count})
    return total
