/* SPDX-License-Identifier: Apache-2.0
 * The tokenizers some work needs. */
#include "pipeline/toolbox.h"

#include "base/file.h"
#include "base/mem.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static void clear_tool(tsr_tool *t)
{
    tsr_tokenizer_work_destroy(t->work);
    tsr_tokenizer_destroy(t->tokenizer);
    tsr_free(t->path);
    *t = (tsr_tool){0};
}

static tsr_status add_file(tsr_toolbox *b, const char *path, const char *hint)
{
    tsr_tool tool = {0};
    tsr_status st;
    TSR_GO(tsr_room(&b->tools, b->count, &b->cap, sizeof *b->tools));
    TSR_GO(tsr_tokenizer_open(path, hint, &tool.tokenizer));
    TSR_GO(tsr_tokenizer_work_create(tool.tokenizer, &tool.work));
    TSR_GO(tsr_strdup(&tool.path, path));
    b->tools[b->count++] = tool;
    tool = (tsr_tool){0};
    /* Only a text tokenizer's own file names the pieces; others of the text range refer to it. */
    if (!b->text && strcmp(tsr_path_extension(path), "json") == 0 &&
        tsr_text_open(path, &b->text) != TSR_OK)
        b->text = NULL;
out:
    clear_tool(&tool);
    return st;
}

tsr_status tsr_toolbox_create(tsr_toolbox *b, const json_t *config, const char *origin)
{
    tsr_tool tool = {0};
    tsr_status st;
    TSR_GO(tsr_room(&b->tools, b->count, &b->cap, sizeof *b->tools));
    TSR_GO(tsr_tokenizer_create(config, origin, &tool.tokenizer));
    TSR_GO(tsr_tokenizer_work_create(tool.tokenizer, &tool.work));
    TSR_GO(tsr_strdup(&tool.path, origin));
    b->tools[b->count++] = tool;
    tool = (tsr_tool){0};
out:
    clear_tool(&tool);
    return st;
}

static int looks_like_tokenizer(const char *name)
{
    const char *extension = tsr_path_extension(name);
    return strcmp(extension, "safetensors") == 0 || strcmp(extension, "json") == 0;
}

tsr_status tsr_toolbox_add(tsr_toolbox *b, const char *path, const char *hint)
{
    tsr_names names = {0};
    tsr_status st;
    if (!tsr_is_folder(path))
        return add_file(b, path, hint);
    TSR_GO(tsr_walk_folder(path, 1, &names));
    for (size_t i = 0; i < names.count; i++) {
        char *full;
        if (!looks_like_tokenizer(names.names[i]))
            continue;
        TSR_GO(tsr_path_join(&full, path, names.names[i]));
        tsr_status opened = add_file(b, full, hint);
        tsr_free(full);
        if (opened == TSR_ENOMEM)
            st = opened;
    }
out:
    tsr_names_clear(&names);
    return st;
}

void tsr_toolbox_clear(tsr_toolbox *b)
{
    for (size_t i = 0; i < b->count; i++)
        clear_tool(&b->tools[i]);
    tsr_free(b->tools);
    tsr_text_destroy(b->text);
    *b = (tsr_toolbox){0};
}

tsr_status tsr_toolbox_add_for(tsr_toolbox *b, const char *path, const tsr_manifest *m)
{
    tsr_status st = tsr_toolbox_add(b, path, NULL);
    for (size_t i = 0; i < m->n_modalities && st != TSR_ENOMEM && st != TSR_ENOENT; i++)
        if (!tsr_toolbox_find(b, &m->modalities[i].space))
            st = tsr_toolbox_add(b, path, m->modalities[i].space.modality);
    return st == TSR_ENOMEM || st == TSR_ENOENT ? st : TSR_OK;
}

/* --- files that do not say what they are ------------------------------------------------------ */

/* How many words of a modality's name ("dinov2_global") the last two parts of a path have, small and
 * capital letters alike; features of places and of whole pictures are told apart by "global". */
