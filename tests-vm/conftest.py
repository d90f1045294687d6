# SPDX-License-Identifier: GPL-2.0
"""What the tests are given: systems to boot, disks, seeds."""

import os
import random
from contextlib import ExitStack

import pytest

from harness import early, kernels
from harness.complaints import complaints
from harness.debian import debian
from harness.debug_kernel import debug_tree
from harness.disk import Disk
from harness.initramfs import fast_lane as build_fast_lane
from harness.machine import Machine
from harness.products import with_dm_remap
from harness.programs import PROGRAMS
from harness.root import root_image

DEBUG_KERNELS = ("debug", "races")


def pytest_addoption(parser):
    parser.addoption("--all", action="store_true",
                     help="test all of early boot on all systems that it is for, see `make check-all`")
    parser.addoption("--kernel", choices=[*DEBUG_KERNELS, *kernels.SUITES],
                     help="test the target on such a debug kernel, see `make check-debug`, or on "
                          "that of another Debian suite")


def pytest_configure(config):
    config.addinivalue_line("markers", "every_kernel: test on the kernels of all suites")
    config.addinivalue_line("markers", "thorough: only with --all")
    config.addinivalue_line("markers", "faults: needs a kernel that injects them: --kernel=debug")


def pytest_generate_tests(metafunc):
    """
    Has a test marked every_kernel done on one kernel after the other, unless one is named, and one
    of early boot on each system.
    """
    if "any_system" in metafunc.fixturenames:
        metafunc.parametrize("any_system", early.SYSTEMS, ids=str)
    marked = metafunc.definition.get_closest_marker("every_kernel")
    if marked and not metafunc.config.option.kernel:
        metafunc.parametrize("suite", kernels.SUITES, indirect=True)


def pytest_collection_modifyitems(config, items):
    """
    A debug kernel is for the tests of the target that is in the tree, and some are for it alone. Without
    --all a test of early boot is done on one system only, and the next on another.
    """
    kernel = config.option.kernel
    left_out = [item for item in items
                if (kernel in DEBUG_KERNELS and "fast_lane" not in item.fixturenames)
                or (kernel != "debug" and item.get_closest_marker("faults"))
                or (not config.option.all and item.get_closest_marker("thorough"))]
    of_early_boot = [item for item in items if "any_system" in item.fixturenames]
    situations = list(dict.fromkeys(map(situation, of_early_boot)))
    for item in of_early_boot:
        system = item.callspec.params["any_system"]
        item.user_properties.append(("early boot", (situation(item), str(system))))
        drawn = early.SYSTEMS[situations.index(situation(item)) % len(early.SYSTEMS)]
        if not config.option.all and system != drawn and item not in left_out:
            left_out.append(item)
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


def situation(item):
    """What a test of early boot is about, whatever system it is done on."""
    others = [word for word in item.callspec.id.split("-") if word not in str(item.callspec.params["any_system"])]
    return " ".join([item.originalname.removeprefix("test_").replace("_", " "), *others])


def pytest_terminal_summary(terminalreporter, config):
    """Of early boot on all systems, one table."""
    outcomes = {}
    for word in ("passed", "failed", "error"):
        for report in terminalreporter.stats.get(word, ()):
            for name, cell in report.user_properties:
                if name == "early boot":
                    outcomes[tuple(cell)] = "ok" if word == "passed" else "FAILED"
    if config.option.all and outcomes:
        terminalreporter.section("early boot")
        for line in early.table(outcomes):
            terminalreporter.line(line)


@pytest.fixture(scope="session")
def tree(request):
    """A Debian system as a folder."""
    flavour = request.config.option.kernel
    return debug_tree(debian(), flavour) if flavour in DEBUG_KERNELS else debian()


@pytest.fixture(scope="session")
def bare_lane(tree):
    """The fast lane without dm-remap."""
    return build_fast_lane(tree, PROGRAMS)


@pytest.fixture(scope="session")
def suite(request):
    """The Debian suite whose kernel is tested."""
    asked = getattr(request, "param", request.config.option.kernel)
    return asked if asked in kernels.SUITES else "bookworm"


@pytest.fixture(scope="session")
def fast_lane(tree, suite):
    """Kernel, busybox, dm-remap.ko and dmremap: up in seconds, for tests of the target."""
    return kernels.lane(tree, suite, PROGRAMS)


@pytest.fixture
def boot(fast_lane):
    """
    boot(disk, ..., memory=256): the fast lane with these disks, running; options as of Machine.

    Whatever the test is about, the kernel has nothing to complain about at its end.
    """
    with ExitStack() as machines:
        def machine(*disks, **options):
            # The kernel says a lot of each bad sector, and its console is slow.
            options.setdefault("append", "loglevel=3")
            vm = machines.enter_context(Machine(fast_lane, disks, **options))
            running.append(vm)
            vm.boot()
            return vm
        running = []
        yield machine
        said = [complaints(vm) for vm in running if vm.qemu]
    assert not any(said), "".join(said)


@pytest.fixture(scope="session")
def root_tree(tree):
    """A whole Debian system with dm-remap installed, for the boot lane (harness/root.py)."""
    return with_dm_remap(tree)


@pytest.fixture
def new_root(root_tree):
    """new_root(spare="64M", bus="scsi"): a disk whose first partition is that system."""
    with ExitStack() as disks:
        yield lambda size="1G", spare=None, **options: disks.enter_context(
            Disk.copy_of(root_image(root_tree, size, spare), **options))


@pytest.fixture
def new_disk():
    """new_disk("64M", bus="virtio"): a blank disk for this test, see Disk."""
    with ExitStack() as disks:
        yield lambda *args, **options: disks.enter_context(Disk(*args, **options))


@pytest.fixture
def seed():
    """A number to draw everything random from. DMREMAP_SEED=N repeats a run."""
    seed = int(os.environ.get("DMREMAP_SEED", random.randrange(1 << 32)))
    print(f"DMREMAP_SEED={seed}")
    return seed
