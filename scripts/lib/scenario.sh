# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Scenario files: what one guest looks like and what runs in it. Test suites, benchmarks and demonstrations
# share the format, which Documentation/harness.rst describes: `key = value` lines, `#` comments, and
# `[name]` sections, each of which is a variant that adds to what stands before the first section.

# The variants of a file, one per line; an empty line if it has no sections.
scenario_variants() {
	local names
	names=$(sed -n 's/^\[\([A-Za-z0-9_-]*\)\]$/\1/p' "$1")
	printf '%s\n' "$names"
}

scenario_name() {
	local name=${1##*/}
	printf '%s\n' "${name%.*}${2:+:$2}"
}

# scenario_load FILE VARIANT: sets the GUEST_* variables and the SCENARIO_* ones.
scenario_load() {
	local file=$1 variant=$2 section='' number=0 line key value
	guest_defaults
	SCENARIO_SUMMARY='' SCENARIO_TAGS='' SCENARIO_KERNELS="${KERNELS[*]}"
	SCENARIO_ALLOW=() SCENARIO_AIMS=() SCENARIO_OPTIONAL=()
	SCENARIO_COLUMNS=() SCENARIO_CLOCK=icount
	while IFS= read -r line || [ -n "$line" ]; do
		number=$((number + 1))
		case $line in
		'' | '#'*) continue ;;
		'['*']')
			section=${line#[}
			section=${section%]}
			continue
			;;
		esac
		if [ -n "$section" ] && [ "$section" != "$variant" ]; then continue; fi
		[[ $line =~ ^([a-z-]+)\ *=\ *(.*)$ ]] || die "$E_USAGE" "$file:$number: not 'key = value': $line"
		key=${BASH_REMATCH[1]} value=${BASH_REMATCH[2]}
		scenario_set "$key" "$value" || die "$E_USAGE" "$file:$number: unknown key '$key'"
	done <"$file"
}

scenario_set() {
	local value=$2
	case $1 in
	summary) SCENARIO_SUMMARY=$value ;;
	tags) SCENARIO_TAGS=$value ;;
	kernels) SCENARIO_KERNELS=$value ;;
	allow) SCENARIO_ALLOW+=("$value") ;;
	aim) SCENARIO_AIMS+=("$value") ;;
	column) SCENARIO_COLUMNS+=("$value") ;;
	clock) SCENARIO_CLOCK=$value ;;
	optional) SCENARIO_OPTIONAL+=("$value") ;;
	command) GUEST_COMMANDS+=("ktap $value") ;;
	plain) GUEST_COMMANDS+=("plain $value") ;;
	module) GUEST_MODULES+=("$value") ;;
	have) GUEST_EXTRA_MODULES+=("$value") ;;
	iommu) GUEST_IOMMU=$value ;;
	smp) GUEST_SMP=$value ;;
	mem) GUEST_MEM=$value ;;
	append) GUEST_APPEND+=("$value") ;;
	device) GUEST_DEVICES+=("$value") ;;
	disk) GUEST_DISKS+=("$value") ;;
	qemu) GUEST_QEMU+=("$value") ;;
	plugin) GUEST_PLUGINS+=("$value") ;;
	preload) GUEST_PRELOAD=$value ;;
	program) GUEST_PROGRAMS+=("$value") ;;
	data) GUEST_DATA+=("$value") ;;
	copy) GUEST_COPY+=("$SRC/$value") ;;
	kvm) GUEST_KVM_KO=$value ;;
	kernel-image) GUEST_KERNEL_IMAGE=$value ;;
	payload)
		micro_bench_dir
		GUEST_COPY+=("$MICRO_BENCH/$value")
		;;
	acpi) GUEST_ACPI=$value ;;
	monitor) GUEST_MONITOR=1 ;;
	kselftest) GUEST_KSELFTESTS+=("$value") ;;
	sample) GUEST_SAMPLES+=("$value") ;;
	timeout) GUEST_TIMEOUT=$value ;;
	icount) GUEST_ICOUNT=1 ;;
	*) return 1 ;;
	esac
}

scenario_has_tag() { [[ " $SCENARIO_TAGS " = *" $1 "* ]]; }

# Why the loaded scenario cannot run here although it is well formed; empty if it can.
scenario_obstacle() {
	local program
	if [[ " $SCENARIO_KERNELS " != *" $KERNEL "* ]]; then
		echo "not for kernel $KERNEL"
		return
	fi
	if [ -n "$DEBUG" ] && scenario_has_tag no-debug; then
		echo "not for the debug kernel"
		return
	fi
	for program in "${SCENARIO_OPTIONAL[@]}"; do
		if ! in_root sh -c 'command -v "$1"' _ "$program" >/dev/null; then
			echo "no $program in the root"
			return
		fi
	done
}

# Boots the loaded scenario's guest with its logs in DIR, and judges it: verdict in DIR/verdict, totals in
# DIR/totals. Further arguments go to ktap-check.
scenario_run() {
	local dir=$1 allow
	shift
	for allow in "${SCENARIO_ALLOW[@]}"; do set -- "$@" --allow "$allow"; done
	[ ${#GUEST_COMMANDS[@]} -gt 0 ] || die "$E_USAGE" "the scenario has no command"
	GUEST_DIR=$dir
	# A debug kernel takes a dozen times as long to boot, and several times as long for the rest.
	if [ -n "$DEBUG" ]; then GUEST_TIMEOUT=$((GUEST_TIMEOUT * 8)); fi
	guest_prepare
	guest_run
	rm -f "$dir"/*.img
	"$(guest_programs_dir)/ktap-check" "$@" "$dir" >"$dir/verdict" || true
	sed -n 's/^totals //p' "$dir/verdict" >"$dir/totals"
}

# Runs JOBS commands at a time: parallel_start COMMAND..., then parallel_finish.
JOBS=2
parallel_start() {
	while [ "$(jobs -rp | wc -l)" -ge "$JOBS" ]; do wait -n || true; done
	("$@") </dev/null &
}

parallel_finish() { wait; }

# Sets `files` to the scenarios of scripts/DIR, in the order of their names.
scenario_files() {
	files=("$SRC/scripts/$1"/*.scenario)
	[ -e "${files[0]}" ] || die "$E_FAIL" "scripts/$1 has no scenario"
}

scenario_list() {
	local file
	for file; do
		scenario_load "$file" ""
		printf '%-20s %s\n' "$(scenario_name "$file" "")" "$SCENARIO_SUMMARY"
	done
}
