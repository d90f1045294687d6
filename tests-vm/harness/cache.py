# SPDX-License-Identifier: GPL-2.0
"""Things made once and kept in build/, each named after a digest of what it is made from."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

from .paths import CACHE

KEPT = 4
IN_USE = 6 * 3600


def digest(*parts):
    """A short digest of strings, bytes and the contents of files."""
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            part = part.read_bytes()
        elif not isinstance(part, bytes):
            part = repr(part).encode()
        total.update(hashlib.sha256(part).digest())
    return total.hexdigest()[:16]


@contextmanager
def locked(name):
    """Keeps two test runs from making the same thing at once."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / f".{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def cached(kind, key, make):
    """
    The path of the thing `key` of a kind, made by make(path) if it isn't there.

    It is made beside its place and then renamed, so that what is there is whole.
    """
    path = CACHE / kind / key
    with locked(kind):
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            unfinished = path.with_name(f"{key}.unfinished")
            discard(unfinished)
            make(unfinished)
            os.utime(unfinished)
            unfinished.rename(path)
            _forget_old(path.parent)
        os.utime(path)
    return path


def _forget_old(folder):
    """A system and its images take a gigabyte for each version of what is tested."""
    by_age = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in by_age[KEPT:]:
        if path.stat().st_mtime < time.time() - IN_USE:
            discard(path)


def discard(path):
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def execute(*argv, timeout=600, **options):
    """Runs a command of this machine; its output is shown only if it fails."""
    argv = [str(arg) for arg in argv]
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=timeout, **options)
    if done.returncode:
        said = (done.stdout + done.stderr).decode(errors="replace")
        raise RuntimeError(f"{' '.join(argv)} failed with {done.returncode}:\n{said[-4000:]}")
    return done.stdout


_PROGRAM = Path(__file__).parents[1] / "guest"


def guest_program(name):
    """A static program for the guest, compiled from tests-vm/guest/NAME.c (and NAME.h)."""
    source = _PROGRAM / f"{name}.c"
    key = f"{name}-{digest(source, *_PROGRAM.glob(f'{name}.h'))}"
    return cached("programs", key, lambda out: execute(
        "gcc", "-static", "-O2", "-Wall", "-Wextra", "-Werror", "-pthread", "-o", out, source))
