# SPDX-License-Identifier: GPL-2.0
"""
The main job, from a healthy Debian to the same system on a dying disk.

`make demo` tells it, test_story.py asserts it. Each chapter is one method; it leaves
the machine as the next one needs it and returns a line for the table at the end.
"""

from random import Random

from harness.ackwriter import AckWriter, mark_disk
from harness.assembler import examine
from harness.cache import execute
from harness.copies import Copies
from harness.disk import Disk
from harness.machine import Machine
from harness.paths import scratch
from harness.root import ROOT_PARTUUID, ROOT_START, ROOT_UUID, boot_lane, dracut, root_image, sectors_of

SET = "root"
FILES = 12
BAD_SECTORS = 24
JOURNAL = "journal"


class Story:
    """`with Story(...) as story:` - see chapters()."""

    def __init__(self, tree, seed, systemd=True, lean=True, say=print, echo=None):
        """`say` is called with each step, `echo` with each line of the guest's console."""
        self.tree = tree
        self.random = Random(seed)
        self.systemd = systemd
        self.lean = lean
        self.say = say
        self.echo = echo
        self.disk = Disk.copy_of(root_image(tree), serial="OLD-DISK")
        self.spare = Disk("64M", serial="SPARE-DISK")
        self.mark = mark_disk()
        self.vm = self.writer = self.manifest = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for thing in (self.vm, self.disk, self.spare, self.mark):
            if thing:
                thing.__exit__(None, None, None)

    def chapters(self):
        return (self.adopt, self.boot_from_the_set, self.sectors_go_bad, self.power_goes,
                self.copies_are_damaged, self.boot_again)

    def _start(self, initrd):
        """Starts the machine with another initramfs."""
        if self.vm:
            self.vm.__exit__(None, None, None)
        boot = boot_lane(self.tree, initrd, root=f"UUID={ROOT_UUID}", lean=self.lean)
        self.vm = Machine(boot, [self.disk, self.spare, self.mark], powerloss=True, memory=1024,
                          echo=self.echo)
        self.vm.boot(400)

    def _type(self, command, **options):
        """What an administrator would type, and see."""
        self.say(f"# {command}")
        said = self.vm.run(command, **options)
        for line in said.splitlines():
            self.say(f"  {line}")
        return said

    def adopt(self):
        """A Debian system that runs from a plain partition is adopted in place."""
        self._start(dracut(self.tree, systemd=self.systemd))
        self._type("findmnt -no SOURCE,FSTYPE,SIZE /")
        before = self._checksums()
        main, spare = f"{self.disk.dev}1", self.spare.dev
        uuid = self._type(f"dmremap create {SET} --main {main} --spare {spare}").strip()
        assert self._checksums() == before
        self._type(f"echo 'set {uuid} name={SET} main=partuuid:{ROOT_PARTUUID} "
                   f"spare=serial:{self.spare.serial}' > /etc/dm-remap.conf")
        without = "" if self.systemd else " --omit 'systemd systemd-initrd dracut-systemd'"
        self._type(f"dracut --force --no-hostonly --no-compress --add dm-remap{without} "
                   "--drivers 'virtio_pci virtio_scsi sd_mod' /boot/initrd.img",
                   timeout=900)
        self.vm.shutdown(400)
        return "adopted", f"set {uuid}, root filesystem untouched"

    def _checksums(self):
        """Of some of the system, read from the disk anew."""
        return self.vm.run("echo 3 > /proc/sys/vm/drop_caches;"
                           " find /etc /usr/sbin -xdev -type f -exec sha256sum {} + | sort", timeout=300)

    def _initrd(self):
        """Takes the initramfs that the guest has made out of its filesystem, as a boot loader does."""
        initrd = scratch() / "initrd.img"
        execute("debugfs", "-R", f"dump /boot/initrd.img {initrd}",
                f"{self.disk.path}?offset={ROOT_START}")
        return initrd

    def boot_from_the_set(self):
        """It boots with dm-remap in its initramfs: the root is the set."""
        self._start(self._initrd())
        assert self._type("findmnt -no SOURCE /") == f"/dev/mapper/{SET}\n"
        self._type("dmremap status")
        return "root after the reboot", f"/dev/mapper/{SET}"

    def sectors_go_bad(self):
        """The disk develops bad sectors under files, and these are written and read back."""
        self.vm.run(f"mkdir -p /srv && cd /srv && for n in $(seq {FILES}) {JOURNAL}; do"
                    " dd if=/dev/zero of=$n bs=64k count=16 conv=fsync status=none; done")
        for names in ([JOURNAL], map(str, range(1, FILES + 1))):
            places = [sector for name in names for sector in sectors_of(self.vm, f"/srv/{name}")]
            for sector in self.random.sample(places, BAD_SECTORS // 2):
                self.disk.bad_sectors(sector, kind=self.random.choice(("medium", "io")))
        self.say(f"{BAD_SECTORS} sectors of the disk can no longer be written")
        self.vm.run(f"cd /srv && for n in $(seq {FILES}); do dd if=/dev/urandom of=$n bs=64k count=16"
                    " conv=notrunc,fsync status=none; done; sha256sum $(seq %d) > manifest; sync"
                    % FILES, timeout=300)
        self._type("echo 3 > /proc/sys/vm/drop_caches")
        self._type(f"cd /srv && sha256sum -c --quiet manifest && echo all {FILES} files are as written")
        self._type("dmremap status")
        assert self._remapped() == BAD_SECTORS // 2
        return "bad sectors", (f"{BAD_SECTORS}: half under files that were written and read back, "
                               "half under the journal")

    def _remapped(self):
        return int(self.vm.run(f"dmsetup status {SET}").split()[5].split("/")[0])

    def power_goes(self):
        """The power is cut in the middle of writing over bad sectors."""
        self.writer = AckWriter(self.random.getrandbits(32), self.mark, "1M")
        self.vm.cut_after(self.random.randrange(300, 600))
        self.writer.start(self.vm, f"/srv/{JOURNAL}")
        self.vm.wait_cut()
        self.vm.power_cut(self.random.getrandbits(32))
        writes = sum(self.writer.acknowledged())
        self.say(f"power lost after {writes} acknowledged writes to the journal;"
                 " what no flush covered is gone, torn or out of order")
        return "power cut", f"while writing, {writes} writes acknowledged"

    def copies_are_damaged(self):
        """Four of the five metadata copies are damaged, each in another way."""
        copies = Copies.of(self.spare)
        # Those that were being written when the power went may be torn: at least two were not.
        whole = [number for number, found in enumerate(copies.each_alone())
                 if found["verdict"] == "repairable"]
        assert len(whole) >= 2
        survivor = self.random.choice(whole)
        numbers = self.random.sample([n for n in range(5) if n != survivor], 4)
        done = []
        for number, how in zip(numbers, ("zero", "random", "flip", "torn")):
            with Disk("64M") as blank, blank.snapshot() as before:
                copies[number].corrupt(how, self.random.random(), before=before)
            done.append(f"{number} {how}")
        self.say("copies damaged: " + ", ".join(done))
        found = examine(self.spare.path)
        assert found["verdict"] == "repairable" and found["valid_copies"] < 5
        return "metadata damage", "4 of 5 copies: " + ", ".join(done)

    def boot_again(self):
        """The machine boots: the set is found, mended and activated, and nothing is missing."""
        self.vm.boot(400)
        assert self._type("findmnt -no SOURCE /") == f"/dev/mapper/{SET}\n"
        self._type(f"cd /srv && sha256sum -c --quiet manifest && echo all {FILES} files are whole")
        assert not self.writer.lost(self.vm, f"/srv/{JOURNAL}")
        self.say("no acknowledged write to the journal is lost")
        self._type("cat /run/dm-remap/activation.jsonl")
        self._type("dmremap status")
        found = self._type(f"dmremap examine {self.spare.dev}")
        assert found.count("superblock good") == 5 and "clean" in found
        remapped = self._remapped()
        assert remapped > BAD_SECTORS // 2
        self.vm.shutdown(400)
        assert examine(self.spare.path)["valid_copies"] == 5
        return "after the boot", f"5/5 copies valid, {remapped} sectors remapped, nothing lost"
