/* SPDX-License-Identifier: Apache-2.0
 * tessera inspect --png: contact sheets of original, reconstruction and token map. */
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli/inspect.h"
#include "codecs/codec.h"
#include "pipeline/onefile.h"
#include "pipeline/source.h"
#include "tasks/picture.h"

#include <stdio.h>
#include <string.h>

#define COLUMNS 3 /* original, reconstruction, token map; patches have no map */
#define ACROSS  4 /* samples side by side */
#define SIDE    128

/* One modality's sheet in the making. */
typedef struct sheet {
    tsr_corpus *corpus;
    const tsr_modality *modality;
    const tsr_tool *tool;
    tsr_source *source; /* NULL: no originals */
    tsr_image *pictures; /* [rows, columns] */
    size_t rows, max_rows, columns;
} sheet;

/* The original as the decoder should give it: cropped, resized, converted. Without a tokenizer, the
 * file as it is. An original that cannot be shown leaves its place empty. */
static tsr_status add_original(const sheet *s, uint64_t sample, tsr_image *out)
{
    const char *kind =
        s->tool ? tsr_tokenizer_kind_name(s->tool->tokenizer) : s->modality->space.modality;
    char *key = NULL;
    size_t at;
    tsr_view view;
    tsr_media file = {0}, target = {0};
    tsr_status st;
    TSR_GO(tsr_corpus_key(s->corpus, sample, &key));
    if (!tsr_source_find(s->source, key, &at) || !tsr_source_path(s->source, at, 0))
        goto out;
    TSR_GO(tsr_corpus_view(s->corpus, sample, 0, &view));
    tsr_read_options read = tsr_kind_options(kind);
    TSR_GO(tsr_source_read(s->source, at, 0, &read, &file));
    tsr_inputs inputs = {.media = {&file},
                         .count = 1,
                         .view = view.crop.height ? &view : NULL,
                         .from = tsr_source_folder(s->source, 0)};
    if (s->tool)
        TSR_GO(tsr_tokenizer_target(s->tool->tokenizer, s->tool->work, &inputs, &target));
    st = tsr_picture_of_media(s->tool ? &target : &file, kind, out);
out:
    tsr_media_clear(&target);
    tsr_media_clear(&file);
    tsr_free(key);
    return st == TSR_ENOMEM ? st : TSR_OK;
}

static tsr_status add_row(sheet *s, uint64_t sample, const tsr_tokens *tokens)
{
    tsr_image *row = s->pictures + s->rows * s->columns;
    const tsr_token_space *space = &s->modality->space;
    tsr_media media = {0};
    s->rows++;
    if (s->source)
        TSR_TRY(add_original(s, sample, &row[0]));
    if (space->layout == TSR_LAYOUT_PATCHES) /* the picture itself: no map of codes beside it */
        return tsr_picture_of_tokens(tokens, space, 1, &row[1]);
    if (s->tool) {
        TSR_TRY(tsr_tokenizer_decode(s->tool->tokenizer, s->tool->work, tokens, &media));
        tsr_status st =
            tsr_picture_of_media(&media, tsr_tokenizer_kind_name(s->tool->tokenizer), &row[1]);
        tsr_media_clear(&media);
        if (st != TSR_OK && st != TSR_EUNSUPPORTED)
            return st;
    }
    return tsr_picture_of_tokens(tokens, space, space->levels > 8 ? space->levels : 8, &row[2]);
}

static tsr_status fill(sheet *s)
{
    uint64_t samples = tsr_corpus_samples(s->corpus);
    for (uint64_t i = 0; i < samples && s->rows < s->max_rows; i++) {
        tsr_tokens tokens = {0};
        tsr_present present;
        TSR_TRY(tsr_corpus_read(s->corpus, s->modality->space.modality, i, 0, &tokens, &present));
        tsr_status st = tokens.count ? add_row(s, i, &tokens) : TSR_OK;
        tsr_tokens_clear(&tokens);
        TSR_TRY(st);
    }
    return TSR_OK;
}

static tsr_status write_sheet(const sheet *s, const char *folder, json_t *written)
{
    tsr_media out = {.kind = TSR_MEDIA_IMAGE};
    char *path = NULL;
    tsr_status st;
    size_t across = s->rows < ACROSS ? s->rows : ACROSS;
    TSR_GO(tsr_picture_sheet(s->pictures, (s->rows + across - 1) / across, across * s->columns, SIDE,
                             &out.as.image));
    TSR_GO(tsr_format(&path, "%s/%s.png", folder, s->modality->space.modality));
    TSR_GO(tsr_media_write(path, &out, NULL));
    TSR_GO(tsr_json_append(written, json_string(path)));
out:
    tsr_media_clear(&out);
    tsr_free(path);
    return st;
}

/* The folder of the modality's name, or that of what stands before its size: rgb for rgb@128. A tree
 * without either, or without splits, has no originals. */
static void open_originals(sheet *s, const char *source, const char *split)
{
    char base[TSR_NAME_CHARS];
    const char *name = s->modality->space.modality, *names[] = {name, base};
    snprintf(base, sizeof base, "%.*s", (int)strcspn(name, "@"), name);
    for (size_t i = 0; i < 2; i++)
        if (tsr_source_open(source, split, &names[i], 1, &s->source) == TSR_OK ||
            tsr_source_open(source, NULL, &names[i], 1, &s->source) == TSR_OK)
            return;
    s->source = NULL;
}

static tsr_status make_sheet(sheet *s, const char *source, const char *folder, json_t *written)
{
    const char *split = tsr_corpus_manifest(s->corpus)->n_shards
                            ? tsr_corpus_manifest(s->corpus)->shards[0].split
                            : "";
    tsr_status st;
    /* The last line of the sheet may have empty places. */
    TSR_GO(tsr_alloc(&s->pictures, (s->max_rows + ACROSS) * s->columns, sizeof *s->pictures));
    if (source)
        open_originals(s, source, split);
    TSR_GO(fill(s));
    if (s->rows)
        TSR_GO(write_sheet(s, folder, written));
out:
    for (size_t i = 0; s->pictures && i < s->max_rows * s->columns; i++)
        tsr_image_clear(&s->pictures[i]);
    tsr_free(s->pictures);
    tsr_source_close(s->source);
    return st;
}

tsr_status tsr_inspect_sheets(tsr_corpus *c, const tsr_toolbox *tools, const char *source,
                              const char *folder, size_t samples, json_t *written)
{
    const tsr_manifest *m = tsr_corpus_manifest(c);
    TSR_TRY(tsr_make_folders(folder));
    for (size_t i = 0; i < m->n_modalities; i++) {
        sheet s = {.corpus = c,
                   .modality = &m->modalities[i],
                   .max_rows = samples,
                   .columns = tsr_space_has_codes(&m->modalities[i].space) ? COLUMNS : COLUMNS - 1,
                   .tool = tsr_toolbox_find(tools, &m->modalities[i].space)};
        TSR_TRY(make_sheet(&s, source, folder, written));
    }
    return TSR_OK;
}
