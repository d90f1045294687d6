#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# In dracut's loop, when udev has nothing to do: activates sets until all that this boot needs are active.

command -v _dmremap_enabled > /dev/null || . /lib/dm-remap-lib.sh
! _dmremap_enabled || _dmremap_settled
