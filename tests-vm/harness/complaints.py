# SPDX-License-Identifier: GPL-2.0
"""What a kernel says of itself, whatever a test is about."""

COMPLAINTS = "BUG: KASAN|BUG: [^K]|WARNING:|Oops|general protection|INFO: task|INFO: rcu|leaked|complete after"


def complaints(vm):
    return vm.run(f"dmesg | grep -E -A 20 '{COMPLAINTS}'", check=False).stdout
