# SPDX-License-Identifier: GPL-2.0
# "make help" says what there is. Whatever is built goes to build/.

VERSION := 0.1

CC    := gcc
CLANG := clang
JOBS  := $(shell nproc)
V     :=
Q     := $(if $(V),,@)

MAKEFLAGS += --no-print-directory
.DELETE_ON_ERROR:
.SECONDARY:
.SUFFIXES:
.PHONY: help deps deps-demo dmremap module module-all sparse lint check-unit fuzz-smoke campaigns check-vm check check-all demo install clean
.DEFAULT_GOAL := help

help:
	@echo 'make demo        install what is needed, build, and watch a damaged system boot (as root or with sudo)'
	@echo 'make check       all of the checks below; installs what it needs'
	@echo '  lint             shell scripts'
	@echo '  check-unit       unit tests, under ASan and UBSan'
	@echo '  fuzz-smoke       every fuzz target for FUZZ_SECONDS=$(FUZZ_SECONDS), seed FUZZ_SEED=$(FUZZ_SEED)'
	@echo '  check-vm         tests in virtual machines; PYTEST_ARGS="-k word" selects'
	@echo 'make check-all   the same on all kernels and systems, those of early boot in one table'
	@echo 'make check-debug the tests of the target on a kernel that watches itself; check-races: for data races'
	@echo 'make crash-states  judge N=1000000 states that a power cut may leave, in all; the rest of them if said again'
	@echo 'make corruptions   the same of N=500000 damaged spares'
	@echo 'make torture       of N=1000 boots after something happened to the disks'
	@echo 'make restarts      of N=5000 of an initramfs where it waits for the disks of its root'
	@echo 'make fuzz          give N=500000000 inputs to the parsers of what comes from outside'
	@echo 'make soak          N=240 minutes of a set with everything on at once, half of them on the debug kernel'
	@echo 'make coverage    how much of the parsers the unit tests and what fuzzing has kept go through'
	@echo 'make report      what these have done so far'
	@echo 'make mutants     whether these campaigns see deliberate mistakes'
	@echo 'make bench       how much slower one thing is than another, as ratios'
	@echo 'make bench-boot  how long a boot takes, and how large its image is, beside others'
	@echo 'make deps        install the Debian packages that the others need, nothing more'
	@echo 'make dmremap     build/dmremap, static; build/dmremap.debug is the same with symbols'
	@echo 'make module      build/<kernel release>/dm-remap.ko; KDIR=<kernel headers>'
	@echo 'make module-all  the same for the kernels of Debian 12, 13 and testing, each built with its own compiler'
	@echo 'make sparse      check the module and dmremap with sparse'
	@echo 'make install     dmremap, udev rule, systemd units, initramfs hooks, kernel sources for DKMS; PREFIX=$(PREFIX) DESTDIR='
	@echo 'make clean       remove build/'
	@echo 'V=1 shows the commands.'

# --- Debian packages ---------------------------------------------------------------------------------------------------

# compilers, and what takes Debian's source packages apart for the static libraries
DEPS_BUILD := gcc libc6-dev make dpkg-dev xz-utils pkg-config
# libraries, all static; libudev's header only
DEPS_BUILD += libblkid-dev uuid-dev libjansson-dev libxxhash-dev zlib1g-dev liblzma-dev libzstd-dev libudev-dev
# the kernel that the virtual machines boot
DEPS_BUILD += linux-headers-cloud-amd64

# machines, their disks and root images
DEPS_VM := qemu-system-x86 qemu-utils ovmf mmdebstrap debian-archive-keyring e2fsprogs fdisk busybox-static cpio zstd kmod procps
# the harness
DEPS_VM += python3 python3-pytest python3-pytest-xdist python3-xxhash

# unit tests, fuzzing, static checks
DEPS_TEST := libcmocka-dev clang libclang-rt-dev sparse shellcheck

deps:
	@build-support/need-packages.sh build/log/packages.log $(DEPS_BUILD) $(DEPS_VM) $(DEPS_TEST)

deps-demo:
	@build-support/need-packages.sh build/log/packages.log $(DEPS_BUILD) $(DEPS_VM)

# --- dmremap -----------------------------------------------------------------------------------------------------------

