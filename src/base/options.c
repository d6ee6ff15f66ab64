/* SPDX-License-Identifier: Apache-2.0
 * Command lines from tables. */
#include "base/options.h"

#include "base/recipe.h"

#include "base/mem.h"
#include "base/str.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define HELP_COLUMNS 88
#define MAX_NAMES    64

static void *field(const tsr_option *o, void *settings)
{
    return (char *)settings + o->offset;
}

static tsr_status check_range(const tsr_option *o, double x, const char *text)
{
    if (o->lo == 0 && o->hi == 0)
        return TSR_OK;
    if (x < o->lo || x > o->hi)
        TSR_FAIL(TSR_EARG, "--%s=%s: must be between %.10g and %.10g", o->name, text, o->lo, o->hi);
    return TSR_OK;
}

/* K, M, G are powers of 1,000; Ki, Mi, Gi of 1,024. */
static long long suffix_factor(const char *s)
{
    static const struct {
        const char *text;
        long long factor;
    } suffixes[] = {{"", 1},           {"K", 1000},       {"M", 1000000},   {"G", 1000000000},
                    {"Ki", 1LL << 10}, {"Mi", 1LL << 20}, {"Gi", 1LL << 30}};
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++)
        if (strcmp(s, suffixes[i].text) == 0)
            return suffixes[i].factor;
    return 0;
}

static tsr_status set_int(const tsr_option *o, void *settings, const char *text)
{
    char *end;
    errno = 0;
    long long x = strtoll(text, &end, 10);
    long long factor = suffix_factor(end);
    if (end == text || factor == 0 || errno == ERANGE || __builtin_mul_overflow(x, factor, &x))
        TSR_FAIL(TSR_EARG, "--%s=%s: a whole number was expected", o->name, text);
    TSR_TRY(check_range(o, (double)x, text));
    *(long long *)field(o, settings) = x;
    return TSR_OK;
}

static tsr_status set_number(const tsr_option *o, void *settings, const char *text)
{
    char *end;
    double x = strtod(text, &end);
    if (end == text || *end || !isfinite(x))
        TSR_FAIL(TSR_EARG, "--%s=%s: a number was expected", o->name, text);
    TSR_TRY(check_range(o, x, text));
    *(double *)field(o, settings) = x;
    return TSR_OK;
}

static tsr_status set_choice(const tsr_option *o, void *settings, const char *text)
{
    int index = 0;
    size_t n = strlen(text);
    for (const char *word = o->argument; word; index++) {
        const char *bar = strchr(word, '|');
        size_t len = bar ? (size_t)(bar - word) : strlen(word);
        if (len == n && memcmp(word, text, n) == 0) {
            *(int *)field(o, settings) = index;
            return TSR_OK;
        }
        word = bar ? bar + 1 : NULL;
    }
    TSR_FAIL(TSR_EARG, "--%s=%s: must be one of %s", o->name, text, o->argument);
}

static tsr_status set_value(const tsr_option *o, void *settings, const char *text)
{
    switch (o->kind) {
    case TSR_OPT_FLAG:
        *(int *)field(o, settings) = 1;
        return TSR_OK;
    case TSR_OPT_INT:
        return set_int(o, settings, text);
    case TSR_OPT_NUMBER:
        return set_number(o, settings, text);
    case TSR_OPT_CHOICE:
        return set_choice(o, settings, text);
    case TSR_OPT_STRING:
        *(const char **)field(o, settings) = text;
        return TSR_OK;
    case TSR_OPT_LIST:
        break;
    }
    tsr_option_list *list = field(o, settings);
    TSR_TRY(tsr_room(&list->items, list->count, &list->cap, sizeof *list->items));
    list->items[list->count++] = text;
    return TSR_OK;
}

static const tsr_option *find_long(const tsr_command *c, const char *name, size_t n)
{
    for (size_t i = 0; i < c->n_options; i++)
        if (strlen(c->options[i].name) == n && memcmp(c->options[i].name, name, n) == 0)
            return &c->options[i];
    return NULL;
}

static const tsr_option *find_letter(const tsr_command *c, char letter)
{
    for (size_t i = 0; i < c->n_options; i++)
        if (letter && c->options[i].letter == letter)
            return &c->options[i];
    return NULL;
}

static tsr_status unknown_option(const tsr_command *c, const char *name)
{
    const char *names[MAX_NAMES] = {"help"};
    size_t count = 1;
    for (size_t i = 0; i < c->n_options && count < MAX_NAMES; i++)
        names[count++] = c->options[i].name;
    const char *close = tsr_suggest(name, names, count);
    if (close)
        TSR_FAIL(TSR_EARG, "unknown option --%s; did you mean --%s?", name, close);
    TSR_FAIL(TSR_EARG, "unknown option --%s; --help lists what there is", name);
}

