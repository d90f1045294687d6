# SPDX-License-Identifier: GPL-2.0
"""Our own programs for guests, by their places there."""

from . import ackwriter, faults, oracle, sectors
from .cache import guest_program

PROGRAMS = {ackwriter.GUEST_PATH: guest_program("ackwriter"),
            faults.GUEST_PATH: guest_program("faultydm"),
            oracle.GUEST_PATH: guest_program("oracle"),
            sectors.GUEST_PATH: guest_program("sectors")}
