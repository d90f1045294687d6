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

DEADLINE = 20


class Accelerator(NamedTuple):
    name: str
    options: tuple


KVM = Accelerator("kvm", ("-accel", "kvm", "-cpu", "host"))

# Without -cx16, kernels from 6.12 on crash at random when emulated by QEMU 7.2 on several CPUs.
TCG = Accelerator("tcg", ("-accel", "tcg,thread=multi", "-cpu", "max,-cx16"))

# QEMU before 8.1 may execute old code when one CPU changes what another is about to run. Kernels
# do that to themselves, later ones so often that they crash at times, unless CPUs take turns.
TCG_IN_TURNS = Accelerator("tcg", ("-accel", "tcg,thread=single", "-cpu", "max,-cx16"))


def accelerator(boot, device="/dev/kvm"):
    """KVM if it works here, else emulation. Probed once for each host kernel."""
    tcg = TCG_IN_TURNS if boot.in_turns else TCG
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
