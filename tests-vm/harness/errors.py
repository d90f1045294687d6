# SPDX-License-Identifier: GPL-2.0
"""What goes wrong with a guest; each error ends with the last lines of its console."""


class GuestError(Exception):
    """The guest did not do what the test needs."""


class TimedOut(GuestError):
    """A deadline passed."""


class GuestGone(GuestError):
    """QEMU ended while something was still awaited from the guest."""


class CommandFailed(GuestError):
    """A command in the guest ended with another status than 0."""

    def __init__(self, result, console):
        self.result = result
        super().__init__(f"`{result.command}` failed with {result.status}\n"
                         f"--- stdout ---\n{result.stdout}\n--- stderr ---\n{result.stderr}\n"
                         f"{console.tail()}")