# Every assembler/*.c, and the on-disk format that the kernel has too.
SRCS   := $(sort $(wildcard assembler/*.c)) kernel/format.c kernel/vote.c
STATIC := build/static
LIBS   := $(STATIC)/lib/libdevmapper.a $(STATIC)/lib/libkmod.a

WARNINGS := -Wall -Wextra -Werror -Wformat=2 -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla
CPPFLAGS := -D_GNU_SOURCE -DDMREMAP_VERSION='"$(VERSION)"' -Iassembler -Ikernel -isystem $(STATIC)/include
CFLAGS   := -std=gnu11 -O2 -g -ffile-prefix-map=$(CURDIR)=. $(WARNINGS)
HARDEN   := -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fstack-clash-protection -fcf-protection
LDLIBS   := $(LIBS) -lblkid -luuid -ljansson -lxxhash -lzstd -llzma -lz -lpthread -lm
# Test programs are dynamic, for the sanitizers' sake, but are tested with the libraries that dmremap is made of.
TESTLIBS := $(LIBS) -Wl,-Bstatic -lblkid -luuid -ljansson -lxxhash -lzstd -llzma -lz -Wl,-Bdynamic -lpthread -lm
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -O1 -Wno-missing-prototypes

dmremap: build/dmremap

OBJS := $(SRCS:%.c=build/obj/%.o)

build/obj/%.o: %.c Makefile $(LIBS)
	@echo '  CC       $<'
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) $(HARDEN) -MMD -MP -c $< -o $@

build/dmremap.debug: $(OBJS) $(LIBS)
	@echo '  LD       $@'
	$(Q)$(CC) -static -Wl,-z,relro,-z,now,-z,noexecstack $(OBJS) $(LDLIBS) -o $@

build/dmremap: build/dmremap.debug
	$(Q)strip -o $@ $<

# libdevmapper and libkmod, which Debian has no static libraries of
$(LIBS) &: build-support/static-libs.sh build-support/static-libs.sha256
	@build-support/quietly.sh build/log/static-libs.log 'building libdevmapper and libkmod' \
		build-support/static-libs.sh $(STATIC)
	@touch $(LIBS)

# --- the kernel module -------------------------------------------------------------------------------------------------

# The headers of the newest cloud kernel installed, unless told otherwise
KDIR ?= $(lastword $(shell ls -d /usr/src/linux-headers-*-cloud-amd64 2>/dev/null | sort -V))
KREL  = $(shell sed -n 's/.*UTS_RELEASE "\(.*\)"/\1/p' '$(KDIR)/include/generated/utsrelease.h')
# Kbuild writes beside the sources, so it is given links to them.
KOUT  = build/$(KREL)
KOBJ  = $(KOUT)/obj
KMAKE = $(MAKE) -C '$(KDIR)' M='$(CURDIR)/$(KOBJ)' W=1 KCFLAGS=-Werror $(if $(V),V=1)

define link-kernel-sources
	@test -e '$(KDIR)/include/generated/utsrelease.h' || \
		{ echo 'No kernel headers in "$(KDIR)": "make deps", or KDIR=<kernel headers>.'; exit 1; }
	@mkdir -p $(KOBJ)
	@find -L $(KOBJ) -type l -delete # those that lead nowhere any more
	@ln -sf $(CURDIR)/kernel/*.[ch] $(CURDIR)/kernel/Kbuild $(KOBJ)/
endef

# The debug information, many times the module's size, stays in obj/.
module:
	$(link-kernel-sources)
	$(Q)+$(KMAKE) modules
	$(Q)strip --strip-debug -o $(KOUT)/dm-remap.ko $(KOBJ)/dm-remap.ko
	@echo '  built    $(KOUT)/dm-remap.ko'

# For the kernel of each Debian suite that is tested, by that suite's compiler
module-all:
	$(Q)cd tests-vm && $(PYTHON) -m harness.kernels

# Byte order is checked in the module only: glibc's htole64() and its like don't know sparse's types.
sparse: $(LIBS)
	$(link-kernel-sources)
	$(Q)+$(KMAKE) C=2 CF=-Wsparse-error modules
	$(Q)sparse $(CPPFLAGS) -gcc-base-dir $(shell $(CC) -print-file-name=) -Wsparse-error -Wno-bitwise $(SRCS)

# --- checks ------------------------------------------------------------------------------------------------------------

SHELL_SCRIPTS = .ci/run $(wildcard build-support/*.sh) \
	$(shell find dracut-module initramfs-tools-hook initramfs-check -type f 2>/dev/null | xargs -r grep -lE '^\#!/bin/(ba)?sh')

# dracut's and initramfs-tools' libraries, and the variables they set, aren't on this machine.
lint:
	@echo '  shellcheck $(words $(SHELL_SCRIPTS)) scripts'
	$(Q)shellcheck -e SC1091,SC2154 $(SHELL_SCRIPTS)

# A unit test is a cmocka program assembler/tests/test_*.c, linked with all of dmremap but main.c.
TESTS    := $(patsubst assembler/tests/%.c,build/tests/%,$(sort $(wildcard assembler/tests/test_*.c)))
SAN_OBJS := $(patsubst %.c,build/asan/%.o,$(filter-out assembler/main.c,$(SRCS)))

build/asan/%.o: %.c Makefile $(LIBS)
	@echo '  CC asan  $<'
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) $(SANITIZE) -MMD -MP -c $< -o $@

build/tests/%: build/asan/assembler/tests/%.o $(SAN_OBJS)
	@mkdir -p $(@D)
	$(Q)$(CC) $(SANITIZE) $^ $(TESTLIBS) -lcmocka -o $@

check-unit: $(TESTS)
	@for test in $(TESTS); do build-support/quietly.sh build/log/$${test##*/}.log "$${test##*/}" $$test || exit 1; done

# A fuzz target is a libFuzzer program assembler/tests/fuzz_NAME.c; inputs to start from may lie in
# assembler/tests/corpus/NAME/. An input that fails is kept in build/fuzz/.
FUZZ_SECONDS := 20
FUZZ_SEED    := 1
FUZZERS   := $(patsubst assembler/tests/%.c,build/fuzz/%,$(sort $(wildcard assembler/tests/fuzz_*.c)))
FUZZ_OBJS := $(patsubst build/asan/%,build/fuzz/obj/%,$(SAN_OBJS))

build/fuzz/obj/%.o: %.c Makefile $(LIBS)
	@echo '  CC fuzz  $<'
	@mkdir -p $(@D)
	$(Q)$(CLANG) $(CPPFLAGS) $(CFLAGS) $(SANITIZE) -fsanitize=fuzzer-no-link -MMD -MP -c $< -o $@

build/fuzz/%: build/fuzz/obj/assembler/tests/%.o $(FUZZ_OBJS)
	$(Q)$(CLANG) $(SANITIZE) -fsanitize=fuzzer $^ $(TESTLIBS) -o $@

# The same without sanitizers: several times as many inputs
build/fuzz/quick/obj/%.o: %.c Makefile $(LIBS)
	@echo '  CC quick $<'
	@mkdir -p $(@D)
	$(Q)$(CLANG) $(CPPFLAGS) $(CFLAGS) -Wno-missing-prototypes -fsanitize=fuzzer-no-link -MMD -MP -c $< -o $@

build/fuzz/quick/%: build/fuzz/quick/obj/assembler/tests/%.o $(FUZZ_OBJS:build/fuzz/obj/%=build/fuzz/quick/obj/%)
	$(Q)$(CLANG) -fsanitize=fuzzer $^ $(TESTLIBS) -o $@

QUICK_FUZZERS := $(FUZZERS:build/fuzz/%=build/fuzz/quick/%)

# A target of its own each, so that -j runs several at once
FUZZ_SMOKES := $(FUZZERS:build/fuzz/fuzz_%=fuzz-smoke-%)
fuzz-smoke: $(FUZZ_SMOKES)

.PHONY: $(FUZZ_SMOKES)
$(FUZZ_SMOKES): fuzz-smoke-%: build/fuzz/fuzz_%
	@corpus=build/fuzz/corpus/$*; mkdir -p $$corpus; \
	seeds=assembler/tests/corpus/$*; test -d $$seeds || seeds=; \
	build-support/quietly.sh build/log/fuzz_$*.log "fuzz_$* for $(FUZZ_SECONDS) s, seed $(FUZZ_SEED)" \
		$< -seed=$(FUZZ_SEED) -max_total_time=$(FUZZ_SECONDS) -timeout=10 -print_final_stats=1 \
		-artifact_prefix=build/fuzz/fuzz_$*- $$corpus $$seeds

# How many branches of what reads bytes from outside the unit tests, and the inputs that fuzzing has kept, go through
PARSERS := kernel/format.c kernel/vote.c $(addprefix assembler/,badlist.c copies.c mend.c policy.c ranges.c tags.c)
COVER      := -fprofile-instr-generate -fcoverage-mapping
COVER_OBJS := $(patsubst build/asan/%,build/coverage/obj/%,$(SAN_OBJS))
COVERERS   := $(patsubst build/%,build/coverage/%,$(TESTS) $(FUZZERS))

build/coverage/obj/%.o: %.c Makefile $(LIBS)
	@mkdir -p $(@D)
	$(Q)$(CLANG) $(CPPFLAGS) $(filter-out -ffile-prefix-map=%,$(CFLAGS)) -O0 -Wno-missing-prototypes $(COVER) -fsanitize=fuzzer-no-link -MMD -MP -c $< -o $@

build/coverage/tests/%: build/coverage/obj/assembler/tests/%.o $(COVER_OBJS)
	@mkdir -p $(@D)
	$(Q)$(CLANG) $(COVER) -fsanitize=fuzzer-no-link $^ $(TESTLIBS) -lcmocka -o $@

build/coverage/fuzz/%: build/coverage/obj/assembler/tests/%.o $(COVER_OBJS)
	@mkdir -p $(@D)
	$(Q)$(CLANG) $(COVER) -fsanitize=fuzzer $^ $(TESTLIBS) -o $@

.PHONY: coverage
coverage:
	@build-support/need-packages.sh build/log/packages.log $(DEPS_BUILD) $(DEPS_TEST) llvm
	@build-support/quietly.sh build/log/coverage.log 'building' $(MAKE) -j$(JOBS) $(FUZZERS) $(COVERERS)
	@$(MAKE) -j$(JOBS) --output-sync=target fuzz-smoke
	@build-support/coverage.sh build/coverage $(PARSERS)

# What the campaigns judge states of disks with: campaigns/*.c, linked with all of dmremap but main.c
CAMPAIGNS := build/campaigns/crash_states build/campaigns/corruptions
JUDGE_OBJS := $(patsubst %.c,build/obj/%.o,$(filter-out $(CAMPAIGNS:build/%=%.c),$(wildcard campaigns/*.c)))

campaigns: $(CAMPAIGNS)

build/campaigns/%: build/obj/campaigns/%.o $(JUDGE_OBJS) $(filter-out build/obj/assembler/main.o,$(OBJS))
	@echo '  LD       $@'
	@mkdir -p $(@D)
	$(Q)$(CC) -Wl,--wrap=block_write,--wrap=blocks_flush $^ $(TESTLIBS) -o $@

# Python's and pytest's caches go to build/, too.
PYTHON      := PYTHONPYCACHEPREFIX='$(CURDIR)/build/pycache' /usr/bin/python3
PYTEST_ARGS :=

# An emulated guest is busy on one CPU most of the time: as many tests run at once as there are.
PYTEST = $(PYTHON) -m pytest tests-vm -q -n $(JOBS) --durations=20 -o cache_dir='$(CURDIR)/build/pytest'

check-vm:
	@$(PYTEST) $(ALL) $(PYTEST_ARGS)

# In this order, one after the other: pytest's summary comes last.
check: ALL :=
check-all: ALL := --all
check check-all:
	@$(MAKE) deps
	@build-support/quietly.sh build/log/dmremap.log 'building dmremap' $(MAKE) -j$(JOBS) dmremap
	@build-support/quietly.sh build/log/module.log 'building dm-remap.ko' $(MAKE) -j$(JOBS) module
	@build-support/quietly.sh build/log/sparse.log 'sparse' $(MAKE) sparse
	@$(MAKE) lint
	@build-support/quietly.sh build/log/tests.log 'building unit tests, fuzz targets and campaigns' \
		$(MAKE) -j$(JOBS) $(TESTS) $(FUZZERS) campaigns
	@$(MAKE) check-unit
	@$(MAKE) -j$(JOBS) --output-sync=target fuzz-smoke
	@$(MAKE) check-vm ALL=$(ALL)

# --- debug kernels -----------------------------------------------------------------------------------------------------

# Small kernels that watch themselves, see build-support/debug-kernel/: debug for memory, locks, lifetimes and injected
# faults, races for data races. Ten minutes each to build, and then kept.
DEPS_DEBUG := flex bison bc libelf-dev

.PHONY: debug-kernel check-debug check-races
debug-kernel: build/debug-kernel/debug/built

build/debug-kernel/%/built: build-support/debug-kernel.sh build-support/debug-kernel/machine.config \
		build-support/debug-kernel/%.config
	@build-support/need-packages.sh build/log/packages.log $(DEPS_BUILD) $(DEPS_DEBUG)
	@build-support/quietly.sh build/log/$*-kernel.log 'building the $* kernel' \
		build-support/debug-kernel.sh build/debug-kernel $*
	@touch $@

# The tests of the target on such a kernel: they fail for whatever it reports, too.
check-debug: build/debug-kernel/debug/built
	$(call check-on-kernel,debug)

check-races: build/debug-kernel/races/built
	$(call check-on-kernel,races)

.PHONY: debug-module
debug-module: build/debug-kernel/debug/built
	@$(MAKE) module KDIR='$(CURDIR)/build/debug-kernel/debug'

define check-on-kernel
@$(MAKE) deps
@build-support/quietly.sh build/log/dmremap.log 'building dmremap' $(MAKE) -j$(JOBS) dmremap
@build-support/quietly.sh build/log/$(1)-module.log 'building dm-remap.ko for the $(1) kernel' \
	$(MAKE) -j$(JOBS) module KDIR='$(CURDIR)/build/debug-kernel/$(1)'
@$(PYTEST) --kernel=$(1) $(PYTEST_ARGS)
endef

demo:
	@$(MAKE) deps-demo
	@build-support/quietly.sh build/log/dmremap.log 'building dmremap' $(MAKE) -j$(JOBS) dmremap
	@build-support/quietly.sh build/log/module.log 'building dm-remap.ko' $(MAKE) -j$(JOBS) module
	@$(PYTHON) tests-vm/demo.py

# What takes hours: each goes on from where it was, and `make report` says how far that is.
.PHONY: crash-states corruptions torture restarts fuzz soak mutants report
N :=

crash-states corruptions torture restarts fuzz soak mutants:
	@$(MAKE) deps
	@build-support/quietly.sh build/log/dmremap.log 'building dmremap' $(MAKE) -j$(JOBS) dmremap
	@build-support/quietly.sh build/log/module.log 'building dm-remap.ko' $(MAKE) -j$(JOBS) module
	@build-support/quietly.sh build/log/$@.log 'building what judges' $(MAKE) -j$(JOBS) $(JUDGES)
	@$(PYTHON) tests-vm/$(CAMPAIGN)

JUDGES := campaigns
fuzz: JUDGES := $(FUZZERS) $(QUICK_FUZZERS)
soak: JUDGES := debug-module
crash-states: CAMPAIGN = campaign.py crash-states --goal $(or $(N),1000000)
corruptions: CAMPAIGN = campaign.py corruptions --goal $(or $(N),500000)
torture: CAMPAIGN = campaign.py torture --goal $(or $(N),1000)
restarts: CAMPAIGN = campaign.py restarts --goal $(or $(N),5000)
fuzz: CAMPAIGN = campaign.py fuzz --goal $(or $(N),500000000)
soak: CAMPAIGN = campaign.py soak --goal $(or $(N),240)
mutants: CAMPAIGN = mutants.py

report:
	@build-support/need-packages.sh build/log/packages.log python3 python3-matplotlib
	@$(PYTHON) tests-vm/report.py

# Ratios, each measured side by side in one run
.PHONY: bench bench-boot
bench: BENCH := bench.py
bench-boot: BENCH := bench_boot.py
bench bench-boot:
	@$(MAKE) deps-demo
	@build-support/quietly.sh build/log/dmremap.log 'building dmremap' $(MAKE) -j$(JOBS) dmremap
	@build-support/quietly.sh build/log/module.log 'building dm-remap.ko' $(MAKE) -j$(JOBS) module
	@$(PYTHON) tests-vm/$(BENCH)

# --- installation ------------------------------------------------------------------------------------------------------

DESTDIR :=
PREFIX  := /usr
DKMS_SRC = $(DESTDIR)$(PREFIX)/src/dm-remap-$(VERSION)

install: build/dmremap
	install -D -m 755 build/dmremap $(DESTDIR)$(PREFIX)/sbin/dmremap
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/dm-remap assembler/emergency.txt
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/lib/udev/rules.d assembler/udev/60-persistent-dm-remap.rules
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/lib/systemd/system assembler/systemd/*.service
	install -D -m 755 -t $(DESTDIR)$(PREFIX)/lib/dracut/modules.d/50dm-remap dracut-module/50dm-remap/*
	install -d $(DESTDIR)$(PREFIX)/share/initramfs-tools
	cp -R --preserve=mode initramfs-tools-hook/. $(DESTDIR)$(PREFIX)/share/initramfs-tools
	install -D -m 755 -t $(DESTDIR)$(PREFIX)/sbin initramfs-check/dm-remap-check-image
	install -D -m 755 -t $(DESTDIR)$(PREFIX)/share/dm-remap initramfs-check/image-config
	install -D -m 755 -t $(DESTDIR)/etc/initramfs/post-update.d initramfs-check/post-update.d/dm-remap
	install -D -m 755 -t $(DESTDIR)/etc/kernel/postinst.d initramfs-check/postinst.d/zz-dm-remap
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/man/man7 man/dmremap.cmdline.7
	install -D -m 644 -t $(DKMS_SRC) kernel/*.[ch] kernel/Kbuild
	sed 's/#MODULE_VERSION#/$(VERSION)/' kernel/dkms.conf >$(DKMS_SRC)/dkms.conf

clean:
	rm -rf build

-include $(shell find build/obj build/asan build/fuzz/obj -name '*.d' 2>/dev/null)
