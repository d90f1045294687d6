# SPDX-License-Identifier: GPL-2.0
"""Disks that are not those of a set, though they look like them, or have its name."""

from .assembler import dmremap
from .disk import Disk


def clone_of_main(main):
    return Disk.copy_of(main.path, bus="virtio", serial="MAIN-CLONE")


def clone_of_spare(spare):
    return Disk.copy_of(spare.path, serial="SPARE-CLONE")


def spare_of_another_set():
    """Whose main is nowhere."""
    spare = Disk("16M", serial="OTHER-SPARE")
    with Disk("64M", serial="OTHER") as main:
        dmremap("create", "root", "--main", main.path, "--spare", spare.path, check=0)
    return spare
