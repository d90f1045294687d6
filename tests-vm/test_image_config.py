# SPDX-License-Identifier: GPL-2.0
"""What the config in an image says of the sets that the system runs from, if the system's own says nothing of them."""

import pytest

from harness.adopted import CONFIG
from harness.debian import PACKAGES, debian
from harness.disk import Disk
from harness.machine import Machine
from harness.products import with_dm_remap
from harness.root import boot_lane, dracut, root_image

IMAGE_CONFIG = "/usr/share/dm-remap/image-config"


@pytest.fixture(scope="module")
def vm():
    """Sets one and two, of disks, and three, of what has no name that stays; none is used."""
    # the Debian of test_claims, so as not to make another
    tree = with_dm_remap(debian(packages=(*PACKAGES, "lvm2", "mdadm", "btrfs-progs")))
    with Disk.copy_of(root_image(tree)) as root, Disk("256M") as one, Disk("256M") as two, \
            Disk("16M") as a, Disk("16M") as b, Disk("16M") as c, \
            Machine(boot_lane(tree, dracut(tree, systemd=False)), [root, one, two, a, b, c]) as vm:
        vm.boot()
        vm.run("modprobe loop; truncate -s 300M /file; losetup /dev/loop0 /file")
        for name, main, spare in ("one", one.dev, a.dev), ("two", two.dev, b.dev), ("three", "/dev/loop0", c.dev):
            vm.run(f"dmremap create {name} --main {main} --spare {spare} && dmremap assemble {name}")
        yield vm


@pytest.fixture
def lines(vm):
    """The line of each set in an image."""
    every = (line.split(" spare=")[0] for line in vm.run("dmremap config").splitlines())
    found = {line.split()[2].removeprefix("name="): line for line in every}
    assert found["one"].split(" main=")[1].startswith("wwid:") and " main=path:" in found["three"]
    return {**found, "three": found["three"].split(" main=")[0]}


@pytest.fixture
def root_is_on(vm):
    def played(path):
        vm.put("/tmp/findmnt", f"#!/bin/sh\n[ $3 = / ] && echo {path}\n")
        vm.run("chmod +x /tmp/findmnt")
    yield played
    vm.run(f"rm -f /tmp/findmnt {CONFIG}")


@pytest.fixture
def blank(vm):
    yield
    vm.run("swapoff -a; umount -q /mnt; DM_DISABLE_UDEV=1 dmsetup remove both;"
           "wipefs -qaf /dev/mapper/one /dev/mapper/two")


def image_config(vm, config=None, status=0):
    if config is not None:
        vm.put(CONFIG, config)
    said = vm.run(f"PATH=/tmp:$PATH {IMAGE_CONFIG}", check=False)
    assert said.status == status
    return said


def test_sets_that_the_system_does_not_run_from_are_left_out(vm):
    assert image_config(vm, status=1).stdout == ""
    assert image_config(vm, "# none\n", status=1).stdout == "# none\n"
    vm.run(f"rm {CONFIG}")


def test_to_name_one_is_not_to_leave_out_the_others(vm, lines, root_is_on):
    root_is_on("/dev/mapper/one")
    said = image_config(vm)
    assert said.stdout == f"auto yes\n{lines['one']}\n"
    assert "does not name set" in said.stderr
    assert image_config(vm, "auto no\n").stdout == f"auto no\n{lines['one']}\n"


def test_a_path_that_a_main_has_today_is_not_its_name(vm, lines, root_is_on):
    root_is_on("/dev/mapper/three")
    assert image_config(vm).stdout == f"auto yes\n{lines['three']}\n"


def test_what_the_config_says_is_kept(vm, lines, root_is_on):
    """Also if its last line has no end."""
    root_is_on("/dev/mapper/one")
    assert image_config(vm, "scrub_interval 7").stdout == f"scrub_interval 7\nauto yes\n{lines['one']}\n"
    other = lines["two"]
    assert image_config(vm, other).stdout == f"{other}\n{lines['one']}\n"


def test_a_set_that_is_named_is_not_named_again(vm, lines, root_is_on):
    root_is_on("/dev/mapper/one")
    _, one, *_ = lines["one"].split()
    for config in f"{lines['one']}", f"  set\t{one.upper()} name=one\n":
        said = image_config(vm, config)
        assert said.stdout == config and said.stderr == ""
    # in a comment it is not
    config = f"{lines['two']} # was {one}\n"
    assert image_config(vm, config).stdout == f"{config}{lines['one']}\n"


@pytest.mark.usefixtures("blank")
def test_swap_is_part_of_it(vm, lines):
    """A system that sleeps there would wake up from the bare main."""
    vm.run("mkswap -q /dev/mapper/two; swapon /dev/mapper/two")
    assert image_config(vm).stdout == f"auto yes\n{lines['two']}\n"


@pytest.mark.usefixtures("blank")
@pytest.mark.parametrize("make, root", [
    ("modprobe btrfs; mkfs.btrfs -q /dev/mapper/one /dev/mapper/two; mount /dev/mapper/one /mnt", "/dev/mapper/one"),
    (r"printf '0 8 linear /dev/mapper/one 0\n8 8 linear /dev/mapper/two 0\n' | DM_DISABLE_UDEV=1 dmsetup create both",
     "/dev/mapper/both")], ids=["btrfs", "dm"])
def test_all_sets_below_it_are_named(vm, lines, root_is_on, make, root):
    vm.run(f"set -e; {make}")
    root_is_on(root)
    assert image_config(vm).stdout.splitlines() == ["auto yes", *sorted((lines["one"], lines["two"]))]
