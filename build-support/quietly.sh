#!/bin/sh
# quietly.sh LOG MESSAGE COMMAND...
# Say MESSAGE, run COMMAND with all its output in LOG and a dot every five seconds; show the end of LOG if it fails.
log=$1 message=$2
shift 2
mkdir -p "$(dirname "$log")"
printf '  %s ..' "$message"
start=$(date +%s)
"$@" >"$log" 2>&1 </dev/null &
command=$!
trap 'kill $command 2>/dev/null; exit 130' INT TERM
while sleep 5 >/dev/null 2>&1 && kill -0 $command 2>/dev/null; do
	printf .
done &
dots=$!
wait $command
status=$?
kill $dots 2>/dev/null
if [ $status -eq 0 ]; then
	echo " $(($(date +%s) - start)) s"
else
	echo " failed, exit status $status. The end of $log:"
	tail -n 40 "$log"
fi
exit $status
