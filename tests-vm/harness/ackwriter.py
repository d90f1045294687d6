# SPDX-License-Identifier: GPL-2.0
"""Writes in the guest of which the test knows, after a power cut, which were acknowledged."""

import struct
import subprocess

from .cache import guest_program
from .disk import SECTOR, Disk, size_in_bytes
from .errors import GuestError
from .guest import Result

RECORD = struct.Struct("<QQQQ")
MAGIC = 0x3172657469726B63
GUEST_PATH = "/sbin/ackwriter"


def mark_disk():
    """A small disk for the marks. It has no write cache: what it received is acknowledged."""
    return Disk("64K", write_through=True)


class AckWriter:
    """
    Overwrites random places of `length` bytes of a file or device in the guest.

    start() lets it run; acknowledged() reads the marks it left on the mark disk;
    lost() says where neither the newest acknowledged write is nor the one that
    was under way. See tests-vm/guest/ackwriter.c for the options.
    """

    def __init__(self, seed, mark, length, offset=0, threads=1, options=""):
        self.seed = seed
        self.mark = mark
        self.threads = threads
        self._options = f"-s {seed} -l {size_in_bytes(length)} -o {offset} -t {threads} {options}"

    def start(self, vm, target):
        return vm.spawn(f"{GUEST_PATH} write {self._options} -m {self.mark.dev} {target}")

    def acknowledged(self, marks=None):
        """The number of the last acknowledged write of each thread; `marks`: by another image."""
        marks = (marks or self.mark.path).read_bytes()
        return [self._mark(marks, thread) for thread in range(self.threads)]

    def _mark(self, marks, thread):
        magic, seed, _, number = RECORD.unpack_from(marks, thread * SECTOR)
        return number if (magic, seed) == (MAGIC, self.seed) else 0

    def lost(self, vm, target):
        """What is lost of a file or device in the guest: "" if nothing is."""
        return self._lost(vm.run(self._verify(GUEST_PATH, target), timeout=300, check=False))

    def lost_in(self, image, marks=None):
        """The same for an image, on the host; `marks` is an image of the mark disk then."""
        command = self._verify(guest_program("ackwriter"), image, marks)
        done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=300)
        return self._lost(Result(command, done.returncode, done.stdout, done.stderr))

    def _verify(self, program, target, marks=None):
        numbers = " ".join(map(str, self.acknowledged(marks)))
        return f"{program} verify {self._options} {target} {numbers}"

    def _lost(self, result):
        if result.status > 1:
            raise GuestError(f"`{result.command}` could not check: {result.stderr}")
        return result.stdout if result.status else ""
