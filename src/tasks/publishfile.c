/* SPDX-License-Identifier: Apache-2.0
 * Tokenizers and models as files that ml-4m loads: what kind of file it is, where it goes. */
#include "tasks/publishfile.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "nn/safetensors.h"
#include "tokenizers/tokenizer.h"
#include "trainer/fm.h"
#include "vqvae/vqvae.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- what it is ------------------------------------------------------------------------------ */

/* JSON: a text tokenizer, or one of ours that has no network; or neither. */
static tsr_status refuse_json(const char *path)
{
    tsr_tokenizer *t;
    if (tsr_tokenizer_open(path, NULL, &t) != TSR_OK)
        return tsr_context(TSR_EUNSUPPORTED, "%s: not a tokenizer or a model", path);
    int text = strcmp(tsr_tokenizer_kind_name(t), "text") == 0;
    char kind[TSR_NAME_CHARS];
    snprintf(kind, sizeof kind, "%s", tsr_tokenizer_kind_name(t));
    tsr_tokenizer_destroy(t);
    if (text)
        TSR_FAIL(TSR_EUNSUPPORTED,
                 "%s: is a text tokenizer, which ml-4m reads as it is (text_tokenizer_path)", path);
    TSR_FAIL(TSR_EUNSUPPORTED,
             "%s: is a tokenizer of kind \"%s\", which has no network; ml-4m has it in its code",
             path, kind);
}

/* Whatever is no safetensors file, with what to do instead. */
static tsr_status check_form(const char *path)
{
    char head[10] = {0};
    if (tsr_is_folder(path))
        TSR_FAIL(TSR_EUNSUPPORTED,
                 "%s: is a folder without manifest.json; a corpus has one, and of a training run "
                 "export RUN/model.safetensors",
                 path);
    if (tsr_file_head(path, head, 9) < 0)
        TSR_FAIL(TSR_ENOENT, "%s: no such file", path);
    if (memcmp(head, "\x89HDF\r\n\x1a\n", 8) == 0)
        TSR_FAIL(TSR_EUNSUPPORTED, "%s: is one file of a corpus; export the corpus, its folder",
                 path);
    if (head[strspn(head, " \t\r\n")] == '{')
        return refuse_json(path);
    if (head[8] != '{' && !tsr_ends_with(path, ".safetensors"))
        TSR_FAIL(TSR_EUNSUPPORTED,
                 "%s: is neither a tokenizer or model (safetensors) nor the folder of a corpus",
                 path);
    return TSR_OK;
}

/* --- where it goes --------------------------------------------------------------------------- */

typedef struct places {
    char *file, *config, *code; /* config NULL: one file was asked for */
} places;

static void clear_places(places *p)
{
    tsr_free(p->file);
    tsr_free(p->config);
    tsr_free(p->code);
}

static int same_file(const char *a, const char *b)
{
    char *x = realpath(a, NULL), *y = realpath(b, NULL);
    int same = x && y && strcmp(x, y) == 0;
    free(x);
    free(y);
    return same;
}

static tsr_status find_places(const tsr_publish_spec *s, places *p)
{
    static const char end[] = ".safetensors";
    if (tsr_ends_with(s->out, end) && !tsr_is_folder(s->out)) {
        TSR_TRY(tsr_strdup(&p->file, s->out));
        TSR_TRY(tsr_format(&p->code, "%.*s.py", (int)(strlen(s->out) + 1 - sizeof end), s->out));
    } else {
        TSR_TRY(tsr_path_join(&p->file, s->out, "model.safetensors"));
        TSR_TRY(tsr_path_join(&p->config, s->out, "config.json"));
        TSR_TRY(tsr_path_join(&p->code, s->out, "register.py"));
    }
    if (same_file(p->file, s->input))
        TSR_FAIL(TSR_EARG, "%s: would be replaced by its export; choose another name", s->input);
    return TSR_OK;
}

/* --- writing --------------------------------------------------------------------------------- */

