# SPDX-License-Identifier: GPL-2.0
"""A machine that goes on from where it was saved, again and again, with other disks each time."""

from .machine import Machine
from .paths import scratch


class SavedMachine:
    """
    `with SavedMachine(new, wait) as saved: with saved.again() as vm: vm.start()`

    new(**options) makes a machine without disks, wait(vm) returns when it is to be saved.
    """

    def __init__(self, new, wait):
        self._new, self._wait = new, wait
        self._path = scratch() / f"{id(self)}.state"
        self._state = None

    def __enter__(self):
        with self._new() as vm:
            vm.start()
            self._wait(vm)
            self._state = vm.save(self._path)
        return self

    def __exit__(self, *_):
        self._path.unlink(missing_ok=True)

    def again(self):
        return self._new(state=self._state)


def bare_kernel(lane):
    """A SavedMachine of a kernel with dm-remap and little else, which waits for disks."""
    def new(**options):
        return Machine(lane, [], append="loglevel=3", memory=256, cpus=1, **options)

    def wait(vm):
        vm.guest.wait_up(240)
        vm.run("modprobe dm-remap")

    return SavedMachine(new, wait)
