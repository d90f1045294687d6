# SPDX-License-Identifier: GPL-2.0
"""dracut's images beyond the boot itself: the links on the way to it, all of systemd after it, and the end."""

import pytest

from harness.adopted import CONFIG, Adopted
from harness.disk import Disk
from harness.early import System
from harness.root import ROOT_PARTUUID, ROOT_UUID, dracut
from harness.udev import RECORDER, RULES, linked


@pytest.fixture(params=["dracut-systemd", "dracut"])
def adopted(request):
    with Adopted(System("bookworm", request.param)) as found:
        yield found


@pytest.fixture
def whole():
    with Adopted(System("bookworm", "dracut-systemd"), whole=True) as found:
        yield found


def recorder(adopted):
    """An image that records all links; the config names the set."""
    return dracut(adopted.system.tree, "--include", RULES, RULES,
                  systemd=adopted.system.generator == "dracut-systemd",
                  files={CONFIG: adopted.config, RULES: RECORDER})


@pytest.fixture
def recording(adopted):
    return recorder(adopted)


def assert_links_lead_to_the_set(vm, name="root"):
    """At all times: the main had none that could be mounted."""
    dm = vm.run(f"readlink -f /dev/mapper/{name}")[5:].strip()
    for link in f"disk/by-uuid/{ROOT_UUID}", f"disk/by-partuuid/{ROOT_PARTUUID}", "disk/by-label/debian-root":
        assert linked(vm, link) == {dm}
    folders = "/dev/disk/by-uuid /dev/disk/by-label /dev/disk/by-partuuid"
    assert vm.run(f"find {folders} -lname '*/vda1' 2>/dev/null || true") == ""


# That none does while all of systemd starts, below, is the harder test.
@pytest.mark.parametrize("adopted", [pytest.param("dracut-systemd", marks=pytest.mark.thorough), "dracut"], indirect=True)
def test_no_link_ever_leads_to_the_main(adopted, recording):
    with adopted.machine_with(recording) as vm:
        vm.boot()
        assert_links_lead_to_the_set(vm)


def test_no_link_ever_leads_to_a_partition_of_the_main(whole):
    with whole.machine_with(recorder(whole)) as vm:
        vm.boot()
        assert_links_lead_to_the_set(vm, "root-part1")


@pytest.mark.parametrize("adopted", ["dracut-systemd"], indirect=True)
def test_links_and_root_stay_when_all_of_systemd_starts(adopted, recording):
    with adopted.machine_with(recording, lean=False) as vm:
        vm.boot()
        assert vm.run("systemctl is-system-running --wait", timeout=240) == "running\n"
        vm.run("udevadm trigger --settle")
        assert vm.run("findmnt -no SOURCE /") == "/dev/mapper/root\n"
        assert_links_lead_to_the_set(vm)
        vm.shutdown()


def test_the_gate_is_there_for_rescue_images_too(adopted):
    """rd.hostonly=0 has dracut remove what its loop waits for."""
    with adopted.machine("rd.hostonly=0 rd.dmremap.timeout=3", root="/dev/vda1", disks=[adopted.disk]) as vm:
        vm.start()
        vm.console.expect("a set that this boot needs could not be activated", 120)
        vm.plug(adopted.spare)
        adopted.system.enter_shell(vm.console)
        vm.console.send("exit")
        vm.guest.wait_up(240)
        assert vm.run("findmnt -no SOURCE /") == "/dev/mapper/root\n"


@pytest.mark.parametrize("adopted", ["dracut-systemd"], indirect=True)
def test_the_set_is_stopped_when_the_root_is_gone(adopted):
    """
    At shutdown systemd goes back to the initramfs, if there is one to be found in /boot.

    Not where that came up without systemd: it mounts /run so that nothing can be run from there.
    """
    # dracut 059 takes one that is not compressed for microcode
    image = dracut(adopted.system.tree, compress="--zstd", files={CONFIG: adopted.config})
    with Disk(image) as carrier:
        with adopted.machine_with(image, lean=False, disks=[adopted.disk, adopted.spare, carrier]) as vm:
            vm.boot(400)
            vm.run(f"cat {carrier.dev} > /boot/initrd.img-$(uname -r)", timeout=300)
            vm.shutdown(600)
            assert "root is stopped" in vm.console.text
