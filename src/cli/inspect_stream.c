/* SPDX-License-Identifier: Apache-2.0
 * tessera inspect -: tokens from `tessera encode` as they arrive. */
#include "cli/inspect.h"

#include "cli/console.h"
#include "cli/tokenline.h"

#include <stdlib.h>
#include <string.h>

#define MAX_LINE ((size_t)64 << 20)

static tsr_status show_line(const char *text, size_t bytes, size_t number, const tsr_toolbox *tools,
                            const tsr_screen *screen)
{
    char origin[64];
    tsr_token_line line = {0};
    tsr_status st;
    snprintf(origin, sizeof origin, "standard input, line %zu", number);
    if (bytes > MAX_LINE)
        TSR_FAIL(TSR_ELIMIT, "%s: longer than %zu bytes", origin, MAX_LINE);
    TSR_TRY(tsr_token_line_parse(text, bytes, origin, &line));
    tsr_put_text(screen->out, line.key);
    fprintf(screen->out, "  %s: %zu %s\n", line.space.modality, line.tokens.count,
            tsr_space_has_codes(&line.space) ? "tokens" : "values");
    st = tsr_inspect_tokens(screen, tools, &line.space, &line.tokens);
    fputc('\n', screen->out);
    tsr_token_line_clear(&line);
    return st;
}

tsr_status tsr_inspect_stream(FILE *in, const tsr_toolbox *tools, const tsr_screen *screen)
{
    char *text = NULL;
    size_t cap = 0, number = 0;
    ssize_t n;
    tsr_status st = TSR_OK;
    while (st == TSR_OK && tsr_output_open() && (n = getline(&text, &cap, in)) >= 0) {
        number++;
        if (text[strspn(text, " \t\r\n")])
            st = show_line(text, (size_t)n, number, tools, screen);
    }
    free(text); /* getline's own storage */
    return st;
}
