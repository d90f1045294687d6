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

echo "  Debian packages that are missing and will be installed:"
echo "$missing" | fold -s -w 72 | sed 's/^ */    /'
sudo=
if [ "$(id -u)" -ne 0 ]; then
	sudo=sudo
	sudo -v || exit
fi

# A package may be unknown, or gone from the mirror, because the lists are old: they are fetched only then.
# shellcheck disable=SC2016,SC2086 # for the inner shell; lists of words
exec "$(dirname "$0")/quietly.sh" "$log" 'installing them' $sudo env DEBIAN_FRONTEND=noninteractive sh -c '
	install() { apt-get -o DPkg::Lock::Timeout=300 install --yes --no-install-recommends "$@"; }
	install "$@" || { apt-get update && install "$@"; }' sh $missing
