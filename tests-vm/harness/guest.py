# SPDX-License-Identifier: GPL-2.0
"""The command channel: tests-vm/guest/agent.c runs commands from the second serial port."""

import itertools
import struct
import threading
import time
from typing import NamedTuple

from .console import receive
from .errors import CommandFailed, GuestError, GuestGone, TimedOut
from .patience import deadline

HEADER = struct.Struct("<4sIII")
MAGIC = b"dmar"
DEAD_END = "the root account is locked"  # in emergency mode, and no shell


class Result(NamedTuple):
    command: str
    status: int
    stdout: str
    stderr: str


class Job:
    """A command that was started."""

    def __init__(self, channel, number, command):
        self._channel = channel
        self._number = number
        self.command = command
        self.output = {"o": bytearray(), "e": bytearray()}
        self.status = None

    @property
    def stdout(self):
        return self.output["o"].decode(errors="replace")

    @property
    def stderr(self):
        return self.output["e"].decode(errors="replace")

    def wait(self, timeout=60):
        """Waits for the end; returns a Result whatever the status is."""
        try:
            self._channel.wait(lambda: self.status is not None, timeout, f"`{self.command}`")
        except TimedOut as error:
            raise TimedOut(f"{error}\n{self._channel.blocked_tasks()}") from None
        return Result(self.command, self.status, self.stdout, self.stderr)


class Guest:
    def __init__(self, sock, console, up=False):
        self._sock = sock
        self._console = console
        self._changed = threading.Condition()
        self._jobs = {}
        self._numbers = itertools.count(1)
        self._up = up
        self._closed = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        buffer = bytearray()
        while data := receive(self._sock):
            buffer += data
            for number, kind, content in _frames(buffer):
                with self._changed:
                    self._handle(number, kind, content)
                    self._changed.notify_all()
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _handle(self, number, kind, content):
        if kind == "h":
            self._up = True
        elif kind == "x":
            self._jobs.pop(number).status = struct.unpack("<i", content)[0]
        else:
            self._jobs[number].output[kind] += content

    def wait(self, ready, timeout, what):
        end = deadline(timeout)
        with self._changed:
            while not ready():
                if self._closed:
                    self._console.wait_closed()
                    raise GuestGone(f"the guest ended before the end of {what}\n"
                                    f"{self._console.tail()}")
                if time.monotonic() > end:
                    raise TimedOut(f"{what} took longer than {timeout} s\n{self._console.tail()}")
                self._changed.wait(1)  # it may be the console that tells

    @property
    def is_up(self):
        """Whether it has booted and has not ended."""
        return self._up and not self._closed

    def wait_up(self, timeout):
        self.wait(lambda: self._up or DEAD_END in self._console.text, timeout, "the boot")
        if not self._up:
            raise GuestError(f"the boot ended in emergency mode\n{self._console.tail()}")

    def start(self, command, stdin=b""):
        """Starts a shell command; Job.wait() has its result."""
        with self._changed:
            number = next(self._numbers)
            job = self._jobs[number] = Job(self, number, command)
        for at in range(0, len(stdin), 2048):
            self._send(number, "i", stdin[at:at + 2048])
        self._send(number, "c", command.encode())
        return job

    def _send(self, number, kind, content):
        self._sock.sendall(HEADER.pack(MAGIC, number, ord(kind), len(content)) + content)

    def run(self, command, timeout=60, check=True, stdin=b""):
        """
        Runs a shell command and returns its stdout; raises if it fails.

        With check=False returns a Result: status, stdout, stderr.
        """
        result = self.start(command, stdin).wait(timeout)
        if not check:
            return result
        if result.status:
            raise CommandFailed(result, self._console)
        return result.stdout

    def blocked_tasks(self):
        """What tasks sleep for in the kernel, as far as the guest still answers."""
        job = self.start("echo w >/proc/sysrq-trigger; dmesg | tail -n 200;"
                         " grep . /sys/block/*/inflight")
        try:
            self.wait(lambda: job.status is not None, 60, "that report")
        except (TimedOut, GuestGone) as error:
            return error
        return job.stdout

    def close(self):
        self._reader.join(10)
        self._sock.close()


def _frames(buffer):
    """Takes the whole frames out of a buffer. What lies before a frame is noise of the port."""
    while (start := buffer.find(MAGIC)) >= 0:
        del buffer[:start]
        if len(buffer) < HEADER.size:
            return
        _, number, kind, length = HEADER.unpack_from(buffer)
        end = HEADER.size + length
        if len(buffer) < end:
            return
        content = bytes(buffer[HEADER.size:end])
        del buffer[:end]
        yield number, chr(kind), content
