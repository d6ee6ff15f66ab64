/* SPDX-License-Identifier: Apache-2.0
 * VQ-VAEs: continuous arrays to code indices and back.
 *
 * A model (tsr_vqvae) is settings and named weights, those of the 4M files. A plan holds its
 * networks for one input size; it is made once and shared by threads. A worker holds what one
 * thread computes with. Every sample goes through the network by itself, so that its ids depend on
 * nothing but the sample, the weights and the precision.
 *
 *   tsr_vqvae_open("rgb.safetensors", 0, &m);
 *   tsr_vqvae_plan_create(m, 224, 224, TSR_PRECISION_FP32, &plan);
 *   in each thread: tsr_vqvae_work_create(plan, &w); tsr_vqvae_encode(w, &in, NULL, ids);
 *
 * Shapes: pixels [C, H, W], ids [heads, Nh, Nw] with heads = 1 but for product codes, latents
 * [Nh * Nw, Z] (tokens in row-major order of the grid, one row each). Vector models (bottleneck
 * MLP) have H = W = 1. Nh = H / P with P the patch of the encoder, 1 for feature maps and vectors.
 */
#ifndef TSR_VQVAE_VQVAE_H
#define TSR_VQVAE_VQVAE_H

#include "base/json.h"
#include "base/status.h"
#include "nn/graph.h"
#include "nn/params.h"
#include "nn/publish.h"
#include "vqvae/vqvae_config.h"

#include <stddef.h>
#include <stdint.h>

struct tsr_job; /* base/job.h */
typedef struct tsr_vqvae tsr_vqvae;
typedef struct tsr_vqvae_plan tsr_vqvae_plan;
typedef struct tsr_vqvae_work tsr_vqvae_work;

enum {
    TSR_VQVAE_ENCODER_ONLY = 1, /* open: leave the decoder in the file; write: leave it out */
    TSR_VQVAE_AVERAGED = 2,     /* write: averaged weights where training kept some */
    TSR_VQVAE_RUN = 4,          /* open: weights of the networks stay in the file, which stays open,
                                   until a network needs them, and then each is held once, in the
                                   form it needs */
};

/* A new model, its weights drawn from `seed`. TSR_ECONFIG for settings that make no model. */
TSR_USE tsr_status tsr_vqvae_create(const tsr_vqvae_config *config, uint64_t seed, tsr_vqvae **out);

/* Read a file of ours or of 4M. Sizes come from the tensors' shapes where these tell; all tensors
 * must be there and no others (encoder only: others may start with "decoder." or
 * "post_quant_proj."). A file without decoder opens as encoder only.
 * Errors   TSR_ENOENT, TSR_EFORMAT, TSR_EMISMATCH, TSR_EUNSUPPORTED (ControlNet decoders without
 *          TSR_VQVAE_ENCODER_ONLY, quantizers we do not have). */
TSR_USE tsr_status tsr_vqvae_open(const char *path, unsigned flags, tsr_vqvae **out);

/* Write by rename. `extra`: further metadata, an object of strings (may be NULL); it wins over the
 * settings where keys agree. The same model gives the same bytes. */
TSR_USE tsr_status tsr_vqvae_write(const tsr_vqvae *m, const char *path, unsigned flags,
                                   const json_t *extra);
/* The same with metadata given as they shall be, such as those of tsr_vqvae_publish(). */
TSR_USE tsr_status tsr_vqvae_write_as(const tsr_vqvae *m, const char *path, unsigned flags,
                                      const json_t *metadata);

/* What ml-4m has to be told to load this model from a file: into p, and all metadata of that file.
 * Strings of the file opened stay, ours included: ml-4m passes over what it does not know.
 * *metadata is set also when there are reasons against it (json_decref).
 * Errors   TSR_ENOMEM. */
TSR_USE tsr_status tsr_vqvae_publish(const tsr_vqvae *m, tsr_publish *p, json_t **metadata);
void tsr_vqvae_destroy(tsr_vqvae *m);

/* What the model is; sizes as found in the tensors. Borrowed. */
typedef struct tsr_vqvae_info {
    size_t in_channels;  /* float planes of the input; labels: 0 */
    size_t labels;       /* classes of a label map, else 0 */
    size_t out_channels; /* planes of the output; labels: one logit a class */
    size_t patch, patch_dec;
    size_t height, width;  /* the input size it was made for */
    size_t heads;          /* ids per grid position */
    size_t codes;          /* size of each codebook */
    size_t code_width;     /* Z */
    const char *quantizer; /* "lucid", "memcodes", "fsq" */
    int has_decoder;
    const char *decoder;   /* "ViT", "MLP", "UNet diffusion", "UViT diffusion", or "none" */
    size_t steps;          /* of a diffusion decoder unless others are asked for; else 0 */
    int is_vector; /* bottleneck MLP: height = width = 1 */
    size_t values; /* parameters and buffers */
} tsr_vqvae_info;

/* What the model is. Borrowed until destroy. */
const tsr_vqvae_info *tsr_vqvae_info_of(const tsr_vqvae *m);
const tsr_vqvae_config *tsr_vqvae_config_of(const tsr_vqvae *m);

