/* SPDX-License-Identifier: Apache-2.0
 * tessera inspect --png: contact sheets of original, reconstruction and token map. */
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli/inspect.h"
#include "codecs/codec.h"
#include "tasks/picture.h"
#include "tasks/samplepicture.h"

#include <stdio.h>
#include <string.h>

#define COLUMNS 3 /* original, reconstruction, token map; patches have no map */
#define ACROSS  4 /* samples side by side */
#define SIDE    128

/* One modality's sheet in the making. */
typedef struct sheet {
    tsr_shown shown;
    tsr_image *pictures; /* [rows, columns] */
    size_t rows, max_rows, columns;
} sheet;

static tsr_status add_row(sheet *s, uint64_t sample, const tsr_tokens *tokens)
{
    tsr_image *row = s->pictures + s->rows * s->columns;
    const tsr_token_space *space = &s->shown.modality->space;
    s->rows++;
    if (s->shown.source)
        TSR_TRY(tsr_shown_original(&s->shown, sample, &row[0]));
    TSR_TRY(tsr_shown_decoded(&s->shown, tokens, &row[1]));
    if (space->layout == TSR_LAYOUT_PATCHES) /* the picture itself: no map of codes beside it */
        return TSR_OK;
    return tsr_picture_of_tokens(tokens, space, space->levels > 8 ? space->levels : 8, &row[2]);
}

static tsr_status fill(sheet *s)
{
    uint64_t samples = tsr_corpus_samples(s->shown.corpus);
    for (uint64_t i = 0; i < samples && s->rows < s->max_rows; i++) {
        tsr_tokens tokens = {0};
        tsr_present present;
        TSR_TRY(tsr_corpus_read(s->shown.corpus, s->shown.modality->space.modality, i, 0, &tokens,
                                &present));
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
    TSR_GO(tsr_picture_sheet(s->pictures, (s->rows + across - 1) / across, across * s->columns,
                             SIDE, &out.as.image));
    TSR_GO(tsr_format(&path, "%s/%s.png", folder, s->shown.modality->space.modality));
    TSR_GO(tsr_media_write(path, &out, NULL));
    TSR_GO(tsr_json_append(written, json_string(path)));
out:
    tsr_media_clear(&out);
    tsr_free(path);
    return st;
}

static tsr_status make_sheet(sheet *s, const char *source, const char *folder, json_t *written)
{
    const char *split = tsr_corpus_manifest(s->shown.corpus)->n_shards
                            ? tsr_corpus_manifest(s->shown.corpus)->shards[0].split
                            : "";
    tsr_status st;
    /* The last line of the sheet may have empty places. */
    TSR_GO(tsr_alloc(&s->pictures, (s->max_rows + ACROSS) * s->columns, sizeof *s->pictures));
    if (source)
        tsr_shown_open_files(source, split, s->shown.modality->space.modality, &s->shown.source);
    TSR_GO(fill(s));
    if (s->rows)
        TSR_GO(write_sheet(s, folder, written));
out:
    for (size_t i = 0; s->pictures && i < s->max_rows * s->columns; i++)
        tsr_image_clear(&s->pictures[i]);
    tsr_free(s->pictures);
    tsr_source_close(s->shown.source);
    return st;
}

tsr_status tsr_inspect_sheets(tsr_corpus *c, const tsr_toolbox *tools, const char *source,
                              const char *folder, size_t samples, json_t *written)
{
    const tsr_manifest *m = tsr_corpus_manifest(c);
    TSR_TRY(tsr_make_folders(folder));
    for (size_t i = 0; i < m->n_modalities; i++) {
        sheet s = {.shown = {.corpus = c,
                             .modality = &m->modalities[i],
                             .tool = tsr_toolbox_find(tools, &m->modalities[i].space)},
                   .max_rows = samples,
                   .columns = tsr_space_has_codes(&m->modalities[i].space) ? COLUMNS : COLUMNS - 1};
        TSR_TRY(make_sheet(&s, source, folder, written));
    }
    return TSR_OK;
}
