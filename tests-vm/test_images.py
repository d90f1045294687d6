# SPDX-License-Identifier: GPL-2.0
"""What an initramfs image holds, and what is told of one that lacks something."""

import re

from harness.root import placing

CONFIG = "set 5c0ffee0-0000-4000-8000-0000000000cc name=root main=serial:MAIN spare=serial:SPARE\n"
NOTHING = "# names no set\n"


def making(any_system, before=":", config=CONFIG, after=""):
    """What the making of an image says, and then its check, or what is asked for `after` it."""
    tree = any_system.tree
    check = after or f"dm-remap-check-image /tmp/image {tree.release}; echo status $?"
    return tree.run("sh", "-c", f"""exec 2>&1
        {placing({"/etc/dm-remap.conf": config})}{before}
        {any_system.command("/tmp/image")}
        {check}""").decode()


def test_a_set_in_the_config_is_enough(any_system):
    """A kernel upgrade makes the next image, and nobody tells it anything. The config is not to change after that."""
    check = f"dm-remap-check-image /tmp/image {any_system.tree.release}; echo status $?"
    said = making(any_system, config=CONFIG + CONFIG.replace("cc", "dd"), after=f"""{check}
        sed -i 1d /etc/dm-remap.conf; {check}""")
    whole, less = said.split("status 0\n")
    assert "W: dm-remap" not in whole
    assert "/etc/dm-remap.conf, or another one" in less and less.endswith("status 1\n")


def test_where_no_set_is_an_image_does_not_have_the_program(any_system):
    tool = "unmkinitramfs /tmp/image ." if any_system.generator == "initramfs-tools" else "lsinitrd --unpack /tmp/image"
    listed = making(any_system, config=NOTHING, after=f"mkdir /tmp/x; cd /tmp/x; {tool}; find .")
    assert "sbin/modprobe" in listed
    assert "sbin/dmremap" not in listed


def test_an_image_made_without_dm_remap_is_found_out(any_system):
    """And that is no reason to leave a package half installed: the hooks of others never fail."""
    said = making(any_system, config=NOTHING, after=f"""
        echo '{CONFIG}' > /etc/dm-remap.conf
        dm-remap-check-image /tmp/image {any_system.tree.release}; echo status $?
        /etc/initramfs/post-update.d/dm-remap {any_system.tree.release} /tmp/image; echo hook $?
        mkdir /boot/efi; mv /tmp/image /boot/efi/initrd.img-{any_system.tree.release}
        touch /etc/kernel/postinst.d/dracut; chmod +x /etc/kernel/postinst.d/dracut
        /etc/kernel/postinst.d/zz-dm-remap {any_system.tree.release} /boot/efi/vmlinuz; echo hook $?
        /etc/kernel/postinst.d/zz-dm-remap {any_system.tree.release}; echo hook $?""")
    for missing in "program dmremap", "udev rule", "/etc/dm-remap.conf":
        assert len(re.findall(f"^W: dm-remap: /.* has no {missing}", said, re.MULTILINE)) == 3
    assert "status 1" in said and said.count("hook 0") == 3


def test_a_kernel_without_the_module_is_warned_of(any_system):
    said = making(any_system, before="rm /lib/modules/*/updates/dm-remap.ko; depmod $(ls /lib/modules)")
    assert "has no module dm-remap: with this image it will not boot from a set" in said
    assert "has no module dm-remap for that kernel" in said
    assert said.endswith("status 1\n")
