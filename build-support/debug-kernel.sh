#!/bin/sh
# debug-kernel.sh DIR FLAVOUR
# Build a small kernel that watches itself, from Debian's linux-source, into DIR/FLAVOUR: build-support/debug-kernel/
# FLAVOUR.config says what it looks for. The source is fetched once and stays: remove DIR for a newer one.
set -eu
unset MAKEFLAGS MAKELEVEL # the makes started here have nothing to do with ours
export LC_ALL=C

here=$(realpath "$(dirname "$0")")
flavour=$2
mkdir -p "$1/$flavour"
cd "$1"
top=$PWD

say() {
	echo "== $*"
}

# linux-source depends on the one with a version, which holds a tar file.
fetch() {
	source=$(apt-cache depends linux-source | sed -n 's/.*Depends: \(linux-source-.*\)/\1/p')
	test -n "$source" || { echo "debug-kernel.sh: apt knows no linux-source: apt-get update" >&2; return 1; }
	apt-get -o APT::Sandbox::User=root download "$source"
	dpkg-deb --fsys-tarfile "$source"_*.deb | tar -xO --wildcards './usr/src/linux-source-*.tar.*' >source.tar.xz
	mkdir -p src.unfinished
	tar -xf source.tar.xz -C src.unfinished --strip-components=1
	rm "$source"_*.deb source.tar.xz
	# Allocations are made to fail by who asks for them. That works on x86-64, and later kernels allow it there.
	sed -i '/^config FAULT_INJECTION_STACKTRACE_FILTER/,/^config/{/depends on !X86_64/d}' \
		src.unfinished/lib/Kconfig.debug
	# A self-test of RCU tasks waits for ever in about one boot of 300: it may miss the thread that it has to wake.
	sed -i 's/^#ifdef CONFIG_PROVE_RCU$/#if 0/' src.unfinished/kernel/rcu/tasks.h
	mv src.unfinished src
}

# Everything that is not asked for is off, and what is asked for must not vanish for an unmet dependency.
configure() {
	cat "$here/debug-kernel/machine.config" "$here/debug-kernel/$flavour.config" >"$flavour/wanted"
	make -C src O="$top/$flavour" KCONFIG_ALLCONFIG="$top/$flavour/wanted" allnoconfig
	grep '^CONFIG_' "$flavour/wanted" | grep -vxFf "$flavour/.config" >"$flavour/missing" || return 0
	echo "debug-kernel.sh: not possible in this kernel:" >&2
	cat "$flavour/missing" >&2
	return 1
}

say "source"
test -d src || fetch
say "configuration"
configure
say "kernel and modules"
make -C src O="$top/$flavour" LOCALVERSION="-$flavour" -j"${JOBS:-$(nproc)}" bzImage modules
make -C src O="$top/$flavour" LOCALVERSION="-$flavour" INSTALL_MOD_PATH="$top/$flavour/root" modules_install
