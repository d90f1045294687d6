# SPDX-License-Identifier: GPL-2.0
"""What the Makefile promises of its products."""

from harness import paths
from harness.cache import execute


def test_the_assembler_needs_nothing_but_itself():
    """An initramfs has the libraries that others brought, of whatever version, or none."""
    headers = execute("readelf", "--program-headers", "--dynamic", paths.dmremap()).decode()
    assert "INTERP" not in headers
    assert "NEEDED" not in headers


def test_make_install_puts_everything_where_a_system_looks(tmp_path):
    execute("make", "-C", paths.SOURCE, "install", f"DESTDIR={tmp_path}")
    installed = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert {"usr/sbin/dmremap", "usr/lib/udev/rules.d/60-persistent-dm-remap.rules",
            "usr/lib/dracut/modules.d/50dm-remap/module-setup.sh",
            "usr/share/dm-remap/emergency.txt", "usr/share/dm-remap/image-config",
            "usr/share/initramfs-tools/hooks/dm-remap"} <= installed
    (config,) = tmp_path.glob("usr/src/dm-remap-*/dkms.conf")
    assert config.parent.name == "dm-remap-" + dict(
        line.split("=", 1) for line in config.read_text().splitlines() if "=" in line
    )["PACKAGE_VERSION"].strip('"')
    for source in (paths.SOURCE / "kernel").glob("*.[ch]"):
        assert (config.parent / source.name).exists()
