# SPDX-License-Identifier: GPL-2.0
"""Sectors of a device in the guest, each read or written by a request that is looked at alone."""

GUEST_PATH = "/sbin/sectors"
AREA = range(2048)  # sectors that hold version 1 before anything goes wrong


def fill(device, version=1, area=AREA):
    """This version into all of an area."""
    assert not write(device, area[::64], version, unit=64, depth=32)


def write(device, sectors, version=1, **options):
    """
    Writes this version of some sectors, given as anything that lists them.

    Returns what became of the requests that failed: {sector: reason}. `device`
    is a disk or what lies on one: its .dev in its .vm. Options, see guest/sectors.c:
    unit=8 sectors a request, depth=64 requests at once, nowait=True, fua=True.
    """
    return _ended(device, "write", sectors, version, **options)


def read(device, sectors, version=1, **options):
    """
    The same for reads. Also what holds other data than this version of this sector is a failure.

    Version 0 is zeroes; None takes any data.
    """
    return _ended(device, "read", sectors, version, **options)


def _ended(device, what, sectors, version, unit=1, depth=1, nowait=False, fua=False, timeout=60):
    options = [f"-u {unit} -q {depth}", "-a" if version is None else f"-v {version}",
               "-n" if nowait else "", "-f" if fua else ""]
    said = device.vm.run(f"{GUEST_PATH} {what} {' '.join(options)} {device.dev} "
                         + " ".join(map(str, sectors)), timeout)
    pairs = (line.split(": ", 1) for line in said.splitlines())
    return {int(sector): reason for sector, reason in sorted(pairs, key=lambda pair: int(pair[0]))}
