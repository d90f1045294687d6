#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# rd.hostonly=0 removes the gate from dracut's loop, as all that is there. Then it is here.

command -v _dmremap_enabled > /dev/null || . /lib/dm-remap-lib.sh
until _dmremap_is_done || ! _dmremap_enabled; do
    udevadm settle
    _dmremap_settled
    _dmremap_is_done || sleep 1
done
