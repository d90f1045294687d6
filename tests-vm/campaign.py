# SPDX-License-Identifier: GPL-2.0
"""
Campaigns that go on until they have done so much, over several evenings if need be.

campaign.py crash-states [--goal N]   states that a power cut may leave, of all workloads in turn
campaign.py corruptions [--goal N]    damaged spares
campaign.py torture [--goal N]        boots of systems to whose disks something happens each time
campaign.py restarts [--goal N]       restarts of an initramfs where it waits for the disks of its root
campaign.py fuzz [--goal N]           inputs for the parsers of what comes from outside
campaign.py soak [--goal N]           minutes of a set with everything on at once

What breaks a promise ends the campaign; how to see it again is said, and the record is kept.
"""

import argparse
import random
import re
import shutil
import subprocess
import sys
from collections import Counter
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Callable, NamedTuple

from harness import early, paths, results
from harness.campaigns import PromiseBroken, campaign
from harness.debian import debian
from harness.debug_kernel import debug_tree
from harness.kernels import lane
from harness.programs import PROGRAMS
from harness.restarts import Bare, Waiting
from harness.soak import soak
from harness.torture import Life
from harness.workloads import WORKLOADS, record

CORRUPTIONS = 50000  # of a run, besides all bits of two blocks
STATES = 20  # after each operation; before and after each flush:
FLUSH_STATES = 50
TIMES = 3  # as long as for `make mutants`, and six times as long as in `make check`
BOOTS = 25  # of a life
RESTARTS, RESTARTS_OF_A_KERNEL = 50, 500
# Of a run: as many of each as take about as long
INPUTS = {"badlist": 40_000_000, "format": 12_000_000, "policy": 18_000_000, "spare": 3_000_000, "sysfs": 25_000_000}
MINUTES = 20
SYSTEMS = {str(system): system for system in early.SYSTEMS}


@contextmanager
def told(where):
    """What goes wrong says where, whatever it is."""
    try:
        yield
    except Exception as error:
        raise PromiseBroken(f"{where}\n{type(error).__name__}: {error}") from error


def crash_states(name, seed):
    """The record is in a folder that stays, unless all went well."""
    folder = paths.BUILD / "campaigns/records" / f"{name}-{seed}".replace(" ", "-")
    recorded = record(name, lane(debian(), "bookworm", PROGRAMS), random.Random(seed), folder, TIMES)
    found = recorded.judge(seed, STATES, FLUSH_STATES)
    shutil.rmtree(folder)
    return found


def corruptions(_, seed):
    return campaign("corruptions", "--seed", seed, "--count", CORRUPTIONS)


def torture(name, seed):
    """A life of a system; one that was not lived to its end goes on, with the seed that it has."""
    folder = paths.BUILD / "campaigns/lives" / name
    life = Life(folder, SYSTEMS[name], seed)
    try:
        life.live(BOOTS)
    except Exception as error:
        raise PromiseBroken(f"seed {life.state['seed']}, boot {life.boots}, which `make torture` does again:"
                            f" its disks are in {folder}\n{error}") from error
    shutil.rmtree(folder)
    return life.done


def restarts(name, seed):
    """Of a system where it waits for its root, or of a kernel with little else."""
    suite, *bare = name.split()
    saved = Bare(lane(debian(), suite), seed) if bare else Waiting(SYSTEMS[name], seed)
    count, done = RESTARTS_OF_A_KERNEL if bare else RESTARTS, Counter()
    with saved:
        for number in range(count):
            with told(f"restart {number}"):
                done.update(saved.restart(number))
    return {"restarts": count, "what there was": done}


