/* SPDX-License-Identifier: Apache-2.0
 * Parity: what a checkpoint computes here, beside what another implementation computed from the
 * same inputs and stored in a safetensors file.
 *
 * Tokenizers: `input` [B, C, H, W] (labels [B, H, W]), `latents` [B, Z, Nh, Nw], `tokens`, `margin`
 * (distance between the best and the second-best code), `quantized` [B, Z, Nh, Nw], `decoded`. The
 * codes looked up and decoded are the stored ones, where there are any. Diffusion decoders: `noise`
 * [B, C, H, W] that decoding began with, `step_noise` [calls, B, C, H, W] that it added (DDPM, or eta
 * > 0), and in the metadata, as text, `steps`, `sampler`, `eta`, `guidance`, `compatible` (0 or 1).
 * Masked models: `in.MODALITY.{tensor, input_mask, target_mask}`, `packed.*`, `encoder_out`,
 * `decoder_out`, `logits.MODALITY`, `loss.MODALITY`, `loss_mod`, `loss_token`, `grad.TENSOR` (of
 * loss_mod); metadata `modality_order` and `modality_ids` (JSON). Slots of padding are not
 * compared. Reduced files: `decoded.37` and `grad37.TENSOR` hold every 37th value, `rows.MODALITY`
 * the logits of the modality's own rows, `in.MODALITY.patches` the patches shown. What is not
 * stored is not compared. */
#ifndef TSR_TASKS_PARITY_H
#define TSR_TASKS_PARITY_H

#include "base/json.h"
#include "base/status.h"
#include "nn/graph.h"

#include <stddef.h>

/* Two codes whose distances are closer than this may be told apart differently. */
#define TSR_PARITY_MARGIN 1e-5
/* Gradients may be this many times further away than values. */
#define TSR_PARITY_GRADIENTS 10.0

typedef enum tsr_parity_verdict {
    TSR_PARITY_WITHIN,
    TSR_PARITY_BEYOND,
    TSR_PARITY_NOT_COMPUTED, /* stored, but nothing here to compare it with */
} tsr_parity_verdict;

/* "within", "beyond", "not computed". */
const char *tsr_parity_verdict_name(tsr_parity_verdict v);

/* One stored output. */
typedef struct tsr_parity_line {
    char *name;
    char *note;       /* why it was not computed, or what it is relative to; NULL: nothing to say */
    size_t count;     /* values compared */
    double absolute;  /* largest difference; infinite where a value is not finite */
    double relative;  /* the same over the largest stored value */
    double tolerance; /* of relative */
    int whole;        /* 1: ids, truths; then */
    size_t equal;     /* how many agree, and */
    size_t clear;     /* how many differ although the margin is at least TSR_PARITY_MARGIN */
    tsr_parity_verdict verdict;
} tsr_parity_line;

typedef struct tsr_parity {
    const char *kind;        /* "tokenizer", "masked model" */
    tsr_precision precision; /* what was computed with: fp32 where bf16 is not fast */
    tsr_parity_line *lines;
    size_t count, cap;
} tsr_parity;

typedef struct tsr_parity_spec {
    tsr_precision precision;
    double
        tolerance; /* relative, > 0. Tokens: none may differ clearly in fp32, this share in bf16 */
} tsr_parity_spec;

/* Run `checkpoint` on the inputs of `io` and compare every output that `io` stores. Differences are
 * results and not failures. tsr_parity_clear() in either case.
 * Errors   those of opening the two files; TSR_EFORMAT, TSR_EMISMATCH, TSR_ENOENT for inputs that
 * do not fit the model or are missing; TSR_ENOMEM. */
TSR_USE tsr_status tsr_parity_run(const char *checkpoint, const char *io,
                                  const tsr_parity_spec *spec, tsr_parity *out);
void tsr_parity_clear(tsr_parity *p);

/* Lines that are not within. */
size_t tsr_parity_failed(const tsr_parity *p);

/* The comparison as an object; json_decref. */
TSR_USE tsr_status tsr_parity_json(const tsr_parity *p, json_t **out);

#endif
