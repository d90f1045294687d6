# SPDX-License-Identifier: GPL-2.0
"""
A Debian system that is booted again and again; something happens to its disks before that, meanwhile, or after.

What happens in a boot hangs on the seed and the boot's number alone. The disks are kept in a folder
as the last boot that went well left them: a life that was interrupted, or that broke a promise, goes on
with the boot that did not end.
"""

import copy
import json
import shutil
import time
from collections import Counter
from contextlib import ExitStack
from random import Random

from .ackwriter import AckWriter
from .adopted import CONFIG, MAIN, SPARE, Adopted
from .assembler import examine
from .complaints import complaints
from .copies import BLOCK, Copies
from .disk import SECTOR, Disk, copy_sparse
from .hotplug import active
from .impostors import clone_of_main, clone_of_spare, spare_of_another_set
from .machine import Machine
from .root import ROOT_START, ROOT_UUID, sectors_of

POOL, POOL_SIZE = "/srv/pool", "2M"  # what is written over again and again
BAD_AT_MOST = {"data": 100, "replacements": 40, "metadata": 2}  # places: the oldest become good again
KINDS = ("io", "medium")
DISKS = ("main", "spare", "mark")


class Life:
    """
    One of a system, kept in a folder: a new one, or that which is there. `boots` are those that went well,
    `done` says what happened in how many of them.
    """

    def __init__(self, folder, system, seed):
        self.folder, self.system = folder, system
        if (folder / "state").exists():
            self.state = json.loads((folder / "state").read_text())
        else:
            self._begin(seed)

    def _begin(self, seed):
        folder = self.folder
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        with Adopted(self.system) as adopted:
            (folder / "0").mkdir()
            copy_sparse(adopted.disk.path, folder / "0/main")
            copy_sparse(adopted.spare.path, folder / "0/spare")
            (folder / "0/mark").write_bytes(bytes(1 << 16))
            self.state = {"seed": seed, "config": adopted.config, "boots": 0, "sums": "",
                          "bad": {where: [] for where in BAD_AT_MOST}, "writer": None, "done": {}}
        self._keep()

    @property
    def boots(self):
        return self.state["boots"]

    @property
    def done(self):
        return {"boots": self.boots, "what happened": self.state["done"]}

    def live(self, boots):
        """Goes on until so many are done. The last of them is to see what that before it has left."""
        while self.boots < boots:
            self._boot(Boot.play if self.boots + 1 < boots else Boot.come_up)

    def _boot(self, how):
        """One more. Raises for a promise that is broken; then it is as if it had not been."""
        with ExitStack() as stack:
            before, after = (self.folder / str(self.boots + more) for more in (0, 1))
            disks = [stack.enter_context(Disk.copy_of(before / name, **options))
                     for name, options in zip(DISKS, (MAIN, SPARE, {"serial": "MARK", "write_through": True}))]
            boot = Boot(self.system, copy.deepcopy(self.state), *disks, stack)
            how(boot)
            boot.state["done"] = Counter(boot.state["done"]) + Counter(boot.happened)
            boot.state["boots"] += 1
            shutil.rmtree(after, ignore_errors=True)
            after.mkdir()
            for name, disk in zip(DISKS, disks):
                disk.path.replace(after / name)
            self.state = boot.state
            self._keep()
            shutil.rmtree(before)

    def _keep(self):
        """Whoever is interrupted finds the disks that go with it."""
        new = self.folder / "state.new"
        new.write_text(json.dumps(self.state))
        new.replace(self.folder / "state")


