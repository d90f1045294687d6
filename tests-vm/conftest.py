# SPDX-License-Identifier: GPL-2.0
"""What the tests are given: systems to boot, disks, seeds."""

import os
import random
from contextlib import ExitStack
from functools import cache, partial

import pytest

from harness import early, kernels
from harness.complaints import complaints
from harness.debian import debian
from harness.debug_kernel import debug_tree
from harness.disk import Disk
from harness.hotplug import plug_in
from harness.initramfs import fast_lane as build_fast_lane
from harness.machine import Machine
from harness.products import with_dm_remap
from harness.programs import PROGRAMS
from harness.root import root_image
from harness.saved import SavedMachine

DEBUG_KERNELS = ("debug", "races")


def pytest_addoption(parser):
    parser.addoption("--all", action="store_true",
                     help="test everything on all kernels and systems that it is for, see `make check-all`")
    parser.addoption("--kernel", choices=[*DEBUG_KERNELS, *kernels.SUITES],
                     help="test the target on such a debug kernel, see `make check-debug`, or on "
                          "that of another Debian suite")


def pytest_configure(config):
    config.addinivalue_line("markers", "every_kernel: test on the kernel of one suite or another, with --all on all")
    config.addinivalue_line("markers", "thorough: only with --all")
    config.addinivalue_line("markers", "faults: needs a kernel that injects them: --kernel=debug")


def pytest_generate_tests(metafunc):
    """Has a test marked every_kernel done on each kernel, unless one is named, and one of early boot on each system."""
    if "any_system" in metafunc.fixturenames:
        metafunc.parametrize("any_system", early.SYSTEMS, ids=str)
    marked = metafunc.definition.get_closest_marker("every_kernel")
    if marked and not metafunc.config.option.kernel:
        metafunc.parametrize("suite", kernels.SUITES, indirect=True)


def pytest_collection_modifyitems(config, items):
    """
    A debug kernel is for the tests of the target that is in the tree, and some are for it alone. Without
    --all what is for many kernels or systems is done on one only, and the next on another.
    """
    kernel = config.option.kernel
    left_out = [item for item in items
                if (kernel in DEBUG_KERNELS and "fast_lane" not in item.fixturenames)
                or (kernel != "debug" and item.get_closest_marker("faults"))
                or (not config.option.all and item.get_closest_marker("thorough"))]
    for item in items:
        if "any_system" in item.fixturenames:
            item.user_properties.append(("early boot", (situation(item), str(item.callspec.params["any_system"]))))
    if not config.option.all:
        for name in "any_system", "suite":
            left_out += not_drawn([item for item in items if item not in left_out], name)
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


def not_drawn(items, name):
    """Of tests that are the same but for a parameter of that name all but one: here the first, there the next."""
    alike = {}
    for item in items:
        if hasattr(item, "callspec") and name in item.callspec.params:
            alike.setdefault((item.path, situation(item, name)), []).append(item)
    return [item for number, same in enumerate(alike.values()) for item in same if item != same[number % len(same)]]


def situation(item, whatever="any_system"):
    """What a test is about, whatever such a parameter is."""
    others = [word for word in item.callspec.id.split("-") if word not in str(item.callspec.params[whatever])]
    return " ".join([item.originalname.removeprefix("test_").replace("_", " "), *others])


def pytest_report_teststatus(report):
    """Names a failure at once: where time runs out there is no end at which pytest would."""
    if report.failed:
        return "failed" if report.when == "call" else "error", f"F({report.nodeid})", "FAILED"
    return None


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


@pytest.fixture(scope="session")
def saved():
    """saved(lane): a machine of that lane which was saved when it was up; test after test goes on from there."""
    with ExitStack() as states:
        @cache
        def machine(lane):
            # The kernel says a lot of each bad sector, and its console is slow.
            return states.enter_context(SavedMachine(partial(Machine, lane, append="loglevel=3"),
                                                     lambda vm: vm.guest.wait_up(240)))
        yield machine


@pytest.fixture
def boot(fast_lane, saved):
    """
    boot(disk, ...): the fast lane, running, with these disks.

    Whatever the test is about, the kernel has nothing to complain about at its end.
    """
    with ExitStack() as machines:
        def machine(*disks):
            vm = machines.enter_context(saved(fast_lane).again())
            running.append(vm)
            vm.start()
            for disk in disks:
                plug_in(vm, disk)
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
def root(root_tree):
    """A disk whose first partition is that system."""
    with Disk.copy_of(root_image(root_tree)) as disk:
        yield disk


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
