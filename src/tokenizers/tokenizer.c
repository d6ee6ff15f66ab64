/* SPDX-License-Identifier: Apache-2.0
 * The doors of every tokenizer: finds the kind of a file, checks what goes in and out, dispatches.
 */
#include "tokenizers/kind.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "types/tokens.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define MAX_JSON_BYTES   ((size_t)64 << 20)  /* tokenizer.json files are a few MiB */
#define MAX_HEADER_BYTES ((size_t)100 << 20) /* the limit of the safetensors format */

#define LARGE_FILE       ((uint64_t)64 << 20) /* reading all of it takes longer than people wait */

/* ---- opening ----------------------------------------------------------------------------------*/

/* Header of a safetensors file: u64 little-endian length, then that much JSON. */
static tsr_status read_header(FILE *f, const char *path, json_t **header)
{
    unsigned char prefix[8];
    if (fread(prefix, 1, 8, f) != 8)
        TSR_FAIL(TSR_EFORMAT, "%s: not a tokenizer file (shorter than 8 bytes)", path);
    uint64_t bytes = 0;
    for (int i = 7; i >= 0; i--)
        bytes = bytes << 8 | prefix[i];
    uint64_t file_bytes;
    int64_t mtime;
    TSR_TRY(tsr_file_stat(path, &file_bytes, &mtime));
    if (bytes > MAX_HEADER_BYTES || bytes + 8 > file_bytes)
        TSR_FAIL(TSR_EFORMAT,
                 "%s: neither JSON nor safetensors (a header of %llu bytes in a file of %llu)",
                 path, (unsigned long long)bytes, (unsigned long long)file_bytes);
    char *text = NULL;
    TSR_TRY(tsr_alloc(&text, (size_t)bytes + 1, 1));
    tsr_status st = TSR_OK;
    if (fread(text, 1, (size_t)bytes, f) != bytes)
        TSR_GOFAIL(TSR_EFORMAT, "%s: the header of %llu bytes is cut short", path,
                   (unsigned long long)bytes);
    TSR_GO(tsr_json_parse(text, (size_t)bytes, path, header));
out:
    tsr_free(text);
    return st;
}

/* What the file says of itself; *value owns whatever `file` borrows. */
static tsr_status peek_safetensors(FILE *f, tsr_kind_file *file, json_t **value)
{
    json_t *header = NULL;
    TSR_TRY(read_header(f, file->path, &header));
    tsr_status st = TSR_OK;
    json_t *settings = NULL;
    file->metadata = json_object_get(header, "__metadata__");
    const json_t *ours = file->metadata ? json_object_get(file->metadata, "tessera") : NULL;
    if (ours && !json_is_string(ours))
        TSR_GOFAIL(TSR_EFORMAT, "%s: metadata \"tessera\" is not a string", file->path);
    if (ours) {
        TSR_GO(tsr_json_parse(json_string_value(ours), json_string_length(ours), file->path,
                              &settings));
        file->settings = settings;
        TSR_GO(tsr_json_set(header, "__settings__", settings));
    }
    *value = header;
    header = NULL;
out:
    json_decref(header);
    return st;
}

/* JSON text starts with '{' after blanks. A safetensors length may have '{' as its lowest byte, but
 * then zero bytes follow before the header, and JSON text has none. */
static int looks_like_json(FILE *f)
{
    char head[16];
    size_t n = fread(head, 1, sizeof head, f);
    size_t blanks = 0;
    while (blanks < n && strchr(" \t\r\n", head[blanks]) && head[blanks])
        blanks++;
    return memchr(head, 0, n) == NULL && (blanks == n || head[blanks] == '{');
}

static tsr_status peek(tsr_kind_file *file, json_t **value)
{
    if (!tsr_file_exists(file->path))
        TSR_FAIL(TSR_ENOENT, "%s: no such tokenizer file", file->path);
    if (tsr_is_folder(file->path))
        TSR_FAIL(TSR_EFORMAT, "%s: a folder, not a tokenizer file", file->path);
    FILE *f = fopen(file->path, "rb");
    if (!f)
        TSR_FAIL(TSR_EIO, "%s: %s", file->path, strerror(errno));
    int first = getc(f);
    rewind(f);
    file->is_json = first != EOF && looks_like_json(f);
    tsr_status st;
    rewind(f);
    if (file->is_json) {
        st = tsr_json_read(file->path, MAX_JSON_BYTES, value);
        file->settings = st == TSR_OK ? *value : NULL;
    } else {
        st = peek_safetensors(f, file, value);
    }
    fclose(f);
    return st;
}

