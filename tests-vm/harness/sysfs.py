# SPDX-License-Identifier: GPL-2.0
"""What the guest's sysfs says of a block device: anything with a .dev in its .vm."""

# The fields of /sys/block/*/stat, see Documentation/block/stat.rst.
COUNTED = ("reads", "read_merges", "read_sectors", "read_ms",
           "writes", "write_merges", "write_sectors", "write_ms", "in_flight", "io_ms", "queue_ms",
           "discards", "discard_merges", "discard_sectors", "discard_ms", "flushes", "flush_ms")


def folder(device):
    major, minor = device.vm.run(f"stat -Lc '%t %T' {device.dev}").split()
    return f"/sys/dev/block/{int(major, 16)}:{int(minor, 16)}"


def attribute(device, name):
    """attribute(disk, "queue/logical_block_size")"""
    return device.vm.run(f"cat {folder(device)}/{name}").strip()


def set_attribute(device, name, value):
    device.vm.run(f"echo {value} > {folder(device)}/{name}")


def counted(device):
    """How many requests of each kind it has done so far."""
    return dict(zip(COUNTED, map(int, attribute(device, "stat").split())))
