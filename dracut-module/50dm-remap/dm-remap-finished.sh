#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# The gate: dracut's loop isn't finished as long as this says no, also if the root device is
# there already (root=/dev/sda1 is, from the start, and raw). dm-remap-settled.sh, in the same
# shell, knows when no set that this boot needs is missing. A hook that were to be removed instead
# could not be: newer dracuts run those of the image, and hookdir is another folder.

[ -n "${_dmremap_done-}" ] || ! getargbool 1 rd.dmremap
