# SPDX-License-Identifier: GPL-2.0
"""
A kernel that watches itself (build-support/debug-kernel.sh), and what it has to say of each test.

It is slow, so everything may take longer. Before a machine ends, its kernel's log is searched for
reports, and memory for what nobody knows any more: a test passes only if there is nothing.
"""

import re

from . import accel, patience
from .cache import cached, digest, execute
from .debian import Tree
from .errors import GuestError
from .machine import Machine
from .paths import BUILD, made_by

KERNEL = "arch/x86/boot/bzImage"
SLOWER = 10
REPORT = ("BUG: [^K]|WARNING:|KASAN|UBSAN|ODEBUG|Oops|Kernel panic|general protection|"
          "refcount_t|INFO: task|INFO: trying to register|rcu: INFO|blocked for more than|lockup|"
          "list_(add|del) corruption|complete after|kmemleak: (Cannot|Memory pool)")

DEBUGFS = "mountpoint -q /sys/kernel/debug || mount -t debugfs debugfs /sys/kernel/debug;"
LOG = f"dmesg | grep -aE -A 50 '{REPORT}' | head -n 200 || true"
# Data races that the kernel lives with, by what its report is called: in dm-remap's name, as what it
# calls is inlined, or as it is the caller.
EXPLAINED = (
    # The scheduler asks for a flag of a task, which changes others: memalloc_noio_save().
    "kthread_is_per_cpu / ",
    # A worker looks at the bits of a work item, of which somebody sets one, atomically, to queue it again.
    "process_one_work / queue_work_on",
)
# Of the others those of dm-remap: it is among the first three functions of a stack. The kernel has
# some of its own, also in interrupts that come while dm-remap runs.
RACES = rf"""dmesg | awk -v explained='data-race in ({"|".join(EXPLAINED)})' '
    /BUG: KCSAN/ {{race = $0 ~ explained ? "" : "race:"; ours = 0}}
    race {{race = race $0 "\n"}}
    top-- > 0 && /dm_remap/ {{ours = 1}}
    /(read|write).* to 0x.* by (task|interrupt)/ {{top = 3}}
    /Reported by Kernel Concurrency/ {{if (ours && race) print race; race = ""}}'"""
# Only what is older than five seconds, and has not changed between two scans, is reported.
LEAKS = (f"{DEBUGFS} cd /sys/kernel/debug; test -e kmemleak || exit 0;"
         "echo scan > kmemleak; sleep 5; echo scan > kmemleak; cat kmemleak")


class KernelReport(Exception):
    """The kernel complained."""


def debug_tree(base, flavour):
    """A Debian system whose kernel is a debug kernel; watches all machines from now on."""
    folder = made_by("make debug-kernel", BUILD / "debug-kernel" / flavour / "built").parent
    patience.factor = SLOWER
    accel.tcg = accel.TCG_AT_ONCE  # it has no jump labels, kprobes or tracers
    Machine.last_look = look
    key = digest(str(base.path), folder / KERNEL)
    return Tree(cached("trees", f"{flavour}-{key}", lambda path: _make_tree(path, base, folder)))


def _make_tree(path, base, folder):
    (modules,) = (folder / "root/lib/modules").iterdir()
    execute("cp", "-a", "--reflink=auto", base.path, path)
    for old in [*(path / "lib/modules").iterdir(), *(path / "boot").glob("vmlinuz-*")]:
        execute("rm", "-r", old)
    execute("cp", "-r", modules, path / "lib/modules")
    execute("cp", folder / KERNEL, path / f"boot/vmlinuz-{modules.name}")


def look(vm, leaks, timeout=30):
    """Raises if a machine's kernel, whose end is near or past, has complained."""
    said = vm.console.text
    if vm.guest.is_up:
        try:
            said = (vm.run(LOG, timeout) + vm.run(RACES, timeout)
                    + (vm.run(LEAKS, timeout) if leaks else ""))
        except GuestError as error:
            raise KernelReport(f"the kernel could not be asked for reports: {error}") from error
    report = re.search(rf"^.*({REPORT}|KCSAN|unreferenced object)", said, re.MULTILINE)
    if report:
        raise KernelReport(said[report.start():report.start() + 8000])
