/* SPDX-License-Identifier: Apache-2.0
 * tessera help: what there is, and the documents made from the option tables. */
#include "cli/commands.h"
#include "cli/console.h"
#include "cli/manual.h"

typedef struct settings {
    int json, form;
} settings;

enum { FORM_TEXT, FORM_MAN, FORM_BASH };

static const tsr_option options[] = {
    TSR_OPTION_JSON(settings),
    {"form", 0, TSR_OPT_CHOICE, offsetof(settings, form), "text", 0, 0, "text|man|bash",
     "plain text, a man page in roff, or a completion script for bash"},
};

static tsr_status print_table(const tsr_command *only)
{
    json_t *list = json_array();
    tsr_status st = TSR_OK;
    for (size_t i = 0; i < tsr_n_commands; i++) {
        json_t *v;
        if (only && tsr_commands[i] != only)
            continue;
        TSR_GO(tsr_options_json(tsr_commands[i], &v));
        TSR_GO(tsr_json_append(list, v));
    }
    TSR_GO(tsr_print_json(list, 1));
out:
    json_decref(list);
    return st;
}

static tsr_status help(const settings *s, int n, char *const *operands)
{
    const tsr_command *c = n ? tsr_command_find(operands[0]) : NULL;
    if (n && !c) {
        const char *close = tsr_command_suggest(operands[0]);
        TSR_FAIL(TSR_EARG, "no command \"%s\"%s%s", operands[0], close ? "; did you mean " : "",
                 close ? close : "");
    }
    if (s->json)
        return print_table(c);
    if (s->form == FORM_BASH)
        tsr_manual_completion(stdout);
    else if (s->form == FORM_MAN)
        tsr_manual_page(c, stdout);
    else if (c)
        tsr_options_help(c, "tessera", stdout);
    else
        tsr_manual_overview(stdout);
    return TSR_OK;
}

static int run(const void *settings_, int n_operands, char *const *operands)
{
    return tsr_finish(help(settings_, n_operands, operands));
}

const tsr_command tsr_cmd_help = {
    .name = "help",
    .operands = "[COMMAND]",
    .summary = "list the commands, or tell about one",
    .details =
        "Without an operand: the list of commands. With the name of a command: its options.\n"
        "\n"
        "With --json the option tables themselves, for programs; man pages and the completion "
        "script are made from the same tables.",
    .min_operands = 0,
    .max_operands = 1,
    .options = options,
    .n_options = sizeof options / sizeof options[0],
    .settings_bytes = sizeof(settings),
    .run = run,
};
