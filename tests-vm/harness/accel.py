# SPDX-License-Identifier: GPL-2.0
"""
Whether guests can run on KVM here, or must be emulated.

/dev/kvm is not enough: there are machines where it opens, makes guests, and
never runs them. Only a kernel that reaches its init in time proves it.
"""

import os
from typing import NamedTuple

from .cache import CACHE, digest
from .errors import GuestError

DEADLINE = 10


class Accelerator(NamedTuple):
    name: str
    options: tuple


KVM = Accelerator("kvm", ("-accel", "kvm", "-cpu", "host"))

# Without -cx16, kernels from 6.12 on crash at random when emulated by QEMU 7.2 on several CPUs.
TCG_AT_ONCE = Accelerator("tcg", ("-accel", "tcg,thread=multi", "-cpu", "max,-cx16"))

# While one CPU changes code, another may go on with what it was, also with the breakpoint that
# was there for a moment only: then the kernel goes round between the two for ever. Of a thousand
# boots one hung so; QEMU 10 does it less often than 7.2. Where CPUs take turns this can't be.
TCG_IN_TURNS = Accelerator("tcg", ("-accel", "tcg,thread=single", "-cpu", "max,-cx16"))

# Any but a kernel that leaves its own code alone, see debug_kernel.py, wants its CPUs to take turns.
tcg = TCG_IN_TURNS


def accelerator(boot, device="/dev/kvm"):
    """KVM if it works here, else emulation. Probed once for each host kernel."""
    if not os.access(device, os.R_OK | os.W_OK):
        return tcg
    verdict = CACHE / f"accel-{digest(tuple(os.uname()))}"
    if not verdict.exists():
        verdict.write_text("kvm" if boots(boot, KVM) else "tcg")
    return KVM if verdict.read_text() == "kvm" else tcg


def boots(boot, accel, deadline=DEADLINE):
    """Whether a kernel reaches its init in time."""
    from .machine import Machine

    with Machine(boot, accel=accel) as vm:
        try:
            vm.boot(deadline)
        except GuestError:
            return False
        return True
