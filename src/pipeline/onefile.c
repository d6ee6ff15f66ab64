/* SPDX-License-Identifier: Apache-2.0
 * One file and one tokenizer. */
#include "pipeline/onefile.h"

#include "base/file.h"

#include <string.h>

#define MAX_FILES 4

tsr_read_options tsr_kind_options(const char *kind)
{
    int array = strcmp(kind, "vector") == 0 || strcmp(kind, "features") == 0;
    return (tsr_read_options){.palette_indices = strcmp(kind, "label") == 0, .as_vector = array};
}

tsr_read_options tsr_onefile_options(const tsr_tokenizer *t)
{
    return tsr_kind_options(tsr_tokenizer_kind_name(t));
}

tsr_status tsr_onefile_read(const tsr_tokenizer *t, const char *const *paths, size_t n,
                            tsr_media media[4])
{
    tsr_read_options options = tsr_onefile_options(t);
    if (n > MAX_FILES)
        TSR_FAIL(TSR_EARG, "%zu files for one sample, at most %d", n, MAX_FILES);
    memset(media, 0, n * sizeof *media);
    for (size_t i = 0; i < n; i++) {
        tsr_status st = tsr_media_read(paths[i], &options, &media[i]);
        if (st == TSR_OK)
            continue;
        for (size_t k = 0; k < i; k++)
            tsr_media_clear(&media[k]);
        return st;
    }
    return TSR_OK;
}

tsr_status tsr_onefile_encode(const tsr_tokenizer *t, tsr_tokenizer_work *w,
                              const char *const *paths, size_t n, const tsr_inputs *as,
                              tsr_tokens *out)
{
    tsr_media media[MAX_FILES];
    TSR_TRY(tsr_onefile_read(t, paths, n, media));
    tsr_inputs in = as ? *as : (tsr_inputs){0};
    in.count = n;
    for (size_t i = 0; i < n; i++)
        in.media[i] = &media[i];
    tsr_status st = tsr_tokenizer_encode(t, w, &in, out);
    for (size_t i = 0; i < n; i++)
        tsr_media_clear(&media[i]);
    return st == TSR_OK ? st : tsr_context(st, "%s", paths[0]);
}

const char *tsr_onefile_extension(const tsr_media *m)
{
    switch (m->kind) {
    case TSR_MEDIA_IMAGE:
        return "png";
    case TSR_MEDIA_SOUND:
        return "wav";
    case TSR_MEDIA_TEXT:
        return "txt";
    case TSR_MEDIA_VECTOR:
    case TSR_MEDIA_INTEGERS:
        return "npy";
    default:
        return "json";
    }
}

tsr_status tsr_onefile_write(const tsr_media *m, const char *path)
{
    tsr_write_options options = {.indent = 2};
    int is_float = m->kind == TSR_MEDIA_IMAGE && m->as.image.pixel == TSR_PIXEL_F32;
    if (is_float && strcmp(tsr_path_extension(path), "png") == 0)
        options.depth = (tsr_depth_form){.scale_m = 0.001};
    return tsr_media_write(path, m, &options);
}
