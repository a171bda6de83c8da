# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Booting a guest. A caller sets the GUEST_* variables, then calls guest_prepare and guest_run.

guest_defaults() {
	GUEST_IOMMU=intel		# intel[,PROPERTY=VALUE...], amd[,...], none, or a whole -device argument
	GUEST_SMP=2
	GUEST_MEM=1G
	GUEST_APPEND=()			# further words of the kernel command line
	GUEST_DEVICES=()		# arguments of -device
	GUEST_QEMU=()			# further arguments of QEMU
	GUEST_DISKS=()			# ID=SIZE: an empty image behind -drive id=ID
	GUEST_MODULES=()		# loaded in this order, each with its parameters
	GUEST_EXTRA_MODULES=()		# in the initramfs, not loaded
	GUEST_COPY=()			# FILE[:PATH], PATH in the guest, default /siov/NAME
	GUEST_DATA=()			# files of the root, brought along to the same place
	GUEST_PROGRAMS=()		# programs of the root, brought along with their libraries
	GUEST_KSELFTESTS=()		# SUITE/PROGRAM of the kernel's own selftests
	GUEST_SAMPLES=()		# FOLDER/NAME of the kernel's samples, modules at /siov/samples/NAME.ko
	GUEST_COMMANDS=()		# shell lines, each after the kind of its output, ktap or plain
	GUEST_ACPI=			# arguments of dmar-table: a DMAR table in place of QEMU's
	GUEST_KVM_KO=			# kvm.ko in place of ours: stock, or c, which is rebuilt from C
	GUEST_KERNEL_IMAGE=		# where the guest has the image of the kernel that it runs
	GUEST_MONITOR=			# QEMU's monitor (QMP) on the guest's third serial port
	GUEST_TIMEOUT=120		# seconds
	GUEST_ICOUNT=
	GUEST_KVM=
	GUEST_PLUGINS=()
	GUEST_PRELOAD=			# the plugins come by LD_PRELOAD
	GUEST_SHELL=
	GUEST_DIR=			# directory for logs and images, made if empty
}

guest_programs_dir() { printf '%s\n' "$BUILD/target/$RUST_TARGET/release"; }

