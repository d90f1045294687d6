# SPDX-License-Identifier: GPL-2.0
"""
What campaigns have done so far: a line for each run. They are in build/, and those of earlier evenings and
other machines, so far as somebody has put them there, with the sources.
"""

import json
import subprocess
import time
from collections import Counter

from . import paths

RESULTS = paths.BUILD / "campaigns/results.jsonl"
EARLIER = paths.SOURCE / "docs/campaigns.jsonl"


def revision(folders):
    """The last commit of what is tested, which is in these; with a + if it has been changed since."""
    def git(*argv):
        return subprocess.run(["git", *argv, "--", *folders], cwd=paths.SOURCE, capture_output=True, text=True, check=False)
    return git("log", "-1", "--format=%h").stdout.strip() + "+" * bool(git("diff", "--quiet", "HEAD").returncode)


def keep(campaign, name, seed, tested, found, failed=None):
    """Adds a run of what is `tested`, a revision(); `found` are counts, also by name, `failed` is why it ended early."""
    with open(RESULTS, "a", encoding="utf-8") as file:
        print(json.dumps({"campaign": campaign, "name": name, "seed": seed, "time": round(time.time()),
                          "revision": tested, "found": found, **({"failed": failed} if failed else {})}), file=file)


def runs(campaign, tested=None):
    """All runs of a campaign, or those of a revision; each once, wherever its line is."""
    files = [file.read_text(encoding="utf-8") for file in (EARLIER, RESULTS) if file.exists()]
    found = map(json.loads, dict.fromkeys("".join(files).splitlines()))
    return [run for run in found if run["campaign"] == campaign and tested in (None, run["revision"])]


def totals(chosen):
    """The sums of what some runs have found."""
    total = Counter()
    for run in chosen:
        for what, count in run["found"].items():
            total.update(count if isinstance(count, dict) else {what: count})
    return total
