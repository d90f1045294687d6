# SPDX-License-Identifier: GPL-2.0
"""
States that a power cut left, loaded by the target alone: dmremap, which would mend them first, is not there.
"""

from contextlib import ExitStack

from .assembler import dmremap
from .disk import SECTOR, Disk
from .remap import Remap

NAMES = {"main": {"bus": "virtio", "serial": "MAIN"}, "spare": {"serial": "SPARE"}, "journal": {"serial": "JOURNAL"}}


def load(saved, folder, oracle):
    """
    Loads one in such a machine, twice, as what it wrote the first time has to be right, too. Raises for one
    whose set is not whole then, or does not hold what was acknowledged to the oracle, if there is one.
    """
    with ExitStack() as stack:
        main, spare, journal = [stack.enter_context(Disk.copy_of(folder / f"{name}.img", **options))
                                for name, options in NAMES.items()]
        with saved.again() as vm:
            vm.start()
            for disk in (main, spare, journal):
                vm.plug(disk)
            with Remap(vm, main, spare) as dev:
                dev.wait(lambda status: status.valid_copies == "5/5")
            with Remap(vm, main, spare) as dev:
                dev.wait(lambda status: status.valid_copies == "5/5")
                if oracle and journal.read_at(0, SECTOR) != bytes(SECTOR):  # it may not have begun
                    oracle.journal = journal.dev
                    lost = oracle.verify(vm, dev.dev, after_cut=True)
                    assert not lost, f"loaded by the target:\n{lost}"
        dmremap("check", spare.path, check=0)
