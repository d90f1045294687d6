# SPDX-License-Identifier: GPL-2.0
"""`dmremap config`, which names what is active, and `dmremap log`, which says why it is."""

import json

from harness.cache import execute


def test_the_config_that_is_printed_finds_the_sets_again(boot, new_disk):
    """Not their clones, and nothing that it doesn't name."""
    disk, clone = new_disk("64M", serial="with, odd\\x"), new_disk("64M", serial="CLONE")
    parts, spare, spare_of_part, other = (new_disk(size) for size in ("64M", "16M", "16M", "16M"))
    execute("sfdisk", "--quiet", parts.path, input=b"label: gpt\nsize=20MiB\nsize=20MiB\n")
    vm = boot(disk, clone, parts, spare, spare_of_part, other)
    part = f"{parts.dev}2"
    vm.run(f"dmremap create whole --main {disk.dev} --spare {spare.dev}")
    vm.run(f"dmremap create part --main {part} --spare {spare_of_part.dev}")
    vm.run("dmremap assemble --all")
    vm.run("dmremap config > /etc/dm-remap.conf")
    vm.run("dmremap stop --all")
    vm.run(f"dd if={spare.dev} of={other.dev} bs=1M")
    vm.run(f"dmremap create other --main {clone.dev} --spare {other.dev} --force")
    done = json.loads(vm.run("dmremap assemble --json", check=False).stdout)["decisions"]
    assert {(found["name"], found["decision"], found["main"]) for found in done} == {
        ("whole", "activate", disk.dev), ("part", "activate", part), ("other", "skip", None)}


def test_a_config_is_checked_for_mains_that_it_does_not_name(boot):
    """The boot service asks: only then does nothing have to wait for it."""
    vm, uuid = boot(), "5c0ffee0-0000-4000-8000-0000000000aa"
    for config, names_all in (("", False), ("auto no", True), (f"set {uuid}", False),
                              (f"set {uuid} main=path:/dev/disk/by-id/wwn-1", False),
                              (f"set {uuid} main=serial:MAIN", True),
                              (f"set {uuid} main=serial:MAIN\\nauto yes", False)):
        done = vm.run(f"printf '{config}\\n' > /etc/dm-remap.conf; dmremap config --check", check=False)
        assert done.status == (0 if names_all else 4) and bool(done.stderr) != names_all


def test_a_script_is_told_one_thing_of_the_command_line(boot):
    vm = boot()
    said = {name: vm.run(f"dmremap config --boot {name}").strip() for name in ("timeout", "allow_raw", "ro")}
    assert said == {"timeout": "30", "allow_raw": "0", "ro": "0"}
    assert vm.run("dmremap config --boot shout", check=False).status == 16


def test_the_log_says_what_was_decided_and_why(boot, new_disk):
    main, spare = new_disk("64M", serial="MAIN"), new_disk("16M")
    vm = boot(main, spare)
    assert "nothing was decided" in vm.run("dmremap log 2>&1")
    vm.run(f"dmremap create home --main {main.dev} --spare {spare.dev}")
    vm.run(f"dd if=/dev/zero of={spare.dev} bs=4k count=1 conv=notrunc")
    assert vm.run("dmremap assemble home", check=False).status == 1
    vm.run("dmremap assemble home; dmremap assemble home")
    first, again = json.loads(vm.run("dmremap log --json"))["decisions"]
    assert (first["decision"], first["activated"], first["repaired_copies"]) == ("activate", True, 1)
    assert (again["decision"], again["activated"]) == ("active", False)
    assert first["time"].startswith("20") and 0 < first["boot_s"] <= again["boot_s"]
    lines = vm.run("dmremap log").splitlines()
    assert len(lines) == 2 and f"home: activated: main {main.dev}, confidence 100" in lines[0]
    assert "mended, now 5 of 5 [size agrees, " in lines[0]
    for line in lines:
        assert line.split(" s after boot) ")[1] in vm.run("dmesg")
    vm.run("echo nonsense >> /run/dm-remap/activation.jsonl")
    assert "activation.jsonl:3: this is no decision" in vm.run("dmremap log 2>&1")
    vm.run("dmremap stop home")
