/* SPDX-License-Identifier: Apache-2.0
 * Status codes, the per-thread error sentence, and the guards that pass failures up. */
#ifndef TSR_BASE_STATUS_H
#define TSR_BASE_STATUS_H

/* Put in front of every prototype whose result must be looked at. */
#define TSR_USE __attribute__((warn_unused_result))
#define TSR_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

/* Codes are grouped by ten and never renumbered: 1x the caller, 2x the machine, 3x the data. */
typedef enum tsr_status {
    TSR_OK = 0,
    TSR_EARG = 10,       /* an argument the caller should not have passed */
    TSR_ECONFIG = 11,    /* a recipe or option is wrong */
    TSR_ENOMEM = 20,     /* memory could not be had */
    TSR_EIO = 21,        /* the operating system failed to read or write */
    TSR_ENOENT = 22,     /* no such file, key or tensor */
    TSR_ECANCEL = 23,    /* a stop was requested; everything finished is kept */
    TSR_EFORMAT = 30,    /* malformed, truncated or hostile input */
    TSR_EUNSUPPORTED = 31, /* well formed, but of a kind that is not handled */
    TSR_EMISMATCH = 32,  /* two things that must agree do not (digest, hash, shape) */
    TSR_ENUMERIC = 33,   /* NaN, infinity or overflow where a number was expected */
    TSR_ELIMIT = 34,     /* larger than a stated limit */
} tsr_status;

/* Short stable name of a code ("EFORMAT"), for logs and JSON. Never NULL. */
const char *tsr_status_name(tsr_status code);

/* The sentence that belongs to the last failure on this thread: what was wrong, in which input,
 * what was expected. Borrowed until the next failure on this thread. "" if there was none. */
const char *tsr_error(void);

/* Start a failure: stores the sentence (printf style, up to 1 KiB) for this thread and returns
 * `code`. File and line are kept for tsr_error_where(). Use through TSR_FAIL. */
tsr_status tsr_fail_at(tsr_status code, const char *file, int line, const char *fmt, ...)
    TSR_PRINTF(4, 5);

/* Put "while ...: " in front of the current sentence and return `code` unchanged. */
tsr_status tsr_context(tsr_status code, const char *fmt, ...) TSR_PRINTF(2, 3);

/* "file.c:123" of the last failure on this thread, for debug logs. Borrowed. */
const char *tsr_error_where(void);

/* The code itself is returned, so that the compiler sees that a result stays unwritten only on
 * failure. */
#define TSR_FAIL(code, ...)                                                                        \
    do {                                                                                           \
        (void)tsr_fail_at((code), __FILE__, __LINE__, __VA_ARGS__);                                \
        return (code);                                                                             \
    } while (0)

/* Pass a failure up unchanged. */
#define TSR_TRY(expr)                                                                              \
    do {                                                                                           \
        tsr_status tsr_try_ = (expr);                                                              \
        if (tsr_try_ != TSR_OK)                                                                    \
            return tsr_try_;                                                                       \
    } while (0)

/* The same for functions with one `out:` label; needs a local `tsr_status st`. */
#define TSR_GO(expr)                                                                               \
    do {                                                                                           \
        st = (expr);                                                                               \
        if (st != TSR_OK)                                                                          \
            goto out;                                                                              \
    } while (0)

/* Start a failure inside a function with an `out:` label. */
#define TSR_GOFAIL(code, ...)                                                                      \
    do {                                                                                           \
        st = tsr_fail_at((code), __FILE__, __LINE__, __VA_ARGS__);                                 \
        goto out;                                                                                  \
    } while (0)

#endif
