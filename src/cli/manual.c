/* SPDX-License-Identifier: Apache-2.0
 * Man pages and shell completion from the command table. */
#include "cli/manual.h"

#include "base/recipe.h"
#include "cli/commands.h"
#include "config.h"

#include <ctype.h>
#include <string.h>

void tsr_manual_overview(FILE *out)
{
    fputs("Usage: tessera COMMAND [OPTIONS] [OPERANDS]\n\n"
          "Turns images, depth, sound, palettes, metadata and text into tokens of one vocabulary.\n"
          "\nCommands:\n",
          out);
    for (size_t i = 0; i < tsr_n_commands; i++)
        fprintf(out, "  %-18s %s\n", tsr_commands[i]->name, tsr_commands[i]->summary);
    fputs("\n\"tessera COMMAND --help\" tells the options of a command; --version the version.\n",
          out);
}

/* Text with roff's special characters escaped. */
static void put_text(FILE *out, const char *s, size_t n)
{
    int line_start = 1;
    for (size_t i = 0; i < n; i++) {
        if (line_start && (s[i] == '.' || s[i] == '\''))
            fputs("\\&", out);
        line_start = s[i] == '\n';
        if (s[i] == '\\')
            fputs("\\e", out);
        else if (s[i] == '-')
            fputs("\\-", out);
        else
            fputc(s[i], out);
    }
}

static void put(FILE *out, const char *s)
{
    put_text(out, s, strlen(s));
}

static void put_upper(FILE *out, const char *s)
{
    for (; *s; s++)
        fputc(toupper((unsigned char)*s), out);
}

/* Paragraphs are filled; lines that start with a space stand as they are. */
static void put_details(FILE *out, const char *text)
{
    int kept = 0;
    while (*text) {
        size_t n = strcspn(text, "\n");
        int keep = text[0] == ' ';
        if (keep != kept)
            fputs(keep ? ".PP\n.nf\n" : ".fi\n", out);
        kept = keep;
        if (n == 0 && !kept)
            fputs(".PP", out);
        put_text(out, text, n);
        fputc('\n', out);
        text += n + (text[n] == '\n');
    }
    if (kept)
        fputs(".fi\n", out);
}

static void put_option(FILE *out, const tsr_option *o)
{
    fputs(".TP\n", out);
    if (o->letter)
        fprintf(out, "\\fB\\-%c\\fR, ", o->letter);
    fputs("\\fB\\-\\-", out);
    put(out, o->name);
    fputs("\\fR", out);
    if (o->kind != TSR_OPT_FLAG) {
        fputs("=\\fI", out);
        put(out, o->argument);
        fputs("\\fR", out);
    }
    fputc('\n', out);
    put(out, o->help);
    if (o->fallback && o->kind != TSR_OPT_FLAG) {
        fputs(" (default: ", out);
        put(out, o->fallback);
        fputc(')', out);
    }
    if (o->lo != 0 || o->hi != 0)
        fprintf(out, ".\nFrom %.10g to %.10g", o->lo, o->hi);
    fputs(".\n", out);
}

static void put_key(FILE *out, const tsr_field *f)
{
    int required = f->fallback && strcmp(f->fallback, "!") == 0;
    fputs(".TP\n\\fB", out);
    put(out, f->path);
    fputs("\\fR (", out);
    put(out, tsr_field_kind_name(f->kind));
    if (required)
        fputs("; required", out);
    if (f->fallback && !required) {
        fputs("; default: ", out);
        put(out, f->fallback);
    }
    fputs(")\n", out);
    put(out, f->help);
    fputc('\n', out);
}

static void put_exit_status(FILE *out)
{
    static const struct {
        const char *code, *meaning;
    } codes[] = {
        {"0", "done"},
        {"1", "failure"},
        {"2", "wrong usage or recipe"},
        {"3", "verification failed, or data that must agree does not"},
        {"4", "finished, but some inputs failed"},
        {"130", "interrupted, after a clean stop"},
    };
    fputs(".SH EXIT STATUS\n", out);
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        fprintf(out, ".TP\n%s\n%s\n", codes[i].code, codes[i].meaning);
}

