/* SPDX-License-Identifier: Apache-2.0
 * One sample of a corpus as the files of 4M.
 * Source   apple/ml-4m, save_vq_tokens.py; fourm/data/modality_transforms.py (revision cda590f). */
#include "tasks/exportwork.h"

#include "base/hash.h"
#include "base/mem.h"
#include "base/str.h"
#include "codecs/codec.h"

#include <stdio.h>
#include <string.h>

#define NO_FOLDER "all" /* holds samples whose keys name no folder: 4M needs one */
#define PALETTES  7     /* sizes of palettes that ml-4m chooses from */

/* --- names ----------------------------------------------------------------------------------- */

static tsr_status check_key(const char *key)
{
    int bad = key[0] == '\0' || key[0] == '/';
    for (const char *p = key; !bad && *p; p += strcspn(p, "/")) {
        p += *p == '/';
        size_t n = strcspn(p, "/");
        bad = n == 0 || n > 200 || (p[0] == '.' && (n == 1 || (n == 2 && p[1] == '.')));
    }
    if (bad)
        TSR_FAIL(TSR_EFORMAT, "its key is not a path of folders and a name");
    return TSR_OK;
}

/* FOLDER/NAME. In tars the name has no dots, because what follows one is taken for an extension; a
 * digest keeps such names apart. */
static tsr_status name_of(const tsr_export_work *w, const char *key, char **out)
{
    size_t n = strlen(NO_FOLDER);
    int apart = !strchr(key, '/') || (strncmp(key, NO_FOLDER, n) == 0 && key[n] == '/');
    char digest[20] = "", *name;
    TSR_TRY(check_key(key));
    const char *last = strrchr(key, '/');
    if (w->spec->form != TSR_EXPORT_FILES && strchr(last ? last : key, '.'))
        snprintf(digest, sizeof digest, "-%08x", (unsigned)tsr_hash_name(key));
    TSR_TRY(tsr_format(&name, "%s%s%s", apart ? NO_FOLDER "/" : "", key, digest));
    char *from = digest[0] ? strrchr(name, '/') : NULL;
    for (; from && *from; from++)
        if (*from == '.')
            *from = '_';
    *out = name;
    return TSR_OK;
}

/* --- arrays ---------------------------------------------------------------------------------- */

/* [rows, columns] of whole numbers as .npy of `bytes` each. */
static tsr_status to_npy(tsr_integers *v, size_t bytes, tsr_export_file *out)
{
    const tsr_media m = {.kind = TSR_MEDIA_INTEGERS, .as.integers = *v};
    const tsr_write_options o = {.integer_bytes = (int)bytes};
    out->extension = "npy";
    return tsr_media_write_memory("tokens.npy", &m, &o, &out->data, &out->bytes);
}

static tsr_status new_array(size_t rows, size_t columns, tsr_integers *v)
{
    *v = (tsr_integers){.dims = 2, .shape = {rows, columns}, .count = rows * columns};
    return tsr_alloc(&v->data, v->count, sizeof *v->data);
}

/* One row for each crop of the corpus: 4M looks for row i of every modality. Codes of one codebook
 * come together. */
static tsr_status write_grid(tsr_export_work *w, const tsr_export_mod *m, uint64_t sample,
                             tsr_export_file *out)
{
    const tsr_token_space *s = &m->mod->space;
    size_t places = (size_t)s->height * s->width, columns = places * s->levels;
    size_t rows = w->manifest->crops.count;
    tsr_integers v = {0};
    tsr_tokens t = {0};
    tsr_present present;
    tsr_status st;
    TSR_GO(new_array(rows, columns, &v));
    for (size_t c = 0; c < rows; c++) {
        uint32_t crop = m->mod->crops > 1 ? (uint32_t)c : 0;
        TSR_GO(tsr_corpus_read(w->corpus, s->modality, sample, crop, &t, &present));
        if (present != TSR_REAL)
            goto out;
        for (size_t i = 0; i < columns; i++)
            v.data[c * columns + i] = t.ids[i % places * s->levels + i / places];
        tsr_tokens_clear(&t);
    }
    TSR_GO(to_npy(&v, m->bytes, out));
out:
    tsr_tokens_clear(&t);
    tsr_free(v.data);
    return st;
}

static tsr_status write_crops(tsr_export_work *w, uint64_t sample, tsr_export_file *out)
{
    size_t rows = w->manifest->crops.count;
    tsr_integers v;
    tsr_status st;
    TSR_TRY(new_array(rows, 5, &v));
    for (size_t c = 0; c < rows; c++) {
        tsr_view view;
        TSR_GO(tsr_corpus_view(w->corpus, sample, (uint32_t)c, &view));
        const int32_t row[5] = {view.crop.top, view.crop.left, view.crop.height, view.crop.width,
                                view.crop.flip};
        for (size_t k = 0; k < 5; k++)
            v.data[5 * c + k] = row[k];
    }
    TSR_GO(to_npy(&v, 8, out));
out:
    tsr_free(v.data);
    return st;
}

