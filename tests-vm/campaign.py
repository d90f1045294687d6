# SPDX-License-Identifier: GPL-2.0
"""
Campaigns that go on until they have done so much, over several evenings if need be.

campaign.py crash-states [--goal N]   states that a power cut may leave, of all workloads in turn
campaign.py corruptions [--goal N]    damaged spares
campaign.py torture [--goal N]        boots of systems to whose disks something happens each time
campaign.py restarts [--goal N]       restarts of an initramfs where it waits for the disks of its root
campaign.py report                    what all of them have done so far

What breaks a promise ends the campaign; how to see it again is said, and the record is kept.
"""

import argparse
import random
import shutil
import sys
from collections import Counter

from harness import early, paths, results
from harness.campaigns import PromiseBroken, campaign
from harness.debian import debian
from harness.errors import GuestError
from harness.kernels import lane
from harness.programs import PROGRAMS
from harness.restarts import Waiting
from harness.torture import Life
from harness.workloads import WORKLOADS, record

CORRUPTIONS = 50000  # of a run, besides all bits of two blocks
STATES = 20  # after each operation; before and after each flush:
FLUSH_STATES = 50
TIMES = 3  # as long as in `make check`
RESTARTS = 100
SYSTEMS = {str(system): system for system in early.SYSTEMS}


def crash_states(name, seed):
    folder = paths.scratch() / "record"
    shutil.rmtree(folder, ignore_errors=True)
    recorded = record(name, lane(debian(), "bookworm", PROGRAMS), random.Random(seed), folder, TIMES)
    try:
        return recorded.judge(seed, STATES, FLUSH_STATES)
    except PromiseBroken as broken:
        kept = paths.BUILD / "campaigns/broken" / f"{name}-{seed}".replace(" ", "-")
        shutil.move(folder, kept)
        raise PromiseBroken(str(broken).replace(str(folder), str(kept))) from None


def corruptions(_, seed):
    return campaign("corruptions", "--seed", seed, "--count", CORRUPTIONS)


def torture(name, seed):
    """A life of a system; one that was not lived to its end goes on, with its own seed."""
    folder = paths.BUILD / "campaigns/lives" / name
    life = Life(folder, SYSTEMS[name]) if (folder / "state").exists() else Life.begin(folder, SYSTEMS[name], seed)
    while not life.over:
        try:
            life.boot()
        except (AssertionError, GuestError) as error:
            raise PromiseBroken(f"{name}, seed {life.state['seed']}, boot {life.state['boots']}, which `make torture`"
                                f" does again: its disks are in {folder}\n{error}") from error
    shutil.rmtree(folder)
    return life.done


def restarts(name, seed):
    """Of a number of them, one after the other."""
    done = Counter()
    with Waiting(SYSTEMS[name], seed) as waiting:
        for number in range(RESTARTS):
            try:
                done.update(waiting.restart(number))
            except (AssertionError, GuestError) as error:
                raise PromiseBroken(f"{name}, seed {seed}, restart {number}\n{error}") from error
    return {"restarts": RESTARTS, "what there was": done}


CAMPAIGNS = {"crash-states": (crash_states, list(WORKLOADS), "states"),
             "corruptions": (corruptions, ["catalogue"], "corruptions"),
             "torture": (torture, list(SYSTEMS), "boots"),
             "restarts": (restarts, list(SYSTEMS), "restarts")}


def go_on(which, goal):
    run, names, unit = CAMPAIGNS[which]
    number = len(results.runs(which))
    while (done := results.totals(results.runs(which))[unit]) < goal:
        name, seed = names[number % len(names)], random.getrandbits(32)
        found = run(name, seed)
        results.keep(which, name, seed, found)
        number += 1
        print(f"{which}: {done + found[unit]:,} of {goal:,}, {found[unit]:,} of {name} with seed {seed}", flush=True)


def report():
    for which, (_, names, _) in CAMPAIGNS.items():
        for name in names:
            chosen = [run for run in results.runs(which) if run["name"] == name]
            print(f"{which}, {name}: {len(chosen)} runs")
            for what, count in results.totals(chosen).items():
                print(f"    {count:>12,} {what.replace('_', ' ')}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("which", choices=[*CAMPAIGNS, "report"])
    parser.add_argument("--goal", type=int, default=1)
    args = parser.parse_args()
    if args.which == "report":
        return report()
    try:
        return go_on(args.which, args.goal)
    except PromiseBroken as broken:
        return f"a promise is broken:\n{broken}"


if __name__ == "__main__":
    sys.exit(main())
