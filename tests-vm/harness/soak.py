# SPDX-License-Identifier: GPL-2.0
"""
A set with everything on at once: fio writes and verifies, sectors of both disks become bad and good, copies are
damaged, scrubbed and repaired, the device is suspended and reloaded, and the set moves between two spares.
"""

from contextlib import ExitStack

from .assembler import dmremap, examine
from .complaints import complaints
from .copies import Copies
from .disk import Disk
from .machine import Machine
from .remap import Remap
from .storm import Storm
from .tools import Tools, tools_disk

SIZE = "64M"
FIO = ("fio --name=soak --filename={dev} --rw=randrw --bsrange=512-64k --ioengine=libaio --direct=1 --iodepth=16"
       " --fsync=64 --verify=crc32c --verify_backlog=256 --verify_fatal=1 --time_based --runtime={seconds}"
       " --randseed={seed} --output-format=terse")


class EverythingOn(Storm):
    """A storm in which the set moves, too, and what it knows of itself is damaged."""

    BAD_COPIES = 2

    def __init__(self, dev, main, spares, seed):
        super().__init__(dev, main, spares[0], seed, reads=False)
        self.other = spares[1]
        self.of_device += [self.scrub, self.repair, self.repair, self.migrate]

    def scrub(self):
        self._command(f"dmsetup message {self.dev.name} 0 scrub")

    def repair(self):
        copies = Copies.of(self.spare)
        for number in self.random.sample(range(len(copies)), 2):
            copies[number].corrupt(self.random.choice(("zero", "random", "flip")), self.random.random())
        self._command(f"dmsetup message {self.dev.name} 0 repair", allowed=("Input/output error",))  # one is bad

    def migrate(self):
        """What the other one was before is forgotten: it can be the next again."""
        self._command(f"dmremap migrate {self.dev.name} {self.other.dev} --force")
        self.spare.heal()
        self.spare, self.other = self.other, self.spare
        self.copies = self.random.sample(examine(self.spare.path)["copies"], 5)


def soak(lane, seed, minutes):
    """Goes on for so long; returns how often each thing happened. Raises for what goes wrong."""
    with ExitStack() as stack:
        main, programs, *spares = [stack.enter_context(disk) for disk in
                                   (Disk(SIZE), tools_disk(), Disk(SIZE), Disk(SIZE))]
        vm = stack.enter_context(Machine(lane, [main, programs, *spares], append="loglevel=3"))
        vm.boot()
        uuid = vm.run(f"dmremap create home --main {main.dev} --spare {spares[0].dev}").strip()
        with Remap(vm, main, spares[0], name="home", options=f"--uuid DMREMAP-{uuid}") as dev:
            storm = EverythingOn(dev, main, spares, seed)
            under(storm, Tools(vm, programs).start(FIO.format(dev=dev.dev, seconds=60 * minutes, seed=seed)))
            for disk in (main, *spares):
                disk.heal()
            dev.message("repair")
            dev.wait(lambda status: status.valid_copies == "5/5")
        assert not complaints(vm)
        dmremap("check", storm.spare.path, check=0)
        return storm.happened


def under(storm, fio):
    """Has it go on until fio ends, which finds what is wrong."""
    while fio.status is None:
        storm.step()
        assert not storm.broken, storm.broken
    done = fio.wait()
    assert done.status == 0, f"{done.stdout}{done.stderr}"
