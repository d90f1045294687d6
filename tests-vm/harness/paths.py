# SPDX-License-Identifier: GPL-2.0
"""Where things are: the sources, what the Makefile builds, what the harness caches."""

import atexit
import functools
import os
import shutil
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]
BUILD = SOURCE / "build"
CACHE = BUILD / "vm"


class Missing(Exception):
    """Something another command has to make first."""


def made_by(target, path):
    """The path of a build product, or a sentence that says how to make it."""
    if not path.exists():
        raise Missing(f"{path} is missing: run `{target}` first")
    return path


def dmremap():
    return made_by("make dmremap", BUILD / "dmremap")


def module(release):
    return made_by(f"make module KDIR=/usr/src/linux-headers-{release}",
                   BUILD / release / "dm-remap.ko")


@functools.cache
def scratch():
    """This process's folder for temporary images; those of processes that were killed go first."""
    home = CACHE / "scratch"
    home.mkdir(parents=True, exist_ok=True)
    for left in home.iterdir():
        if not Path("/proc", left.name).exists():
            shutil.rmtree(left, ignore_errors=True)  # another process may do the same
    folder = home / str(os.getpid())
    folder.mkdir()
    atexit.register(shutil.rmtree, folder)
    return folder
