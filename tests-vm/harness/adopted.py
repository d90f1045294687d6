# SPDX-License-Identifier: GPL-2.0
"""A Debian system whose root partition became the main of a set while it was mounted."""

from contextlib import ExitStack

from .cache import cached, digest
from .copies import Copies
from .disk import Disk, copy_sparse
from .machine import Machine
from .root import ROOT_PARTUUID, ROOT_UUID, boot_lane, initramfs_tools, root_image

CONFIG = "/etc/dm-remap.conf"
MAIN = {"bus": "virtio", "serial": "MAIN"}
SPARE = {"serial": "SPARE", "wwn": 0x5000C5000000AAAA}


class Adopted:
    """
    with Adopted(system) as adopted: disks of this test's own, as they were after the adoption

    `disk` has the main as its first partition; `copies` are those on `spare`; `config` names the set.
    """

    def __init__(self, system):
        self.system = system
        self._as_it_was = _adopt(system.tree)
        self.config = (self._as_it_was / "config").read_text()
        self.uuid = self.config.split()[1]
        self._disks = ExitStack()

    def __enter__(self):
        self.disk = self._disks.enter_context(Disk.copy_of(self._as_it_was / "main", **MAIN))
        self.spare = self._disks.enter_context(Disk.copy_of(self._as_it_was / "spare", **SPARE))
        self.copies = Copies.of(self.spare)
        return self

    def __exit__(self, *_):
        self._disks.close()

    def machine(self, append="", root=f"UUID={ROOT_UUID}", disks=None, lean=True, config=None, files=()):
        """Its next boot. `config` and `files` are what its initramfs was made with."""
        files = {CONFIG: self.config if config is None else config, **dict(files)}
        return Machine(self.system.boot(files, root, lean),
                       [self.disk, self.spare] if disks is None else disks, append=append)


def _adopt(tree):
    """The images and the config that the adoption makes of a root image."""
    plain = initramfs_tools(tree)
    return cached("adopted", digest(str(tree.path), str(plain)),
                  lambda folder: _adopt_into(folder, tree, plain))


def _adopt_into(folder, tree, plain):
    with Disk.copy_of(root_image(tree), **MAIN) as disk, Disk("64M", **SPARE) as spare:
        with Machine(boot_lane(tree, plain), [disk, spare]) as vm:
            vm.boot()
            uuid = vm.run(f"dmremap create root --main {disk.dev}1 --spare {spare.dev}").strip()
            config = f"set {uuid} name=root main=partuuid:{ROOT_PARTUUID} spare=serial:SPARE\n"
            vm.put(CONFIG, config)
            vm.shutdown()
        folder.mkdir()
        copy_sparse(disk.path, folder / "main")
        copy_sparse(spare.path, folder / "spare")
        (folder / "config").write_text(config)
