/* SPDX-License-Identifier: Apache-2.0
 * Parity of tokenizers: latents, tokens, code vectors, decoded values. */
#include "base/mem.h"
#include "tasks/parity_work.h"
#include "vqvae/vqvae.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct bench {
    tsr_parity *p;
    const tsr_parity_spec *spec;
    const tsr_safetensors *io;
    const tsr_stored *in, *tokens;
    tsr_vqvae *m;
    tsr_vqvae_plan *plan;
    tsr_vqvae_work *work;
    const tsr_vqvae_info *info;
    const tsr_vqvae_sizes *sizes;
    size_t samples, each, rows;        /* each: values of one input */
    float *pixels, *latents, *vectors; /* of all samples; latents and vectors [rows, Z] */
    float *decoded, *scratch;          /* scratch: as many as the stored tensor compared */
    int32_t *labels, *ids;             /* labels of one sample, ids of all */
    const char *no_decoding;           /* why, or NULL */
    /* of diffusion decoders */
    const tsr_stored *noise, *step_noise;
    tsr_vqvae_decoding how;
    float *start, *added; /* of all samples; of one */
} bench;

static void clear(bench *b)
{
    tsr_vqvae_work_destroy(b->work);
    tsr_vqvae_plan_destroy(b->plan);
    tsr_vqvae_destroy(b->m);
    tsr_free(b->pixels);
    tsr_free(b->latents);
    tsr_free(b->vectors);
    tsr_free(b->decoded);
    tsr_free(b->scratch);
    tsr_free(b->labels);
    tsr_free(b->ids);
    tsr_free(b->start);
    tsr_free(b->added);
}

/* --- running it --- */

static tsr_status find_inputs(bench *b)
{
    const char *path = tsr_safetensors_path(b->io);
    TSR_TRY(tsr_safetensors_get(b->io, "input", &b->in));
    const tsr_stored *in = b->in;
    int dims = b->info->labels ? 3 : 4;
    size_t channels = b->info->labels ? 1 : b->info->in_channels;
    if (in->ndim != dims || in->count == 0 || (dims == 4 && in->shape[1] != channels))
        TSR_FAIL(TSR_EMISMATCH, "%s: 'input' is not [samples, %s%zu planes, height, width]", path,
                 b->info->labels ? "without " : "", channels);
    if (b->info->labels && !tsr_parity_is_whole(in))
        TSR_FAIL(TSR_EMISMATCH, "%s: 'input' holds no whole numbers, the tokenizer takes labels",
                 path);
    b->samples = in->shape[0];
    b->each = in->count / b->samples;
    TSR_TRY(tsr_vqvae_plan_create(b->m, in->shape[dims - 2], in->shape[dims - 1],
                                  b->spec->precision, &b->plan));
    b->sizes = tsr_vqvae_plan_sizes(b->plan);
    b->rows = b->sizes->latents / b->info->code_width;
    b->tokens = tsr_safetensors_find(b->io, "tokens");
    if (b->tokens &&
        (!tsr_parity_is_whole(b->tokens) || b->tokens->count != b->samples * b->sizes->ids))
        TSR_FAIL(TSR_EMISMATCH, "%s: 'tokens' are not %zu whole numbers", path,
                 b->samples * b->sizes->ids);
    return TSR_OK;
}

static tsr_status encode(bench *b)
{
    if (!b->info->labels)
        TSR_TRY(tsr_parity_values(b->in, &b->pixels));
    TSR_TRY(tsr_alloc(&b->labels, b->each, sizeof *b->labels));
    for (size_t n = 0; n < b->samples; n++) {
        for (size_t i = 0; b->info->labels && i < b->each; i++)
            b->labels[i] = tsr_parity_id_at(b->in, n * b->each + i);
        const tsr_vqvae_input input = {
            .pixels = b->info->labels ? NULL : b->pixels + n * b->each,
            .labels = b->info->labels ? b->labels : NULL,
        };
        TSR_TRY(tsr_vqvae_encode(b->work, &input, b->latents + n * b->sizes->latents,
                                 b->ids + n * b->sizes->ids));
    }
    return TSR_OK;
}

