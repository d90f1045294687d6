#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# dm-remap in the initramfs: dracut --add dm-remap. Works with dracut 059 to 112.

is_dm_remap() {
    local uuid=/sys/dev/block/$1/dm/uuid

    [[ -e $uuid && $(< "$uuid") == DMREMAP-* ]]
}

# 255: only when asked for. A root that is on a set asks for it, and so does a set that the config
# names: the image that a kernel upgrade makes without --add would boot from the bare main.
check() {
    require_binaries dmremap || return 1
    grep -qs '^[[:space:]]*set[[:space:]]' "${dracutsysrootdir-}/etc/dm-remap.conf" && return 0
    for_each_host_dev_and_slaves is_dm_remap && return 0
    return 255
}

# dm brings dmsetup and the rules that make a DM device's links. The initqueue became a
# module of its own later; where it is none it is always there.
depends() {
    echo dm
    [[ -d $(dracut_module_path initqueue) ]] && echo initqueue
    return 0
}

# The module lies outside drivers/md, and no device of this host leads to it: it is named,
# whatever hostonly says.
installkernel() {
    hostonly='' instmods -c dm-mod dm-remap
}

# shellcheck disable=SC2154 # dracut sets moddir
install() {
    inst_multiple /usr/sbin/dmremap
    inst_multiple -o /etc/dm-remap.conf
    inst_rules 60-persistent-dm-remap.rules
    inst_hook initqueue/settled 30 "$moddir/dm-remap-settled.sh"
    inst_hook initqueue/finished 30 "$moddir/dm-remap-finished.sh"
    inst_hook emergency 50 "$moddir/dm-remap-emergency.sh"
    dracut_need_initqueue
}