# The first word of a command names one of our programs, or something that the guest has by itself.
guest_add_programs() {
	local command name
	for command in "${GUEST_COMMANDS[@]}"; do
		name=${command#* }
		name=${name%% *}
		if [[ $name != */* ]] && [ -x "$(guest_programs_dir)/$name" ]; then
			GUEST_COPY+=("$(guest_programs_dir)/$name:/siov/bin/$name")
		fi
	done
}

# A plugin is a file or the name of one that the workspace builds, either with ",KEY=VALUE" behind it.
guest_find_plugins() {
	local index item file
	for index in "${!GUEST_PLUGINS[@]}"; do
		item=${GUEST_PLUGINS[index]}
		file=${item%%,*}
		if [ ! -e "$file" ]; then file=$BUILD/target/plugins/release/lib${file//-/_}.so; fi
		expose "$file"
		GUEST_PLUGINS[index]=$EXPOSED${item#"${item%%,*}"}
	done
}

guest_add_samples() {
	local item
	for item in "${GUEST_SAMPLES[@]}"; do
		sample_build "${item%/*}" "${item#*/}"
		GUEST_COPY+=("$SAMPLE_FILE:/siov/samples/${item#*/}.ko")
	done
}

# Sets INITRAMFS: busybox and modules, cached by content.
guest_initramfs() {
	local names=() module key ours=$BUILD/modules
	for module in "${GUEST_MODULES[@]}" "${GUEST_EXTRA_MODULES[@]}"; do
		names+=("${module%% *}")
	done
	key=$(hash_of "$ROOT" "$TREE" "$(cat "$SRC/scripts/guest/init" "$SRC/scripts/lib/make-initramfs" | sha256sum)" \
		"$(cd "$ours" 2>/dev/null && find . -name '*.ko' -print0 | sort -z | xargs -0r sha256sum)" \
		"$(printf '%s\n' "${names[@]}" | sort -u)")
	INITRAMFS=$CACHE/initramfs-$key/initramfs
	cache_ensure "initramfs" "$key" 1 "initramfs" guest_make_initramfs "${names[@]}"
}

guest_make_initramfs() {
	local out=${!#}
	set -- "${@:1:$#-1}"
	in_root "$SRC/scripts/lib/make-initramfs" "$out/initramfs" "$MODDIR" "$BUILD/modules" "$SRC/scripts/guest/init" "$@"
}

# What differs from run to run: a second archive that the kernel unpacks over the first.
guest_make_overlay() {
	local stage=$GUEST_DIR/overlay item file to
	mkdir -p "$stage/siov/bin"
	printf '%s\n' "${GUEST_MODULES[@]}" | sed '/^$/d' >"$stage/siov/modules"
	printf '%s\n' "${GUEST_COMMANDS[@]}" | sed '/^$/d' >"$stage/siov/commands"
	if [ -n "$GUEST_SHELL" ]; then
		: >"$stage/siov/shell"
	else
		echo $((GUEST_TIMEOUT * 3 / 4)) >"$stage/siov/patience"
	fi
	for item in "${GUEST_COPY[@]}"; do
		file=${item%%:*}
		to=/siov/${file##*/}
		if [[ $item = *:* ]]; then to=${item#*:}; fi
		mkdir -p "$stage${to%/*}"
		cp -L -- "$file" "$stage$to"
	done
	if [ -n "$GUEST_KVM_KO" ]; then
		mkdir -p "$stage/lib/modules/${MODDIR##*/}/updates"
		kvm_variant "$GUEST_KVM_KO" "$stage/lib/modules/${MODDIR##*/}/updates/kvm.ko"
	fi
	if [ -n "$GUEST_KERNEL_IMAGE" ]; then
		mkdir -p "$stage${GUEST_KERNEL_IMAGE%/*}"
		in_root cp -L "$VMLINUZ" "$stage$GUEST_KERNEL_IMAGE"
	fi
	if [ -n "$GUEST_ACPI" ]; then
		# The kernel looks for this path in all of an uncompressed initramfs (its
		# Documentation/admin-guide/acpi/initrd_table_override.rst).
		mkdir -p "$stage/kernel/firmware/acpi"
		# shellcheck disable=SC2086  # several words
		"$(guest_programs_dir)/dmar-table" $GUEST_ACPI >"$stage/kernel/firmware/acpi/dmar.aml"
	fi
	if [ ${#GUEST_PROGRAMS[@]} -gt 0 ]; then
		in_root -C "$stage" bash -euc '
			for name; do
				program=$(command -v "$name") || { echo "no program $name in the root"; exit 1; }
				cp -L --parents "$program" .
				ldd "$program" | grep -o "/[^ ]*" | xargs -r cp -L --parents -t .
			done' _ "${GUEST_PROGRAMS[@]}"
	fi
	if [ ${#GUEST_DATA[@]} -gt 0 ]; then in_root -C "$stage" cp -L --parents "${GUEST_DATA[@]}" .; fi
	in_root -C "$stage" sh -c 'find . -print0 | cpio --quiet -0 -o -H newc -R 0:0 >../overlay.cpio'
	cat "$INITRAMFS" "$GUEST_DIR/overlay.cpio" >"$GUEST_DIR/initramfs"
	rm -rf "$stage" "$GUEST_DIR/overlay.cpio"
}

# Sets QEMU to the whole command.
guest_command() {
	local disk device accel machine=q35,kernel-irqchip=split iommu=() serial append monitor
	case $GUEST_IOMMU in
	none) ;;
	intel) iommu=(-device "intel-iommu,scalable-mode=on,pasid-bits=20") ;;
	intel,*) iommu=(-device "intel-iommu,scalable-mode=on,pasid-bits=20,${GUEST_IOMMU#intel,}") ;;
	amd) iommu=(-device amd-iommu) ;;
	amd,*) iommu=(-device "amd-iommu,${GUEST_IOMMU#amd,}") ;;
	*) iommu=(-device "$GUEST_IOMMU") ;;
	esac
	accel=(-accel tcg -cpu max)
	# With five levels an interrupt while the kernel identifies its first CPU makes KASAN forget for a moment
	# that memory has a shadow.
	if [ -n "$DEBUG" ]; then accel=(-accel tcg -cpu max,la57=off); fi
	if [ -n "$GUEST_KVM" ]; then accel=(-accel kvm -cpu host); fi
	if [ -n "$GUEST_ICOUNT" ]; then
		# One virtual nanosecond is one instruction, on one processor.
		accel+=(-icount "shift=0,sleep=off")
		GUEST_SMP=1
	fi
	# On a loaded machine an emulated guest may see too few timer ticks in the kernel's early check of the
	# IO-APIC, and panic.
	append="console=ttyS0 panic=-1 no_timer_check ${GUEST_APPEND[*]}"
	# There a driver is built in that the shipped kernel has as a module, and binds its device before vtd can
	# be loaded.
	if [ -n "$DEBUG" ]; then append+=" siov.patience=160 initcall_blacklist=i801_driver_init"; fi
	serial=(-serial "file:$GUEST_DIR/output.log")
	if [ -n "$GUEST_SHELL" ]; then serial=(-serial mon:stdio); fi
	QEMU=(qemu-system-x86_64 -nodefaults -no-user-config -display none -no-reboot
		-M "$machine" "${accel[@]}" -smp "$GUEST_SMP" -m "$GUEST_MEM"
		-kernel "$VMLINUZ" -initrd "$GUEST_DIR/initramfs" -append "$append"
		-serial "file:$GUEST_DIR/console.log" "${serial[@]}")
	if [ -n "$GUEST_MONITOR" ]; then
		# Both ends are QEMU's own. An abstract name, because a path of a socket may have 107 characters.
		monitor=siov-$$-$BASHPID-$RANDOM
		# shellcheck disable=SC2054  # QEMU's commas
		QEMU+=(-chardev "socket,id=monitor,path=$monitor,abstract=on,server=on,wait=off"
			-mon chardev=monitor,mode=control
			-chardev "socket,id=monitor-guest,path=$monitor,abstract=on" -serial chardev:monitor-guest)
	fi
	for device in "${GUEST_PLUGINS[@]}"; do
		if [ -n "$GUEST_PRELOAD" ]; then
			QEMU=(env "LD_PRELOAD=$device" "${QEMU[@]}")
		else
			QEMU+=(-plugin "$device")
		fi
	done
	QEMU+=("${iommu[@]}")
	for disk in "${GUEST_DISKS[@]}"; do
		truncate -s "${disk#*=}" "$GUEST_DIR/${disk%%=*}.img"
		QEMU+=(-drive "if=none,id=${disk%%=*},file=$GUEST_DIR/${disk%%=*}.img,format=raw,cache=unsafe")
	done
	QEMU+=("${GUEST_QEMU[@]}")
	for device in "${GUEST_DEVICES[@]}"; do QEMU+=(-device "$device"); done
}

guest_add_kselftests() {
	local item
	for item in "${GUEST_KSELFTESTS[@]}"; do
		kselftest_build "${item%/*}" "${item#*/}"
		GUEST_COPY+=("$PROGRAM_FILE:/siov/bin/${item#*/}")
	done
}

guest_collect() {
	guest_add_programs
	guest_add_samples
	guest_add_kselftests
	guest_initramfs
	guest_make_overlay
}

guest_prepare() {
	local item
	if [ -z "$GUEST_DIR" ]; then GUEST_DIR=$CACHE/logs/${0##*/}-$(date +%Y%m%d-%H%M%S)-$$; fi
	mkdir -p "$GUEST_DIR"
	GUEST_DIR=$(readlink -e "$GUEST_DIR")
	expose "$GUEST_DIR"
	rm -f "$GUEST_DIR/end"
	: >"$GUEST_DIR/console.log"
	: >"$GUEST_DIR/output.log"	# kept if it is there: guest_follow may have it open
	guest_find_plugins
	build_locked guest_collect
	guest_command
	printf '%q ' "${QEMU[@]}" >"$GUEST_DIR/command"
}

# Shows the commands' output until guest_run has returned.
guest_follow() {
	local tail
	tail -n +1 -s 0.2 -f "$GUEST_DIR/output.log" > >(sed -u -e '/^siov-guest: /d' -e '/^# expect-fault /d') &
	tail=$!
	until [ -e "$GUEST_DIR/end" ] || ! main_lives; do sleep 0.2; done
	sleep 0.3
	kill "$tail"
	wait "$tail" 2>/dev/null || true
}

# Runs the guest. Sets GUEST_END (finished, timeout, panic, lost) and, if finished, GUEST_STATUS, the status
# of the first command that failed.
# One boot that ends by itself or with GUEST_TIMEOUT; its exit code.
guest_boot() {
	local rc=0
	in_root timeout -k 5 "$GUEST_TIMEOUT" "${QEMU[@]}" >"$GUEST_DIR/qemu.log" 2>&1 </dev/null || rc=$?
	echo "$rc"
}

# On a machine with much else to do, a guest's kernel stops now and then while it sets its clocks and processors
# up. That is before anything of ours is loaded, and says nothing about it.
guest_stopped_before_init() {
	case $1 in
	124 | 137) ! grep -q 'Run /init as init process' "$GUEST_DIR/console.log" ;;
	*) return 1 ;;
	esac
}

guest_run() {
	local rc=0
	if [ -n "$GUEST_SHELL" ]; then
		in_root "${QEMU[@]}" || rc=$?
	else
		rc=$(guest_boot)
		if guest_stopped_before_init "$rc"; then
			mv "$GUEST_DIR/console.log" "$GUEST_DIR/console.first.log"
			echo "the kernel did not get to /init (console.first.log): booted again"
			rc=$(guest_boot)
		fi
	fi
	rm -f "$GUEST_DIR/initramfs"
	GUEST_STATUS=$(sed -n 's/^siov-guest: done \([0-9]*\)$/\1/p' "$GUEST_DIR/output.log" | tail -n 1)
	if [ -n "$GUEST_STATUS" ]; then
		GUEST_END=finished
	elif grep -q 'Kernel panic - not syncing' "$GUEST_DIR/console.log"; then
		GUEST_END=panic
	elif [ "$rc" = 124 ] || [ "$rc" = 137 ]; then
		GUEST_END=timeout
	else
		GUEST_END=lost		# QEMU did not start, or the guest was reset
	fi
	printf '%s %s\n' "$GUEST_END" "${GUEST_STATUS:-$rc}" >"$GUEST_DIR/end"
}
