#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# What dm-remap's hooks do. dracut runs them in several shells, one after the other: what one has to tell the next
# is in $_dmremap_run.

_dmremap_run=/run/dm-remap

# Not left to dmremap: this one must help even if dmremap is what keeps the machine from booting.
_dmremap_enabled() {
    case $(getarg rd.dmremap=) in
        0 | no | off | false) return 1 ;;
    esac
}

# What the kernel command line says of $1. getargbool would take whatever it does not know for yes.
_dmremap_option() {
    dmremap config --boot "$1" 2> /dev/null < /dev/null
}

# No set that this boot needs is missing, and root= leads to none that is not active.
_dmremap_is_done() {
    [ -e "$_dmremap_run/done" ]
}

# The set's device if $1 is, or is on, a bare main; nothing if it is that device itself, or has to do with no set.
# Fails if the set is not active.
_dmremap_instead_of() {
    _dmremap_found=$(dmremap resolve "$1" < /dev/null) || return
    [ "$(readlink -f "$1")" = "$(readlink -f "$_dmremap_found")" ] || echo "$_dmremap_found"
}

# The same of what root= names.
_dmremap_resolve_root() {
    _dmremap_bare=${root-}
    _dmremap_instead_of "${_dmremap_bare#block:}"
}

# Activate what can be activated, and say what is new, or all that hinders. dracut's loop comes here again and again.
# A clone of a member is no member, whether that is late or gone: it is for a person to say that it takes its place.
_dmremap_assemble() {
    _dmremap_new=$(dmremap assemble --all --no-clones 2>&1 < /dev/null)
    _dmremap_status=$?
    # Bit 4 of the status: a set that was asked for isn't active. From 16 on dmremap did not get
    # as far as looking.
    _dmremap_ready=
    if [ $((_dmremap_status & 4)) -eq 0 ] && [ "$_dmremap_status" -lt 16 ]; then
        if _dmremap_set=$(_dmremap_resolve_root 2> /dev/null); then
            _dmremap_ready=1
        else
            _dmremap_new="$_dmremap_new
$(_dmremap_resolve_root 2>&1)"
        fi
    fi
    # Only warn reaches the console both with and without systemd. Complaints begin with the program's name.
    _dmremap_tell=warn
    [ "$_dmremap_status" -eq 0 ] && _dmremap_tell=info
    [ "$_dmremap_new" = "${_dmremap_said-}" ] && return 0
    _dmremap_said=$_dmremap_new
    while read -r _dmremap_line; do
        case $_dmremap_line in
            "") ;;
            dmremap:*) warn "$_dmremap_line" ;;
            *) "$_dmremap_tell" "$_dmremap_line" ;;
        esac
    done << LINES
$_dmremap_new
LINES
}

