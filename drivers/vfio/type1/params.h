/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SIOV_TYPE1_PARAMS_H
#define SIOV_TYPE1_PARAMS_H

#include <linux/types.h>

bool siov_type1_allow_unsafe_interrupts(void);
bool siov_type1_disable_hugepages(void);
unsigned int siov_type1_dma_entry_limit(void);

#endif
