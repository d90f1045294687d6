# SPDX-License-Identifier: GPL-2.0
"""QEMU's control channel."""

import json
import time

from .errors import GuestGone, TimedOut
from .patience import deadline


class QmpError(Exception):
    """QEMU refused a command."""


class Qmp:
    def __init__(self, sock):
        self._sock = sock
        self._buffer = b""
        self._events = []
        self._message(deadline(30))  # the greeting
        self.execute("qmp_capabilities")

    def execute(self, command, arguments=None, timeout=30):
        request = {"execute": command, "arguments": arguments or {}}
        self._sock.sendall(json.dumps(request).encode() + b"\n")
        end = deadline(timeout)
        while True:
            message = self._message(end)
            if "event" in message:
                self._events.append(message)
            elif "error" in message:
                raise QmpError(f"{command}: {message['error']['desc']}")
            else:
                return message["return"]

    def wait_event(self, name, timeout=30, **data):
        """Waits for an event with this name and data and returns it."""
        end = deadline(timeout)
        while True:
            for event in self._events:
                if event["event"] == name and data.items() <= event.get("data", {}).items():
                    self._events.remove(event)
                    return event
            message = self._message(end)
            if "event" in message:
                self._events.append(message)

    def _message(self, end):
        while b"\n" not in self._buffer:
            left = end - time.monotonic()
            if left <= 0:
                raise TimedOut("QEMU does not answer on its control channel")
            self._sock.settimeout(left)
            try:
                data = self._sock.recv(65536)
            except TimeoutError:
                continue
            except OSError:
                data = b""
            if not data:
                raise GuestGone("QEMU ended while it was being asked something")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return json.loads(line)

    def close(self):
        self._sock.close()
