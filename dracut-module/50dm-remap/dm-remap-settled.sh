#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Activates what can be activated. dracut's loop comes here again and again until the root
# device has appeared, so what dmremap says is passed on only when it says something new.

# All other options are dmremap's to read. This one helps also when dmremap itself is what keeps
# the machine from booting.
getargbool 1 rd.dmremap || return 0
# Given up before, and going on all the same.
[ -e /run/dm-remap/raw ] && return 0

# If root= is the path of a bare main, or of a partition of it, its set's device is mounted in its place. Of
# systemd's units for it, which generators made before anything was known, some can only be replaced.
_dmremap_point_root_at_set() {
    _dmremap_bare=${root-}
    _dmremap_bare=${_dmremap_bare#block:}
    _dmremap_set=$(dmremap resolve "$_dmremap_bare" 2> /dev/null < /dev/null)
    if [ -z "$_dmremap_set" ] || [ "$(readlink -f "$_dmremap_bare")" = "$(readlink -f "$_dmremap_set")" ]; then
        return 0
    fi
    root=block:$_dmremap_set
    # The partition may be gone. What waits for it is not removed: a generator would make it again.
    _dmremap_name=$(str_replace "$_dmremap_bare" / '\x2f')
    echo : > "$hookdir/initqueue/finished/devexists-$_dmremap_name.sh"
    rm -f -- "$hookdir/emergency/80-$_dmremap_name.sh"
    [ -n "${DRACUT_SYSTEMD-}" ] || return 0

    _dmremap_unit=$(dev_unit_name "$_dmremap_set").device
    mkdir -p /etc/systemd/system/sysroot.mount.d /etc/systemd/system/initrd-root-device.target.d
    printf '[Mount]\nWhat=%s\n' "$_dmremap_set" > /etc/systemd/system/sysroot.mount.d/dm-remap.conf
    printf '[Unit]\nRequires=%s\nAfter=%s\n' "$_dmremap_unit" "$_dmremap_unit" \
        > /etc/systemd/system/initrd-root-device.target.d/50-root-device.conf
    if [ -e /run/systemd/generator/systemd-fsck-root.service ]; then
        cat > /etc/systemd/system/systemd-fsck-root.service << END
[Unit]
DefaultDependencies=no
Conflicts=shutdown.target
After=initrd-root-device.target local-fs-pre.target
Before=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/lib/systemd/systemd-fsck $_dmremap_set
TimeoutSec=infinity
END
    fi
    systemctl daemon-reload
    # masked, it will never be there, and what has been asked for it would wait for ever
    systemctl --no-block stop "$(dev_unit_name "$_dmremap_bare").device"
}

_dmremap_new=$(dmremap assemble --all 2>&1 < /dev/null)
_dmremap_status=$?

# Only warn reaches the console both with and without systemd. Complaints begin with the program's name.
_dmremap_tell=warn
[ "$_dmremap_status" -eq 0 ] && _dmremap_tell=info
if [ "$_dmremap_new" != "${_dmremap_said-}" ]; then
    _dmremap_said=$_dmremap_new
    while [ -n "$_dmremap_new" ] && read -r _dmremap_line; do
        case $_dmremap_line in
            dmremap:*) warn "$_dmremap_line" ;;
            *) "$_dmremap_tell" "$_dmremap_line" ;;
        esac
    done << LINES
$_dmremap_new
LINES
fi

# Bit 4 of the status: a set that was asked for isn't active. From 16 on dmremap did not get
# as far as looking.
if [ $((_dmremap_status & 4)) -eq 0 ] && [ "$_dmremap_status" -lt 16 ]; then
    _dmremap_point_root_at_set
    # Of what cannot be written there is nothing to check: dracut 059 would stop at the error.
    # shellcheck disable=SC2034 # mount-root.sh reads it
    ! getargbool 0 rd.dmremap.ro || fastboot=yes
    # The shutdown hook is in this image, which systemd then returns to.
    [ ! -d /sys/module/dm_remap ] || need_shutdown
    _dmremap_done=1
    unset _dmremap_since
else
    unset _dmremap_done
    # What is missing may still appear. When its time is up the boot stops here, and not
    # only after rd.retry, which is minutes; the emergency hook says why.
    read -r _dmremap_now _ < /proc/uptime
    _dmremap_now=${_dmremap_now%%.*}
    : "${_dmremap_since:=$_dmremap_now}"
    if [ $((_dmremap_now - _dmremap_since)) -ge "$(getargnum 30 0 86400 rd.dmremap.timeout)" ]; then
        if getargbool 0 rd.dmremap.allow_raw; then
            warn "dm-remap: rd.dmremap.allow_raw: going on without it, from the bare main"
            # from now on mains are not masked
            mkdir -p /run/dm-remap/raw
            udevadm trigger --subsystem-match=block
            _dmremap_done=1
        else
            emergency_shell -n dm-remap "dm-remap: a set that this boot needs could not be activated"
        fi
        unset _dmremap_since _dmremap_said
    fi
fi
