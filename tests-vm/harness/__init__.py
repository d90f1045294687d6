# SPDX-License-Identifier: GPL-2.0
"""Virtual machines with Debian in them, and disks that fail as real ones do."""
