# SPDX-License-Identifier: GPL-2.0
"""`make demo`: the story of story.py, told as it happens."""

import os
import random
import re
import sys
import textwrap
import threading
import time

from harness.debian import debian
from harness.products import with_dm_remap
from story import Story

# Of the guest's console, what is about disks, sets and the root; the rest would bury it.
WORTH_SHOWING = re.compile(r"dmremap|dm-remap|device-mapper: remap|I/O error|critical medium error"
                           r"|EXT4-fs .*mount|Linux version|reboot: |switch-root.target|multi-user.target")
SHOWN_OF_A_KIND = 4
QUIET_SECONDS = 10


class Narrator:
    """Says what is done, at what time, and what the guest says meanwhile."""

    def __init__(self):
        self._start = self._spoke = time.monotonic()
        self._seen = {}
        threading.Thread(target=self._show_life, daemon=True).start()

    def _line(self, sign, text):
        self._spoke = time.monotonic()
        seconds = int(self._spoke - self._start)
        print(f"{seconds // 60}:{seconds % 60:02} {sign} {text}", flush=True)

    def _show_life(self):
        """So that a long step is not taken for a hang."""
        while True:
            time.sleep(1)
            if time.monotonic() - self._spoke >= QUIET_SECONDS:
                self._line("  ", "...")

    def chapter(self, number, text):
        self._seen.clear()
        print()
        self._line("==", f"{number}. {text}")

    def say(self, text):
        self._line("  ", text)

    def echo(self, line):
        """A line of the console. Of lines that differ only in numbers the first few are shown."""
        if not WORTH_SHOWING.search(line):
            return
        kind = re.sub(r"[0-9]+", "#", line)
        self._seen[kind] = self._seen.get(kind, 0) + 1
        if self._seen[kind] <= SHOWN_OF_A_KIND:
            self._line(" |", textwrap.shorten(line, 150))
        elif self._seen[kind] == SHOWN_OF_A_KIND + 1:
            self._line(" |", "... and more of these")


def main():
    seed = int(os.environ.get("DMREMAP_SEED", random.randrange(1 << 32)))
    narrator = Narrator()
    narrator.chapter(0, "A Debian system is made from Debian's packages, as a disk image.")
    narrator.say(f"DMREMAP_SEED={seed} repeats this run")
    rows = []
    with Story(with_dm_remap(debian()), seed, lean=False, say=narrator.say,
               echo=narrator.echo) as story:
        for number, chapter in enumerate(story.chapters(), 1):
            narrator.chapter(number, chapter.__doc__)
            rows.append(chapter())
    print("\nWhat happened:\n")
    width = max(len(what) for what, _ in rows)
    for what, how in rows:
        print(f"  {what:{width}}  {how}")
    print("\nThe system started from a root disk with bad sectors and damaged metadata, and is whole.")


if __name__ == "__main__":
    sys.exit(main())
