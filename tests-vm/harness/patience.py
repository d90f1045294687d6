# SPDX-License-Identifier: GPL-2.0
"""How long a guest may take."""

import time

# These are to tell what hangs from what does not: others use the machine, too. On a kernel that
# watches itself everything takes longer still; see debug_kernel.py.
factor = 3


def deadline(seconds):
    """The instant at which something that takes so long on an idle machine is overdue."""
    return time.monotonic() + seconds * factor
