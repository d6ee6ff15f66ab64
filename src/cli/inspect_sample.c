/* SPDX-License-Identifier: Apache-2.0
 * tessera inspect: one sample of a corpus. */
#include "cli/inspect.h"

#include "base/mem.h"
#include "cli/console.h"
#include "cli/tokenline.h"

static tsr_status show_sequence(const tsr_screen *screen, const tsr_toolbox *tools,
                                const tsr_token_space *space, const tsr_tokens *tokens)
{
    const char **pieces;
    TSR_TRY(tsr_alloc(&pieces, tokens->count, sizeof *pieces));
    tsr_toolbox_pieces(tools, space, tokens->ids, tokens->count, pieces);
    tsr_show_pieces(screen, tokens->ids, pieces, tokens->count);
    tsr_free(pieces);
    return TSR_OK;
}

tsr_status tsr_inspect_tokens(const tsr_screen *screen, const tsr_toolbox *tools,
                              const tsr_token_space *space, const tsr_tokens *tokens)
{
    tsr_media media = {0};
    if (space->layout == TSR_LAYOUT_SEQUENCE)
        TSR_TRY(show_sequence(screen, tools, space, tokens));
    else
        TSR_TRY(tsr_show_tokens(screen, tokens, space));
    const tsr_tool *tool = tsr_toolbox_find(tools, space);
    if (!tool || space->layout == TSR_LAYOUT_PATCHES) /* shown already */
        return TSR_OK;
    TSR_TRY(tsr_tokenizer_decode(tool->tokenizer, tool->work, tokens, &media));
    tsr_status st = tsr_show_media(screen, &media, tsr_tokenizer_kind_name(tool->tokenizer));
    tsr_media_clear(&media);
    return st;
}

static const char *present_name(tsr_present p)
{
    static const char *const names[] = {"missing", "present", "failed"};
    return names[p];
}

static tsr_status show_modality(tsr_corpus *c, const tsr_toolbox *tools, const tsr_modality *m,
                                uint64_t sample, uint32_t crop, const tsr_screen *screen)
{
    tsr_tokens tokens = {0};
    tsr_present present;
    TSR_TRY(tsr_corpus_read(c, m->space.modality, sample, crop, &tokens, &present));
    fprintf(screen->out, "\n%s", m->space.modality);
    if (m->crops > 1)
        fprintf(screen->out, ", crop %u", crop);
    fprintf(screen->out, ": %zu %s%s%s\n", tokens.count,
            tsr_space_has_codes(&m->space) ? "tokens" : "values", present == TSR_REAL ? "" : ", ",
            present == TSR_REAL ? "" : present_name(present));
    tsr_status st = tokens.count ? tsr_inspect_tokens(screen, tools, &m->space, &tokens) : TSR_OK;
    tsr_tokens_clear(&tokens);
    return st;
}

static tsr_status modality_json(tsr_corpus *c, const tsr_modality *m, uint64_t sample,
                                uint32_t crop, json_t *list)
{
    tsr_tokens tokens = {0};
    tsr_present present;
    json_t *v = json_object();
    tsr_status st;
    TSR_GO(tsr_json_append(list, v));
    TSR_GO(tsr_corpus_read(c, m->space.modality, sample, crop, &tokens, &present));
    TSR_GO(tsr_space_json(&m->space, v));
    TSR_GO(tsr_json_set(v, "crop", json_integer(crop)));
    TSR_GO(tsr_json_set(v, "state", json_string(present_name(present))));
    TSR_GO(tsr_ids_json(&m->space, &tokens, v));
out:
    tsr_tokens_clear(&tokens);
    return st;
}

tsr_status tsr_inspect_sample(tsr_corpus *c, const tsr_toolbox *tools, const char *name,
                              const tsr_screen *screen, json_t **json)
{
    uint64_t sample;
    char *key = NULL;
    json_t *list = json_array(), *value = NULL;
    const tsr_manifest *man = tsr_corpus_manifest(c);
    tsr_status st;
    TSR_GO(tsr_corpus_find_named(c, name, &sample));
    TSR_GO(tsr_corpus_key(c, sample, &key));
    if (!json) {
        fprintf(screen->out, "sample %llu: ", (unsigned long long)sample);
        tsr_put_text(screen->out, key);
        fputc('\n', screen->out);
    }
    for (size_t i = 0; i < man->n_modalities; i++)
        for (uint32_t crop = 0; crop < man->modalities[i].crops; crop++) {
            if (json)
                TSR_GO(modality_json(c, &man->modalities[i], sample, crop, list));
            else
                TSR_GO(show_modality(c, tools, &man->modalities[i], sample, crop, screen));
        }
    value =
        json_pack("{s:I, s:s, s:O}", "sample", (json_int_t)sample, "key", key, "modalities", list);
    if (!value)
        TSR_GOFAIL(TSR_ENOMEM, "sample %s could not be described", name);
    if (json) {
        *json = value;
        value = NULL;
    }
out:
    json_decref(value);
    json_decref(list);
    tsr_free(key);
    return st;
}