/* --- noise of diffusion decoders --- */

/* A number in the metadata; it stays what it is where there is none. */
static tsr_status read_number(const bench *b, const char *key, double most, double *x)
{
    const char *path = tsr_safetensors_path(b->io);
    const char *text = json_string_value(json_object_get(tsr_safetensors_metadata(b->io), key));
    char *end;
    if (!text)
        return TSR_OK;
    *x = strtod(text, &end);
    if (end == text || *end || !(*x >= 0 && *x <= most))
        TSR_FAIL(TSR_EFORMAT, "%s: metadata '%s' is \"%.40s\", expected a number up to %g", path, key,
                 text, most);
    return TSR_OK;
}

static tsr_status read_settings(bench *b)
{
    double steps = (double)b->info->steps, eta = 0, guidance = 1, compatible = 0;
    TSR_TRY(read_number(b, "steps", 100000, &steps));
    TSR_TRY(read_number(b, "eta", 1, &eta));
    TSR_TRY(read_number(b, "guidance", 1000, &guidance));
    TSR_TRY(read_number(b, "compatible", 1, &compatible));
    b->how = (tsr_vqvae_decoding){
        .steps = (size_t)steps,
        .eta = (float)eta,
        .guidance = (float)guidance,
        .compatible = compatible != 0,
        .sampler = json_string_value(json_object_get(tsr_safetensors_metadata(b->io), "sampler")),
    };
    return TSR_OK;
}

/* The noise that another implementation began with and added: without it there is nothing that could
 * be compared. */
static tsr_status find_noise(bench *b)
{
    const char *path = tsr_safetensors_path(b->io);
    size_t all;
    TSR_TRY(tsr_mul_size(b->samples, b->sizes->output, &all));
    TSR_TRY(read_settings(b));
    b->noise = tsr_safetensors_find(b->io, "noise");
    b->step_noise = tsr_safetensors_find(b->io, "step_noise");
    int adds = b->how.eta > 0 || (b->how.sampler && strcmp(b->how.sampler, "ddpm") == 0);
    if (!b->noise)
        b->no_decoding = "the decoder is a diffusion model; its noise is not stored";
    else if (adds && !b->step_noise)
        b->no_decoding = "the noise that its steps add is not stored";
    if (b->no_decoding)
        return TSR_OK;
    if (b->noise->count != all || (b->step_noise && b->step_noise->count % all))
        TSR_FAIL(TSR_EMISMATCH, "%s: 'noise' has not %zu values, or 'step_noise' not as many a step",
                 path, all);
    TSR_TRY(tsr_parity_values(b->noise, &b->start));
    if (!b->step_noise)
        return TSR_OK;
    b->how.n_added = b->step_noise->count / all;
    return tsr_alloc(&b->added, b->how.n_added * b->sizes->output, sizeof *b->added);
}

/* step_noise [calls, B, C, H, W]: what belongs to one sample. */
static tsr_status noise_of(bench *b, size_t sample)
{
    size_t n = b->sizes->output;
    b->how.start = b->start + sample * n;
    for (size_t i = 0; b->added && i < b->how.n_added; i++) {
        tsr_stored piece = *b->step_noise;
        size_t at = (i * b->samples + sample) * n;
        piece.count = n;
        piece.data = (const char *)piece.data + at * tsr_dtype_bytes(piece.dtype);
        TSR_TRY(tsr_stored_floats(&piece, b->added + i * n));
    }
    b->how.added = b->added;
    return TSR_OK;
}

