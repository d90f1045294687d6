# SPDX-License-Identifier: GPL-2.0
"""udev in a guest: started where nothing else is, and the links that it has made so far."""

RULES = "/etc/udev/rules.d/99-record.rules"
RECORD = "/run/udev-links"

# The last of all rules: which links a device was given, event for event.
RECORDER = ("""SUBSYSTEM=="block", ACTION!="remove", """
            f"""RUN+="/bin/sh -c 'echo $name $links >> {RECORD}'"\n""")


def start_udev(vm):
    """Has a lean root's block devices looked at by udev, from now on."""
    vm.put("/run/udev/rules.d/99-record.rules", RECORDER)
    vm.run("/usr/lib/systemd/systemd-udevd --daemon; udevadm trigger --action=add -s block --settle")


def linked(vm, link):
    """The names of all devices that had this link at any time."""
    lines = vm.run(f"cat {RECORD}").splitlines()
    assert lines, "nothing was recorded"
    return {name for name, *links in map(str.split, lines) if link in links}
