# SPDX-License-Identifier: GPL-2.0
"""dm-remap with a place of its sources changed, in a scratch copy."""

import os
import shutil
from typing import NamedTuple

from . import paths
from .cache import execute
from .initramfs import fast_lane
from .products import products
from .programs import PROGRAMS


class Mutant(NamedTuple):
    """In a file of kernel/ or assembler/ one place becomes another."""

    name: str
    file: str
    right: str
    wrong: str
    seen_by: tuple = ("bursts", "repairs")  # workloads; or corruptions


def mutated(mutant, sources):
    """The text of its file with the change."""
    code = (sources / mutant.file).read_text()
    if code.count(mutant.right) != 1:
        raise ValueError(f"{mutant.name}: {mutant.right!r} is {code.count(mutant.right)} times in {mutant.file}")
    return code.replace(mutant.right, mutant.wrong)


def mutate(mutant, sources):
    """Makes the change in a copy of the sources."""
    (sources / mutant.file).write_text(mutated(mutant, sources))


def campaigns_with(mutant, folder):
    """
    The folder of the programs of campaigns/ with the change in the code that they judge; what has not changed
    is not built again.
    """
    for name in ("kernel", "assembler", "campaigns", "tests-vm/guest", "build-support"):
        shutil.copytree(paths.SOURCE / name, folder / name)
    shutil.copy2(paths.SOURCE / "Makefile", folder)
    shutil.copytree(paths.BUILD / "obj", folder / "build/obj")
    os.symlink(paths.BUILD / "static", folder / "build/static")
    mutate(mutant, folder)
    execute("make", "-C", folder, "WARNINGS=", "campaigns")
    return folder / "build/campaigns"


def module_with(mutants, tree, folder):
    """dm-remap.ko with such changes."""
    shutil.copytree(paths.SOURCE / "kernel", folder / "kernel")
    for mutant in mutants:
        mutate(mutant, folder)
    execute("make", "-C", f"/usr/src/linux-headers-{tree.release}", f"M={folder / 'kernel'}", "modules")
    return folder / "kernel/dm-remap.ko"


def lane_with(mutants, tree, folder):
    """The fast lane with such a module."""
    return fast_lane(tree, {**PROGRAMS, **products(tree, module_with(mutants, tree, folder))})


# As large tables grow, which would take long to fill
SMALL_STEPS = Mutant("small steps", "kernel/format.h", "DMR_TABLE_STEP    64", "DMR_TABLE_STEP    1")
