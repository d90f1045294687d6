#!/bin/sh
# need-packages.sh LOG PACKAGE...
# Install those of the Debian packages that are missing; with none missing, touch nothing.
set -u
log=$1
shift

missing=
for package; do
	case $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) in
	installed) ;;
	*) missing="$missing $package" ;;
	esac
done
[ -n "$missing" ] || exit 0

sudo=
[ "$(id -u)" -eq 0 ] || sudo=sudo

# A package may be unknown or gone from the mirror because the lists are old: they are fetched only then.
install_missing() {
	# shellcheck disable=SC2086 # both are lists of words
	$sudo env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 \
		install --yes --no-install-recommends $missing
}
install_or_update() {
	install_missing || { $sudo apt-get update && install_missing; }
}

mkdir -p "$(dirname "$log")"
echo "  Debian packages that are missing and will be installed:"
echo "$missing" | fold -s -w 72 | sed 's/^ */    /'
if ! install_or_update >"$log" 2>&1 </dev/null; then
	echo "  installing them failed. The end of $log:"
	tail -n 20 "$log"
	exit 1
fi
echo "  installed; log: $log"
