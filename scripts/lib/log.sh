# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What the user sees: one line per step with the seconds it took, and a log file behind each.

STEP_PID=
STEP_LOGS=		# directory of this run's logs, made when the first step needs it
STEP_COUNT=0

say() { printf '%s\n' "$@"; }
note() { printf '           %s\n' "$*"; }

# die CODE MESSAGE...: each MESSAGE is one line; the last one should name the fix.
die() {
	local code=$1 line
	shift
	for line; do printf '%s: %s\n' "${0##*/}" "$line" >&2; done
	exit "$code"
}

step_line() { printf '  [%3d s] %s\n' "$1" "$2"; }

step_tty() { [ -t 1 ] && [ -z "${CI:-}" ] && [ "${TERM:-dumb}" != dumb ]; }

# A line for a step that was already done, so that every run shows the same steps.
step_cached() { step_line 0 "$1 (cached)"; }

step_logs() {
	[ -n "$STEP_LOGS" ] && return
	STEP_LOGS=$CACHE/logs/${0##*/}-$(date +%Y%m%d-%H%M%S)-$$
	mkdir -p "$STEP_LOGS"
}

# Whether the script itself still runs; asked by its background jobs, which SIGKILL would leave
# behind.
main_lives() { kill -0 $$ 2>/dev/null; }

# Shows that something is going on: a spinner with the newest log line on a terminal, elsewhere a
# line every half minute, for the CI log to stay alive. Ends the step PID if the script is gone.
step_watch() {
	local text=$1 log=$2 start=$3 pid=$4 turn=0 last line elapsed width=80 frames="|/-+"
	if step_tty; then { width=$(stty size <&3 | cut -d' ' -f2); } 3<&1; fi
	if [ "${width:-0}" -lt 20 ]; then width=80; fi
	while sleep 0.5; do
		if ! main_lives; then
			kill "$pid"
			return
		fi
		elapsed=$((SECONDS - start))
		if step_tty; then
			last=$(tail -c 400 "$log" 2>/dev/null | tr '\r' '\n' | grep -v '^[[:space:]]*$' | tail -n 1 | tr -cd '[:print:]' || true)
			printf -v line '  [%3d s] %s %s  %s' "$elapsed" "${frames:turn++%4:1}" "$text" "$last"
			printf '\r\033[K%s' "${line:0:width-1}"
		elif [ $((elapsed / 30)) -gt "$turn" ]; then
			turn=$((elapsed / 30))
			printf '  [%3d s] ... %s\n' "$elapsed" "$text"
		fi
	done
}

# step TEXT COMMAND...: runs COMMAND with its output in a log. When it fails, shows the end of the
# log and leaves with COMMAND's status if a check of ours gave it, else with E_FAIL.
step() {
	step_run "$@"
	[ "$STEP_STATUS" = 0 ] && return
	step_show_failure
	if [ "$STEP_STATUS" -lt "$E_TOOL" ] || [ "$STEP_STATUS" -gt "$E_GUEST" ]; then exit "$E_FAIL"; fi
	exit "$STEP_STATUS"
}

# The same, but leaves it to the caller to look at STEP_STATUS and to show STEP_LOG. It does not
# return the status, because a call under `if` or `||` would switch off errexit in COMMAND as well.
step_run() {
	local text=$1 start=$SECONDS watcher tag
	shift
	STEP_STATUS=0
	step_needs_errexit
	step_logs
	STEP_COUNT=$((STEP_COUNT + 1))
	tag=$(printf '%s' "$text" | tr -cs 'A-Za-z0-9._' '-' | cut -c1-40)
	STEP_LOG=$STEP_LOGS/$(printf '%02d' "$STEP_COUNT")-${tag%-}.log
	("$@") >"$STEP_LOG" 2>&1 </dev/null &
	STEP_PID=$!
	step_watch "$text" "$STEP_LOG" "$start" "$STEP_PID" &
	watcher=$!
	wait "$STEP_PID" || STEP_STATUS=$?
	STEP_PID=
	kill "$watcher" 2>/dev/null || true
	wait "$watcher" 2>/dev/null || true
	step_tty && printf '\r\033[K'
	STEP_SECONDS=$((SECONDS - start))
	if [ "$STEP_STATUS" != 0 ]; then text="FAILED: $text"; fi
	step_line "$STEP_SECONDS" "$text"
}

# A failing command in a step must end the step. Where the caller stands under `if`, `&&` or `||`,
# bash would silently go on.
step_needs_errexit() {
	local status=0
	(false; exit 42) &
	wait $! || status=$?
	[ "$status" = 1 ] || die "$E_FAIL" "internal error: a step was called in a condition"
}

step_show_failure() {
	{
		printf '%s\n' "---- last lines of the log ----"
		tail -n 20 "$STEP_LOG"
		printf '%s\n' "---- full log: $STEP_LOG"
	} >&2
}

# Background jobs of a script ignore SIGINT, so an interrupted run has to end its step by itself.
# The step's children die with it (see ns_run).
on_exit() {
	local rc=$? pids
	if [ -n "$STEP_PID" ]; then
		kill "$STEP_PID" 2>/dev/null || true
		printf '\n%s: interrupted; the next run begins the unfinished step anew\n' "${0##*/}" >&2
	fi
	pids=$(jobs -p)
	# shellcheck disable=SC2086
	if [ -n "$pids" ]; then kill $pids 2>/dev/null || true; fi
	# A finished run needs no logs; an interrupted or failed one keeps them.
	if [ "$rc" = 0 ] && [ -n "$STEP_LOGS" ]; then rm -rf "$STEP_LOGS"; fi
	return "$rc"
}
trap on_exit EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