static int words_in_common(const char *path, const char *modality)
{
    char name[512], word[64];
    const char *slash = strrchr(path, '/'), *from = path;
    int common = 0;
    for (const char *s = path; slash && s < slash; s++)
        from = *s == '/' ? s + 1 : from;
    snprintf(name, sizeof name, "%s", from);
    for (char *s = name; *s; s++)
        *s = (char)tolower((unsigned char)*s);
    for (const char *s = modality; *s && *s != '@';) {
        size_t n = strcspn(s, "_@");
        snprintf(word, sizeof word, "%.*s", (int)n, s);
        common += n > 0 && strstr(name, word) != NULL;
        s += n + (s[n] == '_');
    }
    return (strstr(name, "global") != NULL) == (strstr(modality, "global") != NULL) ? common : -1;
}

/* 1 when the file, opened for that modality, is for it and makes such tokens. From its header. */
static int is_for(const char *path, const tsr_token_space *want)
{
    const char *modality = tsr_modality_plain(want->modality);
    tsr_tokenizer *t;
    if (tsr_tokenizer_look(path, modality, &t) != TSR_OK)
        return 0;
    const tsr_token_space *s = tsr_tokenizer_space(t);
    int is = strcmp(s->modality, modality) == 0 && s->codebook_size == want->codebook_size &&
             s->height == want->height && s->width == want->width;
    tsr_tokenizer_destroy(t);
    return is;
}

typedef struct candidates {
    char *best, *other; /* paths; other: fits as well as the best */
    int common;
} candidates;

static tsr_status consider(candidates *c, const char *path, const tsr_token_space *want)
{
    int common = words_in_common(path, tsr_modality_plain(want->modality));
    if ((c->best && common < c->common) || !is_for(path, want))
        return TSR_OK;
    tsr_free(c->other);
    c->other = c->best && common == c->common ? c->best : NULL;
    if (c->best && !c->other)
        tsr_free(c->best);
    c->common = common;
    c->best = NULL;
    return tsr_strdup(&c->best, path);
}

tsr_status tsr_toolbox_add_published(tsr_toolbox *b, const char *path,
                                     const tsr_token_space *want, const char *option, int *found)
{
    tsr_names names = {0};
    candidates c = {0};
    tsr_status st = TSR_OK;
    if (!tsr_is_folder(path))
        TSR_GO(consider(&c, path, want));
    else
        TSR_GO(tsr_walk_folder(path, 1, &names));
    for (size_t i = 0; i < names.count; i++) {
        char *full;
        if (!looks_like_tokenizer(names.names[i]))
            continue;
        TSR_GO(tsr_path_join(&full, path, names.names[i]));
        st = consider(&c, full, want);
        tsr_free(full);
        TSR_GO(st);
    }
    if (c.other)
        TSR_GOFAIL(TSR_EMISMATCH,
                   "%s and %s may both be the tokenizer of %s, and their names do not tell; say which "
                   "with %s",
                   c.other, c.best, want->modality, option);
    *found = c.best != NULL;
    if (c.best)
        TSR_GO(add_file(b, c.best, want->modality));
out:
    tsr_free(c.best);
    tsr_free(c.other);
    tsr_names_clear(&names);
    return st;
}

/* One published file makes grids of several sizes: each is a tool of its own. */
static int is_same(const tsr_token_space *a, const tsr_token_space *b)
{
    int grid = b->layout == TSR_LAYOUT_GRID;
    return tsr_digest_equal(a->tokenizer, b->tokenizer) &&
           (!grid || (a->height == b->height && a->width == b->width));
}

const tsr_tool *tsr_toolbox_find(const tsr_toolbox *b, const tsr_token_space *space)
{
    for (size_t i = 0; i < b->count; i++)
        if (is_same(tsr_tokenizer_space(b->tools[i].tokenizer), space))
            return &b->tools[i];
    return NULL;
}

void tsr_toolbox_pieces(const tsr_toolbox *b, const tsr_token_space *space, const uint32_t *ids,
                        size_t count, const char **pieces)
{
    int known = b->text && strcmp(space->vocabulary, "text") == 0;
    for (size_t i = 0; i < count; i++)
        pieces[i] = known ? tsr_text_token(b->text, ids[i]) : NULL;
}