/* One command line while it is parsed. */
typedef struct cursor {
    const tsr_command *command;
    int argc;
    char **argv;
    int at;
    void *settings;
    int *help;
} cursor;

static tsr_status next_value(cursor *p, const tsr_option *o, const char **value)
{
    if (p->at + 1 >= p->argc)
        TSR_FAIL(TSR_EARG, "--%s: needs a value (%s)", o->name, o->argument);
    *value = p->argv[++p->at];
    return TSR_OK;
}

static tsr_status parse_long(cursor *p, const char *text)
{
    const char *equals = strchr(text, '=');
    size_t n = equals ? (size_t)(equals - text) : strlen(text);
    if (strcmp(text, "help") == 0) {
        *p->help = 1;
        return TSR_OK;
    }
    const tsr_option *o = find_long(p->command, text, n);
    if (!o) {
        char name[64];
        snprintf(name, sizeof name, "%.*s", (int)(n < 63 ? n : 63), text);
        return unknown_option(p->command, name);
    }
    const char *value = equals ? equals + 1 : NULL;
    if (o->kind == TSR_OPT_FLAG && value)
        TSR_FAIL(TSR_EARG, "--%s: takes no value", o->name);
    if (o->kind != TSR_OPT_FLAG && !value)
        TSR_TRY(next_value(p, o, &value));
    return set_value(o, p->settings, value);
}

/* "-vj4": flags may be joined, and the rest of the word is the value of one that takes it. */
static tsr_status parse_letters(cursor *p, const char *letters)
{
    for (; *letters; letters++) {
        if (*letters == 'h' && !find_letter(p->command, 'h')) {
            *p->help = 1;
            continue;
        }
        const tsr_option *o = find_letter(p->command, *letters);
        if (!o)
            TSR_FAIL(TSR_EARG, "unknown option -%c; --help lists what there is", *letters);
        if (o->kind == TSR_OPT_FLAG) {
            TSR_TRY(set_value(o, p->settings, NULL));
            continue;
        }
        const char *value = letters[1] ? letters + 1 : NULL;
        if (!value)
            TSR_TRY(next_value(p, o, &value));
        return set_value(o, p->settings, value);
    }
    return TSR_OK;
}

static tsr_status set_defaults(const tsr_command *c, void *settings)
{
    for (size_t i = 0; i < c->n_options; i++)
        if (c->options[i].fallback)
            TSR_TRY(set_value(&c->options[i], settings, c->options[i].fallback));
    return TSR_OK;
}

static tsr_status check_operands(const tsr_command *c, int n)
{
    const char *colon = c->name[0] ? ": " : "";
    if (n < c->min_operands)
        TSR_FAIL(TSR_EARG, "%s%sexpected operands: %s", c->name, colon, c->operands);
    if (c->max_operands >= 0 && n > c->max_operands)
        TSR_FAIL(TSR_EARG, "%s%stoo many operands: at most %d expected%s%s", c->name, colon,
                 c->max_operands, c->operands[0] ? ": " : "", c->operands);
    return TSR_OK;
}

tsr_status tsr_options_parse(const tsr_command *c, int argc, char **argv, void *settings,
                             int *n_operands, int *help)
{
    int n = 0, only_operands = 0, wants_help = 0;
    cursor p = {c, argc, argv, 1, settings, &wants_help};
    TSR_TRY(set_defaults(c, settings));
    for (; p.at < argc; p.at++) {
        char *word = argv[p.at];
        if (!only_operands && strcmp(word, "--") == 0)
            only_operands = 1;
        else if (!only_operands && tsr_starts_with(word, "--"))
            TSR_TRY(parse_long(&p, word + 2));
        else if (!only_operands && word[0] == '-' && word[1])
            TSR_TRY(parse_letters(&p, word + 1));
        else
            argv[n++] = word;
    }
    if (!wants_help)
        TSR_TRY(check_operands(c, n));
    *n_operands = n;
    *help = wants_help;
    return TSR_OK;
}

void tsr_options_clear(const tsr_command *c, void *settings)
{
    for (size_t i = 0; i < c->n_options; i++) {
        if (c->options[i].kind != TSR_OPT_LIST)
            continue;
        tsr_option_list *list = field(&c->options[i], settings);
        tsr_free(list->items);
        *list = (tsr_option_list){0};
    }
}

/* Paragraph text broken at spaces; the first line continues at `column`, others start at `left`. */
static void print_wrapped(FILE *out, const char *text, int column, int left)
{
    while (*text) {
        int word = (int)strcspn(text, " \n");
        if (column > left && column + 1 + word > HELP_COLUMNS) {
            fprintf(out, "\n%*s", left, "");
            column = left;
        } else if (column > left) {
            fputc(' ', out);
            column++;
        }
        fprintf(out, "%.*s", word, text);
        column += word;
        text += word;
        if (*text == '\n') {
            fprintf(out, "\n%*s", left, "");
            column = left;
            text++;
        }
        text += strspn(text, " ");
    }
    fputc('\n', out);
}