/* From the stored tokens where there are some: each stage is judged by itself. */
static tsr_status decode(bench *b, const int32_t *ids)
{
    for (size_t n = 0; n < b->samples; n++) {
        const int32_t *of_sample = ids + n * b->sizes->ids;
        TSR_TRY(tsr_vqvae_lookup(b->work, of_sample, b->vectors + n * b->sizes->latents));
        if (b->no_decoding)
            continue;
        if (b->noise)
            TSR_TRY(noise_of(b, n));
        TSR_TRY(tsr_vqvae_decode_with(b->work, of_sample, &b->how,
                                      b->decoded + n * b->sizes->output));
    }
    return TSR_OK;
}

static tsr_status decode_stored(bench *b)
{
    int32_t *ids;
    size_t n = b->samples * b->sizes->ids;
    if (!b->tokens)
        return decode(b, b->ids);
    TSR_TRY(tsr_alloc(&ids, n, sizeof *ids));
    for (size_t i = 0; i < n; i++)
        ids[i] = tsr_parity_id_at(b->tokens, i);
    tsr_status st = decode(b, ids);
    tsr_free(ids);
    if (st == TSR_EARG) /* settings come from the file, too */
        st = TSR_EMISMATCH;
    return st == TSR_OK ? st : tsr_context(st, "%s: stored tokens", tsr_safetensors_path(b->io));
}

/* --- comparing --- */

/* Stored values of `t` beside b->scratch, which holds ours in the same order. */
static tsr_status compare(const bench *b, const tsr_stored *t)
{
    float *want;
    if (tsr_parity_values(t, &want) != TSR_OK)
        return tsr_parity_add_missing(b->p, t->name, "%s", tsr_error());
    const tsr_parity_pair pair = {.name = t->name,
                                  .ours = b->scratch,
                                  .want = want,
                                  .count = t->count,
                                  .tolerance = b->spec->tolerance};
    tsr_status st = tsr_parity_add_floats(b->p, &pair);
    tsr_free(want);
    return st;
}

static tsr_status room_for(bench *b, const tsr_stored *t)
{
    tsr_free(b->scratch);
    b->scratch = NULL;
    return tsr_alloc(&b->scratch, t->count, sizeof *b->scratch);
}

/* [B, Z, Nh, Nw] beside our [B, rows, Z]. */
static tsr_status codes(bench *b, const tsr_stored *t, const float *ours)
{
    size_t z = b->info->code_width;
    if (t->count != b->samples * b->sizes->latents)
        return tsr_parity_add_missing(b->p, t->name, "%zu values are stored, ours are %zu",
                                      t->count, b->samples * b->sizes->latents);
    TSR_TRY(room_for(b, t));
    for (size_t n = 0; n < b->samples; n++)
        for (size_t r = 0; r < b->rows; r++)
            for (size_t d = 0; d < z; d++)
                b->scratch[(n * z + d) * b->rows + r] = ours[(n * b->rows + r) * z + d];
    return compare(b, t);
}

static tsr_status latents(bench *b, const tsr_stored *t)
{
    return codes(b, t, b->latents);
}

static tsr_status quantized(bench *b, const tsr_stored *t)
{
    return codes(b, t, b->vectors);
}

/* Tokens are [B, heads, rows], margins [heads, B, rows]. */
static tsr_status tokens(bench *b, const tsr_stored *t)
{
    const tsr_stored *stored = tsr_safetensors_find(b->io, "margin");
    float *margin = NULL;
    tsr_parity_line line = {.name = (char[]){"tokens"}, .count = t->count};
    size_t heads = b->info->heads;
    if (stored && stored->count == t->count)
        TSR_TRY(tsr_parity_values(stored, &margin));
    for (size_t i = 0; i < t->count; i++) {
        int64_t d = tsr_parity_whole_at(t, i) - b->ids[i];
        size_t n = i / (heads * b->rows), h = i / b->rows % heads, r = i % b->rows;
        line.absolute = fmax(line.absolute, fabs((double)d));
        line.equal += d == 0;
        line.clear += d != 0 && !(margin && (double)margin[(h * b->samples + n) * b->rows + r] <
                                                TSR_PARITY_MARGIN);
    }
    tsr_free(margin);
    return tsr_parity_add_whole(b->p, &line,
                                b->p->precision == TSR_PRECISION_FP32 ? 0.0 : b->spec->tolerance);
}

