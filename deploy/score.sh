#!/bin/sh
# Score the inbox of a use case once, for cron and other plain schedulers: score.sh USE_CASE [options of kedro run]
#
# One at a time for each use case, at most two hours (TIMEOUT), three tries (TRIES), RETRY_SECONDS apart,
# where a file failed or the run could not start. The log goes to data/08_reporting/USE_CASE/scoring.log,
# the last line of a try that failed to stderr too. The exit status is that of kedro run; see README.md beside this file.
set -u
use_case=$1
shift
cd "$(dirname "$0")/.." || exit 5
folder=data/08_reporting/$use_case
mkdir -p "$folder" || exit 5
exec 9>"$folder/.score.lock"
flock --nonblock 9 || exit 0
PATH=$PWD/.venv/bin:$PATH
try=1
while :; do
  timeout --kill-after=60 "${TIMEOUT:-2h}" kedro run --pipeline="$use_case.predict" "$@" >>"$folder/scoring.log" 2>&1 9>&-
  status=$?
  [ "$status" = 0 ] && exit 0
  echo "scoring $use_case, try $try, ended with status $status: $(tail -n 1 "$folder/scoring.log")" >&2
  case $status in
    4 | 5) [ "$try" -lt "${TRIES:-3}" ] || break ;;
    *) break ;;
  esac
  try=$((try + 1))
  sleep "${RETRY_SECONDS:-300}"
done
exit "$status"
