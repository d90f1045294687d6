#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# The gate: dracut's loop isn't finished as long as this file exists, also if the root device
# is there already (root=/dev/sda1 is, from the start, and raw). dm-remap-settled.sh removes
# it when no set that this boot needs is missing.

return 1
