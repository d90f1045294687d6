# SPDX-License-Identifier: GPL-2.0
"""The kernels of Debian's suites, with dm-remap.ko built in each suite by its own compiler."""

import os
import shutil

from .cache import cached, digest
from .debian import CLOUD, kernel
from .initramfs import fast_lane
from .paths import BUILD, SOURCE
from .products import products

SUITES = ("bookworm", "trixie", "forky")


def lane(tree, suite, files=(), flavour=CLOUD, **options):
    """The fast lane with dm-remap: the tree's programs, and its own kernel for bookworm."""
    if (suite, flavour) == ("bookworm", CLOUD):
        return fast_lane(tree, {**dict(files), **products(tree)}, **options)
    other = kernel(suite, flavour)
    boot = fast_lane(tree, {**dict(files), **products(other, module(other))}, kernel=other,
                     **options)
    # On a busy host an emulated TSC is measured wrong, and later kernels live by it.
    return boot._replace(append="tsc=unstable")


def module(tree):
    """The module for the kernel of such a tree; built when its sources have changed."""
    sources = [SOURCE / "Makefile", *sorted((SOURCE / "kernel").iterdir())]
    return cached("modules", f"{tree.release}-{digest(str(tree.path), *sources)}",
                  lambda path: _build(path, tree)) / "dm-remap.ko"


def _build(path, tree):
    """Builds all of it, in a folder of its own: what was built before would not warn again."""
    said = tree.run("sh", "-c", 'exec "$@" 2>&1', "sh", "make", "-C", SOURCE, "module",
                    f"-j{os.cpu_count()}", f"KDIR=/usr/src/linux-headers-{tree.release}",
                    f"KOUT={path.relative_to(SOURCE)}", shared=SOURCE,
                    env={"PATH": os.environ["PATH"], "LC_ALL": "C"}).decode()
    if "warning" in said.lower():
        raise RuntimeError(f"dm-remap.ko for {tree.release} does not build without a warning:\n"
                           f"{said}")
    shutil.rmtree(path / "obj")


if __name__ == "__main__":
    for suite in SUITES:
        tree = kernel(suite)
        built = BUILD / tree.release / "dm-remap.ko"
        built.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(module(tree), built)
        print(f"  built    {built.relative_to(SOURCE)}, for {suite}")
