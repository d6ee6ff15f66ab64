/* SPDX-License-Identifier: Apache-2.0
 * Exit codes, messages, results and signals. */
#include "cli/console.h"

#include "base/mem.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int tsr_exit_code(tsr_status st)
{
    switch (st) {
    case TSR_OK:
        return TSR_EXIT_DONE;
    case TSR_EARG:
    case TSR_ECONFIG:
        return TSR_EXIT_USAGE;
    case TSR_EMISMATCH:
        return TSR_EXIT_MISMATCH;
    case TSR_ECANCEL:
        return TSR_EXIT_STOPPED;
    default:
        return TSR_EXIT_FAILURE;
    }
}

void tsr_put_text(FILE *out, const char *s)
{
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s, next = (unsigned char)s[1];
        if (c == '\n')
            fputs("↵", out);
        else if (c == '\t')
            fputs("→", out);
        else if (c < 0x20) /* the control pictures U+2400.. */
            fprintf(out, "\xe2\x90%c", 0x80 + c);
        else if (c == 0x7F)
            fputs("\xe2\x90\xa1", out);
        else if (c == 0xC2 && next >= 0x80 && next < 0xA0)
            s++;
        else
            fputc(c, out);
    }
}

void tsr_say(const char *fmt, ...)
{
    char line[2048];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    fputs("tessera: ", stderr);
    tsr_put_text(stderr, line);
    fputc('\n', stderr);
}

/* 1 when the other end of standard output has gone. */
static int reader_gone(void)
{
    struct pollfd p = {.fd = STDOUT_FILENO, .events = POLLOUT};
    return poll(&p, 1, 0) > 0 && (p.revents & POLLERR);
}

int tsr_output_open(void)
{
    return fflush(stdout) == 0 && !ferror(stdout);
}

static int close_output(int code)
{
    if (tsr_output_open() || reader_gone())
        return code;
    tsr_say("writing to standard output failed");
    return code ? code : TSR_EXIT_FAILURE;
}

int tsr_finish(tsr_status st)
{
    return tsr_finish_counted(st, 0);
}

int tsr_finish_counted(tsr_status st, size_t failed)
{
    if (st != TSR_OK)
        tsr_say("%s", tsr_error());
    int code = tsr_exit_code(st);
    return close_output(code == TSR_EXIT_DONE && failed ? TSR_EXIT_PARTIAL : code);
}

tsr_status tsr_print_json(const json_t *value, int pretty)
{
    char *text;
    TSR_TRY(tsr_json_text(value, pretty ? 2 : 0, &text));
    puts(text);
    tsr_free(text);
    fflush(stdout);
    return TSR_OK;
}

static volatile sig_atomic_t stop_requested;

static void on_signal(int number)
{
    (void)number;
    static const char again[] =
        "\ntessera: stopping cleanly; the same signal again stops at once\n";
    if (stop_requested)
        _exit(TSR_EXIT_STOPPED);
    stop_requested = 1;
    ssize_t ignored = write(STDERR_FILENO, again, sizeof again - 1);
    (void)ignored;
}

const volatile sig_atomic_t *tsr_stop_flag(void)
{
    struct sigaction act = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigemptyset(&act.sa_mask);
    sigaction(SIGINT, &act, NULL);
    sigaction(SIGTERM, &act, NULL);
    return &stop_requested;
}
