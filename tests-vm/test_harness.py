# SPDX-License-Identifier: GPL-2.0
"""The harness itself: does it fail what it says it fails, and end what it started?"""

import os
import select
import subprocess
import sys
from pathlib import Path

import pytest

from harness import accel, sectors
from harness.errors import CommandFailed, GuestError, GuestGone, TimedOut
from harness.guest import DEAD_END
from harness.machine import Machine
from harness.sysfs import attribute


def failing(disk, sectors, way="write"):
    """The sectors where a request of 512 bytes fails, with the reason."""
    where = {"write": f"if=/dev/zero of={disk.dev} oflag=direct seek",
             "read": f"of=/dev/null if={disk.dev} iflag=direct skip"}[way]
    said = disk.vm.run(f"""
        for sector in {" ".join(map(str, sectors))}; do
            reason=$(dd bs=512 count=1 {where}=$sector 2>&1) || echo "$sector: $reason" | head -n 1
        done""")
    return {int(line.split(":")[0]): line.split(": ")[-1] for line in said.splitlines()}


def test_a_command_s_output_and_failure(bare_lane):
    with Machine(bare_lane) as vm:
        vm.boot()
        assert vm.run("echo out; echo err >&2") == "out\n"
        assert vm.run("cat", stdin=b"x" * 10000) == "x" * 10000
        with pytest.raises(CommandFailed, match="(?s)failed with 3.*a reason"):
            vm.run("echo a reason >&2; exit 3")
        with pytest.raises(TimedOut, match="took longer than 1 s"):
            vm.run("sleep 30", timeout=1)
        assert vm.run("echo still there") == "still there\n"
        vm.shutdown()


@pytest.mark.parametrize("powerloss", [False, True], ids=["file", "server"])
def test_bad_sectors_fail_exactly_and_heal(bare_lane, new_disk, powerloss):
    medium, io = new_disk("64M"), new_disk("64M", bus="virtio")
    medium.bad_sectors(1000, count=2)
    with Machine(bare_lane, [medium, io], powerloss=powerloss) as vm:
        vm.boot()
        io.bad_sectors(2000, kind="io", on="both")
        no_data, io_error = "No data available", "Input/output error"
        assert failing(medium, range(998, 1004)) == {1000: no_data, 1001: no_data}
        assert failing(medium, range(998, 1004), "read") == {}
        assert failing(io, range(1998, 2003)) == {2000: io_error}
        assert failing(io, range(1998, 2003), "read") == {2000: io_error}
        medium.heal(1000, count=1)
        assert failing(medium, range(998, 1004)) == {1001: no_data}
        medium.heal()
        assert failing(medium, range(998, 1004)) == {}


def test_disks_are_weak_and_die_and_refuse_what_they_are_told_to(fast_lane, new_disk):
    disks = [new_disk("64M"), new_disk("64M", bus="virtio", physical=4096)]
    no_data, io_error = "No data available", "Input/output error"
    with Machine(fast_lane, disks) as vm:
        vm.boot()
        for disk, reason in zip(disks, [no_data, io_error]):
            assert not sectors.write(disk, range(16), version=2, unit=8)
            disk.fail_next(2, lba=5)
            assert [sectors.read(disk, [5, 6], version=2) for _ in range(3)] == [
                {5: reason}, {5: reason}, {}]
            disk.fail(on="write")
            assert sectors.write(disk, [1, 2]) == {1: io_error, 2: io_error}
            assert not sectors.read(disk, range(16), version=2, depth=16)
            disk.heal()
            assert not sectors.write(disk, [1, 2])
            assert sectors.read(disk, [1, 3], version=2) == {1: "holds version 1 of 1"}
            disk.fail_next(on="flush")
            assert not sectors.write(disk, [1])  # where nothing was written QEMU flushes nothing
            assert vm.run(f"sync {disk.dev}", check=False).stderr.endswith(f"{reason}\n")
            vm.run(f"sync {disk.dev}")
        disks[0].bad_sectors(7, kind="space")
        disks[0].bad_sectors(8, kind="target")
        assert sectors.write(disks[0], range(6, 9)) == {
            7: "No space left on device", 8: "Remote I/O error"}
        disks[0].bad_sectors(400, count=8, on="discard")
        with pytest.raises(CommandFailed, match=no_data):
            vm.run(f"blkdiscard -f -o {400 * 512} -l 4096 {disks[0].dev}")
        assert attribute(disks[0], "queue/physical_block_size") == "512"
        assert attribute(disks[1], "queue/physical_block_size") == "4096"


