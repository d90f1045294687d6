# SPDX-License-Identifier: GPL-2.0
"""Bad input to dmremap: one sentence, the right exit status, and nothing changed on disk."""

import hashlib
import subprocess

import pytest

from harness import paths
from harness.assembler import dmremap, examine
from harness.cache import execute
from harness.machine import Machine
from harness.remap import Remap

NOT_DONE, ERROR, USAGE = 4, 8, 16


@pytest.fixture
def image(tmp_path):
    """image("64M", "name"): a blank image file."""
    def make(size, name):
        path = tmp_path / name
        execute("truncate", "-s", size, path)
        return path
    return make


def digest(*paths):
    return [hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
            for path in paths]


def overwrite_superblocks(spare):
    """In part, so that they still tell what there was."""
    copies = examine(spare)["copies"]
    with open(spare, "r+b") as file:
        for copy in copies:
            file.seek(copy["offset_bytes"] + 300)
            file.write(b"overwritten")


def assert_refused(status, about, *argv, untouched=()):
    """One sentence on stderr that names `about`."""
    before = digest(*untouched)
    done = dmremap(*argv, check=status)
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert str(about) in done.stderr
    assert digest(*untouched) == before


@pytest.mark.parametrize("command", ["examine", "check", "repair"])
def test_what_holds_no_metadata(image, tmp_path, command):
    blank, small = image("16M", "blank"), image("4K", "small")
    assert_refused(NOT_DONE, blank, command, blank, untouched=[blank])
    assert_refused(NOT_DONE, small, command, small, untouched=[small])
    assert_refused(ERROR, tmp_path, command, tmp_path)
    assert_refused(ERROR, tmp_path / "nowhere", command, tmp_path / "nowhere")
    assert_refused(USAGE, "--nonsense", command, "--nonsense", blank, untouched=[blank])
    assert_refused(USAGE, "", command)
    assert_refused(USAGE, "--quiet=yes", command, "--quiet=yes", blank, untouched=[blank])
    assert_refused(USAGE, "-x", command, "-qx", blank, untouched=[blank])


def test_json_has_its_keys_whatever_is_lost(image):
    main, spare, blank = image("64M", "main"), image("16M", "spare"), image("16M", "blank")
    dmremap("create", "home", "--main", main, "--spare", spare, check=0)
    whole = examine(spare)
    overwrite_superblocks(spare)
    lost = examine(spare)
    assert lost["verdict"] == "lost"
    promised = {"uuid", "name", "generation", "state", "length_sectors", "main", "copies",
                "valid_copies", "extents", "verdict"}
    nothing = examine(blank)
    assert nothing["verdict"] == "none" and "no dm-remap metadata" in nothing["reason"]
    assert promised <= set(whole) and promised <= set(lost) and promised <= set(nothing)


def test_unknown_commands(image):
    assert_refused(USAGE, "nonsense", "nonsense")


def test_what_cannot_be_looked_at_is_not_done():
    """A boot must not go on from the bare main because dmremap could not see the devices."""
    script = 'mount -t tmpfs none /sys && exec "$@"'
    done = subprocess.run(["unshare", "--mount", "sh", "-c", script, "sh", paths.dmremap(),
                           "assemble", "--dry-run"], capture_output=True, text=True, timeout=60)
    assert done.returncode == ERROR | NOT_DONE, done


def test_forbidden_is_not_done():
    """Who asks for a set by name is told that nothing happens."""
    script = ("mount -t tmpfs none /etc && touch /etc/initrd-release && "
              "echo rd.dmremap=0 > /etc/cmdline && mount --bind /etc/cmdline /proc/cmdline && "
              'exec "$@"')
    done = subprocess.run(["unshare", "--mount", "sh", "-c", script, "sh", paths.dmremap(),
                           "assemble", "home"], capture_output=True, text=True, timeout=60)
    assert done.returncode == NOT_DONE and "rd.dmremap=0" in done.stderr, done


def test_create_refuses_the_spare_of_a_set_as_main(image):
    main, spare, other = image("64M", "main"), image("16M", "spare"), image("16M", "other")
    dmremap("create", "home", "--main", main, "--spare", spare, check=0)
    assert_refused(NOT_DONE, spare, "create", "x", "--main", spare, "--spare", other,
                   untouched=[spare, other])