def fuzz(name, seed):
    """
    Many inputs in little time, and what of them is kept, and some more, under sanitizers. An input that fails
    is kept in build/fuzz/, and said.
    """
    corpus = paths.BUILD / "fuzz/corpus" / name
    corpus.mkdir(parents=True, exist_ok=True)
    return {"inputs": sum(_fuzz(paths.made_by("make fuzz", folder / f"fuzz_{name}"), seed, count, corpus)
                          for folder, count in ((paths.BUILD / "fuzz/quick", INPUTS[name]),
                                                (paths.BUILD / "fuzz", INPUTS[name] // 20)))}


def _fuzz(program, seed, count, corpus):
    seeds = [folder for folder in [paths.SOURCE / "assembler/tests/corpus" / corpus.name] if folder.exists()]
    done = subprocess.run([program, f"-seed={seed % (1 << 31)}", f"-runs={count}", "-timeout=10", "-print_final_stats=1",
                           f"-artifact_prefix={paths.BUILD / 'fuzz' / program.name}-", corpus, *seeds],
                          capture_output=True, text=True, errors="replace")
    if done.returncode:
        raise PromiseBroken(f"{program} -seed={seed}:\n{done.stderr[-4000:]}")
    return int(re.search("number_of_executed_units: *([0-9]+)", done.stderr)[1])


def soak_on(kernel, seed):
    """In a process of its own, as the debug kernel has all of it be more patient."""
    with get_context("fork").Pool(1) as pool:
        return pool.apply(_soak_on, (kernel, seed))


def _soak_on(kernel, seed):
    tree = debug_tree(debian(), "debug") if kernel == "debug" else debian()
    with told("in the guest"):  # what a process says has to get out of it
        happened = soak(lane(tree, "bookworm", PROGRAMS), seed, MINUTES)
    return {"minutes": MINUTES, "what happened": happened}


class Campaign(NamedTuple):
    run: Callable  # with a name and a seed; returns what was found
    names: list
    unit: str
    tested: tuple  # the folders with what it can break


PROGRAMS_ALONE = ("kernel", "assembler")
WITH_HOOKS = (*PROGRAMS_ALONE, "dracut-module", "initramfs-tools-hook")
CAMPAIGNS = {"crash-states": Campaign(crash_states, list(WORKLOADS), "states", PROGRAMS_ALONE),
             "corruptions": Campaign(corruptions, ["catalogue"], "corruptions", PROGRAMS_ALONE),
             "torture": Campaign(torture, list(SYSTEMS), "boots", WITH_HOOKS),
             "restarts": Campaign(restarts, [name for system in early.SYSTEMS
                                             for name in (f"{system.suite} kernel", str(system))],
                                  "restarts", WITH_HOOKS),
             "fuzz": Campaign(fuzz, list(INPUTS), "inputs", PROGRAMS_ALONE),
             "soak": Campaign(soak_on, ["stock", "debug"], "minutes", PROGRAMS_ALONE)}


def go_on(which, goal):
    """Runs of the code as it is count; what was done with earlier versions says nothing of this one."""
    run, names, unit, folders = CAMPAIGNS[which]
    tested, number = results.revision(folders), len(results.runs(which))
    while (done := results.totals(results.runs(which, tested))[unit]) < goal:
        name, seed = names[number % len(names)], random.getrandbits(32)
        try:
            with told(f"{which}, {name}, seed {seed}"):
                found = run(name, seed)
        except PromiseBroken as broken:
            results.keep(which, name, seed, tested, {}, " ".join(str(broken).split())[:300])
            raise
        results.keep(which, name, seed, tested, found)
        number += 1
        print(f"{which}: {done + found[unit]:,} of {goal:,}, {found[unit]:,} of {name} with seed {seed}", flush=True)
    print(f"{which}: {done:,} {unit} of {tested} were done, N= is for more", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("which", choices=CAMPAIGNS)
    parser.add_argument("--goal", type=int, default=1)
    args = parser.parse_args()
    try:
        return go_on(args.which, args.goal)
    except PromiseBroken as broken:
        return f"a promise is broken:\n{broken}"


if __name__ == "__main__":
    sys.exit(main())