/* --- texts and records ----------------------------------------------------------------------- */

/* {"colors": [...]} as [{"1": [...], ..., "7": [...]}]: whichever size ml-4m draws, it is this. */
static tsr_status palette_of_4m(json_t *record, json_t **out)
{
    json_t *colours = json_object_get(record, "colors"), *all = json_object(), *list = json_array();
    tsr_status st = tsr_json_append(list, json_incref(all));
    for (int n = 1; st == TSR_OK && n <= PALETTES; n++) {
        char key[12];
        snprintf(key, sizeof key, "%d", n);
        st = tsr_json_set(all, key, json_incref(colours));
    }
    json_decref(all);
    if (st == TSR_OK)
        *out = list;
    else
        json_decref(list);
    return st;
}

/* Coordinates of the crop become those of the whole picture; every box is certain. */
static tsr_status boxes_of_4m(json_t *record, const tsr_view *view)
{
    const json_t *list = json_object_get(record, "instances");
    const tsr_crop *c = &view->crop;
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *box = json_array_get(list, i), *four = json_object_get(box, "boxes");
        double v[4];
        for (size_t k = 0; k < 4; k++)
            v[k] = json_number_value(json_array_get(four, k));
        double left = c->flip ? 1 - v[2] : v[0], right = c->flip ? 1 - v[0] : v[2];
        const double whole[4] = {(c->left + left * c->width) / view->width,
                                 (c->top + v[1] * c->height) / view->height,
                                 (c->left + right * c->width) / view->width,
                                 (c->top + v[3] * c->height) / view->height};
        for (size_t k = 0; view->height && k < 4; k++)
            if (json_array_set_new(four, k, json_real(whole[k])) != 0)
                TSR_FAIL(TSR_ENOMEM, "out of memory");
        TSR_TRY(tsr_json_set(box, "score", json_real(1)));
    }
    return TSR_OK;
}

/* A record in the form ml-4m's transforms read. */
static tsr_status record_of_4m(tsr_export_work *w, const tsr_export_mod *m, uint64_t sample,
                               tsr_media *media)
{
    const char *kind = tsr_tokenizer_kind_name(m->tokenizer);
    json_t *other;
    if (strcmp(kind, "boxes") == 0) {
        tsr_view view;
        TSR_TRY(tsr_corpus_view(w->corpus, sample, 0, &view));
        return boxes_of_4m(media->as.record, &view);
    }
    if (strcmp(kind, "palette") != 0)
        return TSR_OK;
    TSR_TRY(palette_of_4m(media->as.record, &other));
    json_decref(media->as.record);
    media->as.record = other;
    return TSR_OK;
}

/* Of crop 0, which shows most of what the others show; texts do not depend on it. */
static tsr_status write_sequence(tsr_export_work *w, const tsr_export_mod *m, uint64_t sample,
                                 tsr_tokenizer_work **work, tsr_export_file *out)
{
    tsr_tokens t = {0};
    tsr_media media = {0};
    tsr_present present;
    tsr_status st;
    TSR_GO(tsr_corpus_read(w->corpus, m->mod->space.modality, sample, 0, &t, &present));
    if (present != TSR_REAL)
        goto out;
    if (!*work)
        TSR_GO(tsr_tokenizer_work_create(m->tokenizer, work));
    TSR_GO(tsr_tokenizer_decode(m->tokenizer, *work, &t, &media));
    if (media.kind == TSR_MEDIA_RECORD)
        TSR_GO(record_of_4m(w, m, sample, &media));
    out->extension = media.kind == TSR_MEDIA_TEXT ? "txt" : "json";
    TSR_GO(tsr_media_write_memory(media.kind == TSR_MEDIA_TEXT ? "text.txt" : "record.json", &media,
                                  NULL, &out->data, &out->bytes));
out:
    tsr_tokens_clear(&t);
    tsr_media_clear(&media);
    return st;
}

tsr_status tsr_export_row(tsr_export_work *w, uint64_t sample, tsr_tokenizer_work **works,
                          tsr_export_file *files, char **name)
{
    char *key;
    TSR_TRY(tsr_corpus_key(w->corpus, sample, &key));
    tsr_status st = name_of(w, key, name);
    tsr_free(key);
    TSR_TRY(st);
    for (size_t m = 0; m < w->n_mods; m++) {
        const tsr_export_mod *mod = &w->mods[m];
        st = mod->tokenizer ? write_sequence(w, mod, sample, &works[m], &files[m])
                            : write_grid(w, mod, sample, &files[m]);
        if (st != TSR_OK)
            return tsr_context(st, "%s", mod->mod->space.modality);
    }
    return write_crops(w, sample, &files[w->n_mods]);
}
