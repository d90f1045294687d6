# SPDX-License-Identifier: GPL-2.0
"""What dmremap says of the members of a set that is active, and of one that was."""

import json

from harness.assembler import dmremap
from harness.copies import Copies
from harness.machine import Machine


def test_members_of_an_active_set_and_of_a_former_one(fast_lane, new_disk):
    main, spare = new_disk("64M", serial="MAIN"), new_disk("16M", serial="SPARE")
    with Machine(fast_lane, [main, spare]) as vm:
        vm.boot()
        uuid = vm.run(f"dmremap create home --main {main.dev} --spare {spare.dev}").strip()
        vm.run("dmremap assemble home")
        assert json.loads(vm.run("dmremap scan --json"))["sets"][0]["main"] == main.dev
        assert "dm_remap_main" in vm.run(f"dmremap udev {main.dev}")
        assert "dm_remap_spare" in vm.run(f"dmremap udev {spare.dev}")
        vm.run("dmremap stop home")

        # mkfs leaves most of the superblocks, but a file system is nobody's spare, unless somebody says so
        vm.run(f"mkfs.ext4 -qF -E nodiscard {spare.dev}")
        assert vm.run(f"dmremap udev {spare.dev}") == ""
        vm.run(f"echo set {uuid} spare=serial:SPARE > /etc/dm-remap.conf")
        assert "dm_remap_spare" in vm.run(f"dmremap udev {spare.dev}")
        vm.run(f"mkdir -p /mnt; mount -o ro {spare.dev} /mnt")
        assert vm.run(f"dmremap udev {spare.dev}") == ""


def test_a_file_full_of_superblocks_makes_no_spare_of_its_disk(fast_lane, new_disk):
    """Else whoever may write files could keep a machine from booting, or have it boot from what he likes."""
    main, spare = new_disk("64M", serial="MAIN"), new_disk("16M", serial="SPARE")
    with Machine(fast_lane, [main, spare]) as vm:
        vm.boot()
        uuid = vm.run(f"dmremap create home --main {main.dev} --spare {spare.dev}").strip()
        vm.run("dmremap assemble home; mkfs.ext4 -q /dev/mapper/home; dmremap stop home")
        # as the files would have them that are at these places of the disk
        forged = new_disk("64M")
        dmremap("create", "home", "--uuid", uuid, "--main", main.path, "--spare", forged.path)
        copies = Copies.of(forged)
        copies[0].corrupt("zero")
        dmremap("repair", forged.path)
        for number in range(1, 5):
            main.write_at(copies[number].offset, copies[number].read())
        vm.run("echo 3 > /proc/sys/vm/drop_caches")
        assert len(json.loads(vm.run("dmremap scan --json"))["sets"]) == 2
        assert vm.run(f"dmremap udev {main.dev}") == ""
        vm.run(f"echo set {uuid} main=serial:MAIN > /etc/dm-remap.conf")
        assert "dm_remap_main" in vm.run(f"dmremap udev {main.dev}")
        decisions = json.loads(vm.run("dmremap assemble --all --dry-run --json"))["decisions"]
        assert [d["decision"] for d in decisions if d["spare"] == spare.dev] == ["activate"]
        assert vm.run("dmremap assemble home")


def test_a_former_spare_in_other_use_is_written_only_by_name(fast_lane, new_disk):
    """To mend its first copy would be to write over the start of somebody's file system."""
    main, spare = new_disk("64M", serial="MAIN"), new_disk("16M", serial="SPARE")
    with Machine(fast_lane, [main, spare]) as vm:
        vm.boot()
        vm.run(f"dmremap create home --main {main.dev} --spare {spare.dev}")
        vm.run(f"mkfs.ext4 -qF -E nodiscard {spare.dev}")
        before = vm.run(f"sha256sum {spare.dev}")
        done = vm.run("dmremap assemble --all --json", check=False)
        (decision,) = json.loads(done.stdout)["decisions"]
        assert (done.status, decision["decision"]) == (4, "conflict")
        assert "ext4" in decision["reason"]
        assert vm.run(f"sha256sum {spare.dev}") == before
        assert vm.run("dmremap assemble home", check=False).status == 1
        assert " 5/5 " in vm.run("dmsetup status home")


def test_udev_reads_little(fast_lane, new_disk):
    """Every block device of every boot is asked, whether it has to do with a set or not."""
    main, spare, other = new_disk("64M", serial="MAIN"), new_disk("16M"), new_disk("64M")
    with Machine(fast_lane, [main, spare, other]) as vm:
        vm.boot()
        uuid = vm.run(f"dmremap create home --main {main.dev} --spare {spare.dev}").strip()
        vm.run(f"echo 'set {uuid} main=serial:MAIN' > /etc/dm-remap.conf")
        for disk, says in ((main, "dm_remap_main"), (other, "")):
            vm.run("echo 3 > /proc/sys/vm/drop_caches")
            reads = f"cut -c 1-8 /sys/block/{disk.dev[5:]}/stat"
            before = int(vm.run(reads))
            assert says in vm.run(f"dmremap udev {disk.dev}")
            assert int(vm.run(reads)) - before <= 10