class Boot:
    """One of them. `happened` names what happened."""

    def __init__(self, system, state, main, spare, mark, stack):
        self.system, self.state, self.stack = system, state, stack
        self.main, self.spare, self.mark = main, spare, mark
        self.random = Random(f"{state['seed']}/{state['boots']}")
        self.happened = []
        self.disks = [main, spare, mark]
        self.untouched = []  # other disks, and the digests of what is on them
        for where, places in state["bad"].items():
            del places[:-BAD_AT_MOST[where]]
            for place in places:
                self.disk_with(where).bad_sectors(*place)

    def happens(self, name, probability):
        """Draws whether something happens, and notes it."""
        drawn = self.random.random() < probability
        if drawn:
            self.happened.append(name)
        return drawn

    def play(self):
        if self.random.random() < 0.5 and self.damage():
            self.happened.append("metadata damaged")
        self.others()
        if self.happens("disks in another order", 0.4):
            self.random.shuffle(self.disks)
        away = self.random.choice([[self.main], [self.spare], [self.main, self.spare]])
        how = self.random.choice(["late", "gone", *["there"] * 4])
        end = self.random.choice(["shutdown", "shutdown", "power cut while booting", "power cut while writing"])
        if end == "power cut while booting":
            how = "there"
        self.happened += [end] if how == "there" else [f"disks {how}", end]
        there = self.disks if how == "there" else [disk for disk in self.disks if disk not in away]
        with self.machine(there, " rd.dmremap.timeout=3" * (how == "gone"), powerloss=end != "shutdown") as vm:
            vm.start()
            if end == "power cut while booting":
                self.cut(vm, self.random.randrange(1, 12))
            else:
                self.live(vm, [] if how == "there" else away, how, end)
        self.nobody_else_was_touched()

    def come_up(self):
        """With nothing that happens to it."""
        with self.machine(self.disks) as vm:
            vm.start()
            self.check(vm)
            vm.shutdown()

    def machine(self, disks, append="", **options):
        image = self.system.image({CONFIG: self.state["config"]})
        return Machine(self.system.boot(image, f"UUID={ROOT_UUID}"), list(disks), f"loglevel=5{append}", **options)

    def live(self, vm, away, how, end):
        """From its start on."""
        if away:
            self.bring(vm, away, how)
        self.check(vm)
        self.work(vm)
        if end == "shutdown":
            done = self.write(vm, f"-n {self.random.randrange(20, 200)}").wait(240)
            assert done.status == 0, done.stderr
            vm.shutdown()
        else:
            self.write(vm)
            self.cut(vm, self.random.randrange(1, 1000))

    # --- before ---

    def damage(self):
        """
        Of each block all instances but one, or fewer. That is in a whole copy: in others the power may
        have gone while they were written, and none is whole if that was while they were being mended.
        Then nothing is damaged, and False returned.
        """
        found = examine(self.spare.path)
        copies = Copies.from_examine(self.spare, found)
        whole = [one["index"] for one in found["copies"]
                 if one["valid"] and one["generation"] == found["generation"]]
        for block in copies[0].blocks if whole else ():
            keeper = self.random.choice(whole)
            others = [number for number in range(len(copies)) if number != keeper]
            for number in self.random.sample(others, self.random.randrange(5)):
                copies[number].corrupt(self.random.choice(["zero", "random", "flip"]), self.random.random(), block)
        return bool(whole)

    def others(self):
        """Disks that look like those of the set, or belong to another."""
        if self.happens("a clone of the main", 0.15):
            self.add(clone_of_main(self.main))
        if self.happens("a clone of the spare", 0.15):
            self.add(clone_of_spare(self.spare))
        if self.happens("the spare of another set", 0.15):
            self.add(spare_of_another_set())

    def add(self, disk):
        self.stack.enter_context(disk)
        self.disks.append(disk)
        self.untouched.append((disk, disk.digest()))

    # --- while it boots ---

    def bring(self, vm, away, how):
        """Plugs in what is missing: in time, or after the boot has stopped for it."""
        vm.console.expect("root: (missing: its (main|spare) is not there|skip: spare [^ ]+ is not the one that)", 120)
        if how == "gone":
            vm.console.expect("dmremap assemble --all ", 120)
            self.system.enter_shell(vm.console)
            assert not self.system.mounted(vm.console)
        else:
            time.sleep(self.random.random() * 8)
        for disk in away:
            vm.plug(disk)
        if how == "gone":
            vm.console.send("exit")

    def cut(self, vm, operations):
        vm.cut_after(operations)
        vm.wait_cut(300)
        vm.power_cut(self.random.getrandbits(32))

    # --- what has to be so ---

    def check(self, vm):
        """It comes up, the root is the set, of the right disks, and nothing is missing."""
        vm.guest.wait_up(240)
        assert vm.run("findmnt -no SOURCE /") == "/dev/mapper/root\n"
        log = [json.loads(line) for line in vm.run("cat /run/dm-remap/activation.jsonl").splitlines()]
        assert [entry["name"] for entry in log if entry["activated"]] == ["root"], log
        sets = active(vm)
        assert [(found["main"], found["spare"]) for found in sets.values()] == [(f"{self.main.dev}1", self.spare.dev)]
        assert sets["root"]["valid_copies"] >= 5 - len(self.state["bad"]["metadata"]), sets
        if self.state["sums"]:
            vm.run("sha256sum --check --strict --quiet", stdin=self.state["sums"].encode(), timeout=240)
        if self.state["writer"] is not None:
            assert not self.writer(self.state["writer"]).lost(vm, POOL)
        assert not complaints(vm)
        self.happened.append("all was there")

    def nobody_else_was_touched(self):
        for disk, before in self.untouched:
            assert disk.digest() == before, f"{disk.serial} was written to"

    # --- what is done then ---

    def work(self, vm):
        """Sectors become bad, the population grows, ranges are moved."""
        if not self.state["sums"]:
            vm.run(f"mkdir -p /kept; head -c {POOL_SIZE} /dev/urandom > {POOL}; sync")
        self.sectors_become_bad(vm)
        file = f"/kept/{self.state['boots']}"
        vm.run(f"head -c {self.random.randrange(1, 1 << 16)} /dev/urandom > {file}; sync")
        self.state["sums"] += vm.run(f"sha256sum {file}")
        size = int(vm.run("blockdev --getsz /dev/mapper/root"))
        if self.happens("ranges moved", 0.5):
            for _ in range(3):
                vm.run(f"dmremap remap root {self.random.randrange(size // 8 - 4) * 8} {8 * self.random.randrange(1, 4)}")

    def sectors_become_bad(self, vm):
        """They can't be written from now on; nothing is lost of what they hold."""
        if self.happens("bad sectors in data", 0.7):
            pool = list(sectors_of(vm, POOL))
            anywhere = range(ROOT_START // SECTOR, self.main.size // SECTOR - 2048)
            for _ in range(6):
                self.becomes_bad("data", self.random.choice(pool))
                self.becomes_bad("data", self.random.choice(anywhere), 8)
        found = examine(self.spare.path)
        if self.happens("bad sectors in replacements", 0.3):
            end = max((extent["spare_sector"] + extent["sectors"] for extent in found["extents"]), default=8192)
            for _ in range(3):
                self.becomes_bad("replacements", end + self.random.randrange(64), 1, self.random.choice(KINDS))
        if self.happens("bad sectors in metadata", 0.3):
            one = self.random.choice(Copies.from_examine(self.spare, found))
            place = (one.offset + BLOCK * self.random.choice(one.blocks)) // SECTOR
            self.becomes_bad("metadata", place, BLOCK // SECTOR, self.random.choice(KINDS))

    def becomes_bad(self, where, *place):
        self.state["bad"][where].append(place)
        self.disk_with(where).bad_sectors(*place)

    def disk_with(self, where):
        return self.main if where == "data" else self.spare

    # --- acknowledged writes ---

    def writer(self, seed, options=""):
        return AckWriter(seed, self.mark, POOL_SIZE, options=options)

    def write(self, vm, options=""):
        self.state["writer"] = self.random.getrandbits(32)
        return self.writer(self.state["writer"], options).start(vm, POOL)
