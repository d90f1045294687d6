#!/bin/sh
# static-libs.sh DIR
# Build libdevmapper.a and libkmod.a, which Debian doesn't ship, from Debian's own source packages into
# DIR/lib and DIR/include. Versions and checksums are pinned in static-libs.sha256; a source file that already
# lies in DIR/src with the right checksum is not fetched again.
set -eu
unset MAKEFLAGS MAKELEVEL # the makes started here have nothing to do with ours
export LC_ALL=C

pins=$(realpath "$(dirname "$0")/static-libs.sha256")
mkdir -p "$1/src" "$1/lib" "$1/include"
cd "$1"
top=$PWD
cflags="-O2 -g -fstack-protector-strong -fstack-clash-protection -fcf-protection -D_FORTIFY_SOURCE=2
	-ffile-prefix-map=$top=."

say() {
	echo "== $*"
}

# The pool of whatever Debian mirror this machine's apt uses, through apt's own proxies and transports.
# Mirrors that say they are Debian's are asked first; without package lists no mirror says anything.
mirrors() {
	# shellcheck disable=SC2016 # apt expands it
	for filter in 'Origin: Debian' 'Component: main'; do
		apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' "$filter"
	done | awk '!seen[$0]++'
}

fetch() { # FILE
	name=${1%%_*}
	for mirror in $(mirrors); do
		echo "fetching $1"
		/usr/lib/apt/apt-helper -o APT::Sandbox::User=root download-file \
			"${mirror%/}/pool/main/$(printf %.1s "$name")/$name/$1" "$1" "SHA256:$2" && return
		rm -f "$1"
	done
	echo "static-libs.sh: can't fetch $1 from the mirrors in apt's sources" >&2
	echo "static-libs.sh: (a copy laid into $top/src is used instead)" >&2
	return 1
}

# One relocatable object with only the library's own names global, as its shared library has it: short helper
# names such as hash_new() can't clash with ours.
archive() { # LIBRARY PREFIX OBJECT...
	lib=$1 prefix=$2
	shift 2
	ld -r -o "lib/$lib.o" "$@"
	objcopy --wildcard --keep-global-symbol="$prefix*" "lib/$lib.o"
	rm -f "lib/$lib.a"
	ar rcsD "lib/$lib.a" "lib/$lib.o"
	rm "lib/$lib.o"
}

say "sources"
cd src
while read -r sum file; do
	echo "$sum  $file" | sha256sum --check --status 2>/dev/null || fetch "$file" "$sum"
done <"$pins"
sha256sum --check --quiet "$pins"
cd ..
rm -rf lvm2 kmod
# The checksums above are worth more than signatures by keys a machine may not have.
dpkg-source --no-check -x src/lvm2_*.dsc lvm2
dpkg-source --no-check -x src/kmod_*.dsc kmod

# Only libdm is built. libudev is asked just one thing, whether udevd runs: assembler/libudev_stub.c answers.
say "libdevmapper"
cd lvm2
./configure --quiet --enable-static_link --enable-udev_sync --enable-udev_rules --disable-selinux \
	--disable-readline --disable-blkid_wiping --disable-symvers CFLAGS="$cflags"
make -C libdm ioctl/libdevmapper.a
cd ..
mkdir -p lvm2/objects
(cd lvm2/objects && ar x ../libdm/ioctl/libdevmapper.a)
archive libdevmapper dm_ lvm2/objects/*.o
cp lvm2/libdm/libdevmapper.h include/

# kmod's configure refuses to build a static library, and autoconf, libtool and gtk-doc are much for fourteen files
# of plain C: what configure finds on any glibc system is said here.
say "libkmod"
cd kmod
for file in libkmod/*.c shared/*.c; do
	# shellcheck disable=SC2086 # a list of words
	cc -std=gnu11 $cflags -I. -D_GNU_SOURCE -DSYSCONFDIR='"/etc"' -DENABLE_LOGGING \
		-DENABLE_ZSTD -DENABLE_XZ -DENABLE_ZLIB -DHAVE_SECURE_GETENV -DHAVE_LINUX_MODULE_H \
		-DHAVE_STATIC_ASSERT -DHAVE_NORETURN -DHAVE_DECL_STRNDUPA=1 -DHAVE_DECL_BE32TOH=1 \
		-DHAVE_STRUCT_STAT_ST_MTIM -DHAVE___BUILTIN_UADDL_OVERFLOW=1 \
		-DHAVE___BUILTIN_UADDLL_OVERFLOW=1 -DHAVE___BUILTIN_CLZ -DHAVE___BUILTIN_TYPES_COMPATIBLE_P \
		-c "$file" -o "${file%.c}.o"
done
cd ..
archive libkmod kmod_ kmod/libkmod/*.o kmod/shared/*.o
cp kmod/libkmod/libkmod.h include/
