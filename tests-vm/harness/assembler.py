# SPDX-License-Identifier: GPL-2.0
"""dmremap on this machine, for the commands that take images."""

import json
import subprocess

from . import paths
from .disk import SECTOR


def dmremap(*argv, check=None):
    """Runs it. `check` is the exit status to insist on."""
    done = subprocess.run([paths.dmremap(), *map(str, argv)], capture_output=True, text=True,
                          timeout=120)
    if check is not None and done.returncode != check:
        raise AssertionError(f"dmremap {' '.join(map(str, argv))} exited with {done.returncode}, "
                             f"not {check}:\n{done.stdout}{done.stderr}")
    return done


def examine(image):
    """What it finds on a spare's image."""
    return json.loads(dmremap("examine", image, "--json").stdout)


def main_sectors(found):
    """Where on the main the extents begin that examine() has found."""
    return {extent["main_sector"] for extent in found["extents"]}


def assembled(main, spare):
    """Turns an image of the main into what the set would show."""
    for extent in examine(spare)["extents"]:
        if not extent["has_data"]:
            continue  # an error for whoever reads it
        with open(spare, "rb") as source, open(main, "r+b") as target:
            source.seek(extent["spare_sector"] * SECTOR)
            target.seek(extent["main_sector"] * SECTOR)
            target.write(source.read(extent["sectors"] * SECTOR))
    return main
