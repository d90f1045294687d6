# SPDX-License-Identifier: GPL-2.0
"""A remap device in a guest, made by dmsetup alone."""

from typing import NamedTuple


class Status(NamedTuple):
    """The fields of the target's status line."""

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


class Remap:
    """
    `with Remap(vm, main, spare) as dev:` - the device is removed at the end.

    finish=False leaves it, for a guest whose power is about to go.
    """

    def __init__(self, vm, main, spare, args="", name="r0", length=None, options="",
                 finish=True):
        self.vm = vm
        self.finish = finish
        self.options = options
        self.name = name
        self.dev = f"/dev/mapper/{name}"
        length = length or vm.run(f"blockdev --getsz {main.dev}").strip()
        self.table = f"0 {length} remap {main.dev} {spare.dev} {args}".strip()

    def __enter__(self):
        # Without udevd in the guest dmsetup has to make the node.
        self.vm.run(f"DM_DISABLE_UDEV=1 dmsetup create {self.name} {self.options}"
                    f" --table '{self.table}'")
        return self

    def __exit__(self, kind, value, trace):
        if kind is None and self.finish:
            self.vm.run(f"DM_DISABLE_UDEV=1 dmsetup remove {self.name}")

    def status(self):
        words = self.vm.run(f"dmsetup status {self.name}").split()[3:]
        mode, health, moved, extents, pending, valid, generation, repairs, scrubs = words
        remapped, usable = moved.split("/")
        return Status(mode, health, int(remapped), int(usable), int(extents), int(pending), valid,
                      int(generation), int(repairs), int(scrubs))

    def message(self, text):
        return self.vm.run(f"dmsetup message {self.name} 0 {text}")
