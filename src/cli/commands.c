/* SPDX-License-Identifier: Apache-2.0
 * The one table of commands. */
#include "cli/commands.h"

#include "base/str.h"

#include <string.h>

#define MAX_COMMANDS 64

/* clang-format off: one a line */
const tsr_command *const tsr_commands[] = {
    &tsr_cmd_train_tokenizer,
    &tsr_cmd_encode,
    &tsr_cmd_decode,
    &tsr_cmd_roundtrip,
    &tsr_cmd_tokenize,
    &tsr_cmd_train,
    &tsr_cmd_eval,
    &tsr_cmd_verify,
    &tsr_cmd_export,
    &tsr_cmd_generate,
    &tsr_cmd_index,
    &tsr_cmd_retrieve,
    &tsr_cmd_inspect,
    &tsr_cmd_report,
    &tsr_cmd_info,
    &tsr_cmd_parity,
    &tsr_cmd_bench,
    &tsr_cmd_help,
};
/* clang-format on */
const size_t tsr_n_commands = sizeof tsr_commands / sizeof tsr_commands[0];

_Static_assert(sizeof tsr_commands / sizeof tsr_commands[0] <= MAX_COMMANDS, "list of names");

const tsr_command *tsr_command_find(const char *name)
{
    for (size_t i = 0; i < tsr_n_commands; i++)
        if (strcmp(tsr_commands[i]->name, name) == 0)
            return tsr_commands[i];
    return NULL;
}

const char *tsr_command_suggest(const char *name)
{
    const char *names[MAX_COMMANDS];
    for (size_t i = 0; i < tsr_n_commands; i++)
        names[i] = tsr_commands[i]->name;
    return tsr_suggest(name, names, tsr_n_commands);
}
