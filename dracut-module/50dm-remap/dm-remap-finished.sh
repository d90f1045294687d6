#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# The gate: dracut's loop isn't finished as long as this says no, also if the root device is
# there already (root=/dev/sda1 is, from the start, and raw).

command -v _dmremap_enabled > /dev/null || . /lib/dm-remap-lib.sh
_dmremap_is_done || ! _dmremap_enabled
