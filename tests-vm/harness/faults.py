# SPDX-License-Identifier: GPL-2.0
"""Failures that the debug kernel injects into what dm-remap asks it for."""

from contextlib import contextmanager

GUEST_PATH = "/sbin/faultydm"
DEBUGFS = "/sys/kernel/debug"
ALLOCATIONS = ("failslab", "fail_page_alloc")
REQUESTS = ("fail_make_request",)


class Faults:
    """
    `with faults.on(ALLOCATIONS, percent=20): ...` - so many of what the module asks for fail.

    every(...) tries one ioctl after the other, each with a failure further on.
    """

    def __init__(self, vm):
        self.vm = vm
        vm.run(f"mountpoint -q {DEBUGFS} || mount -t debugfs debugfs {DEBUGFS}; modprobe dm-remap")
        # Also what may wait for memory, which as a rule gets it, and single pages.
        for kind in ALLOCATIONS:
            vm.run(f"echo N > {DEBUGFS}/{kind}/ignore-gfp-wait")
        for kind in ALLOCATIONS + REQUESTS:  # no stack of each
            vm.run(f"echo 0 > {DEBUGFS}/{kind}/verbose")
        vm.run(f"echo 0 > {DEBUGFS}/fail_page_alloc/min-order")

    @contextmanager
    def on(self, kinds, percent):
        self._set(kinds, percent)
        yield
        self._set(kinds, 0)

    def _set(self, kinds, percent):
        start, size = self.vm.run("cat /sys/module/dm_remap/sections/.text;"
                                  " cat /sys/module/dm_remap/coresize").split()
        # Asked for by a function of the module, or on behalf of one.
        values = {"times": -1, "interval": 1, "space": 0, "task-filter": "N",
                  "stacktrace-depth": 32, "require-start": start,
                  "require-end": hex(int(start, 16) + int(size)), "probability": percent}
        for kind in kinds:
            self.vm.run("".join(f"echo {value} > {DEBUGFS}/{kind}/{name} || exit;"
                                for name, value in values.items()))

    def of_requests_to(self, disk, fail=True):
        """Requests to this disk fail, too, where a failure is due."""
        self.vm.run(f"echo {int(fail)} > /sys/block/{disk.dev.removeprefix('/dev/')}/make-it-fail")

    def every(self, name, undo, command, timeout=600):
        """
        Has each allocation and request of an ioctl fail, one after the other.

        See tests-vm/guest/faultydm.c. Returns how many there are, and how many the ioctl survived.
        """
        self.vm.put("/tmp/undo", undo)
        run_undo = ". /tmp/undo" if undo else ""
        failed, survived = self.vm.run(f"{GUEST_PATH} {name} '{run_undo}' {command}",
                                       timeout).split()
        return int(failed), int(survived)
