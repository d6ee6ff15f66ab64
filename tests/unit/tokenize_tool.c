/* SPDX-License-Identifier: Apache-2.0
 * The corpus job with the kinds of testkinds.c as a program, for tests from outside:
 *   tokenize_tool make FOLDER SAMPLES     files to tokenize
 *   tokenize_tool words FILE              a small text vocabulary with value tokens
 *   tokenize_tool run RECIPE [THREADS]    the job; 4 when some inputs failed */
#include "base/file.h"
#include "base/mem.h"
#include "base/par.h"
#include "base/rng.h"
#include "base/str.h"
#include "codecs/codec.h"
#include "pipeline/tokenize.h"
#include "tokenizers/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static tsr_status make_picture(const char *path, unsigned i)
{
    tsr_media m = {.kind = TSR_MEDIA_IMAGE};
    tsr_rng r;
    tsr_rng_init(&r, 1, TSR_RNG_TEST, i);
    TSR_TRY(tsr_image_init(&m.as.image, 20 + i % 7, 24 + i % 5, 3, TSR_PIXEL_U8));
    unsigned char *p = m.as.image.data;
    for (size_t j = 0; j < m.as.image.height * m.as.image.width * 3; j++)
        p[j] = (unsigned char)tsr_rng_u32(&r);
    tsr_status st = tsr_media_write(path, &m, NULL);
    tsr_media_clear(&m);
    return st;
}

static tsr_status make_sample(const char *folder, unsigned i)
{
    char *path = NULL, *text = NULL;
    tsr_status st;
    TSR_GO(tsr_format(&path, "%s/rgb/%u/s%04u.png", folder, i % 3, i));
    TSR_GO(make_picture(path, i));
    tsr_free(path);
    path = NULL;
    TSR_GO(tsr_format(&path, "%s/caption/%u/s%04u.txt", folder, i % 3, i));
    TSR_GO(tsr_format(&text, i % 11 == 5 ? "a bad sample %u" : "sample %u", i));
    if (i % 7)
        TSR_GO(tsr_file_write(path, text, strlen(text)));
out:
    tsr_free(path);
    tsr_free(text);
    return st;
}

static tsr_status make(const char *folder, unsigned samples)
{
    static const char *const kinds[] = {"rgb", "caption"};
    char *path;
    for (unsigned i = 0; i < 6; i++) {
        TSR_TRY(tsr_format(&path, "%s/%s/%u", folder, kinds[i % 2], i / 2));
        tsr_status st = tsr_make_folders(path);
        tsr_free(path);
        TSR_TRY(st);
    }
    for (unsigned i = 0; i < samples; i++)
        TSR_TRY(make_sample(folder, i));
    return TSR_OK;
}

static tsr_status words(const char *path)
{
    const char *text = "sample a bad sample 0123456789";
    const size_t bytes = strlen(text);
    tsr_text_train_spec spec;
    tsr_text *t;
    tsr_text_train_defaults(&spec);
    TSR_TRY(tsr_text_train(&text, &bytes, 1, &spec, NULL, &t));
    tsr_status st = tsr_text_write(t, path);
    tsr_text_destroy(t);
    return st;
}

static tsr_status run(const char *path, size_t *failed)
{
    tsr_recipe *recipe;
    json_t *summary = NULL;
    TSR_TRY(tsr_recipe_open(path, NULL, 0, tsr_tokenize_fields, tsr_n_tokenize_fields, &recipe));
    tsr_tokenize_options o = {0};
    tsr_status st = tsr_tokenize(recipe, &o, &summary);
    tsr_recipe_close(recipe);
    *failed = (size_t)json_integer_value(json_object_get(summary, "failed"));
    json_decref(summary);
    return st;
}

int main(int argc, char **argv)
{
    size_t failed = 0;
    tsr_status st = TSR_EARG;
    if (argc == 4 && strcmp(argv[1], "make") == 0)
        st = make(argv[2], (unsigned)atoi(argv[3]));
    if (argc == 3 && strcmp(argv[1], "words") == 0)
        st = words(argv[2]);
    if (argc >= 3 && strcmp(argv[1], "run") == 0) {
        if (argc > 3)
            tsr_par_set_threads(atoi(argv[3]));
        st = run(argv[2], &failed);
    }
    if (st != TSR_OK)
        fprintf(stderr, "tokenize_tool: %s\n", tsr_error());
    return st != TSR_OK ? 1 : failed ? 4 : 0;
}