static tsr_status write_tokenizer(const tsr_publish_spec *s, const places *at, tsr_publish *p)
{
    tsr_vqvae *m = NULL;
    json_t *metadata = NULL;
    tsr_status st;
    if (s->names.count)
        TSR_FAIL(TSR_EARG,
                 "%s: is a tokenizer; ml-4m does not ask a tokenizer for the name of its "
                 "modality, so there is nothing to rename",
                 s->input);
    TSR_GO(tsr_vqvae_open(s->input, 0, &m));
    TSR_GO(tsr_vqvae_publish(m, p, &metadata));
    if (!p->reasons && !s->dry_run)
        TSR_GO(tsr_vqvae_write_as(m, at->file, 0, metadata));
out:
    json_decref(metadata);
    tsr_vqvae_destroy(m);
    return st;
}

/* What goes beside the file. */
static tsr_status write_beside(const places *at, const tsr_publish *p)
{
    char *text;
    if (at->config)
        TSR_TRY(tsr_json_write(at->config, p->config, 2));
    if (!p->code.len)
        return TSR_OK;
    TSR_TRY(tsr_format(&text,
                       "# Run before loading, with ml-4m importable: what its tables lack for "
                       "%s.\n%s",
                       tsr_path_name(at->file), p->code.s));
    tsr_status st = tsr_file_write(at->code, text, strlen(text));
    tsr_free(text);
    return st;
}

static tsr_status list_files(const places *at, const tsr_publish *p, json_t *into)
{
    json_t *files = json_array();
    TSR_TRY(tsr_json_set(into, "files", files));
    TSR_TRY(tsr_json_append(files, json_string(at->file)));
    if (at->config)
        TSR_TRY(tsr_json_append(files, json_string(at->config)));
    return p->code.len ? tsr_json_append(files, json_string(at->code)) : TSR_OK;
}

static tsr_status publish(const tsr_publish_spec *s, json_t *into)
{
    tsr_publish p = {.may_register = s->may_register};
    tsr_safetensors *f = NULL;
    places at = {0};
    tsr_status st;
    TSR_GO(tsr_safetensors_open(s->input, &f));
    int model = tsr_fm_is_file(f);
    if (json_object_get(tsr_safetensors_metadata(f), "tessera.checkpoint"))
        TSR_GOFAIL(TSR_EUNSUPPORTED,
                   "%s: is a checkpoint of training; its result is model.safetensors of the run",
                   s->input);
    TSR_GO(find_places(s, &at));
    if (!s->dry_run)
        TSR_GO(tsr_make_parent(at.file));
    TSR_GO(tsr_json_set(into, "kind", json_string(model ? "masked model" : "tokenizer")));
    TSR_GO(tsr_json_set(into, "tensors", json_integer((json_int_t)tsr_safetensors_count(f))));
    TSR_GO(model ? tsr_fm_publish(s->input, &s->names, &p, s->dry_run ? NULL : at.file)
                 : write_tokenizer(s, &at, &p));
    TSR_GO(tsr_json_set(into, "class", json_string(p.class_name)));
    if (p.reasons) {
        TSR_GO(tsr_json_set(into, "reasons", json_incref(p.reasons)));
        TSR_GOFAIL(TSR_EUNSUPPORTED, "%s: ml-4m cannot load this, for %zu reason%s", s->input,
                   json_array_size(p.reasons), json_array_size(p.reasons) > 1 ? "s" : "");
    }
    if (!s->dry_run)
        TSR_GO(write_beside(&at, &p));
    TSR_GO(list_files(&at, &p, into));
out:
    tsr_publish_clear(&p);
    clear_places(&at);
    tsr_safetensors_close(f);
    return st;
}

tsr_status tsr_publish_file(const tsr_publish_spec *spec, json_t **summary)
{
    json_t *o;
    TSR_TRY(check_form(spec->input));
    o = json_object();
    tsr_status st = tsr_json_set(o, "input", json_string(spec->input));
    if (st == TSR_OK)
        st = publish(spec, o);
    if (st == TSR_OK || json_object_get(o, "reasons"))
        *summary = json_incref(o);
    json_decref(o);
    return st;
}
