# SPDX-License-Identifier: GPL-2.0
"""The systems that early boot is for: a Debian suite, and what makes its initramfs."""

import re
import time
from typing import NamedTuple

from . import kernels, root
from .debian import PACKAGES, debian, kernel
from .errors import TimedOut
from .patience import deadline
from .products import with_dm_remap

GENERATORS = ("dracut-systemd", "dracut", "initramfs-tools")

# A system's own image knows root's home, and sulogin's shell begins there, in the name of who opened it, if anybody.
PROMPT = {"dracut-systemd": "([a-z-]*:/(root)?|sh-[0-9.]+|~ |^)# ", "dracut": "(dm-remap|dracut):/# ",
          "initramfs-tools": r"\(initramfs\) "}
NEWROOT = {"dracut-systemd": "/sysroot", "dracut": "/sysroot", "initramfs-tools": "/root"}
# With panic=-1, which guests have, initramfs-tools reboots instead of opening a shell. The root's
# password is locked here, so that newer dracuts wouldn't open one under systemd.
SHELL = {"dracut-systemd": "SYSTEMD_SULOGIN_FORCE=1", "dracut": "", "initramfs-tools": "panic="}


class System(NamedTuple):
    suite: str
    generator: str
    packages: tuple = PACKAGES

    def __str__(self):
        return f"{self.suite}-{self.generator}"

    @property
    def tree(self):
        """The suite's system, with both generators in it and dm-remap installed."""
        tree = debian(self.suite, self.packages)
        return with_dm_remap(tree, None if self.suite == "bookworm" else kernels.module(kernel(self.suite)))

    @property
    def append(self):
        """What the kernel command line has so that the boot can be tested."""
        # On a busy host an emulated TSC is measured wrong, and later kernels live by it.
        tsc = "" if self.suite == "bookworm" else "tsc=unstable"
        return f"{SHELL[self.generator]} {tsc}"

    def image(self, files, drivers=root.DRIVERS):
        """An initramfs with these files of the system changed, such as the config."""
        if self.generator == "initramfs-tools":
            return root.initramfs_tools(self.tree, files, drivers)
        return root.dracut(self.tree, systemd=self.generator == "dracut-systemd", files=files, drivers=drivers)

    def command(self, place, *options):
        """The shell script that makes one in the system itself. The options are dracut's."""
        if self.generator == "initramfs-tools":
            return (root.placing(root.lean_initramfs_tools())
                    + root.initramfs_tools_command(self.tree.release, place))
        return root.dracut_command(self.tree.release, place, *options,
                                   systemd=self.generator == "dracut-systemd")

    def boot(self, image, root_is, lean=True):
        boot = root.boot_lane(self.tree, image, root_is, lean)
        return boot._replace(append=f"{boot.append} {self.append}")

    def enter_shell(self, console):
        """Gets past sulogin, which throws away what was typed before it began to read."""
        prompt = PROMPT[self.generator]
        entered = console.expect(f"Press Enter for (system )?maintenance|{prompt}", 120)[0][-2:] in ("# ", ") ")
        end = deadline(240)
        while not entered and time.monotonic() < end:
            console.send("")
            try:
                entered = console.expect(prompt, timeout=2)
            except TimedOut:
                pass
        if not entered:
            raise TimedOut(f"no shell however often Enter is typed\n{console.tail()}")

    def mounted(self, console):
        """Where below the new root its shell says that something is mounted: "" is the root itself."""
        console.send("cat /proc/mounts; echo mounted-$((1 + 1))")
        mounts = console.expect("(?s).*mounted-2")[0]
        assert "/proc proc " in mounts
        return set(re.findall(rf" {NEWROOT[self.generator]}(/[^ ]*|) ", mounts))


SYSTEMS = tuple(System(suite, generator) for suite in kernels.SUITES for generator in GENERATORS)


def table(outcomes):
    """Lines of a table of {(situation, system): outcome}: a column for each system."""
    rows = sorted({situation for situation, _ in outcomes})
    width = max(map(len, rows))
    for part in zip(*(str(system).split("-", 1) for system in SYSTEMS)):
        yield " " * width + "".join(f"  {word:15}" for word in part)
    for row in rows:
        yield f"{row:{width}}" + "".join(f"  {outcomes.get((row, str(system)), '-'):15}" for system in SYSTEMS)
