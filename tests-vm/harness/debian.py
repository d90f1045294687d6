# SPDX-License-Identifier: GPL-2.0
"""Debian systems as folders, made from Debian's packages."""

import os
import shlex
from pathlib import Path

from .cache import cached, digest, execute
from .paths import Missing

# Both makers of initramfs images; the packages that have the next kernel's made would not go together.
PACKAGES = ("linux-image-cloud-amd64", "systemd-sysv", "udev", "dmsetup", "dracut-core",
            "initramfs-tools", "busybox-static", "kmod", "e2fsprogs", "fdisk", "zstd")
UNWANTED = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*")

# A kernel and what builds modules for it. Kernels want an initramfs tool: this is the smallest.
CLOUD, STOCK = "cloud-amd64", "amd64"  # for virtual machines, and for all
KERNEL = ("linux-image-{}", "tiny-initramfs", "linux-headers-{}", "make", "binutils",
          "perl", "dash", "coreutils", "findutils", "grep", "sed", "mawk")


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
        old = self.path / f"boot/vmlinuz-{self.release}"
        return old if old.exists() else self.modules / "vmlinuz"

    @property
    def modules(self):
        return self.path / "lib/modules" / self.release

    def run(self, *argv, shared=None, **options):
        """
        Runs a command inside. Its mounts end with its namespace, and so does all that it has written.

        `shared` is a folder of this machine that it sees at the same place.
        """
        root = shlex.quote(str(self.path))
        mounts = (f"mount -t tmpfs tmp {root}/tmp && mkdir {root}/tmp/upper {root}/tmp/work && "
                  f"mount -t overlay tree -o lowerdir={root},upperdir={root}/tmp/upper,workdir={root}/tmp/work"
                  f" {root} && mount -t proc proc {root}/proc && mount --rbind /dev {root}/dev && "
                  f"mount -t tmpfs tmp {root}/tmp")
        if shared:
            folder = shlex.quote(str(shared))
            mounts += f" && mkdir -p {root}{folder} && mount --bind {folder} {root}{folder}"
        return execute("unshare", "--mount", "sh", "-c", f'{mounts} && exec chroot {root} "$@"',
                       "sh", *argv, **options)

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


def debian(suite="bookworm", packages=PACKAGES, to_install=""):
    """
    A Debian system of this suite, without an initramfs: tests make their own.

    The package files of a kernel's flavour `to_install` lie in /opt.
    """
    def make(path):
        options = [f"--dpkgopt=path-exclude={pattern}" for pattern in UNWANTED]
        if to_install:
            fetch = ("cd /opt && apt-get download -q $(apt-cache depends --important "
                     f"linux-image-{to_install} | sed -n \"s/^ *Depends: //p\")")
            options.append(f"--customize-hook=chroot \"$1\" sh -ec '{fetch}'")
        _mmdebstrap("minbase", suite, packages, path, *options)

    return Tree(cached("debian", f"{suite}-{digest(packages, UNWANTED, to_install)}", make))


def unpacked(suite, packages):
    """The same in half the time where nothing needs to be configured: packages only unpacked."""
    def make(path):
        # The links that packages expect or would make, as they would modules.dep.
        _mmdebstrap("extract", suite, packages, path,
                    '--setup-hook=cd "$1" && mkdir -p proc usr/bin usr/sbin usr/lib usr/lib64 && '
                    'ln -s usr/bin usr/sbin usr/lib usr/lib64 . && ln -s mawk usr/bin/awk')
        for modules in (path / "lib/modules").glob("*"):
            execute("depmod", "-b", path, modules.name)

    return Tree(cached("unpacked", f"{suite}-{digest(packages)}", make))


def kernel(suite, flavour=CLOUD):
    """A suite's kernel and compiler, to build modules in."""
    return unpacked(suite, tuple(package.format(flavour) for package in KERNEL))


def _mmdebstrap(variant, suite, packages, path, *options):
    if os.geteuid() != 0:
        raise Missing("Debian systems for the VM tests can only be made by root")
    # The list of a suite that is not released looks expired at times.
    execute("mmdebstrap", "--quiet", f"--variant={variant}", f"--include={','.join(packages)}",
            '--aptopt=Acquire::Check-Valid-Until "false"', *options, suite, path, env={**os.environ, "INITRD": "No"})
