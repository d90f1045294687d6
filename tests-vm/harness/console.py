# SPDX-License-Identifier: GPL-2.0
"""The guest's first serial port: everything it says is kept, searched and written to a file."""

import re
import threading
import time

from .errors import GuestGone, TimedOut
from .patience import deadline

CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r|\x1b[c7-8]")


class Console:
    """`echo`, if given, is called with each line, to show what the guest says as it says it."""

    def __init__(self, sock, log, echo=None):
        self._sock = sock
        self._log = log
        self._echo = echo
        self._lines = ""
        self._unfinished = b""
        self._changed = threading.Condition()
        self._read_to = 0
        self.closed = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        with open(self._log, "wb", buffering=0) as log:
            while data := receive(self._sock):
                log.write(data)
                with self._changed:
                    self._take(data)
                    self._changed.notify_all()
        with self._changed:
            self.closed = True
            self._changed.notify_all()

    def _take(self, data):
        *lines, self._unfinished = (self._unfinished + data).split(b"\n")
        for line in map(_readable, lines):
            self._lines += f"{line}\n"
            if self._echo:
                self._echo(line)

    @property
    def text(self):
        """Everything said so far, without carriage returns and colours."""
        return self._lines + _readable(self._unfinished)

    def tail(self, lines=60):
        end = "\n".join(self.text.splitlines()[-lines:])
        return f"--- the console's last lines ---\n{end}\n---"

    def send(self, line):
        self._sock.sendall(line.encode() + b"\n")

    def expect(self, pattern, timeout=60):
        """Waits for a pattern after what was last expected; returns the match."""
        pattern = re.compile(pattern, re.MULTILINE)
        end = deadline(timeout)
        with self._changed:
            while not (match := pattern.search(self.text, self._read_to)):
                if self.closed:
                    raise GuestGone(f"the guest ended before it said {pattern.pattern!r}\n"
                                    f"{self.tail()}")
                if not self._changed.wait(end - time.monotonic()):
                    raise TimedOut(f"not said in {timeout} s: {pattern.pattern!r}\n{self.tail()}")
            self._read_to = match.end()
            return match

    def answer(self, secret, then, timeout=60):
        """
        Types what a program asks for without showing it, until the console says what comes then.

        What is shown came before the program had its terminal silent. It throws that away.
        """
        self.send(secret)
        while self.expect(f"{re.escape(secret)}|{then}", timeout)[0] == secret:
            self.send(secret)

    def wait_closed(self):
        """Call when QEMU has ended: reads the rest."""
        self._reader.join(10)

    def close(self):
        """The same, and it is used no more."""
        self.wait_closed()
        self._sock.close()


def _readable(data):
    return CONTROL.sub("", data.decode(errors="replace"))


def receive(sock):
    """What has come from QEMU; nothing once it has ended."""
    try:
        return sock.recv(65536)
    except OSError:
        return b""
