# SPDX-License-Identifier: GPL-2.0
"""
Whether the campaigns see deliberate mistakes: `make mutants`.

mutants.py [--seed N] [--jobs N] [WORD...]   those whose names hold a word; else all
"""

import argparse
import json
import os
import random
import shutil
import sys
import time
from multiprocessing import Pool

from harness import paths
from harness.debian import debian
from harness.mutants import MUTANTS, seen_by

RESULTS = paths.BUILD / "campaigns/mutants.json"


def look_for(job):
    mutant, seed = job
    folder = paths.scratch() / "mutant"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    began = time.monotonic()
    by = seen_by(mutant, debian(), folder, seed)
    return {"name": mutant.name, "file": mutant.file, "seen_by": by, "seed": seed,
            "seconds": round(time.monotonic() - began)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("words", nargs="*")
    args = parser.parse_args()
    chosen = [mutant for mutant in MUTANTS
              if not args.words or any(word in mutant.name for word in args.words)]
    found = {}
    with Pool(args.jobs) as pool:
        for result in pool.imap_unordered(look_for, [(mutant, args.seed) for mutant in chosen]):
            print(f"{result['seconds']:4} s  {result['name']}: {result['seen_by'] or 'NOT SEEN'}", flush=True)
            found[result["name"]] = result
    RESULTS.write_text(json.dumps([found[mutant.name] for mutant in chosen], indent=1))
    unseen = sum(result["seen_by"] is None for result in found.values())
    print(f"{len(found) - unseen} of {len(found)} mistakes were seen, seed {args.seed}")
    return 1 if unseen else 0


if __name__ == "__main__":
    sys.exit(main())