/* All metadata strings of the file it was opened from (empty object for a new one). Borrowed. */
const json_t *tsr_vqvae_metadata(const tsr_vqvae *m);

/* The weights; of a model opened with TSR_VQVAE_RUN most are still in its file. Whoever changes
 * them calls tsr_vqvae_refresh() before the next encode or decode; no worker may be running then. */
tsr_params *tsr_vqvae_params(tsr_vqvae *m);
TSR_USE tsr_status tsr_vqvae_refresh(tsr_vqvae *m);

/* Networks for inputs of height x width pixels, multiples of the patch; 0 x 0: the model's own
 * size. Another size than that uses the positional table resampled as in 4M. Errors   TSR_EARG for
 * a size that is no multiple of the patch or too large. */
TSR_USE tsr_status tsr_vqvae_plan_create(const tsr_vqvae *m, size_t height, size_t width,
                                         tsr_precision precision, tsr_vqvae_plan **out);
void tsr_vqvae_plan_destroy(tsr_vqvae_plan *p);

/* Sizes of one sample under a plan. */
typedef struct tsr_vqvae_sizes {
    size_t height, width; /* input */
    size_t grid_height, grid_width;
    size_t ids;                   /* heads * grid_height * grid_width */
    size_t latents;               /* grid_height * grid_width * Z floats */
    size_t out_height, out_width; /* of the decoder */
    size_t output;     /* out_channels * out_height * out_width floats, 0 without decoder */
    size_t work_bytes; /* of one worker */
    double encode_flops, decode_flops; /* diffusion: 0, its network is planned when first used */
} tsr_vqvae_sizes;

/* Borrowed as long as the plan. */
const tsr_vqvae_sizes *tsr_vqvae_plan_sizes(const tsr_vqvae_plan *p);

/* One per thread; the plan must outlive it. */
TSR_USE tsr_status tsr_vqvae_work_create(const tsr_vqvae_plan *p, tsr_vqvae_work **out);
void tsr_vqvae_work_destroy(tsr_vqvae_work *w);

/* One sample: pixels [C, H, W], or for label models labels [H, W] in [0, labels). */
typedef struct tsr_vqvae_input {
    const float *pixels;
    const int32_t *labels;
} tsr_vqvae_input;

/* ids [heads, Nh, Nw]; latents [Nh * Nw, Z] before quantization. Either may be NULL.
 * Errors   TSR_EARG for the wrong kind of input or a label out of range, TSR_ENUMERIC when the
 *          network gives values that are not finite (the input has some, or weights do). */
TSR_USE tsr_status tsr_vqvae_encode(tsr_vqvae_work *w, const tsr_vqvae_input *in, float *latents,
                                    int32_t *ids);

/* output [Cout, H, W] from ids [heads, Nh, Nw]. No squashing or clamping at the end, as in 4M. With a
 * diffusion decoder: tsr_vqvae_decode_with() and all settings 0.
 * Errors   TSR_EFORMAT for an id outside [0, codes), TSR_EARG when there is no decoder. */
TSR_USE tsr_status tsr_vqvae_decode(tsr_vqvae_work *w, const int32_t *ids, float *output);

/* How a diffusion decoder works. 0 and NULL everywhere: its usual way. Other decoders look at none of
 * this. The picture depends on these settings, the ids and the model: not on threads, nor on what else
 * was decoded. */
typedef struct tsr_vqvae_decoding {
    size_t steps;          /* 0: info.steps; at most the model's num_train_timesteps */
    uint64_t seed, sample; /* which noise: each pair has its own */
    const char *sampler;   /* "ddim" (NULL), "ddpm", "pndm" (12 calls more than steps, less 3), "plms" */
    float eta;             /* DDIM: 0 adds no noise on the way, 1 as much as DDPM */
    float guidance;        /* g of u + g (c - u), u the answer without codes: 0 and 1 do without u */
    int compatible;        /* visit the steps the reference visits also where it miscounts them */
    const struct tsr_job *job;   /* is told of each step and may stop the work (TSR_ECANCEL) */
    const float *start;    /* [Cout, H, W] instead of the first noise */
    const float *added;    /* [n_added, Cout, H, W] instead of what samplers draw at each call */
    size_t n_added;        /* at least as many as there are calls */
} tsr_vqvae_decoding;

/* The same with settings.
 * Errors   also TSR_EARG for settings that cannot be, TSR_EUNSUPPORTED for a sampler that the model's
 *          schedule does not allow, TSR_ENUMERIC when the result is not finite, TSR_ECANCEL. */
TSR_USE tsr_status tsr_vqvae_decode_with(tsr_vqvae_work *w, const int32_t *ids,
                                         const tsr_vqvae_decoding *how, float *output);

/* Code vectors of ids [heads, Nh, Nw] as [Nh * Nw, Z]: what the decoder starts from. */
TSR_USE tsr_status tsr_vqvae_lookup(tsr_vqvae_work *w, const int32_t *ids, float *vectors);

#endif
