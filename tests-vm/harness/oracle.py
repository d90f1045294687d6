# SPDX-License-Identifier: GPL-2.0
"""Random I/O in the guest, checked against a model. What may go wrong meanwhile: storm.py."""

import subprocess
from typing import NamedTuple

from .assembler import dmremap
from .cache import guest_program
from .disk import SECTOR, size_in_bytes
from .errors import GuestError, TimedOut

GUEST_PATH = "/sbin/oracle"
GRID = 256  # about its multiples operations often begin and end, see guest/oracle.c


class Failure(NamedTuple):
    """An operation that ended with an error."""

    kind: str
    start: int
    count: int
    errno: int
    nowait: bool

    @property
    def range(self):
        return self.start, self.start + self.count


class Oracle:
    """
    Random operations, `least` or more, on a whole device that is blank at first; see
    tests-vm/guest/oracle.c.

    `journal` is a path in the guest; unsettled=True: what an operation that failed has written may
    come about later, as after a commit that failed; overlaps=True: all writes may overlap; losses=True: a flush that fails may take with it what it
    was for. start() lets it run, stop() has it end when it
    has done the least; ended() raises for what the device
    got wrong and returns the operations that failed; verify() reads the whole device.
    """

    def __init__(self, seed, length, least, block_size=SECTOR, jobs=4, journal="/run/journal",
                 unsettled=False, overlaps=False, losses=False):
        self.journal = journal
        self.summary = ""
        self._options = (f"-s {seed} -l {size_in_bytes(length)} -b {block_size} -t {jobs}"
                         f" -n {least // jobs} {'-u' * unsettled} {'-o' * overlaps} {'-L' * losses}")
        self._vm = self._job = None

    def start(self, vm, target):
        self._vm = vm
        self._job = vm.spawn(f"{GUEST_PATH} run {self._options} -j {self.journal} {target}")

    @property
    def runs(self):
        return self._job.status is None

    def stop(self):
        self._vm.run("kill $(pidof oracle)", check=False)

    def ended(self, timeout=300):
        try:
            result = self._job.wait(timeout)
        except TimedOut as error:
            raise TimedOut(f"{error}\n{self._where_it_is()}") from None
        if result.status:
            raise AssertionError(f"the oracle ended with {result.status}\n"
                                 f"{result.stdout}{result.stderr}")
        *failures, self.summary = result.stdout.splitlines()
        return [_failure(line) for line in failures]

    def _where_it_is(self):
        return self._vm.run("cd /proc/$(pidof oracle)/task; grep . */wchan */stack;"
                            "dmesg | tail -n 40", check=False).stdout

    def verify(self, vm, target, after_cut=False):
        """What is wrong on the device, "" if nothing."""
        result = vm.run(self._verify(GUEST_PATH, self.journal, target, after_cut), check=False,
                        timeout=300)
        return self._wrong(result.status, result.stdout + result.stderr)

    def verify_image(self, image, journal, after_cut=False):
        """The same for images of the device and the journal, on the host."""
        command = self._verify(guest_program("oracle"), journal, image, after_cut)
        done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=300)
        return self._wrong(done.returncode, done.stdout + done.stderr)

    def _verify(self, program, journal, target, after_cut=False):
        return f"{program} verify {self._options} -j {journal} {'-c' * after_cut} {target}"

    def _wrong(self, status, said):
        if status > 1:
            raise GuestError(f"the oracle cannot check: {said}")
        return said if status else ""


def _failure(line):
    _, kind, start, count, errno, *nowait = line.split()
    return Failure(kind, int(start), int(count), int(errno), bool(nowait))


def assert_check(spare, statuses):
    """`dmremap check` of a spare ends with one of these."""
    done = dmremap("check", spare.path)
    assert done.returncode in statuses, f"{done.returncode}: {done.stdout}{done.stderr}"
