/* SPDX-License-Identifier: Apache-2.0
 * What every unit test includes: cmocka with its prerequisites, and checks for our status codes. */
#ifndef TSR_TESTS_TESTING_H
#define TSR_TESTS_TESTING_H

#include "base/status.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The call succeeds, or its error sentence is the message. */
#define assert_ok(expr)                                                                            \
    do {                                                                                           \
        tsr_status st_ = (expr);                                                                   \
        if (st_ != TSR_OK)                                                                         \
            fail_msg("%s: %s (%s, %s)", #expr, tsr_error(), tsr_status_name(st_),                  \
                     tsr_error_where());                                                           \
    } while (0)

/* The call fails with this code and a non-empty sentence. */
#define assert_fails(code, expr)                                                                   \
    do {                                                                                           \
        tsr_status st_ = (expr);                                                                   \
        if (st_ != (code))                                                                         \
            fail_msg("%s: expected %s, got %s", #expr, tsr_status_name(code),                      \
                     tsr_status_name(st_));                                                        \
        assert_true(tsr_error()[0] != '\0');                                                       \
    } while (0)

/* Folder of the source tree / of the build, for data files and scratch. */
static inline const char *source_folder(void)
{
    const char *s = getenv("TESSERA_SOURCE");
    return s ? s : ".";
}

static inline const char *build_folder(void)
{
    const char *s = getenv("TESSERA_BUILD");
    return s ? s : ".";
}

#endif