static tsr_status choose_kind(const tsr_kind_file *file, const tsr_kind **kind)
{
    const json_t *name = file->settings ? json_object_get(file->settings, "kind") : NULL;
    if (json_is_string(name))
        return tsr_kind_find(json_string_value(name), file->path, kind);
    for (const tsr_kind *const *k = tsr_kinds; *k; k++)
        if ((*k)->claims && (*k)->claims(file)) {
            *kind = *k;
            return TSR_OK;
        }
    if (!file->hint)
        TSR_FAIL(TSR_EUNSUPPORTED,
                 "%s: cannot tell what kind of tokenizer this is (the file does not say); name its "
                 "modality (-m)",
                 file->path);
    if (file->metadata && json_object_get(file->metadata, "enc_type"))
        TSR_FAIL(TSR_EUNSUPPORTED,
                 "%s: no tokenizer is known for a modality \"%s\"; names of published ones begin "
                 "with rgb, depth, normal, semseg, canny_edge, sam_edge, clip, dinov2, imagebind, "
                 "sam_instance or human_poses",
                 file->path, file->hint);
    TSR_FAIL(TSR_EUNSUPPORTED,
             "%s: not a tokenizer file: it names no kind, and no \"enc_type\" as those published with "
             "4M do",
             file->path);
}

const char *tsr_modality_plain(const char *name)
{
    return name + (tsr_starts_with(name, "tok_") ? 4 : 0);
}

static tsr_status open_file(const char *path, const char *hint, int quick, tsr_tokenizer **out)
{
    tsr_kind_file file = {.path = path, .hint = hint ? tsr_modality_plain(hint) : NULL, .quick = quick};
    json_t *value = NULL;
    tsr_tokenizer *t = NULL;
    tsr_status st = TSR_OK;
    if (hint && !tsr_modality_name_ok(hint))
        TSR_FAIL(TSR_EARG, "\"%.80s\" is not a modality name", hint);
    TSR_GO(peek(&file, &value));
    TSR_GO(tsr_alloc(&t, 1, sizeof *t));
    TSR_GO(choose_kind(&file, &t->kind));
    if (!t->kind->open)
        TSR_GOFAIL(TSR_EUNSUPPORTED, "%s: kind \"%s\" has no file form", path, t->kind->name);
    st = t->kind->open(t, &file);
    if (st != TSR_OK) {
        /* Without settings in the file those are of the hint, which the caller gave. */
        st = file.settings ? tsr_of_file(st) : st;
        if (!strstr(tsr_error(), path)) /* found out by a part that does not know where it is from */
            st = tsr_context(st, "%s", path);
        goto out;
    }
    *out = t;
    t = NULL;
out:
    tsr_tokenizer_destroy(t);
    json_decref(value);
    return st;
}

tsr_status tsr_tokenizer_open(const char *path, const char *hint, tsr_tokenizer **out)
{
    return open_file(path, hint, 0, out);
}

tsr_status tsr_tokenizer_look(const char *path, const char *hint, tsr_tokenizer **out)
{
    uint64_t bytes;
    int64_t mtime;
    TSR_TRY(tsr_file_stat(path, &bytes, &mtime));
    return open_file(path, hint, bytes > LARGE_FILE, out);
}

tsr_status tsr_tokenizer_create(const json_t *config, const char *origin, tsr_tokenizer **out)
{
    const char *name;
    tsr_tokenizer *t = NULL;
    tsr_status st = TSR_OK;
    if (!json_is_object(config))
        TSR_FAIL(TSR_ECONFIG, "%s: a tokenizer's section must be a mapping", origin);
    TSR_TRY(tsr_json_string(config, "kind", origin, &name));
    TSR_GO(tsr_alloc(&t, 1, sizeof *t));
    TSR_GO(tsr_kind_find(name, origin, &t->kind));
    if (!t->kind->create)
        TSR_GOFAIL(TSR_ECONFIG, "%s: a tokenizer of kind \"%s\" must be trained first", origin,
                   name);
    TSR_GO(t->kind->create(t, config, origin));
    *out = t;
    t = NULL;
out:
    tsr_tokenizer_destroy(t);
    return st;
}

tsr_status tsr_tokenizer_write(const tsr_tokenizer *t, const char *path)
{
    return t->kind->write(t, path);
}

void tsr_tokenizer_destroy(tsr_tokenizer *t)
{
    if (!t)
        return;
    if (t->kind)
        t->kind->destroy(t);
    tsr_free(t);
}

/* ---- what it is -------------------------------------------------------------------------------*/

const tsr_token_space *tsr_tokenizer_space(const tsr_tokenizer *t)
{
    return &t->space;
}

