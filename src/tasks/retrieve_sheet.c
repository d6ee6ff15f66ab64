/* SPDX-License-Identifier: Apache-2.0
 * Results as pictures. */
#include "base/file.h"
#include "base/mem.h"
#include "codecs/codec.h"
#include "tasks/picture.h"
#include "tasks/retrieve_work.h"
#include "tasks/samplepicture.h"

#include <string.h>

#define ACROSS 5
#define SIDE   160

/* How telling a modality is as a picture: pixels, pictures, other grids that something decodes. */
static int telling(const tsr_retrieve_work *w, const tsr_modality *m)
{
    const tsr_tool *tool = tsr_toolbox_find(&w->tools, &m->space);
    const char *kind = tool ? tsr_tokenizer_kind_name(tool->tokenizer) : "";
    if (m->space.layout == TSR_LAYOUT_PATCHES)
        return 3;
    if (strcmp(kind, "image") == 0)
        return 2;
    return m->space.layout == TSR_LAYOUT_GRID && tool && strcmp(kind, "vector") != 0;
}

static tsr_status choose(const tsr_retrieve_work *w, const tsr_modality **out)
{
    const tsr_manifest *m = tsr_corpus_manifest(w->corpus);
    int best = 0;
    *out = NULL;
    if (w->spec->show) {
        *out = tsr_manifest_modality(m, w->spec->show);
        if (!*out)
            TSR_FAIL(TSR_ECONFIG, "--show %s: %s has no such modality", w->spec->show,
                     w->corpus_path);
        return TSR_OK;
    }
    for (size_t i = 0; i < m->n_modalities; i++)
        if (telling(w, &m->modalities[i]) > best) {
            best = telling(w, &m->modalities[i]);
            *out = &m->modalities[i];
        }
    if (!*out)
        TSR_FAIL(TSR_ECONFIG,
                 "%s has no modality that pictures can be made of; name one with "
                 "--show",
                 w->corpus_path);
    return TSR_OK;
}

static tsr_status add(const tsr_retrieve_work *w, const tsr_shown *s, size_t row, tsr_image *out)
{
    uint64_t sample = tsr_index_sample(w->index, row);
    tsr_tokens tokens = {0};
    tsr_present present;
    if (s->source)
        TSR_TRY(tsr_shown_original(s, sample, out));
    if (out->data)
        return TSR_OK;
    TSR_TRY(tsr_corpus_read(w->corpus, s->modality->space.modality, sample, 0, &tokens, &present));
    tsr_status st = present == TSR_REAL ? tsr_shown_decoded(s, &tokens, out) : TSR_OK;
    tsr_tokens_clear(&tokens);
    return st;
}

/* The split whose files are looked at. */
static const char *split_of(const tsr_retrieve_work *w)
{
    const tsr_manifest *m = tsr_corpus_manifest(w->corpus);
    const json_t *corpus = json_object_get(tsr_index_about(w->index), "corpus");
    const char *split = json_string_value(json_object_get(corpus, "split"));
    return split ? split : m->n_shards ? m->shards[0].split : "";
}

tsr_status tsr_retrieve_sheet(tsr_retrieve_work *w, const tsr_hit *hits, size_t n)
{
    tsr_shown shown = {.corpus = w->corpus};
    size_t across = n < ACROSS ? n : ACROSS, down = (n + across - 1) / across;
    tsr_image *pictures = NULL;
    tsr_media sheet = {.kind = TSR_MEDIA_IMAGE};
    tsr_status st;
    TSR_GO(choose(w, &shown.modality));
    shown.tool = tsr_toolbox_find(&w->tools, &shown.modality->space);
    if (w->spec->files)
        tsr_shown_open_files(w->spec->files, split_of(w), shown.modality->space.modality,
                             &shown.source);
    TSR_GO(tsr_alloc(&pictures, down * across, sizeof *pictures));
    for (size_t i = 0; i < n; i++)
        TSR_GO(add(w, &shown, hits[i].row, &pictures[i]));
    TSR_GO(tsr_picture_sheet(pictures, down, across, SIDE, &sheet.as.image));
    if (w->spec->sheet)
        TSR_GO(tsr_media_write(w->spec->sheet, &sheet, NULL));
    if (w->spec->picture)
        w->spec->picture(w->spec->ctx, &sheet.as.image);
out:
    for (size_t i = 0; pictures && i < down * across; i++)
        tsr_image_clear(&pictures[i]);
    tsr_free(pictures);
    tsr_media_clear(&sheet);
    tsr_source_close(shown.source);
    return st;
}
