# SPDX-License-Identifier: GPL-2.0
"""A disk with two partitions, for main and spare, or either and something else."""

from typing import NamedTuple

from .cache import execute
from .disk import Disk


class Part(NamedTuple):
    """A partition, by its name in the guest."""

    disk: Disk
    number: int

    @property
    def dev(self):
        return f"{self.disk.dev}{self.number}"


def two_parts(disk):
    """Makes two on a disk of 64M, before it is attached."""
    execute("sfdisk", "--quiet", disk.path, input=b"label: gpt\nsize=32MiB\nsize=16MiB\n")
    return Part(disk, 1), Part(disk, 2)
