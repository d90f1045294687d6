# SPDX-License-Identifier: GPL-2.0
"""A root partition that became the main of a set while it was mounted."""

from contextlib import contextmanager
from types import SimpleNamespace

from .copies import Copies
from .disk import Disk
from .machine import Machine
from .root import ROOT_PARTUUID, boot_lane, root_image


def assert_goes_on_from_the_bare_main(vm, disk):
    """A boot that is allowed to, when its time is up and not before."""
    vm.start()
    vm.console.expect("root: missing: its spare is not there", 120)
    vm.console.expect("going on without it, from the bare main", 120)
    vm.guest.wait_up(240)
    assert vm.run("findmnt -no SOURCE /") == f"{disk.dev}1\n"


@contextmanager
def adopted(tree, plain):
    """
    Its tree, disk, spare, copies, config, and restore(), which puts both back to what they were then.

    `plain` is an initramfs of the tree that knows nothing of sets.
    """
    with Disk.copy_of(root_image(tree), serial="MAIN") as disk, Disk("64M", serial="SPARE") as spare:
        with Machine(boot_lane(tree, plain), [disk, spare]) as vm:
            vm.boot()
            uuid = vm.run(f"dmremap create root --main {disk.dev}1 --spare {spare.dev}").strip()
            config = f"set {uuid} name=root main=partuuid:{ROOT_PARTUUID} spare=serial:SPARE\n"
            vm.run("cat > /etc/dm-remap.conf", stdin=config.encode())
            vm.shutdown()
        with disk.snapshot() as disk_then, spare.snapshot() as spare_then:
            def restore():
                disk_then.restore()
                spare_then.restore()

            yield SimpleNamespace(tree=tree, disk=disk, spare=spare, config=config,
                                  copies=Copies.of(spare), restore=restore)
