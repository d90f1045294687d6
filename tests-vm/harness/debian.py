# SPDX-License-Identifier: GPL-2.0
"""Debian systems as folders, made from Debian's packages."""

import os
import shlex
from pathlib import Path

from .cache import cached, digest, execute
from .paths import Missing

PACKAGES = ("linux-image-cloud-amd64", "systemd-sysv", "udev", "dmsetup", "dracut",
            "busybox-static", "kmod", "e2fsprogs", "fdisk", "zstd")
UNWANTED = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*")


class Tree:
    """An unpacked Debian system. Cached: to change one, make another with `overlay`."""

    def __init__(self, path):
        self.path = Path(path)

    @property
    def release(self):
        """The release of the only kernel installed."""
        (release,) = os.listdir(self.path / "lib/modules")
        return release

    @property
    def kernel(self):
        return self.path / f"boot/vmlinuz-{self.release}"

    @property
    def modules(self):
        return self.path / "lib/modules" / self.release

    def run(self, *argv):
        """Runs a command inside. Its mounts, a /tmp of its own too, end with its namespace."""
        root = shlex.quote(str(self.path))
        mounts = (f"mount -t proc proc {root}/proc && mount --rbind /dev {root}/dev && "
                  f"mount -t tmpfs tmp {root}/tmp")
        return execute("unshare", "--mount", "sh", "-c", f'{mounts} && exec chroot {root} "$@"',
                       "sh", *argv)

    def overlay(self, files):
        """A copy with more files. {place: bytes, text, or the Path of a file or folder}."""
        key = digest(str(self.path), *(part for place in sorted(files)
                                       for part in (place, *_contents(files[place]))))
        return Tree(cached("trees", key, lambda path: self._copy_with(path, files)))

    def _copy_with(self, path, files):
        execute("cp", "-a", "--reflink=auto", self.path, path)
        for place, content in files.items():
            put(path / place.lstrip("/"), content)
        execute("depmod", "-b", path, self.release)


def put(target, content):
    """Writes a file or folder; programs and scripts are made executable."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, Path) and content.is_dir():
        execute("cp", "-rL", f"{content}/.", f"{target}/")
        return
    if isinstance(content, Path):
        content = content.read_bytes()
    elif isinstance(content, str):
        content = content.encode()
    target.write_bytes(content)
    if content.startswith((b"#!", b"\x7fELF")):
        target.chmod(0o755)


def _contents(content):
    if isinstance(content, Path) and content.is_dir():
        return [part for file in sorted(content.rglob("*")) if file.is_file()
                for part in (str(file.relative_to(content)), file)]
    return [content]


def debian(suite="bookworm", packages=PACKAGES):
    """A Debian system of this suite, without an initramfs: tests make their own."""
    def make(path):
        if os.geteuid() != 0:
            raise Missing("Debian systems for the VM tests can only be made by root")
        options = [f"--dpkgopt=path-exclude={pattern}" for pattern in UNWANTED]
        execute("mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(packages)}",
                *options, suite, path, env={**os.environ, "INITRD": "No"})

    return Tree(cached("debian", f"{suite}-{digest(packages, UNWANTED)}", make))
