/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The functions that coalesced_io.rs has besides those of coalesced_mmio.h.
 */
#ifndef SIOV_KVM_COALESCED_IO_H
#define SIOV_KVM_COALESCED_IO_H

struct kvm;

void siov_coalesced_io_retire(struct kvm *kvm);

#endif