const char *tsr_tokenizer_kind_name(const tsr_tokenizer *t)
{
    return t->kind->name;
}

double tsr_tokenizer_bits(const tsr_tokenizer *t)
{
    const tsr_token_space *s = &t->space;
    if (s->layout == TSR_LAYOUT_SEQUENCE)
        return -1;
    return (double)s->height * s->width * s->levels * log2(s->codebook_size);
}

/* What a fixed number of places holds: codes, or the values of patches. */
static tsr_status describe_places(const tsr_tokenizer *t, json_t *into)
{
    const tsr_token_space *s = &t->space;
    json_int_t places = (json_int_t)s->height * s->width;
    TSR_TRY(tsr_json_set(into, "grid", json_pack("[ii]", (int)s->height, (int)s->width)));
    if (tsr_space_has_codes(s)) {
        TSR_TRY(tsr_json_set(into, "levels", json_integer(s->levels)));
        TSR_TRY(tsr_json_set(into, "tokens_per_sample", json_integer(places * s->levels)));
    } else {
        TSR_TRY(tsr_json_set(into, "patch_size", json_integer(tsr_space_patch(s))));
        TSR_TRY(tsr_json_set(into, "patches_per_sample", json_integer(places)));
        TSR_TRY(tsr_json_set(into, "values_per_patch", json_integer(s->levels)));
    }
    return tsr_json_set(into, "bits_per_sample", json_real(tsr_tokenizer_bits(t)));
}

static tsr_status describe_space(const tsr_tokenizer *t, json_t *into)
{
    const tsr_token_space *s = &t->space;
    char hash[TSR_DIGEST_CHARS];
    int known = !tsr_digest_equal(s->tokenizer, (tsr_digest){0, 0});
    tsr_digest_text(s->tokenizer, hash);
    TSR_TRY(tsr_json_set(into, "kind", json_string(t->kind->name)));
    TSR_TRY(tsr_json_set(into, "modality", json_string(s->modality)));
    TSR_TRY(tsr_json_set(into, "layout", json_string(tsr_layout_name(s->layout))));
    if (s->layout == TSR_LAYOUT_SEQUENCE) {
        TSR_TRY(tsr_json_set(into, "tokens_per_sample", json_null()));
        TSR_TRY(tsr_json_set(into, "bits_per_token", json_real(log2(s->codebook_size))));
    } else {
        TSR_TRY(describe_places(t, into));
    }
    if (tsr_space_has_codes(s)) {
        TSR_TRY(tsr_json_set(into, "codebook_size", json_integer(s->codebook_size)));
        TSR_TRY(tsr_json_set(into, "vocabulary", json_string(s->vocabulary)));
    }
    return tsr_json_set(into, "hash", known ? json_string(hash) : json_null());
}

tsr_status tsr_tokenizer_describe(const tsr_tokenizer *t, json_t **out)
{
    json_t *into = json_object();
    if (!into)
        TSR_FAIL(TSR_ENOMEM, "no memory to describe a tokenizer");
    tsr_status st = TSR_OK;
    TSR_GO(describe_space(t, into));
    TSR_GO(t->kind->describe(t, into));
    *out = into;
    into = NULL;
out:
    json_decref(into);
    return st;
}

tsr_status tsr_kind_name_space(tsr_tokenizer *t, const json_t *config, const char *origin,
                               const char *vocabulary)
{
    const char *modality;
    TSR_TRY(tsr_json_string(config, "modality", origin, &modality));
    if (!tsr_modality_name_ok(modality))
        TSR_FAIL(TSR_ECONFIG, "%s: modality \"%.80s\" is not a name ([a-z][a-z0-9_@-]*)", origin,
                 modality);
    const json_t *own = json_object_get(config, "vocabulary");
    if (own && !json_is_string(own))
        TSR_FAIL(TSR_ECONFIG, "%s: \"vocabulary\" must be a name", origin);
    const char *range = own ? json_string_value(own) : vocabulary ? vocabulary : modality;
    if (!tsr_modality_name_ok(range))
        TSR_FAIL(TSR_ECONFIG, "%s: vocabulary \"%.80s\" is not a name", origin, range);
    snprintf(t->space.modality, sizeof t->space.modality, "%s", modality);
    snprintf(t->space.vocabulary, sizeof t->space.vocabulary, "%s", range);
    return TSR_OK;
}

/* ---- work -------------------------------------------------------------------------------------*/

tsr_status tsr_tokenizer_work_create(const tsr_tokenizer *t, tsr_tokenizer_work **out)
{
    tsr_tokenizer_work *w = NULL;
    TSR_TRY(tsr_alloc(&w, 1, sizeof *w));
    w->tokenizer = t;
    if (t->kind->work_create) {
        tsr_status st = t->kind->work_create(t, w);
        if (st != TSR_OK) {
            tsr_tokenizer_work_destroy(w);
            return st;
        }
    }
    *out = w;
    return TSR_OK;
}