# If root= is the path of a bare main, or of a partition of it, its set's device $_dmremap_set is mounted in its
# place. Of systemd's units for it, which generators made before anything was known, some can only be replaced.
_dmremap_point_root_at_set() {
    [ -n "$_dmremap_set" ] || return 0
    _dmremap_bare=${root#block:}
    root=block:$_dmremap_set
    # The partition may be gone. What waits for it is not removed: dracut 059 has a generator that would make it again.
    _dmremap_name=$(str_replace "$_dmremap_bare" / '\x2f')
    echo : > "$hookdir/initqueue/finished/devexists-$_dmremap_name.sh"
    rm -f -- "$hookdir/emergency/80-$_dmremap_name.sh"
    [ -n "${DRACUT_SYSTEMD-}" ] || return 0

    _dmremap_bare=$(dev_unit_name "$_dmremap_bare").device
    _dmremap_unit=$(dev_unit_name "$_dmremap_set").device
    _dmremap_etc=/etc/systemd/system
    mkdir -p $_dmremap_etc/sysroot.mount.d $_dmremap_etc/initrd-root-device.target.d $_dmremap_etc/initrd.target.wants
    printf '[Mount]\nWhat=%s\n' "$_dmremap_set" > $_dmremap_etc/sysroot.mount.d/dm-remap.conf
    printf '[Unit]\nRequires=%s\nAfter=%s\n' "$_dmremap_unit" "$_dmremap_unit" \
        > $_dmremap_etc/initrd-root-device.target.d/50-root-device.conf
    if [ -e /run/systemd/generator/systemd-fsck-root.service ]; then
        cat > $_dmremap_etc/systemd-fsck-root.service << END
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
    # Masked, the bare main will never be there. Nothing is to wait for it: not now, nor after an emergency shell.
    ln -sf /dev/null "$_dmremap_etc/initrd.target.wants/$_dmremap_bare"
    systemctl daemon-reload
    systemctl --no-block stop "$_dmremap_bare"
}

# If resume= is the path of a bare main, the system wakes up from its set, or from nothing. systemd would wait for
# the masked main for ever.
_dmremap_point_resume_at_set() {
    _dmremap_bare=$(getarg resume=) && ! getarg noresume > /dev/null || return 0
    _dmremap_bare=$(label_uuid_to_dev "$_dmremap_bare")
    if _dmremap_set=$(_dmremap_instead_of "$_dmremap_bare" 2> /dev/null); then
        [ -n "$_dmremap_set" ] || return 0
    else
        warn "dm-remap: resume=$_dmremap_bare is left out: it is the main of a set that is not active"
    fi
    if [ -z "${DRACUT_SYSTEMD-}" ]; then
        # shellcheck disable=SC2034 # dracut's resume.sh reads it
        resume=$_dmremap_set
        # The partition may be gone.
        cancel_wait_for_dev /dev/resume
        rm -f -- "$hookdir/initqueue/settled/resume.sh" "$hookdir/initqueue/timeout/resume.sh"
    else
        if [ -n "$_dmremap_set" ] && [ -w /sys/power/resume ]; then
            # where on it, resume_offset=, the kernel knows by itself
            _dmremap_node=$(readlink -f "$_dmremap_set")
            cat "/sys/class/block/${_dmremap_node##*/}/dev" > /sys/power/resume
        fi
        systemctl --no-block stop "$(dev_unit_name "$_dmremap_bare").device"
    fi
}

_dmremap_finish() {
    _dmremap_point_root_at_set
    _dmremap_point_resume_at_set
    # Of what cannot be written there is nothing to check: dracut 059 would stop at the error.
    # shellcheck disable=SC2034 # mount-root.sh reads it
    [ "$(_dmremap_option ro)" != 1 ] || fastboot=yes
    # The shutdown hook is in this image, which systemd then returns to.
    [ ! -d /sys/module/dm_remap ] || need_shutdown
    mkdir -p "$_dmremap_run" && : > "$_dmremap_run/done"
}

# Sets _dmremap_now, seconds.
_dmremap_look_at_clock() {
    read -r _dmremap_now _ < /proc/uptime
    _dmremap_now=${_dmremap_now%%.*}
}

# What is missing may still appear, and is waited for so long.
_dmremap_time_is_up() {
    _dmremap_look_at_clock
    _dmremap_timeout=$(_dmremap_option timeout)
    [ $((_dmremap_now - _dmremap_since)) -ge "${_dmremap_timeout:-30}" ]
}

# The boot stops here, be rd.retry shorter or, as a rule, longer; the emergency hook says why.
_dmremap_give_up() {
    unset _dmremap_since _dmremap_said
    if [ "$(_dmremap_option allow_raw)" = 1 ]; then
        warn "dm-remap: rd.dmremap.allow_raw: going on without it, from the bare main"
        # from now on mains are not masked
        mkdir -p "$_dmremap_run/raw"
        udevadm trigger --subsystem-match=block
        udevadm settle
        _dmremap_set=$(_dmremap_resolve_root 2> /dev/null)
        _dmremap_finish
    else
        emergency_shell -n dm-remap "dm-remap: a set that this boot needs could not be activated"
    fi
}

_dmremap_settled() {
    # Given up before, and going on all the same.
    [ ! -e "$_dmremap_run/raw" ] || return 0
    _dmremap_look_at_clock
    : "${_dmremap_since:=$_dmremap_now}"
    _dmremap_assemble
    if [ -z "$_dmremap_ready" ]; then
        rm -f "$_dmremap_run/done"
        if ! _dmremap_time_is_up; then
            # shellcheck disable=SC2034 # as dracut's loop does when something has happened: rd.retry is not over yet
            main_loop=0
            return 0
        fi
        # a set with damage that could not be mended is active, which only the next look says
        _dmremap_assemble
    fi
    if [ -n "$_dmremap_ready" ]; then
        unset _dmremap_since
        _dmremap_is_done || _dmremap_finish
    else
        _dmremap_give_up
    fi
}