static void program_page(FILE *out)
{
    fprintf(out,
            ".TH TESSERA 1 \"\" \"tessera %s\" \"User Commands\"\n.SH NAME\n"
            "tessera \\- multimodal discrete tokenizer\n.SH SYNOPSIS\n"
            ".B tessera\n.I COMMAND\n[\\fIOPTIONS\\fR] [\\fIOPERANDS\\fR]\n.SH DESCRIPTION\n"
            "Turns images, depth, sound, palettes, metadata and text into tokens of one\n"
            "vocabulary, keeps them in shards, and lets a person look into every step.\n"
            ".PP\nResults go to standard output, progress and messages to standard error.\n"
            ".SH COMMANDS\n",
            PACKAGE_VERSION);
    for (size_t i = 0; i < tsr_n_commands; i++) {
        fputs(".TP\n\\fBtessera\\-", out);
        put(out, tsr_commands[i]->name);
        fputs("\\fR(1)\n", out);
        put(out, tsr_commands[i]->summary);
        fputc('\n', out);
    }
    put_exit_status(out);
    fputs(".SH ENVIRONMENT\n"
          ".TP\nTESSERA_THREADS\nnumber of worker threads when \\fB\\-j\\fR is not given\n"
          ".TP\nTESSERA_CPU\nhighest kernel level to use: ref, avx2 or avx512\n"
          ".TP\nNO_COLOR\nwhen set and not empty, no colours\n",
          out);
}

void tsr_manual_page(const tsr_command *c, FILE *out)
{
    if (!c) {
        program_page(out);
        return;
    }
    fputs(".TH TESSERA\\-", out);
    put_upper(out, c->name);
    fprintf(out, " 1 \"\" \"tessera %s\" \"User Commands\"\n.SH NAME\ntessera\\-", PACKAGE_VERSION);
    put(out, c->name);
    fputs(" \\- ", out);
    put(out, c->summary);
    fputs("\n.SH SYNOPSIS\n.B tessera ", out);
    put(out, c->name);
    fputs("\n[\\fIOPTIONS\\fR]", out);
    if (c->operands[0]) {
        fputs(" \\fI", out);
        put(out, c->operands);
        fputs("\\fR", out);
    }
    fputs("\n.SH DESCRIPTION\n", out);
    put_details(out, c->details ? c->details : c->summary);
    fputs(".SH OPTIONS\n", out);
    for (size_t i = 0; i < c->n_options; i++)
        put_option(out, &c->options[i]);
    fputs(".TP\n\\fB\\-h\\fR, \\fB\\-\\-help\\fR\nshow a summary of the options.\n", out);
    if (c->keys)
        fputs(".SH RECIPE KEYS\n", out);
    for (size_t i = 0; c->keys && i < *c->n_keys; i++)
        put_key(out, &c->keys[i]);
    put_exit_status(out);
    fputs(".SH SEE ALSO\n.BR tessera (1)\n", out);
}

static void put_case(FILE *out, const tsr_command *c)
{
    fprintf(out, "    %s)\n        case $previous in\n", c->name);
    for (size_t i = 0; i < c->n_options; i++) {
        const tsr_option *o = &c->options[i];
        if (o->kind != TSR_OPT_CHOICE)
            continue;
        fprintf(out, "        --%s) words='", o->name);
        for (const char *p = o->argument; *p; p++)
            fputc(*p == '|' ? ' ' : *p, out);
        fputs("' ;;\n", out);
    }
    fputs("        *) words='--help", out);
    for (size_t i = 0; i < c->n_options; i++)
        fprintf(out, " --%s", c->options[i].name);
    fputs("' ;;\n        esac ;;\n", out);
}

void tsr_manual_completion(FILE *out)
{
    fputs("# SPDX-License-Identifier: Apache-2.0\n"
          "# Completion of tessera for bash, made from its option tables.\n"
          "_tessera()\n{\n    local words='' current=${COMP_WORDS[COMP_CWORD]}\n"
          "    local previous=${COMP_WORDS[COMP_CWORD-1]}\n    COMPREPLY=()\n"
          "    [[ $current == = ]] && current=\n"
          "    [[ $previous == = ]] && previous=${COMP_WORDS[COMP_CWORD-2]}\n"
          "    if ((COMP_CWORD == 1)); then\n        words='--help --version",
          out);
    for (size_t i = 0; i < tsr_n_commands; i++)
        fprintf(out, " %s", tsr_commands[i]->name);
    fputs(
        "'\n        COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n        return\n    fi\n"
        "    case ${COMP_WORDS[1]} in\n",
        out);
    for (size_t i = 0; i < tsr_n_commands; i++)
        put_case(out, tsr_commands[i]);
    fputs("    esac\n    if [[ $current == -* || $words != --help* ]]; then\n"
          "        COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n"
          "    else\n        COMPREPLY=($(compgen -f -- \"$current\"))\n    fi\n}\n"
          "complete -o filenames -F _tessera tessera\n",
          out);
}
