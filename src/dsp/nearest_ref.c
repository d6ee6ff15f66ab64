/* SPDX-License-Identifier: Apache-2.0
 * Nearest-centre search, plain C. */
#define NEAREST tsr_nearest_ref
#define ROWS    4
#include "dsp/nearest_body.h"
