#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# rd.dmremap=0 takes the other hooks away, so that it helps also when dmremap itself is what
# keeps the machine from booting. All other options are dmremap's to read.

# shellcheck disable=SC2154 # dracut sets hookdir
if ! getargbool 1 rd.dmremap; then
    rm -f -- "$hookdir"/*/*-dm-remap-*.sh "$hookdir"/initqueue/*/*-dm-remap-*.sh
fi
