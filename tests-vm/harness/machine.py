# SPDX-License-Identifier: GPL-2.0
"""A virtual machine: QEMU, its disks, its console and the commands run in it."""

import json
import socket
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

from . import patience
from .accel import accelerator
from .console import Console
from .errors import GuestError, GuestGone, TimedOut
from .guest import Guest
from .nbd import Server
from .paths import scratch
from .qmp import Qmp

# What udev loads for the features of an emulated CPU keeps that busy for half a minute at times.
CPU_MODULES = ("kvm_amd", "powernow_k8", "aesni_intel", "ghash_clmulni_intel", "polyval_clmulni",
               "crct10dif_pclmul", "sha1_ssse3", "sha256_ssse3", "sha512_ssse3")

# On a busy host an emulated timer may be too late for the kernel's test of it, which ends in a panic.
APPEND = ("console=ttyS0 panic=-1 no_timer_check systemd.log_color=0 TERM=dumb "
          f"module_blacklist={','.join(CPU_MODULES)}")


class State(NamedTuple):
    """What a machine was doing, in a file, and whether commands can be run at once when it goes on."""

    path: Path
    up: bool


class Machine:
    """
    with Machine(boot, disks=[disk]) as vm:
        vm.boot()
        vm.run("dmesg")

    `boot` says what to start (see initramfs.Boot), `append` adds to its kernel
    command line; without `boot` the first disk's own boot loader does it all, called by a
    BIOS or with uefi=True by UEFI. The same machine boots again after its end, with the same disks.

    With powerloss=True its disks have write caches, and power_cut() loses them. What they receive in
    one run can be kept in a Record.
    With `state`, which save() has made of a machine like this with the same disks, it goes on from there
    when it is first started.
    `echo` is called with each line of the console.
    """

    # Called with each machine before its kernel ends; see debug_kernel.py.
    last_look = None

    def __init__(self, boot, disks=(), append="", memory=512, cpus=2, accel=None, powerloss=False,
                 uefi=False, echo=None, record=None, state=None):
        self.kernel, self.initrd, self._append = boot or (None, None, "")
        self.append = append
        self.disks = list(disks)
        self.memory = memory
        self.cpus = cpus
        self.accel = accel or accelerator(boot)
        self.powerloss = powerloss
        self.uefi = uefi
        self.record = record
        self.state = state
        self.server = None
        self.echo = echo
        self.log = scratch() / f"console-{id(self)}.log"
        self.qemu = self.qmp = self.console = self.guest = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()
        self.log.unlink(missing_ok=True)

    # --- its life ---

    def boot(self, timeout=240):
        """Starts it and waits until commands can be run."""
        self.start()
        self.guest.wait_up(timeout)

    def start(self):
        """Starts it; for boots that are to stop on the way, see console.expect()."""
        if self.qemu:
            raise GuestError("the machine runs already")
        if self.powerloss:
            self.server = Server(self.record)
            for disk in self.disks:
                self._serve(disk)
        pairs = [socket.socketpair() for _ in range(3)]
        ours, theirs = zip(*pairs)
        self.qemu = self._launch([sock.fileno() for sock in theirs])
        for sock in theirs:
            sock.close()
        self.console = Console(ours[0], self.log, self.echo)
        self.guest = Guest(ours[1], self.console, bool(self.state) and self.state.up)
        try:
            self.qmp = Qmp(ours[2])
        except GuestGone:
            raise GuestError(f"QEMU did not start:\n{self._complaints.read_text()}") from None
        for disk in self.disks:
            disk.attached(self)
        if self.state:
            self._wait_until("its state is read", lambda: self.qmp.execute("query-status")["status"] != "inmigrate")
            self.state = None
        self.qmp.execute("cont")

    def save(self, path):
        """Stops it for good; returns its State, which is in the file."""
        self._look()
        state = State(path, self.guest.is_up)
        self.qmp.execute("stop")
        self.qmp.execute("migrate", {"uri": f"exec:cat > {path}"})
        self._wait_until("its state is saved", lambda: self.qmp.execute("query-migrate")["status"] == "completed")
        self._end()
        return state

    def _wait_until(self, what, is_so, timeout=120):
        end = patience.deadline(timeout)
        while not is_so():
            if time.monotonic() > end:
                raise TimedOut(f"it takes longer than {timeout} s until {what}")
            time.sleep(0.01)

    def shutdown(self, timeout=240):
        """Asks the system to power off and waits for its end."""
        self._look()
        self.guest.start("if grep -qx systemd /proc/1/comm; then systemctl poweroff; "
                         "else sync; mount -o remount,ro / || true; busybox poweroff -f; fi")
        self.wait_exit(timeout)

    def reboot(self, timeout=240):
        self.shutdown(timeout)
        self.boot(timeout)

    def wait_exit(self, timeout=240):
        """Waits until the guest has powered off, rebooted or panicked."""
        try:
            self.qemu.wait(timeout * patience.factor)
        except subprocess.TimeoutExpired:
            raise TimedOut(f"still running after {timeout} s\n{self.console.tail()}") from None
        self._forget()

    def kill(self):
        """Ends QEMU. That is not a power cut: all that was written stays."""
        if self.qemu:
            try:
                self._look()
            finally:
                self._end()

    def _end(self):
        self.qemu.kill()
        self.qemu.wait()
        self._forget()

    def cut_after(self, operations, each=None):
        """
        Has the power cut by the n-th write or flush from now, of all disks; see wait_cut().

        `each` is called at each of them; it may use after_power_loss().
        """
        self.server.cut_after(operations, each)

    def wait_cut(self, timeout=120):
        self.server.wait_cut(timeout)

    def after_power_loss(self, seed, folder):
        """One of the many states that a cut at this instant may leave: {disk: image in the folder}."""
        images = self.server.after_power_loss(seed, folder)
        return {disk: images[disk.node] for disk in self.disks}

    def power_cut(self, seed):
        """
        Cuts the power of the machine and its disks now, if cut_after() has not done so.

        What survives in the images of what no flush covered is drawn from the seed.
        """
        if not self.server:
            raise GuestError("only a machine with powerloss=True has a power to cut")
        self.server.cut()
        self._look(leaks=False)
        self.qemu.kill()
        self.qemu.wait()
        self.server.lose_power(seed)
        self._forget()

    def _look(self, leaks=True):
        if Machine.last_look:
            Machine.last_look(self, leaks)

    def _serve(self, disk):
        disk.server = self.server
        self.server.add(disk)

    def _forget(self):
        for channel in (self.console, self.guest, self.qmp):
            if channel:
                channel.close()
        for disk in self.disks:
            disk.detached()
        if self.server:
            self.server.close()
            self.server = None
        self._complaints.unlink(missing_ok=True)
        self.qemu = self.qmp = None

    # --- what is done in it ---

    def run(self, command, timeout=60, check=True, stdin=b""):
        """Runs a shell command; see Guest.run."""
        return self.guest.run(command, timeout, check, stdin)

    def spawn(self, command, stdin=b""):
        """Starts a shell command; its Job.wait(timeout) has the Result."""
        return self.guest.start(command, stdin)

    def put(self, path, content):
        """Writes a file in the guest."""
        content = content.encode() if isinstance(content, str) else content
        self.run(f"cat > {path}", stdin=content)

    def device_of(self, disk, timeout=30):
        """The name of a disk's device, once the guest has found it."""
        if disk.bus == "scsi":
            place = f"/sys/bus/virtio/devices/*/host*/target*/*:0:{self.disks.index(disk)}:0/block"
            look = f"cd {place} && ls"
        elif disk.bus == "usb":
            look = (f"cd $(dirname $(grep -lx {disk.serial} /sys/bus/usb/devices/*/serial)) &&"
                    " ls */host*/target*/*/block")
        else:
            look = f"cd /sys/block && grep -lx {disk.serial} vd*/serial | cut -d/ -f1"
        return "/dev/" + self.wait_for(look, timeout).strip()

    def wait_for(self, command, timeout=60):
        """Repeats a command until it succeeds and says something; returns what it said."""
        end = patience.deadline(timeout)
        while time.monotonic() < end:
            result = self.run(command, check=False, timeout=timeout)
            if result.status == 0 and result.stdout.strip():
                return result.stdout
            time.sleep(0.1)
        raise TimedOut(f"`{command}` did not succeed in {timeout} s\n{self.console.tail()}")

    # --- its disks ---

    def plug(self, disk):
        """Adds a disk, or one that was unplugged, while the guest runs."""
        if disk not in self.disks:
            self.disks.append(disk)
            if self.server:
                self._serve(disk)
            for node in disk.nodes():
                self.qmp.execute("blockdev-add", node)
            disk.attached(self)
        self.qmp.execute("device_add", disk.device(self.disks.index(disk)))

    def unplug(self, disk, timeout=60):
        """Takes a disk away: at once from the scsi bus, when the guest agrees from virtio."""
        device = f"dev-{disk.node}"
        self.qmp.execute("device_del", {"id": device})
        self.qmp.wait_event("DEVICE_DELETED", timeout, device=device)

    # --- QEMU ---

    @property
    def _complaints(self):
        """Where QEMU's own messages go."""
        return self.log.with_suffix(".qemu")

    def _launch(self, fds):
        """Starts QEMU, to end with this process, however that ends."""
        with open(self._complaints, "wb") as messages:
            return subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *self._command(fds)],
                                    stdin=subprocess.DEVNULL, stdout=messages, stderr=messages,
                                    pass_fds=fds)

    def _command(self, fds):
        console, agent, qmp = fds
        command = ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none",
                   "-no-reboot", "-S", "-machine", "pc", *self.accel.options,
                   "-smp", str(self.cpus), "-m", str(self.memory),
                   "-device", "virtio-rng-pci", "-device", "virtio-scsi-pci,id=scsi", "-device", "qemu-xhci,id=usb",
                   "-chardev", f"socket,id=console,fd={console}", "-serial", "chardev:console",
                   "-chardev", f"socket,id=agent,fd={agent}", "-serial", "chardev:agent",
                   "-chardev", f"socket,id=qmp,fd={qmp}", "-mon", "chardev=qmp,mode=control"]
        if self.kernel:
            command += ["-kernel", str(self.kernel), "-initrd", str(self.initrd),
                        "-append", f"{APPEND} {self._append} {self.append}"]
        if self.state:
            command += ["-incoming", f"exec:cat {self.state.path}"]
        if self.uefi:
            command += ["-bios", "/usr/share/ovmf/OVMF.fd"]
        for slot, disk in enumerate(self.disks):
            for node in disk.nodes():
                command += ["-blockdev", json.dumps(node)]
            # a BIOS looks at one disk only
            order = {} if self.kernel or slot else {"bootindex": 0}
            command += ["-device", json.dumps({**disk.device(slot), **order})]
        return command
