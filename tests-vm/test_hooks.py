# SPDX-License-Identifier: GPL-2.0
"""dracut's hooks on their own, in the shells that images have, with dracut and dmremap played."""

import re
import shutil
import subprocess

import pytest

from harness.paths import SOURCE

HOOKS = SOURCE / "dracut-module/50dm-remap"
PLAYED = """
getarg() { if [ "$forbidden" = yes ]; then echo 0; else return 1; fi; }
warn() { echo "warn $*"; }
info() { echo "info $*"; }
emergency_shell() { echo "shell $*"; }
dmremap() { if [ "$1" = assemble ]; then echo "assembled"; return "$answer"; fi; }
. "$HOOKS/dm-remap-lib.sh"
_dmremap_run=$RUN
loop() {
    . "$HOOKS/dm-remap-settled.sh"
    if ( . "$HOOKS/dm-remap-finished.sh" ); then echo finished; else echo waiting; fi
}
"""


@pytest.fixture(params=["dash", "busybox sh"])
def play(request, tmp_path):
    # no other programs than the module puts into an image
    programs = re.search("inst_multiple /usr/sbin/dmremap (.*)", (HOOKS / "module-setup.sh").read_text())[1]
    for program in programs.split():
        (tmp_path / program).symlink_to(shutil.which(program))
    shell, *words = request.param.split()

    def run(script):
        done = subprocess.run([shutil.which(shell), *words, "-uc", PLAYED + script], timeout=20,
                              env={"HOOKS": HOOKS, "RUN": tmp_path, "PATH": tmp_path}, text=True,
                              capture_output=True, check=True)
        assert done.stderr == ""
        return done.stdout.splitlines()
    return run


def test_the_gate_opens_when_nothing_is_missing(play):
    assert play("answer=4 forbidden=no; loop; answer=1; loop; answer=0; loop") == [
        "warn assembled", "waiting", "finished", "finished"]


def test_rd_retry_is_not_over_before_the_deadline(play):
    """dracut counts its passes, and gives up by that."""
    assert play("main_loop=200 answer=4 forbidden=no; loop; echo $main_loop")[-1] == "0"


def test_a_set_that_is_active_with_damage_left_is_not_missing(play):
    """Nor when there is no time left for another pass."""
    assert play("""forbidden=no
        dmremap() {
            case $1 in
                config) echo 0 ;;
                assemble) [ -e "$RUN/active" ] || { : > "$RUN/active"; return 4; } ;;
            esac
        }
        loop""") == ["finished"]


def test_the_gate_shuts_when_dmremap_cannot_be_run(play):
    assert play("answer=127 forbidden=no; loop")[-1] == "waiting"


def test_rd_dmremap_0_keeps_dmremap_out_of_it(play):
    assert play("answer=137 forbidden=yes; loop") == ["finished"]


@pytest.mark.parametrize("answer", [4, 16, 137])
def test_the_emergency_shell_is_told_why(play, answer):
    """Also if dmremap was killed: how to do without it is in the text."""
    told = play(f"answer={answer} forbidden=no; cat() {{ echo text; }};" ' . "$HOOKS/dm-remap-emergency.sh"')
    assert told == ["warn dm-remap: a set that this boot needs is not active:", "assembled", "text"]


def test_the_emergency_shell_is_told_of_a_set_that_nobody_asked_for(play):
    """Its main is masked, and the root not to be found."""
    said = "root=block:/nowhere answer=0 forbidden=no; cat() { echo text; }; dmremap() { echo 'root: skip: unnamed'; };"
    told = play(f'{said} . "$HOOKS/dm-remap-emergency.sh"')
    assert told == ["warn dm-remap: the root is not there; it may be on a set that is not active:",
                    "root: skip: unnamed", "root: skip: unnamed", "text"]
    assert play(f'{said} root=block:/; . "$HOOKS/dm-remap-emergency.sh"') == []


@pytest.mark.parametrize("left, again", [("root\t(254:0)", 1), ("No devices found", 0)])
def test_dracut_comes_back_to_the_shutdown_hook_while_a_set_is_left(play, left, again):
    assert play(f"answer=0; dmsetup() {{ echo '{left}'; }}; status=0;"
                ' . "$HOOKS/dm-remap-shutdown.sh" || status=$?; echo $status') == [str(again)]
