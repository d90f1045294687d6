# SPDX-License-Identifier: GPL-2.0
"""A remap device in a guest, made by dmsetup alone, and devices to put below it."""

import time
from typing import NamedTuple

from .errors import TimedOut
from .patience import deadline
from .sysfs import attribute, set_attribute


class Mapped:
    """
    `with Mapped(vm, "below", "0 2048 linear /dev/sda 0") as main:` - removed at the end.

    A disk that does what QEMU's can't: becomes() changes it, freeze() stops its answers.
    finish=False leaves it, for a guest whose power is about to go.
    """

    def __init__(self, vm, name, table, options="", finish=True):
        self.vm = vm
        self.name = name
        self.table = table
        self.options = options
        self.finish = finish
        self.dev = f"/dev/mapper/{name}"

    def __enter__(self):
        # Without udevd in the guest dmsetup has to make the node.
        self.vm.run(f"DM_DISABLE_UDEV=1 dmsetup create {self.name} {self.options}"
                    f" --table '{self.table}'")
        return self

    def __exit__(self, kind, value, trace):
        if kind is None and self.finish:
            self.vm.run(f"DM_DISABLE_UDEV=1 dmsetup remove {self.name}")

    def becomes(self, table):
        """Changes its table, also with I/O under way that never ends."""
        self.vm.run(f"dmsetup load {self.name} --table '{table}'"
                    f" && dmsetup suspend --noflush {self.name} && dmsetup resume {self.name}")

    def freeze(self):
        """No I/O ends from now on, until thaw() or becomes()."""
        self.vm.run(f"dmsetup suspend --noflush {self.name}")

    def thaw(self):
        self.vm.run(f"dmsetup resume {self.name}")

    def events(self):
        """How many events it has raised."""
        return int(self.vm.run(f"dmsetup info -c --noheadings -o events {self.name}"))


SLOW = 4  # milliseconds that a slow disk takes for everything


def slow(vm, name, disk, delay=SLOW):
    """`with slow(vm, "main", main) as below:` - a slow disk, so that there is time to interfere."""
    vm.run("modprobe dm-delay")
    length = vm.run(f"blockdev --getsz {disk.dev}").strip()
    return Mapped(vm, name, f"0 {length} delay {disk.dev} 0 {delay}")


class Status(NamedTuple):
    """The fields of the target's status line that are promised; more may follow."""

    mode: str
    health: str
    remapped: int
    usable: int
    extents: int
    pending: int
    valid_copies: str
    generation: int
    repairs: int
    scrubs: int


class Remap(Mapped):
    """`with Remap(vm, main, spare) as dev:` - main and spare are disks, or Mapped."""

    def __init__(self, vm, main, spare, args="", name="r0", length=None, options="",
                 finish=True):
        length = length or vm.run(f"blockdev --getsz {main.dev}").strip()
        super().__init__(vm, name, f"0 {length} remap {main.dev} {spare.dev} {args}".strip(),
                         options, finish)

    def status(self):
        words = self.vm.run(f"dmsetup status {self.name}").split()[3:]
        mode, health, moved, extents, pending, valid, generation, repairs, scrubs = words[:9]
        remapped, usable = moved.split("/")
        return Status(mode, health, int(remapped), int(usable), int(extents), int(pending), valid,
                      int(generation), int(repairs), int(scrubs))

    def wait(self, condition, timeout=30):
        """Waits for what is done in the background: until condition(status) is true."""
        end = deadline(timeout)
        while not condition(status := self.status()):
            if time.monotonic() > end:
                raise TimedOut(f"after {timeout} s {self.name} is still {status}")
            time.sleep(0.1)
        return status

    def message(self, text):
        return self.vm.run(f"dmsetup message -- {self.name} 0 {text}")

    def pending(self):
        """The pending sectors, as the target lists them: [(sector, count)]."""
        return [tuple(map(int, line.split())) for line in self.message("pending").splitlines()]

    def sysfs(self, name):
        """What an attribute of /sys/block/dm-N/remap says."""
        return attribute(self, f"remap/{name}")

    def set_sysfs(self, name, value):
        set_attribute(self, f"remap/{name}", value)
