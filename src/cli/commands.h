/* SPDX-License-Identifier: Apache-2.0
 * The one table of commands. A new command is one file cmd_<name>.c, one line here and one in
 * commands.c. */
#ifndef TSR_CLI_COMMANDS_H
#define TSR_CLI_COMMANDS_H

#include "base/options.h"

extern const tsr_command tsr_cmd_bench;
extern const tsr_command tsr_cmd_decode;
extern const tsr_command tsr_cmd_encode;
extern const tsr_command tsr_cmd_eval;
extern const tsr_command tsr_cmd_export;
extern const tsr_command tsr_cmd_generate;
extern const tsr_command tsr_cmd_help;
extern const tsr_command tsr_cmd_index;
extern const tsr_command tsr_cmd_info;
extern const tsr_command tsr_cmd_inspect;
extern const tsr_command tsr_cmd_parity;
extern const tsr_command tsr_cmd_report;
extern const tsr_command tsr_cmd_retrieve;
extern const tsr_command tsr_cmd_roundtrip;
extern const tsr_command tsr_cmd_train;
extern const tsr_command tsr_cmd_train_tokenizer;
extern const tsr_command tsr_cmd_tokenize;
extern const tsr_command tsr_cmd_verify;

/* All of them in the order of `tessera help`, and their number. */
extern const tsr_command *const tsr_commands[];
extern const size_t tsr_n_commands;

/* NULL when there is none of that name. */
const tsr_command *tsr_command_find(const char *name);

/* The closest name to a mistyped one, or NULL. */
const char *tsr_command_suggest(const char *name);

#endif
