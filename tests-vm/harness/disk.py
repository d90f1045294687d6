# SPDX-License-Identifier: GPL-2.0
"""A disk of a guest: an image file, how it is attached, and what is wrong with it."""

import hashlib
import itertools
import os
import re
from pathlib import Path
from random import Random

from .paths import scratch

SECTOR = 512
UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
ERRNO = {"io": 5, "medium": 61, "target": 12, "space": 28}
REQUESTS = {"read": ("read",), "write": ("write", "write-zeroes"),
            "both": ("read", "write", "write-zeroes"), "discard": ("discard",),
            "flush": ("flush",)}

_numbers = itertools.count(1)


def size_in_bytes(size):
    """64 << 20 or "64M"."""
    number, unit = re.fullmatch(r"(\d+)([KMG]?)", str(size)).groups()
    return int(number) * UNITS[unit]


class Disk:
    """
    Disk("64M") is a blank one that is gone at the end, Disk(Path(...)) a lasting one.

    bus: "scsi" has medium errors and hardware ids, "virtio" has neither; "usb" wants a stock kernel.
    block_size, physical: of a logical and a physical block: 512, 4096 is a 512e disk.
    write_through: has no volatile cache, also where the power is cut honestly.
    """

    def __init__(self, source, bus="scsi", serial=None, wwn=None, block_size=SECTOR,
                 physical=None, write_through=False):
        number = next(_numbers)
        self.node = f"disk{number}"
        self.bus = bus
        self.serial = serial or f"DMR{number:05}"
        self.wwn = wwn or 0x5000C50000000000 + number
        self.block_size = block_size
        self.physical = physical or block_size
        self.write_through = write_through
        self.vm = None
        self.server = None
        self._bad = {}
        self._failing = ()
        self.losses, self._losses_share = Random(0), 0  # see lose_flushes()
        self._injector = None
        self._temporary = not isinstance(source, Path)
        self.path = source
        if self._temporary:
            self.path = scratch() / f"{self.node}.img"
            with open(self.path, "wb") as image:
                image.truncate(size_in_bytes(source))

    @classmethod
    def copy_of(cls, image, **options):
        """A temporary disk that starts with the content of an image."""
        disk = cls(os.path.getsize(image), **options)
        copy_sparse(image, disk.path)
        return disk

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self._temporary:
            self.path.unlink(missing_ok=True)

    @property
    def size(self):
        return self.path.stat().st_size

    @property
    def dev(self):
        """The device's name in the running guest, such as /dev/sda."""
        return self.vm.device_of(self)

    # --- bytes of the image, between boots ---

    def read_at(self, offset, length):
        with open(self.path, "rb") as image:
            image.seek(offset)
            return image.read(length)

    def write_at(self, offset, data):
        with open(self.path, "r+b") as image:
            image.seek(offset)
            image.write(data)

    def zero(self, offset, length):
        self.write_at(offset, bytes(length))

    def flip(self, offset, length=1, mask=0xFF):
        """Inverts bits."""
        self.write_at(offset, bytes(byte ^ mask for byte in self.read_at(offset, length)))

    def digest(self):
        """Of all that is on it."""
        with open(self.path, "rb") as image:
            return hashlib.file_digest(image, "sha256").hexdigest()

    def snapshot(self):
        """A copy of the image, to restore it or ranges of it later."""
        return Snapshot(self)

    # --- bad sectors, also while the guest runs ---

    def bad_sectors(self, lba, count=1, kind="medium", on="write"):
        """
        Makes 512-byte sectors fail: kind "medium" or "io", on "read", "write", "both" or "discard".

        Other errors than "I/O error" need the scsi bus. They are "target", which the drive has
        inside, and "space", which is no fault of a sector.
        """
        for sector in range(lba, lba + count):
            self._bad[sector] = (ERRNO[kind], REQUESTS[on])
        self._tell_vm()

    def fail_next(self, times=1, lba=None, kind="medium", on="read"):
        """
        The next so many requests fail, "flush" too: those for a sector, or any.

        Those that have not come by then are forgotten when anything else of the disk is changed.
        QEMU has nothing to flush, and so no flush that fails, before something is written after this.
        """
        self._tell_vm([{**rule, "once": True} for rule in _rules(lba, ERRNO[kind], REQUESTS[on])
                       for _ in range(times)])

    def lose_flushes(self, share, seed=0):
        """For the disk server: such a share of flushes fails, and some of what they were for is gone with them."""
        self.losses, self._losses_share = Random(seed), share

    def loses_flush(self):
        """Whether the flush that has come fails so."""
        return self.losses.random() < self._losses_share

    def fail(self, on="both", kind="io"):
        """Everything of this kind fails from now on, until heal()."""
        self._failing = (ERRNO[kind], REQUESTS[on])
        self._tell_vm()

    def heal(self, lba=None, count=1):
        """Makes sectors good again; without arguments all, and the disk itself."""
        if lba is None:
            self._bad.clear()
            self._failing = ()
        for sector in range(lba or 0, (lba or 0) + count):
            self._bad.pop(sector, None)
        self._tell_vm()

    # --- how QEMU is told ---

    def nodes(self):
        """The block nodes: a file or an NBD export, and a raw node that the device uses."""
        # A guest's flush is not for the host's disk, which others keep busy: images need not outlive the host.
        cache = {"direct": False, "no-flush": not self.server}
        if self.server:
            below = {"driver": "nbd", "export": self.node,
                     "server": {"type": "unix", "path": self.server.address, "abstract": True}}
        else:
            below = {"driver": "file", "filename": str(self.path), "discard": "unmap"}
        return [{**below, "node-name": f"{self.node}-below", "cache": cache},
                self._raw_node(f"{self.node}-below")]

    def _raw_node(self, below):
        return {"driver": "raw", "node-name": self.node, "file": below, "discard": "unmap"}

    def device(self, slot):
        """The device. Errors go to the guest instead of stopping it."""
        common = {"id": f"dev-{self.node}", "drive": self.node, "serial": self.serial,
                  "rerror": "report", "werror": "report", "write-cache": "on",
                  "logical_block_size": self.block_size,
                  "physical_block_size": self.physical}
        if self.bus == "virtio":
            return {"driver": "virtio-blk-pci", **common}
        if self.bus == "usb":
            return {"driver": "usb-storage", "bus": "usb.0", **common}
        return {"driver": "scsi-hd", "bus": "scsi.0", "scsi-id": slot, "wwn": self.wwn, **common}

    def attached(self, vm):
        """Called by the machine that has given the disk to its QEMU."""
        self.vm = vm
        self._injector = None
        self._tell_vm()

    def detached(self):
        self.vm = self.server = None

    def fails(self, request, offset, length):
        """For the disk server: whether a request hits a sector with an I/O error."""
        sectors = range(offset // SECTOR, -(-(offset + length) // SECTOR))
        return bool(self._bad) and any(
            errno == ERRNO["io"] and request in requests
            for errno, requests in (self._bad[sector] for sector in sectors if sector in self._bad))

    def _tell_vm(self, passing=()):
        """
        Puts a fault injector between the raw node and its file, in place of the one before.

        The rules of one can't be changed, and it wants one for each sector and kind of request.
        """
        if not self.vm:
            return
        qmp, old, new, rules = self.vm.qmp, self._injector, None, [*self._rules(), *passing]
        if not (old or rules):
            return
        if rules:
            new = f"{self.node}-bad{next(_numbers)}"
            qmp.execute("blockdev-add", {"driver": "blkdebug", "node-name": new,
                                         "image": f"{self.node}-below",
                                         "discard": "unmap", "inject-error": rules})
        qmp.execute("blockdev-reopen", {"options": [self._raw_node(new or f"{self.node}-below")]})
        if old:
            qmp.execute("blockdev-del", {"node-name": old})
        self._injector = new

    def _rules(self):
        """What the fault injector must know: all but what a disk server does itself."""
        rules = _rules(None, *self._failing) if self._failing else []
        for sector, (errno, requests) in sorted(self._bad.items()):
            if not (self.server and errno == ERRNO["io"]):
                rules += _rules(sector, errno, requests)
        return rules


def _rules(sector, errno, requests):
    """The fault injector's rules for one sector, or for none in particular."""
    where = {} if sector is None else {"sector": sector}
    return [{"event": "none", "iotype": request, "errno": errno, **where} for request in requests]


class Snapshot:
    """What a disk held at some time."""

    def __init__(self, disk):
        self._disk = disk
        self.path = scratch() / f"{disk.node}-snapshot{next(_numbers)}.img"
        copy_sparse(disk.path, self.path)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.path.unlink(missing_ok=True)

    def read_at(self, offset, length):
        with open(self.path, "rb") as image:
            image.seek(offset)
            return image.read(length)

    def restore(self, offset=0, length=None):
        """Puts back the whole disk or a range: a stale copy."""
        if length is None:
            copy_sparse(self.path, self._disk.path)
        else:
            self._disk.write_at(offset, self.read_at(offset, length))


def copy_sparse(source, target):
    """Copies an image without filling its holes."""
    size = os.path.getsize(source)
    with open(source, "rb") as old, open(target, "wb") as new:
        new.truncate(size)
        end = 0
        while (start := _seek(old, end, os.SEEK_DATA, size)) < size:
            end = _seek(old, start, os.SEEK_HOLE, size)
            while start < end:
                start += os.copy_file_range(old.fileno(), new.fileno(), end - start, start, start)


def _seek(file, offset, whence, size):
    try:
        return os.lseek(file.fileno(), offset, whence)
    except OSError:
        return size
