# SPDX-License-Identifier: GPL-2.0
"""Disks that come and go while a guest runs, and what becomes of the sets."""

import json


def plugged(vm, disk):
    return any(f"dev-{disk.node}" in device.get("qdev", "").split("/")
               for device in vm.qmp.execute("query-block"))


def take_away(vm, disk):
    """Where the disk was that is gone when this returns."""
    dev = vm.device_of(disk)
    vm.unplug(disk)
    vm.wait_for(f"test ! -e {dev} && echo gone")
    return dev


def plug_in(vm, disk):
    """
    When this returns the guest has seen it; udev may be busy with it.

    Each that comes has the bus tell all others of it, and while a disk is told too often the kernel gives up
    asking for its size, and takes it to be empty.
    """
    vm.plug(disk)
    vm.wait_for(f"test -b {vm.device_of(disk)} && echo there")


def plug(vm, *disks):
    """When this returns udev is done with them."""
    for disk in disks:
        plug_in(vm, disk)
    vm.run("udevadm settle")


def unplug(vm, *disks):
    """Where they were. Not the next before one is gone: the bus would lose the news of one of them."""
    devs = [take_away(vm, disk) for disk in disks]
    vm.run("udevadm settle")
    return devs


def active(vm):
    """The sets that are active, by name, as dmremap tells of them."""
    return {found["name"]: found for found in json.loads(vm.run("dmremap status --json"))["sets"]}
