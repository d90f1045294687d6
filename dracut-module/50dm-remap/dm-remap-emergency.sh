#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Whatever stopped the boot: if it was a set, say which, why, and what to type.

command -v _dmremap_enabled > /dev/null || . /lib/dm-remap-lib.sh
_dmremap_enabled || return 0
# Not only what is decided: the kernel may have refused it.
_dmremap_new=$(dmremap assemble --all --no-clones 2>&1 < /dev/null)
_dmremap_status=$?
_dmremap_why=
if [ $((_dmremap_status & 4)) -ne 0 ] || [ "$_dmremap_status" -ge 16 ] || ! _dmremap_resolve_root > /dev/null 2>&1; then
    _dmremap_why="a set that this boot needs is not active:"
elif [ ! -e "${_dmremap_bare#block:}" ]; then
    # it may be on a main that is masked
    case $_dmremap_new in
        *": skip: "*) _dmremap_why="the root is not there; it may be on a set that is not active:" ;;
    esac
fi
if [ -n "$_dmremap_why" ]; then
    warn "dm-remap: $_dmremap_why"
    printf '%s\n' "$_dmremap_new"
    _dmremap_resolve_root 2>&1
    cat /usr/share/dm-remap/emergency.txt
fi
