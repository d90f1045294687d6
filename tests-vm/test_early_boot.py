# SPDX-License-Identifier: GPL-2.0
"""
The root is a set, however it is named, and no boot goes on without it.

Each of these is promised of every system that early boot is for: `make check` does one of them on one
system and the next on another, `make check-all` all on all.
"""

import pytest

from harness.adopted import Adopted
from harness.hotplug import active
from harness.root import ROOT_LABEL, ROOT_PARTUUID, ROOT_UUID


@pytest.fixture
def adopted(system):
    with Adopted(system) as found:
        yield found


def assert_root_is_the_set(vm):
    assert vm.run("findmnt -no SOURCE /") == "/dev/mapper/root\n"
    assert list(active(vm)) == ["root"]
    dm = vm.run("readlink -f /dev/mapper/root")
    for link in f"uuid/{ROOT_UUID}", f"label/{ROOT_LABEL}", f"partuuid/{ROOT_PARTUUID}":
        assert vm.run(f"readlink -f /dev/disk/by-{link}") == dm


@pytest.mark.parametrize("root", [f"UUID={ROOT_UUID}", f"LABEL={ROOT_LABEL}", f"PARTUUID={ROOT_PARTUUID}",
                                  "/dev/vda1", "/dev/mapper/root"],
                         ids=["uuid", "label", "partuuid", "bare-main", "mapper"])
def test_root_named_by(adopted, root):
    with adopted.machine(root=root) as vm:
        vm.boot()
        assert_root_is_the_set(vm)
