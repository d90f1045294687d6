# SPDX-License-Identifier: GPL-2.0
"""
Machines that are started again and again from where they were saved.

Each restart then finds other disks: spares damaged in another way, clones, those of another set, in any
order. What has to come of it is known from what was damaged.
"""

import time
from contextlib import ExitStack
from random import Random

from .adopted import CONFIG, MAIN, SPARE, Adopted
from .assembler import examine, main_sectors
from .complaints import complaints
from .copies import Copies
from .disk import SECTOR, Disk
from .hotplug import active
from .impostors import clone_of_main, clone_of_spare, spare_of_another_set
from .machine import Machine
from .remap import Remap
from .root import ROOT_UUID, sectors_of
from .saved import SavedMachine, bare_kernel

FILES = 8
TIMEOUT = 10  # of dm-remap for its members, in seconds


class Restarts:
    """`with Waiting(system, seed) as restarts: restarts.restart(number)`: raises for a promise that is broken."""

    def __init__(self, seed):
        self.seed = seed
        self._stack = ExitStack()

    def __enter__(self):
        with ExitStack() as stack:
            self._prepare(stack)
            self.saved = stack.enter_context(self._saved())
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error):
        return self._stack.__exit__(*error)

    def restart(self, number):
        """Returns what was tried."""
        random = Random(f"{self.seed}/{number}")
        with ExitStack() as stack:
            spare = stack.enter_context(Disk.copy_of(self.spare.path, **SPARE))
            lost = damage(spare, random)
            others = [stack.enter_context(disk) for disk in self._others(random)]
            before = {disk: disk.digest() for disk in (*others, *self._left_alone(spare, lost))}
            disks = [self.main, spare, *others]
            random.shuffle(disks)
            with self.saved.again() as vm:
                vm.start()
                for disk in disks:
                    vm.plug(disk)
                    time.sleep(random.choice((0, 0, random.random() * self.PAUSE)))
                if lost:
                    self._refused(vm, disks)
                else:
                    self._used(vm, spare, disks)
                    assert not complaints(vm)
            assert lost or examine(spare.path)["valid_copies"] == 5
            for disk, digest in before.items():
                assert disk.digest() == digest, f"{disk.serial} was written to"
        return ["a block lost" if lost else "damaged and mended", *(disk.serial for disk in others)]

    def _left_alone(self, spare, lost):
        """Of the set."""
        return [spare, self.main] if lost else []

    def _others(self, random):
        if random.random() < 0.2:
            yield clone_of_spare(self.spare)
        if random.random() < 0.2:
            yield clone_of_main(self.main)
        if random.random() < 0.2:
            yield spare_of_another_set()


class Bare(Restarts):
    """A kernel with nothing but dm-remap; no udev, and the set is asked for by its UUID."""

    PAUSE = 0.1

    def __init__(self, lane, seed):
        super().__init__(seed)
        self.boot = lane

    def _saved(self):
        return bare_kernel(self.boot)

    def _prepare(self, stack):
        """A main that holds something else wherever it was moved from."""
        random = Random(self.seed)
        self.main = stack.enter_context(Disk("2M", **MAIN))
        self.spare = stack.enter_context(Disk("4M", **SPARE))
        with Machine(self.boot, [self.main, self.spare], append="loglevel=3") as vm:
            vm.boot()
            self.uuid = vm.run(f"dmremap create root --main {self.main.dev} --spare {self.spare.dev}").strip()
            with Remap(vm, self.main, self.spare, options=f"--uuid DMREMAP-{self.uuid}") as dev:
                for _ in range(20):
                    dev.message(f"remap {random.randrange(4000)} {random.randrange(1, 9)}")
                vm.run(f"dd if=/dev/urandom of={dev.dev} bs=64k count=32 oflag=direct")
                self.sum = vm.run(f"sha256sum < {dev.dev}")
        for sector in random.sample(sorted(main_sectors(examine(self.spare.path))), 5):
            assert self.main.read_at(sector * SECTOR, SECTOR) == bytes(SECTOR)

    def _left_alone(self, spare, lost):
        """It is only read, too."""
        return [self.main, *([spare] if lost else [])]

    def _used(self, vm, spare, disks):
        self._wait_for(vm, disks)
        done = vm.run(f"dmremap assemble {self.uuid}", check=False)
        assert done.status in (0, 1), done
        assert members(vm) == [(self.main.dev, spare.dev)]
        assert vm.run("sha256sum < /dev/mapper/root") == self.sum
        vm.run("dmremap stop root")

    def _refused(self, vm, disks):
        self._wait_for(vm, disks)
        assert vm.run(f"dmremap assemble {self.uuid}", check=False).status == 4
        assert active(vm) == {}

    @staticmethod
    def _wait_for(vm, disks):
        for disk in disks:
            vm.device_of(disk)


class Waiting(Restarts):
    """A Debian system whose initramfs waits for the disks of its root."""

    PAUSE = 1

    def __init__(self, system, seed):
        super().__init__(seed)
        self.system = system

    def _prepare(self, stack):
        adopted = stack.enter_context(Adopted(self.system))
        self.main, self.spare = adopted.disk, adopted.spare
        self.sums = self._populate(adopted, Random(self.seed))
        boot = self.system.boot(self.system.image({CONFIG: adopted.config}), f"UUID={ROOT_UUID}")
        self.boot = boot._replace(append=boot.append.replace(" rw ", " ro "))

    def _saved(self):
        """Its root is mounted read-only, so that the main can be the same for all."""
        return SavedMachine(lambda **options: Machine(self.boot, [], append=f"loglevel=5 rd.dmremap.timeout={TIMEOUT}",
                                                      **options),
                            lambda vm: vm.console.expect("root: missing: ", 120))

    def _populate(self, adopted, random):
        """Files in whose place the bare main has something else."""
        sums = ""
        with adopted.machine() as vm:
            vm.boot()
            for number in range(FILES):
                file = f"/srv/{number}"
                vm.run(f"head -c 64k /dev/zero > {file}; sync")
                for sector in random.sample(list(sectors_of(vm, file)), 3):
                    self.main.bad_sectors(sector, kind="io")
                vm.run(f"dd if=/dev/urandom of={file} bs=64k count=1 conv=notrunc,fsync")
                sums += vm.run(f"sha256sum {file}")
            vm.shutdown()
        self.main.heal()
        return sums

    def _used(self, vm, spare, _):
        vm.guest.wait_up(240)
        assert vm.run("findmnt -no SOURCE /") == "/dev/mapper/root\n"
        assert members(vm) == [(f"{self.main.dev}1", spare.dev)]
        vm.run("sha256sum --check --strict --quiet", stdin=self.sums.encode())

    def _refused(self, vm, _):
        """For good, and nothing is mounted instead."""
        vm.console.expect("root: damaged: ", 120)
        vm.console.expect("dmremap assemble --all ", 120)
        self.system.enter_shell(vm.console)
        assert not self.system.mounted(vm.console)


def members(vm):
    """Of all active sets."""
    return [(found["main"], found["spare"]) for found in active(vm).values()]


def damage(spare, random):
    """Up to four of the five instances of each block, or all of one. Returns whether that was lost."""
    copies = Copies.of(spare)
    lost = random.choice((0, 1)) if random.random() < 0.06 else None  # the others may never have held anything
    for block in copies[0].blocks:
        count = len(copies) if block == lost else random.randrange(len(copies))
        for number in random.sample(range(len(copies)), count):
            copies[number].corrupt(random.choice(("zero", "random", "flip")), random.random(), block)
    return lost is not None