def test_a_disk_is_unplugged_and_plugged_again(bare_lane, new_disk):
    disks = [new_disk("64M"), new_disk("64M", bus="virtio")]
    with Machine(bare_lane, disks) as vm:
        vm.boot()
        for disk in disks:
            name = disk.dev.removeprefix("/dev/")
            vm.unplug(disk)
            vm.wait_for(f"! grep -w {name} /proc/partitions && echo gone")
            vm.plug(disk)
            assert failing(disk, [5]) == {}


def test_bytes_of_an_image_are_edited_between_boots(bare_lane, new_disk):
    disk = new_disk("64M")
    with Machine(bare_lane, [disk]) as vm:
        vm.boot()
        vm.run(f"printf abcdef | dd of={disk.dev} bs=512 conv=sync oflag=direct")
        vm.shutdown()
        with disk.snapshot() as before:
            disk.zero(1, 1)
            disk.flip(2, mask=0x20)
            disk.write_at(4, b"xy")
            before.restore(5, 1)
        vm.boot()
        assert vm.run(f"dd if={disk.dev} bs=6 count=1 | tr '\\0' 0") == "a0Cdxf"


def test_a_boot_that_takes_too_long_shows_the_console_and_leaves_nothing(bare_lane):
    with Machine(bare_lane, append="rdinit=/bin/sh") as vm:
        vm.start()
        vm.console.expect("Run /bin/sh as init")
        with pytest.raises(TimedOut, match="(?s)the boot took longer.*Run /bin/sh as init"):
            vm.guest.wait_up(timeout=1)
        qemu = vm.qemu.pid
    assert not Path(f"/proc/{qemu}").exists()


def test_what_qemu_says_when_it_does_not_start(bare_lane):
    with Machine(bare_lane, accel=accel.Accelerator("none", ("-accel", "nonesuch"))) as vm:
        with pytest.raises(GuestError, match="nonesuch"):
            vm.boot()


def test_a_panic_ends_the_wait_at_once(bare_lane):
    with Machine(bare_lane, append="rdinit=/bin/false") as vm:
        with pytest.raises(GuestGone, match="Kernel panic"):
            vm.boot()


def test_a_boot_that_ends_in_emergency_mode_is_not_waited_for(bare_lane):
    with Machine(bare_lane, append=f'said="{DEAD_END}"') as vm:
        with pytest.raises(GuestError, match="emergency mode"):
            vm.boot()


def test_a_secret_that_was_typed_too_early_is_typed_again(bare_lane):
    with Machine(bare_lane) as vm:
        vm.boot()
        asks = vm.guest.start("""
            exec < /dev/console > /dev/console
            echo -n 'Secret: '; read -r too_early; stty -echo; read -r secret; echo
            test "$secret" = 'one chance' && echo opened""")
        vm.console.expect("Secret: ")
        vm.console.answer("one chance", then="^opened")
        assert asks.wait().status == 0


def test_qemu_ends_with_a_killed_test(bare_lane):
    """The harness may be killed at any time, by a user or a CI's deadline."""
    script = f"""
import time
from pathlib import Path
from harness.initramfs import Boot
from harness.machine import Machine
vm = Machine(Boot(Path({str(bare_lane.kernel)!r}), Path({str(bare_lane.initrd)!r})))
vm.start()
print(vm.qemu.pid, flush=True)
time.sleep(600)
"""
    test = subprocess.Popen([sys.executable, "-c", script], cwd=Path(__file__).parent,
                            stdout=subprocess.PIPE, text=True)
    qemu = int(test.stdout.readline())
    watch = os.pidfd_open(qemu)
    test.kill()
    test.wait()
    ready, _, _ = select.select([watch], [], [], 30)
    os.close(watch)
    assert ready


def test_kvm_that_runs_nothing_is_not_used(bare_lane, tmp_path):
    absent = tmp_path / "kvm"
    assert accel.accelerator(bare_lane, device=absent) is accel.tcg
    stuck = accel.Accelerator("stuck", ("-accel", "tcg", "-cpu", "max", "-icount", "shift=10"))
    assert not accel.boots(bare_lane, stuck, deadline=2)


def test_a_kernel_changes_its_own_code_while_it_runs(bare_lane):
    """Schedstats are switched by doing that. Emulated CPUs that run at once hang within a minute."""
    with Machine(bare_lane) as vm:
        vm.boot()
        vm.run("while busybox true; do :; done & for i in $(seq 500); do"
               " echo 1 > /proc/sys/kernel/sched_schedstats; echo 0 > /proc/sys/kernel/sched_schedstats;"
               " done; kill $!", timeout=120)
