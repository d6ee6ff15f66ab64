/* SPDX-License-Identifier: Apache-2.0
 * Samples as pictures. */
#include "tasks/samplepicture.h"

#include "base/mem.h"
#include "pipeline/onefile.h"
#include "tasks/picture.h"

#include <stdio.h>
#include <string.h>

void tsr_shown_open_files(const char *root, const char *split, const char *modality,
                          tsr_source **out)
{
    char base[TSR_NAME_CHARS];
    const char *names[] = {modality, base};
    snprintf(base, sizeof base, "%.*s", (int)strcspn(modality, "@"), modality);
    for (size_t i = 0; i < 2; i++)
        if (tsr_source_open(root, split, &names[i], 1, out) == TSR_OK ||
            tsr_source_open(root, NULL, &names[i], 1, out) == TSR_OK)
            return;
    *out = NULL;
}

tsr_status tsr_shown_original(const tsr_shown *s, uint64_t sample, tsr_image *out)
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

tsr_status tsr_shown_decoded(const tsr_shown *s, const tsr_tokens *tokens, tsr_image *out)
{
    tsr_media media = {0};
    if (s->modality->space.layout == TSR_LAYOUT_PATCHES)
        return tsr_picture_of_tokens(tokens, &s->modality->space, 1, out);
    if (!s->tool)
        return TSR_OK;
    TSR_TRY(tsr_tokenizer_decode(s->tool->tokenizer, s->tool->work, tokens, &media));
    tsr_status st = tsr_picture_of_media(&media, tsr_tokenizer_kind_name(s->tool->tokenizer), out);
    tsr_media_clear(&media);
    return st == TSR_EUNSUPPORTED ? TSR_OK : st;
}