def test_create_refuses_what_was_a_spare_as_main(image):
    """A set on it could never be assembled: it may be the other one's."""
    main, spare, other = image("64M", "main"), image("16M", "spare"), image("16M", "other")
    dmremap("create", "home", "--main", main, "--spare", spare, check=0)
    overwrite_superblocks(spare)
    assert_refused(NOT_DONE, spare, "create", "x", "--main", spare, "--spare", other,
                   untouched=[spare, other])


def test_an_active_set_has_its_main_alone(boot, new_disk):
    main, spare, other = new_disk("64M"), new_disk("16M"), new_disk("16M")
    vm = boot(main, spare, other)
    vm.run(f"dmremap create home --main {main.dev} --spare {spare.dev} && dmremap assemble home")
    done = vm.run(f"dmremap create x --main {main.dev} --spare {other.dev}", check=False)
    assert (done.status, done.stdout) == (NOT_DONE, "")
    assert f"main {main.dev} is a member of an active set" in done.stderr


def test_an_activation_that_was_cut_short_is_none(boot, new_disk):
    """dmremap was killed, by udev perhaps, while the disk did not answer: the set is not active."""
    main, spare = new_disk("64M"), new_disk("16M")
    vm = boot(main, spare)
    uuid = vm.run(f"dmremap create home --main {main.dev} --spare {spare.dev}").strip()
    vm.run(f"dmsetup create home --notable --uuid DMREMAP-{uuid}")
    assert vm.run("dmremap status --json").strip() == '{"sets":[]}'
    vm.run("dmremap assemble home")
    assert " remap rw ok " in vm.run("dmsetup status home")


def test_create_refuses_a_spare_that_is_something_else(image, tmp_path):
    main, spare = image("64M", "main"), image("16M", "spare")
    small, tree = image("512K", "small"), tmp_path / "folder"
    tree.mkdir()
    execute("mkfs.ext4", "-q", spare)
    create = ("create", "home", "--main", main, "--spare")
    both = [main, spare]
    assert_refused(NOT_DONE, "ext4", *create, spare, untouched=both)
    assert_refused(NOT_DONE, small, *create, small, untouched=[main, small])
    assert_refused(ERROR, tree, *create, tree, untouched=[main])
    assert_refused(NOT_DONE, main, *create, main, untouched=[main])
    assert_refused(USAGE, "--spare", "create", "home", "--main", main, untouched=[main])
    assert_refused(USAGE, "a/b", "create", "a/b", "--main", main, "--spare", spare, untouched=both)
    assert_refused(USAGE, "no-uuid", *create, spare, "--uuid", "no-uuid", untouched=both)

    dmremap(*create, spare, "--force", check=0)
    assert examine(spare)["verdict"] == "clean"
    assert_refused(NOT_DONE, spare, "create", "other", "--main", main, "--spare", spare,
                   untouched=both)


def test_devices_in_use_and_devices_that_fail(fast_lane, new_disk):
    main, spare, other = new_disk("64M"), new_disk("16M"), new_disk("16M")
    unreadable = new_disk("1M")
    with Machine(fast_lane, [main, spare, other, unreadable]) as vm:
        vm.boot()

        def refused(status, about, command):
            before = vm.run(f"sha256sum {main.dev} {spare.dev} {other.dev}")
            done = vm.run(command, check=False)
            assert done.status == status, done
            assert len(done.stderr.strip().splitlines()) == 1, done.stderr
            assert about in done.stderr
            assert vm.run(f"sha256sum {main.dev} {spare.dev} {other.dev}") == before

        create = f"dmremap create x --main {main.dev} --spare"
        vm.run(f"mkfs.ext4 -q {other.dev}; mkdir -p /mnt; mount -o ro {other.dev} /mnt")
        refused(NOT_DONE, other.dev, f"{create} {other.dev}")
        refused(NOT_DONE, other.dev, f"{create} {other.dev} --force")
        vm.run("umount /mnt")
        with Remap(vm, main, spare):
            refused(NOT_DONE, spare.dev, f"{create} {spare.dev} --force")
            refused(ERROR, spare.dev, f"dmremap repair {spare.dev}")
        unreadable.bad_sectors(0, count=2048, on="read")
        for command in (f"dmremap examine {unreadable.dev}", f"dmremap repair {unreadable.dev}",
                        f"{create} {unreadable.dev}"):
            refused(ERROR, unreadable.dev, command)
        unreadable.heal()
        assert vm.run(f"tr -d '\\0' < {unreadable.dev} | wc -c") == "0\n"
