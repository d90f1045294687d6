#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Whatever stopped the boot: if it was a set, say which, why, and what to type.

getargbool 1 rd.dmremap || return 0
# Not only what is decided: the kernel may have refused it.
_dmremap_said=$(dmremap assemble --all 2>&1 < /dev/null)
if [ $(($? & 4)) -ne 0 ]; then
    warn "dm-remap: a set that this boot needs is not active:"
    printf '%s\n' "$_dmremap_said"
    echo
    echo "  dmremap scan             what is there"
    echo "  dmremap examine DEVICE   the metadata of one spare, copy by copy"
    echo "  dmremap assemble --all   try again; then leave this shell with \"exit\""
    echo
    echo "To boot from the bare main device, without its remapped sectors, add"
    echo "rd.dmremap=0 to the kernel command line."
    echo
fi
unset _dmremap_said
