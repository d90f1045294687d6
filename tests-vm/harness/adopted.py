# SPDX-License-Identifier: GPL-2.0
"""A Debian system whose root partition became the main of a set while it was mounted."""

from contextlib import ExitStack

from .cache import cached, digest, execute
from .copies import Copies
from .disk import Disk, copy_sparse
from .machine import Machine
from .root import ROOT_PARTUUID, ROOT_START, ROOT_UUID, boot_lane, initramfs_tools, root_image

CONFIG = "/etc/dm-remap.conf"
MAIN = {"bus": "virtio", "serial": "MAIN"}
SPARE = {"serial": "SPARE", "wwn": 0x5000C5000000AAAA}


class Adopted:
    """
    with Adopted(system) as adopted: disks of this test's own, as they were after the adoption

    The main is the first partition of `disk`, or with `whole` all of it; `copies` are those on `spare`;
    `config` names the set.
    """

    def __init__(self, system, whole=False):
        self.system = system
        self._as_it_was = _adopt(system.tree, whole)
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
        return self.machine_with(self.system.image(files), append, root, disks, lean)

    def machine_with(self, image, append="", root=f"UUID={ROOT_UUID}", disks=None, lean=True):
        """The same with this initramfs."""
        return Machine(self.system.boot(image, root, lean),
                       [self.disk, self.spare] if disks is None else disks, append=append)

    def out_of_the_root(self, place):
        """A copy of a file of the root, as a boot loader would read it."""
        copy = self.disk.path.with_suffix(".file")
        self._disks.callback(copy.unlink, missing_ok=True)
        execute("debugfs", "-R", f"dump {place} {copy}", f"{self.disk.path}?offset={ROOT_START}")
        return copy


def _adopt(tree, whole):
    """The images and the config that the adoption makes of a root image."""
    plain = initramfs_tools(tree)
    return cached("adopted", digest(str(tree.path), str(plain), whole),
                  lambda folder: _adopt_into(folder, tree, plain, whole))


def _adopt_into(folder, tree, plain, whole):
    with Disk.copy_of(root_image(tree), **MAIN) as disk, Disk("64M", **SPARE) as spare:
        with Machine(boot_lane(tree, plain), [disk, spare]) as vm:
            vm.boot()
            main, tag = (disk.dev, "serial:MAIN") if whole else (f"{disk.dev}1", f"partuuid:{ROOT_PARTUUID}")
            uuid = vm.run(f"dmremap create root --main {main} --spare {spare.dev}").strip()
            config = f"set {uuid} name=root main={tag} spare=serial:SPARE\n"
            vm.put(CONFIG, config)
            vm.shutdown()
        folder.mkdir()
        copy_sparse(disk.path, folder / "main")
        copy_sparse(spare.path, folder / "spare")
        (folder / "config").write_text(config)
