# SPDX-License-Identifier: GPL-2.0
"""How long a guest may take."""

import time

# On a kernel that watches itself everything takes longer; see debug_kernel.py.
factor = 1


def deadline(seconds):
    """The instant at which something that takes so long on an ordinary kernel is overdue."""
    return time.monotonic() + seconds * factor