/* Every stride-th value of each sample. */
static tsr_status strided(bench *b, const tsr_stored *t, size_t stride)
{
    size_t each = (b->sizes->output + stride - 1) / stride;
    if (b->no_decoding)
        return tsr_parity_add_missing(b->p, t->name, "%s", b->no_decoding);
    if (t->count != b->samples * each)
        return tsr_parity_add_missing(b->p, t->name, "%zu values are stored, ours are %zu",
                                      t->count, b->samples * each);
    TSR_TRY(room_for(b, t));
    for (size_t n = 0; n < b->samples; n++)
        for (size_t i = 0; i < each; i++)
            b->scratch[n * each + i] = b->decoded[n * b->sizes->output + i * stride];
    return compare(b, t);
}

static tsr_status decoded(bench *b, const tsr_stored *t)
{
    return strided(b, t, 1);
}

static tsr_status decoded_37(bench *b, const tsr_stored *t)
{
    return strided(b, t, 37);
}

static tsr_status compare_all(bench *b)
{
    static const struct {
        const char *name;
        tsr_status (*compare)(bench *b, const tsr_stored *t); /* NULL: no output */
    } outputs[] = {{"input", NULL},           {"margin", NULL},         {"noise", NULL},
                   {"step_noise", NULL},      {"latents", latents},     {"tokens", tokens},
                   {"quantized", quantized},  {"decoded", decoded},     {"decoded.37", decoded_37}};
    const size_t n = sizeof outputs / sizeof outputs[0];
    for (size_t k = 0; k < n; k++) {
        const tsr_stored *t = tsr_safetensors_find(b->io, outputs[k].name);
        if (t && outputs[k].compare)
            TSR_TRY(outputs[k].compare(b, t));
    }
    for (size_t i = 0; i < tsr_safetensors_count(b->io); i++) {
        const tsr_stored *t = tsr_safetensors_at(b->io, i);
        size_t k = 0;
        while (k < n && strcmp(outputs[k].name, t->name) != 0)
            k++;
        if (k == n)
            TSR_TRY(tsr_parity_add_missing(b->p, t->name, "no output of tokenizers"));
    }
    return TSR_OK;
}

tsr_status tsr_parity_tokenizer(const char *checkpoint, const tsr_safetensors *io,
                                const tsr_parity_spec *spec, tsr_parity *p)
{
    bench b = {.p = p, .spec = spec, .io = io};
    tsr_status st;
    TSR_GO(tsr_vqvae_open(checkpoint, TSR_VQVAE_RUN, &b.m));
    b.info = tsr_vqvae_info_of(b.m);
    if (!b.info->has_decoder)
        b.no_decoding = "the checkpoint has no decoder";
    TSR_GO(find_inputs(&b));
    if (b.info->steps)
        TSR_GO(find_noise(&b));
    size_t codes_of_all = b.samples * b.sizes->latents, output = 0;
    if (!b.no_decoding)
        TSR_GO(tsr_mul_size(b.samples, b.sizes->output, &output));
    TSR_GO(tsr_vqvae_work_create(b.plan, &b.work));
    TSR_GO(tsr_alloc(&b.latents, codes_of_all, sizeof *b.latents));
    TSR_GO(tsr_alloc(&b.vectors, codes_of_all, sizeof *b.vectors));
    TSR_GO(tsr_alloc(&b.ids, b.samples * b.sizes->ids, sizeof *b.ids));
    TSR_GO(tsr_alloc(&b.decoded, output, sizeof *b.decoded));
    TSR_GO(encode(&b));
    TSR_GO(decode_stored(&b));
    TSR_GO(compare_all(&b));
out:
    clear(&b);
    return st;
}
