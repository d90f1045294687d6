# SPDX-License-Identifier: GPL-2.0
"""
Virtual machines with Debian in them, and disks that fail as real ones do.

    debian     a Debian system as a folder, from Debian's packages
    initramfs  the fast lane: kernel and busybox, up in seconds, for tests of the target
    kernels    the fast lane with the kernels of several suites; tools: Debian's programs in it
    root       the boot lane: that system on a partition, with dracut's initramfs
    machine    QEMU: boot, run commands, unplug, cut the power
    console    what it says on its first serial port; guest: commands over the second
    disk       an image, its bad sectors, its bytes; copies: metadata on it, to be damaged
    powerloss  a write cache that is lost with the power; nbd: serves such disks
    remap      the target by dmsetup alone, and devices below it that do what disks can't
    sectors    requests of which it is known how each ended; sysfs: what they made the disks do
    logwrites  what was written to a device of the guest, in what order, with which flags
    ackwriter  writes of which it is known, after a power cut, which were acknowledged
    record     what all disks of a guest receive, in one order
    workloads  what a guest does while that is kept; campaigns: every state of it is judged here
    oracle     random I/O checked against a model; storm: what goes wrong with a set meanwhile
    accel      KVM if it works here, else emulation

A test in a few lines:

    def test_a_bad_sector_is_moved(fast_lane, new_disk, seed):
        main, spare = new_disk("64M"), new_disk("64M", bus="virtio")
        main.bad_sectors(1000, count=3, kind="medium", on="write")
        with Machine(fast_lane, [main, spare], powerloss=True) as vm:
            vm.boot()
            vm.run(f"dmremap create data --main {main.dev} --spare {spare.dev}")
            ...
            vm.power_cut(seed)
            Copies.of(spare)[2].corrupt("random", seed)
            vm.boot()
"""