void tsr_tokenizer_work_destroy(tsr_tokenizer_work *w)
{
    if (!w)
        return;
    if (w->tokenizer->kind->work_destroy)
        w->tokenizer->kind->work_destroy(w);
    tsr_free(w);
}

const tsr_media *tsr_inputs_find(const tsr_inputs *in, tsr_media_kind kind)
{
    for (size_t i = 0; i < in->count; i++)
        if (in->media[i] && in->media[i]->kind == kind)
            return in->media[i];
    return NULL;
}

tsr_status tsr_inputs_need(const tsr_tokenizer *t, const tsr_inputs *in, tsr_media_kind kind,
                           const tsr_media **out)
{
    const tsr_media *m = tsr_inputs_find(in, kind);
    if (m) {
        *out = m;
        return TSR_OK;
    }
    const char *given = in->count && in->media[0] ? tsr_media_name(in->media[0]->kind) : "nothing";
    TSR_FAIL(TSR_EARG, "modality %s (kind %s) is made from %s, but was given %s", t->space.modality,
             t->kind->name, tsr_media_name(kind), given);
}

tsr_status tsr_tokenizer_encode(const tsr_tokenizer *t, tsr_tokenizer_work *w, const tsr_inputs *in,
                                tsr_tokens *out)
{
    tsr_tokens fresh = {0};
    tsr_status st = t->kind->encode(t, w, in, &fresh);
    if (st != TSR_OK) {
        tsr_tokens_clear(&fresh);
        return st;
    }
    *out = fresh;
    return TSR_OK;
}

static tsr_status check_tokens(const tsr_tokenizer *t, const tsr_tokens *tokens)
{
    const tsr_token_space *s = &t->space;
    size_t want = (size_t)s->height * s->width * s->levels;
    if (s->layout != TSR_LAYOUT_SEQUENCE && tokens->count != want)
        TSR_FAIL(TSR_EFORMAT, "%s: %zu tokens where its grid has %zu", s->modality, tokens->count,
                 want);
    for (size_t i = 0; i < tokens->count; i++)
        if (tokens->ids[i] >= s->codebook_size)
            TSR_FAIL(TSR_EFORMAT, "%s: token %zu has id %u, outside the codebook of %u",
                     s->modality, i, tokens->ids[i], s->codebook_size);
    return TSR_OK;
}

tsr_status tsr_tokenizer_decode(const tsr_tokenizer *t, tsr_tokenizer_work *w,
                                const tsr_tokens *tokens, tsr_media *out)
{
    const tsr_decoding usual = {0};
    return tsr_tokenizer_decode_with(t, w, tokens, &usual, out);
}

tsr_status tsr_tokenizer_decode_with(const tsr_tokenizer *t, tsr_tokenizer_work *w,
                                     const tsr_tokens *tokens, const tsr_decoding *how,
                                     tsr_media *out)
{
    TSR_TRY(check_tokens(t, tokens));
    tsr_media fresh = {0};
    tsr_status st = t->kind->decode_with ? t->kind->decode_with(t, w, tokens, how, &fresh)
                                         : t->kind->decode(t, w, tokens, &fresh);
    if (st != TSR_OK) {
        tsr_media_clear(&fresh);
        return st;
    }
    *out = fresh;
    return TSR_OK;
}

tsr_status tsr_tokenizer_target(const tsr_tokenizer *t, tsr_tokenizer_work *w, const tsr_inputs *in,
                                tsr_media *out)
{
    tsr_media fresh = {0};
    tsr_status st = t->kind->target(t, w, in, &fresh);
    if (st != TSR_OK) {
        tsr_media_clear(&fresh);
        return st;
    }
    *out = fresh;
    return TSR_OK;
}

tsr_status tsr_tokenizer_quality(const tsr_tokenizer *t, const tsr_media *target,
                                 const tsr_media *got, json_t **out)
{
    if (target->kind != got->kind)
        TSR_FAIL(TSR_EARG, "%s: cannot compare %s with %s", t->space.modality,
                 tsr_media_name(target->kind), tsr_media_name(got->kind));
    json_t *into = json_object();
    if (!into)
        TSR_FAIL(TSR_ENOMEM, "no memory for quality figures");
    tsr_status st = t->kind->quality(t, target, got, into);
    if (st != TSR_OK) {
        json_decref(into);
        return st;
    }
    *out = into;
    return TSR_OK;
}
