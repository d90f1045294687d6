# SPDX-License-Identifier: GPL-2.0
"""The programs of campaigns/, which judge states of disks by the hundred thousand on this machine."""

import json
import subprocess

from . import paths


def programs():
    return paths.made_by("make campaigns", paths.BUILD / "campaigns")


class PromiseBroken(AssertionError):
    """What one of them has found."""


def campaign(name, *argv, folder=None):
    """What one of them did, as it says, also if it is in another folder than what `make` builds."""
    argv = [str(word) for word in ((folder or programs()) / name, *argv)]
    done = subprocess.run(argv, capture_output=True, text=True)
    if done.returncode == 1:
        raise PromiseBroken(f"{' '.join(argv)}:\n{done.stdout}{done.stderr}")
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return json.loads(done.stdout)
