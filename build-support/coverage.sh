#!/bin/sh
# coverage.sh DIR SOURCE...
# Run the unit tests and the kept inputs of the fuzz targets that DIR holds, built for coverage, and say how many
# lines and branches of the sources they go through.
set -eu
export LC_ALL=C

dir=$1
shift
rm -f "$dir"/*.profraw
objects=

# run NAME PROGRAM [ARGUMENT...]
run() {
	profile=$dir/$1.profraw
	shift
	objects="$objects${objects:+ -object }$1"
	LLVM_PROFILE_FILE=$profile "$@" >"$dir/log" 2>&1 || {
		cat "$dir/log"
		exit 1
	}
}

for test in "$dir"/tests/test_*; do
	run "${test##*/}" "$test"
done
for fuzzer in "$dir"/fuzz/fuzz_*; do
	name=${fuzzer##*/fuzz_}
	seeds=assembler/tests/corpus/$name
	[ -d "$seeds" ] || seeds=
	# shellcheck disable=SC2086 # none or one
	run "${fuzzer##*/}" "$fuzzer" -runs=0 "build/fuzz/corpus/$name" $seeds
done
llvm-profdata merge -o "$dir/profile" "$dir"/*.profraw
# shellcheck disable=SC2086 # each a word
llvm-cov report $objects -instr-profile="$dir/profile" --show-region-summary=false --show-functions=false "$@" |
	tee "$dir/report"
