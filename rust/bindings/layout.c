// SPDX-License-Identifier: GPL-2.0

/*
 * Every type that bindgen sees, with debug information: scripts/build compares their layouts with
 * those of the shipped kernel.
 */

#include "bindings.h"
