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


def plug(vm, *disks):
    """When this returns udev is done with them."""
    for disk in disks:
        vm.plug(disk)
    for disk in disks:
        vm.device_of(disk)
    vm.run("udevadm settle")


def unplug(vm, *disks):
    """Where they were. Not the next before one is gone: the bus would lose the news of one of them."""
    devs = [take_away(vm, disk) for disk in disks]
    vm.run("udevadm settle")
    return devs


def active(vm):
    """The sets that are active, by name, as dmremap tells of them."""
    return {found["name"]: found for found in json.loads(vm.run("dmremap status --json"))["sets"]}
