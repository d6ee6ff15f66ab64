/* SPDX-License-Identifier: Apache-2.0
 * Results as media, files and lines of the record. */
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "pipeline/onefile.h"
#include "pipeline/outname.h"
#include "tasks/genwork.h"

#include <string.h>

/* OUT/[KEY.]NAME[.VARIANT].EXT */
static tsr_status file_name(const tsr_gen_work *w, const tsr_gen_item *item, size_t variant,
                            const char *modality, const tsr_media *media, char **out)
{
    const char *extension = tsr_onefile_extension(media);
    char *middle, *name = NULL;
    tsr_status st;
    if (w->spec->variants > 1)
        TSR_TRY(tsr_format(&middle, "%s.%zu", modality, variant));
    else
        TSR_TRY(tsr_strdup(&middle, modality));
    if (item->key[0]) {
        st = tsr_out_name(w->spec->out, item->key, middle, extension, out);
    } else {
        TSR_GO(tsr_format(&name, "%s.%s", middle, extension));
        st = tsr_path_join(out, w->spec->out, name);
    }
out:
    tsr_free(middle);
    tsr_free(name);
    return st;
}

/* What the tokens of one target became. */
static tsr_status finish(tsr_gen_work *w, const tsr_gen_item *item, tsr_generated *g,
                         const tsr_tool *tool, tsr_media *media, char **path)
{
    const tsr_decoding how = {.steps = w->decoder_steps,
                              .seed = tsr_gen_seed(w),
                              .sample = tsr_gen_key(item, g->variant),
                              .job = w->spec->job};
    tsr_status st;
    if (!tool) {
        g->why = "no tokenizer";
        return TSR_OK;
    }
    g->kind = tsr_tokenizer_kind_name(tool->tokenizer);
    st = tsr_tokenizer_decode_with(tool->tokenizer, tool->work, g->tokens, &how, media);
    if (st == TSR_ENOMEM || st == TSR_ECANCEL)
        return st;
    if (st != TSR_OK) {
        g->why = tsr_error();
        w->failed++;
        tsr_job_warn(w->spec->job, "%s%s%s: its tokens cannot be decoded: %s", item->key,
                     item->key[0] ? " " : "", g->modality, tsr_error());
        return TSR_OK;
    }
    g->media = media;
    if (!w->spec->out)
        return TSR_OK;
    TSR_TRY(file_name(w, item, g->variant, g->modality, media, path));
    TSR_TRY(tsr_onefile_write(media, *path));
    g->path = *path;
    return TSR_OK;
}

static tsr_status record_target(const tsr_generated *g, json_t *targets)
{
    json_t *o = json_object(), *ids = json_array();
    tsr_status st;
    TSR_GO(tsr_json_set(targets, g->modality, o));
    TSR_GO(tsr_json_set(o, "tokens", ids));
    for (size_t i = 0; i < g->tokens->count; i++)
        TSR_GO(tsr_json_append(ids, json_integer(g->tokens->ids[i])));
    if (g->path)
        TSR_GO(tsr_json_set(o, "file", json_string(tsr_path_name(g->path))));
    if (g->media && g->media->kind == TSR_MEDIA_TEXT)
        TSR_GO(tsr_json_set(o, "text", json_string(g->media->as.text.s)));
    if (g->why)
        TSR_GO(tsr_json_set(o, "error", json_string(g->why)));
out:
    return st;
}

static tsr_status write_target(tsr_gen_work *w, size_t at, size_t t, const tsr_gen_result *r)
{
    size_t m = w->chain[t].m, count;
    const uint32_t *ids = tsr_generator_result(w->generator, at, m, &count);
    tsr_tokens tokens = {0};
    tsr_media media = {0};
    char *path = NULL;
    tsr_generated g = {.key = r->item->key,
                       .variant = r->variant,
                       .modality = w->mods->items[m].name,
                       .space = &w->spaces[m],
                       .tokens = &tokens,
                       .kind = "",
                       .tools = &w->tools};
    tsr_status st;
    TSR_GO(tsr_tokens_init(&tokens, count));
    if (count)
        memcpy(tokens.ids, ids, count * sizeof *ids);
    TSR_GO(finish(w, r->item, &g, w->tool[m], &media, &path));
    TSR_GO(record_target(&g, r->targets));
    if (w->spec->show)
        w->spec->show(w->spec->ctx, &g);
out:
    tsr_tokens_clear(&tokens);
    tsr_media_clear(&media);
    tsr_free(path);
    return st;
}

tsr_status tsr_gen_write(tsr_gen_work *w, size_t at, const tsr_gen_result *result)
{
    for (size_t t = 0; t < w->n_chain; t++)
        TSR_TRY(write_target(w, at, t, result));
    return TSR_OK;
}
