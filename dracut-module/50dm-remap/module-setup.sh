#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# dm-remap in the initramfs: dracut --add dm-remap. Works with dracut 059 to 112.

# The set that device MAJOR:MINOR is, if it is one.
set_of() {
    local uuid=/sys/dev/block/$1/dm/uuid

    [[ -e $uuid && $(< "$uuid") == DMREMAP-* ]] && sed 's/^DMREMAP-//' "$uuid"
}

# What /etc/dm-remap.conf is to be in the image. Fails if there is no set to boot from.
image_config() {
    /usr/share/dm-remap/image-config "${dracutsysrootdir-}"
}

# 255: only when asked for. A root that is on a set asks for it, and so does a set that the config
# names: the image that a kernel upgrade makes without --add would boot from the bare main.
check() {
    require_binaries dmremap || return 1
    image_config &> /dev/null || return 255
}

# The sets that this host's file systems are on: an image for it alone waits for them. Not if the config names sets:
# next to those on the command line they would count no more.
cmdline() {
    ! grep -qs '^[[:space:]]*set[[:space:]]' "${dracutsysrootdir-}/etc/dm-remap.conf" || return 0
    for_each_host_dev_and_slaves_all set_of | sort -u | sed 's/^/ rd.dmremap.uuid=/' | tr -d '\n'
}

# dm brings dmsetup and the rules that make a DM device's links. The initqueue became a
# module of its own later; where it is none it is always there.
depends() {
    echo dm
    [[ -d $(dracut_module_path initqueue) ]] && echo initqueue
    return 0
}

# The module lies outside drivers/md, and no device of this host leads to it: it is named,
# whatever hostonly says. Without it there is to be an image all the same: it says what is the matter.
# shellcheck disable=SC2154 # dracut sets kernel
installkernel() {
    if modinfo -k "$kernel" dm-remap &> /dev/null; then
        hostonly='' instmods -c dm-mod dm-remap
    else
        derror "dm-remap: kernel $kernel has no module dm-remap: with this image it will not boot from a set"
    fi
}

# shellcheck disable=SC2154 # dracut sets initdir and the like
install() {
    local sets

    # and what the hooks use: not every image has even grep
    inst_multiple /usr/sbin/dmremap cat ln mkdir readlink rm sleep
    inst_simple /usr/share/dm-remap/emergency.txt
    mkdir -p "$initdir/etc"
    image_config > "$initdir/etc/dm-remap.conf"
    inst_rules 60-persistent-dm-remap.rules
    inst_simple "$moddir/dm-remap-lib.sh" /lib/dm-remap-lib.sh
    inst_hook initqueue/settled 30 "$moddir/dm-remap-settled.sh"
    inst_hook initqueue/finished 30 "$moddir/dm-remap-finished.sh"
    inst_hook pre-mount 00 "$moddir/dm-remap-pre-mount.sh"
    inst_hook emergency 50 "$moddir/dm-remap-emergency.sh"
    # before dm-shutdown.sh, which takes down whatever DM device is left
    inst_hook shutdown 20 "$moddir/dm-remap-shutdown.sh"
    dracut_need_initqueue
    if [[ $hostonly_cmdline == yes ]] && sets=$(cmdline) && [[ $sets ]]; then
        mkdir -p "$initdir/etc/cmdline.d"
        echo "$sets" > "$initdir/etc/cmdline.d/95dm-remap.conf"
    fi
}