/* Details: paragraphs parted by an empty line are filled; lines that start with a space are kept.
 */
static void print_details(FILE *out, const char *text)
{
    while (*text) {
        size_t n = strcspn(text, "\n");
        char line[1024];
        snprintf(line, sizeof line, "%.*s", (int)(n < sizeof line ? n : sizeof line - 1), text);
        if (line[0] == ' ')
            fprintf(out, "%s\n", line);
        else
            print_wrapped(out, line, 0, 0);
        text += n + (text[n] == '\n');
    }
}

static void print_option(FILE *out, const tsr_option *o)
{
    char head[128], text[512];
    int n = o->letter ? snprintf(head, sizeof head, "  -%c, --%s", o->letter, o->name)
                      : snprintf(head, sizeof head, "      --%s", o->name);
    if (o->kind != TSR_OPT_FLAG && n > 0 && n < (int)sizeof head)
        snprintf(head + n, sizeof head - (size_t)n, "=%s", o->argument);
    if (o->fallback && o->kind != TSR_OPT_FLAG)
        snprintf(text, sizeof text, "%s (default: %s)", o->help, o->fallback);
    else
        snprintf(text, sizeof text, "%s", o->help);
    int width = (int)strlen(head);
    if (width > 25)
        fprintf(out, "%s\n%*s", head, 27, "");
    else
        fprintf(out, "%-27s", head);
    print_wrapped(out, text, 27, 27);
}

static void print_key(FILE *out, const tsr_field *f)
{
    char text[512];
    int required = f->fallback && strcmp(f->fallback, "!") == 0;
    snprintf(text, sizeof text, "%s (%s%s%s)", f->help, tsr_field_kind_name(f->kind),
             required         ? "; required"
             : f->fallback    ? "; default: "
                              : "",
             f->fallback && !required ? f->fallback : "");
    fprintf(out, strlen(f->path) > 24 ? "  %s\n%27s" : "  %-25s%s", f->path, "");
    print_wrapped(out, text, 27, 27);
}

void tsr_options_help(const tsr_command *c, const char *program, FILE *out)
{
    static const tsr_option help = {
        .name = "help", .letter = 'h', .kind = TSR_OPT_FLAG, .help = "show this text"};
    const char *name = c->name ? c->name : "";
    fprintf(out, "Usage: %s%s%s [OPTIONS]%s%s\n\n", program, *name ? " " : "", name,
            c->operands[0] ? " " : "", c->operands);
    print_wrapped(out, c->summary, 0, 0);
    if (c->details) {
        fputc('\n', out);
        print_details(out, c->details);
    }
    fputs("\nOptions:\n", out);
    for (size_t i = 0; i < c->n_options; i++)
        print_option(out, &c->options[i]);
    print_option(out, &help);
    if (c->keys)
        fputs("\nKeys of the recipe:\n", out);
    for (size_t i = 0; c->keys && i < *c->n_keys; i++)
        print_key(out, &c->keys[i]);
}

static const char *kind_name(tsr_option_kind kind)
{
    static const char *const names[] = {"flag", "int", "number", "string", "choice", "list"};
    return names[kind];
}

static tsr_status option_json(const tsr_option *o, json_t *list)
{
    char letter[2] = {o->letter, '\0'};
    json_t *v = json_pack("{s:s, s:s*, s:s, s:s*, s:s*, s:s}", "name", o->name, "letter",
                          o->letter ? letter : NULL, "kind", kind_name(o->kind), "argument",
                          o->argument, "default", o->fallback, "help", o->help);
    if (v && (o->lo != 0 || o->hi != 0) &&
        json_object_set_new(v, "range", json_pack("[f, f]", o->lo, o->hi)) != 0) {
        json_decref(v);
        v = NULL;
    }
    return tsr_json_append(list, v);
}

tsr_status tsr_options_json(const tsr_command *c, json_t **out)
{
    tsr_status st = TSR_OK;
    json_t *options = json_array();
    json_t *v = json_pack("{s:s, s:s, s:s, s:s*, s:o}", "name", c->name, "operands", c->operands,
                          "summary", c->summary, "details", c->details, "options", options);
    if (!v)
        TSR_FAIL(TSR_ENOMEM, "%s: option table could not be described", c->name);
    for (size_t i = 0; i < c->n_options; i++)
        TSR_GO(option_json(&c->options[i], options));
    *out = v;
    v = NULL;
out:
    json_decref(v);
    return st;
}
