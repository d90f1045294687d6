#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# rd.hostonly=0 removes the gate from dracut's loop, as all that is there. Then it is here. And after the gate was
# opened something else, such as LVM, may have made the root of a bare main.

command -v _dmremap_enabled > /dev/null || . /lib/dm-remap-lib.sh
! _dmremap_enabled || _dmremap_resolve_root > /dev/null 2>&1 || [ -e "$_dmremap_run/raw" ] || rm -f "$_dmremap_run/done"
until _dmremap_is_done || ! _dmremap_enabled; do
    udevadm settle
    _dmremap_settled
    _dmremap_is_done || sleep 1
done
