# SPDX-License-Identifier: GPL-2.0
"""`make bench`: how much slower something is than something else, both measured in one run."""

import json
import statistics
from contextlib import ExitStack

from harness.copies import Copies
from harness.debian import debian
from harness.disk import Disk
from harness.kernels import lane
from harness.machine import Machine
from harness.remap import Remap
from harness.tools import Tools, tools_disk

ROUNDS = 7
FIO = ("fio --name=bench --filename={dev} --rw=randrw --bs=4k --ioengine=libaio --direct=1"
       " --iodepth=4 --time_based --runtime=5 --output-format=json --randseed=1")
HEALING = """
    touch /tmp/healing
    while [ -e /tmp/healing ]; do
        dmsetup message r0 0 scrub
        dmsetup message r0 0 repair
    done
"""


def latencies(tools, dev):
    """Of reads and writes together: the median and the 99th percentile, in milliseconds."""
    job, = json.loads(tools.run(FIO.format(dev=dev.dev), timeout=120))["jobs"]
    return tuple(statistics.mean(job[kind]["clat_ns"]["percentile"][f"{percent}.000000"] / 1e6
                                 for kind in ("read", "write")) for percent in (50, 99))


def while_it_heals(vm, tools, dev, spare):
    """The same while the copies are damaged, looked at and mended without a pause."""
    healing = vm.spawn(HEALING)
    Copies.of(spare)[1].corrupt("random")
    found = latencies(tools, dev)
    vm.run("rm /tmp/healing")
    healing.wait()
    return found


def healing():
    """What users of a set feel of scrubs and repairs."""
    with ExitStack() as stack:
        tree = debian()
        main, spare, programs = (stack.enter_context(disk) for disk in
                                 (Disk("256M"), Disk("64M"), tools_disk()))
        vm = stack.enter_context(Machine(lane(tree, "bookworm"), [main, spare, programs],
                                         append="loglevel=3"))
        vm.boot()
        tools = Tools(vm, programs)
        with Remap(vm, main, spare) as dev:
            for sector in range(0, 65536, 2048):
                dev.message(f"remap {sector} 256")
            latencies(tools, dev)  # warm
            rounds = [(latencies(tools, dev), while_it_heals(vm, tools, dev, spare))
                      for _ in range(ROUNDS)]
            done = dev.status()
    for name, index in (("median", 0), ("p99", 1)):
        quiet, busy = (statistics.median(pair[which][index] for pair in rounds)
                       for which in (0, 1))
        print(f"{name:>6} latency, 4k random reads and writes: {quiet:.2f} ms, beside scrubs and "
              f"repairs {busy:.2f} ms: {busy / quiet:.2f} times")
    print(f"       {done.scrubs} scrubs and {done.repairs} repairs in {ROUNDS} rounds")


SCAN = {"dmremap scan": "dmremap scan", "blkid": "blkid -c /dev/null", "pvs": "pvs -a",
        "mdadm": "mdadm --examine --scan"}
DISKS = 1000


def seconds(run, command):
    """How long it takes in the guest, with nothing of the disks in memory."""
    began, ended = run("echo 3 > /proc/sys/vm/drop_caches; cat /proc/uptime;"
                       f" {command} > /dev/null 2>&1 || true; cat /proc/uptime", timeout=600).splitlines()
    return float(ended.split()[0]) - float(began.split()[0])


def scan():
    """How long it takes to look at a thousand disks, each large enough to be the main of the only set."""
    with ExitStack() as stack:
        main, spare, programs = (stack.enter_context(disk) for disk in
                                 (Disk("32M"), Disk("16M"), tools_disk()))
        vm = stack.enter_context(Machine(lane(debian(), "bookworm"), [main, spare, programs],
                                         append="loglevel=3", memory=2048))
        vm.boot()
        tools = Tools(vm, programs)
        vm.run(f"dmremap create home --main {main.dev} --spare {spare.dev}")
        vm.run(f"modprobe scsi_debug num_tgts={DISKS // 250} max_luns=250 dev_size_mb=64", timeout=600)
        vm.wait_for(f"test $(ls /sys/block | grep -c ^sd) = {DISKS + 2} && echo there", timeout=600)
        ours, *others = ((name, seconds(vm.run if name.startswith("dmremap") else tools.run, command))
                         for name, command in SCAN.items())
    print(f"       {ours[0]} of {DISKS} disks: {ours[1]:.1f} s; " + ", ".join(
        f"{ours[1] / taken:.2f} times as long as {name} ({taken:.1f} s)" for name, taken in others))


if __name__ == "__main__":
    healing()
    scan()
