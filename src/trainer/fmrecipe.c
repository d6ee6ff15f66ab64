/* SPDX-License-Identifier: Apache-2.0
 * Recipes of the masked model: their keys, the model and the options they stand for. */
#include "trainer/fmjob.h"

#include "base/mem.h"
#include "base/str.h"
#include "trainer/fmstart.h"

#include <math.h>
#include <string.h>

const tsr_field tsr_fmrun_fields[] = {
    {"output", TSR_FIELD_STRING, "!", 0, 0, "folder of the run: model, metrics, checkpoints"},
    {"start_from", TSR_FIELD_STRING, NULL, 0, 0, "model file to go on from"},
    {"start.places", TSR_FIELD_BOOL, NULL, 0, 0,
     "positions of grids of all sizes on one scale; default: each counts its own places"},
    {"start.attention", TSR_FIELD_BOOL, NULL, 0, 0,
     "keys begin as queries: what is alike attends to each other from the first step"},
    {"start.tokens", TSR_FIELD_NUMBER, NULL, 0, 10,
     "deviation of new token embeddings; default: 0.02, as published"},
    {"start.codes", TSR_FIELD_BOOL, NULL, 0, 0,
     "embeddings begin as what tokens stand for: code vectors, numbers of value tokens"},
    {"model.preset", TSR_FIELD_STRING, NULL, 0, 0,
     "sizes by name: tiny, small, base, large, xlarge"},
    {"model.dim", TSR_FIELD_INT, NULL, 8, 65536, "width"},
    {"model.encoder_depth", TSR_FIELD_INT, NULL, 0, 1000, "layers of the encoder"},
    {"model.decoder_depth", TSR_FIELD_INT, NULL, 1, 1000, "layers of the decoder"},
    {"model.heads", TSR_FIELD_INT, NULL, 1, 1024, "attention heads"},
    {"model.mlp_ratio", TSR_FIELD_NUMBER, NULL, 0.1, 100, "hidden width of MLPs over width"},
    {"model.gated_mlp", TSR_FIELD_BOOL, NULL, 0, 0, "MLPs with a gate, two thirds as wide"},
    {"model.activation", TSR_FIELD_STRING, NULL, 0, 0, "silu or gelu"},
    {"model.bias", TSR_FIELD_BOOL, NULL, 0, 0, "biases in all linears and norms"},
    {"model.qk_norm", TSR_FIELD_BOOL, NULL, 0, 0, "norm of queries and keys of each head"},
    {"model.registers", TSR_FIELD_INT, NULL, 0, 1024, "learned tokens in front of every input"},
    {"model.shared_vocabulary", TSR_FIELD_BOOL, NULL, 0, 0,
     "one embedding and one head over all ids, instead of one for each modality"},
    {"model.inputs", TSR_FIELD_STRINGS, NULL, 0, 0,
     "modalities shown; default: all of the corpora"},
    {"model.outputs", TSR_FIELD_STRINGS, NULL, 0, 0,
     "modalities predicted; default: all of the corpora but pixels"},
    {"model.max_tokens.*", TSR_FIELD_INT, NULL, 1, 512,
     "longest text of a modality, [EOS] included"},
    {"data.*.corpus", TSR_FIELD_STRING, NULL, 0, 0, "folder of a corpus"},
    {"data.*.split", TSR_FIELD_STRING, NULL, 0, 0, "split to train on; default: train"},
    {"data.*.weight", TSR_FIELD_NUMBER, NULL, 1e-9, 1e9, "share of samples, relative; default: 1"},
    {"data.*.random_crops", TSR_FIELD_BOOL, NULL, 0, 0,
     "a crop drawn anew in each pass; default: the first one"},
    {"data.*.names.*", TSR_FIELD_STRING, NULL, 0, 0,
     "the model's name for a modality: the corpus's name"},
    {"data.*.mask", TSR_FIELD_ANY, NULL, 0, 0, "masks of this corpus alone"},
    {"mask", TSR_FIELD_ANY, NULL, 0, 0, "what is shown and predicted: totals, components, preset"},
    {"validation.*.corpus", TSR_FIELD_STRING, NULL, 0, 0, "entry of data; default: all of them"},
    {"validation.*.split", TSR_FIELD_STRING, NULL, 0, 0, "split to judge on; default: val"},
    {"validation.*.samples", TSR_FIELD_INT, NULL, 1, 1e9,
     "first samples of each corpus judged; default: 256"},
    {"validation.*.mask", TSR_FIELD_ANY, NULL, 0, 0, "masks; default: those of training"},
    {"limit", TSR_FIELD_INT, "0", 0, 1e15, "train on the first samples of each split; 0: all"},
    {"train.steps", TSR_FIELD_INT, NULL, 1, 1e12, "optimizer steps"},
    {"train.tokens", TSR_FIELD_NUMBER, NULL, 1, 1e18,
     "or: tokens shown and predicted, counted by budgets"},
    {"train.batch", TSR_FIELD_INT, "64", 1, 65536, "samples of a micro-batch"},
    {"train.accumulate", TSR_FIELD_INT, "1", 1, 65536, "micro-batches of a step"},
    {"train.loss", TSR_FIELD_STRING, "modality", 0, 0,
     "modality: mean over modalities, as published; token: mean over targets"},
    {"train.weights.*", TSR_FIELD_NUMBER, NULL, 0, 1e6, "factor of a modality's loss; default: 1"},
    {"train.lr", TSR_FIELD_NUMBER, NULL, 0, 10, "peak learning rate; default: 0.001"},
    {"train.blr", TSR_FIELD_NUMBER, NULL, 0, 10, "or: peak rate of a batch of 256, to be scaled"},
    {"train.lr_end", TSR_FIELD_NUMBER, "0", 0, 10, "rate the cosine or the cool-down falls to"},
    {"train.schedule", TSR_FIELD_STRING, "cosine", 0, 0, "cosine, constant or inverse_sqrt"},
    {"train.warmup_steps", TSR_FIELD_INT, NULL, 0, 1e12, "steps of linear warm-up; default: 0"},
    {"train.warmup_tokens", TSR_FIELD_NUMBER, NULL, 0, 1e18, "or: tokens of warm-up"},
    {"train.cooldown_steps", TSR_FIELD_INT, NULL, 0, 1e12,
     "last steps, falling to lr_end (constant, inverse_sqrt); default: 0"},
    {"train.cooldown_tokens", TSR_FIELD_NUMBER, NULL, 0, 1e18, "or: tokens of cool-down"},
    {"train.tau", TSR_FIELD_NUMBER, "10000", 1, 1e12, "steps of inverse_sqrt's time scale"},
    {"train.weight_decay", TSR_FIELD_NUMBER, "0.05", 0, 10, "decoupled weight decay"},
    {"train.beta1", TSR_FIELD_NUMBER, "0.9", 0, 0.99999, "AdamW's first moment"},
    {"train.beta2", TSR_FIELD_NUMBER, "0.95", 0, 0.99999, "AdamW's second moment"},
    {"train.eps", TSR_FIELD_NUMBER, "1e-8", 1e-20, 1, "AdamW's epsilon"},
    {"train.clip", TSR_FIELD_NUMBER, "0", 0, 1e9, "largest norm of the gradient; 0: no clipping"},
    {"train.skip_above", TSR_FIELD_NUMBER, "0", 0, 1e9,
     "leave out updates whose gradient is larger; 0: none"},
    {"train.skip_bad", TSR_FIELD_BOOL, "false", 0, 0,
     "leave out updates that are not finite, instead of stopping"},
    {"train.explode", TSR_FIELD_NUMBER, "4", 0, 1e9,
     "stop when the loss is so many times that of guessing evenly; 0: never"},
    {"train.average", TSR_FIELD_NUMBER, "0", 0, 0.999999,
     "decay of averaged weights, which the model file then holds; 0: none"},
    {"train.precision", TSR_FIELD_STRING, "auto", 0, 0, "auto, fp32 or bf16 for matrix products"},
    {"train.seed", TSR_FIELD_INT, "0", 0, 9e15, "seed of weights, order and masks"},
    {"train.ahead", TSR_FIELD_INT, "2", 0, 1024, "batches read ahead"},
    {"train.log_every", TSR_FIELD_INT, "20", 1, 1e9, "steps between lines of metrics"},
    {"train.val_every", TSR_FIELD_INT, "0", 0, 1e9,
     "steps between validations; 0: only at the end"},
    {"train.checkpoint_every", TSR_FIELD_INT, "500", 1, 1e9, "steps between checkpoints"},
    {"train.checkpoint_minutes", TSR_FIELD_NUMBER, "0", 0, 1e6,
     "and after so many minutes without one; 0: never"},
    {"train.keep", TSR_FIELD_INT, "2", 1, 1e6, "checkpoints kept"},
    {"tensorboard", TSR_FIELD_BOOL, "false", 0, 0, "write event files for TensorBoard, too"},
};

const size_t tsr_fmrun_n_fields = sizeof tsr_fmrun_fields / sizeof tsr_fmrun_fields[0];

/* --- the model ---------------------------------------------------------------------------------
 */

static void set_size(const tsr_recipe *r, const char *key, size_t *out)
{
    *out = (size_t)tsr_recipe_int(r, key, (long long)*out);
}

/* Sizes of the recipe over those of the preset. */
static tsr_status read_sizes(const tsr_recipe *r, tsr_fm_config *c)
{
    const char *activation = tsr_recipe_string(r, "model.activation", NULL);
    TSR_TRY(tsr_fm_preset(tsr_recipe_string(r, "model.preset", "tiny"), c));
    set_size(r, "model.dim", &c->dim);
    set_size(r, "model.encoder_depth", &c->encoder_depth);
    set_size(r, "model.decoder_depth", &c->decoder_depth);
    set_size(r, "model.heads", &c->heads);
    set_size(r, "model.registers", &c->registers);
    c->mlp_ratio = tsr_recipe_number(r, "model.mlp_ratio", c->mlp_ratio);
    c->gated_mlp = tsr_recipe_bool(r, "model.gated_mlp", c->gated_mlp);
    c->qk_norm = tsr_recipe_bool(r, "model.qk_norm", c->qk_norm);
    c->shared_vocabulary = tsr_recipe_bool(r, "model.shared_vocabulary", c->shared_vocabulary);
    if (tsr_recipe_get(r, "model.bias"))
        c->qkv_bias = c->proj_bias = c->mlp_bias = c->norm_bias =
            tsr_recipe_bool(r, "model.bias", 0);
    if (!activation)
        return TSR_OK;
    if (strcmp(activation, "silu") != 0 && strcmp(activation, "gelu") != 0)
        return tsr_recipe_fail(r, "model.activation", "\"%s\" is neither silu nor gelu",
                               activation);
    c->gelu = activation[0] == 'g';
    return TSR_OK;
}

/* Whether the file's modalities are those of the recipe, in all that the weights depend on. */
static int same_modalities(const tsr_mods *a, const tsr_mods *b)
{
    if (a->count != b->count)
        return 0;
    for (size_t i = 0; i < a->count; i++) {
        const tsr_mod *x = &a->items[i], *y = &b->items[i];
        if (strcmp(x->name, y->name) != 0 || x->input != y->input || x->output != y->output ||
            x->max_tokens != y->max_tokens)
            return 0;
    }
    return 1;
}

/* What the file says of a modality goes before what the corpora say: the loader compares the two.
 */
static void prefer_file(const tsr_mods *file, tsr_mods *mods)
{
    for (size_t i = 0; i < mods->count; i++) {
        int at = tsr_mods_find(file, mods->items[i].name);
        if (at < 0)
            continue;
        tsr_mod m = file->items[at];
        m.input = mods->items[i].input;
        m.output = mods->items[i].output;
        m.max_tokens = mods->items[i].max_tokens;
        mods->items[i] = m;
    }
}

static void copy_weights(const tsr_fm *from, tsr_fm *to)
{
    const tsr_params *ps = tsr_fm_params(from);
    for (size_t i = 0; i < tsr_params_count(ps); i++) {
        const tsr_param *p = tsr_params_at(ps, i);
        tsr_param *q = tsr_params_find(tsr_fm_params(to), p->name);
        if (!q || q->count != p->count)
            continue;
        memcpy(q->value, p->value, p->count * sizeof *p->value);
        tsr_param_touch(q);
    }
}

/* Go on from a model file; modalities it lacks start anew, those the recipe leaves out are gone. */
static tsr_status continue_model(tsr_fmjob *j, const char *path, tsr_mods *mods)
{
    tsr_fm *old;
    TSR_TRY(tsr_fm_open(path, &old));
    tsr_fm_config c = *tsr_fm_get_config(old);
    if (tsr_recipe_get(j->recipe, "model.preset") || tsr_recipe_get(j->recipe, "model.dim")) {
        tsr_fm_destroy(old);
        return tsr_recipe_fail(j->recipe, "start_from",
                               "the file has its sizes; leave out those of the recipe");
    }
    prefer_file(&c.mods, mods);
    if (same_modalities(&c.mods, mods)) {
        j->model = old;
        return TSR_OK;
    }
    c.mods = *mods;
    tsr_status st = tsr_fm_create(&c, j->seed, &j->model);
    if (st == TSR_OK)
        copy_weights(old, j->model);
    if (st == TSR_OK)
        st = tsr_fm_keep_left_out(old, j->model);
    tsr_fm_destroy(old);
    return st;
}

/* First values of a new model, as `start` says. */
static tsr_status begin_model(tsr_fmjob *j)
{
    const tsr_recipe *r = j->recipe;
    const json_t *data = tsr_recipe_get(r, "data");
    const json_t *first = json_object_iter_value(json_object_iter((json_t *)(uintptr_t)data));
    char *folder = NULL;
    size_t from_codes;
    tsr_fm_start s = {.places = tsr_recipe_bool(r, "start.places", 0),
                      .attention = tsr_recipe_bool(r, "start.attention", 0),
                      .tokens = tsr_recipe_number(r, "start.tokens", 0)};
    if (tsr_recipe_bool(r, "start.codes", 0)) {
        const char *corpus = json_string_value(json_object_get(first, "corpus"));
        TSR_TRY(tsr_format(&folder, "%s/tokenizers", corpus ? corpus : "."));
        s.codes = folder;
    }
    tsr_status st = tsr_fm_begin(j->model, &s, j->seed, &from_codes);
    if (st == TSR_OK && folder && from_codes == 0)
        st = tsr_recipe_fail(r, "start.codes", "%s holds no codebook of a modality of the model",
                             folder);
    tsr_free(folder);
    return st;
}

tsr_status tsr_fmjob_model(tsr_fmjob *j)
{
    const char *from = tsr_recipe_string(j->recipe, "start_from", NULL);
    tsr_mods mods;
    TSR_TRY(tsr_trainset_mods(j->recipe, &mods));
    j->seed = (uint64_t)tsr_recipe_int(j->recipe, "train.seed", 0);
    if (from) {
        TSR_TRY(continue_model(j, from, &mods));
    } else {
        tsr_fm_config c = {.mods = mods};
        tsr_status st = read_sizes(j->recipe, &c);
        c.mods = mods;
        if (st == TSR_OK)
            st = tsr_fm_create(&c, j->seed, &j->model);
        if (st == TSR_OK)
            st = begin_model(j);
        if (st != TSR_OK)
            return tsr_context(st, "%s: model", tsr_recipe_origin(j->recipe));
    }
    j->mods = &tsr_fm_get_config(j->model)->mods;
    return TSR_OK;
}

/* --- options -----------------------------------------------------------------------------------
 */

/* Steps given as such or as tokens, `budget` of them a step; at most one of the two. */
static tsr_status steps_of(const tsr_recipe *r, const char *steps, const char *tokens,
                           double budget, uint64_t *out)
{
    int a = tsr_recipe_get(r, steps) != NULL, b = tsr_recipe_get(r, tokens) != NULL;
    if (a && b)
        return tsr_recipe_fail(r, tokens, "give this or %s, not both", steps);
    *out = a   ? (uint64_t)tsr_recipe_int(r, steps, 0)
           : b ? (uint64_t)ceil(tsr_recipe_number(r, tokens, 0) / budget)
               : 0;
    return TSR_OK;
}

static tsr_status choose_rate(tsr_fmjob *j, tsr_schedule *s)
{
    const tsr_recipe *r = j->recipe;
    const tsr_policy *p = j->set.policies[0];
    double budget = (double)(tsr_policy_inputs(p) + tsr_policy_targets(p)) * (double)j->samples;
    TSR_TRY(tsr_schedule_parse(tsr_recipe_string(r, "train.schedule", "cosine"), &s->kind));
    if (tsr_recipe_get(r, "train.lr") && tsr_recipe_get(r, "train.blr"))
        return tsr_recipe_fail(r, "train.blr", "give this or train.lr, not both");
    s->peak = tsr_recipe_number(r, "train.lr", 1e-3);
    if (tsr_recipe_get(r, "train.blr"))
        s->peak = tsr_recipe_number(r, "train.blr", 0) * (double)j->samples / 256;
    s->floor = tsr_recipe_number(r, "train.lr_end", 0);
    s->tau = tsr_recipe_number(r, "train.tau", 10000);
    TSR_TRY(steps_of(r, "train.steps", "train.tokens", budget, &s->total));
    TSR_TRY(steps_of(r, "train.warmup_steps", "train.warmup_tokens", budget, &s->warmup));
    TSR_TRY(steps_of(r, "train.cooldown_steps", "train.cooldown_tokens", budget, &s->cooldown));
    if (!s->total)
        return tsr_recipe_fail(r, "train", "steps or tokens is missing");
    j->steps = s->total;
    tsr_status st = tsr_schedule_check(s);
    return st == TSR_OK ? st : tsr_recipe_fail(r, "train.schedule", "%s", tsr_error());
}

tsr_status tsr_fmjob_options(tsr_fmjob *j)
{
    const tsr_recipe *r = j->recipe;
    tsr_fmtrain_options *o = &j->train;
    tsr_capacity cap;
    const char *loss = tsr_recipe_string(r, "train.loss", "modality"), *name;
    json_t *v;
    *o = tsr_fmtrain_defaults();
    o->batch = (size_t)tsr_recipe_int(r, "train.batch", 1);
    o->accumulate = (size_t)tsr_recipe_int(r, "train.accumulate", 1);
    TSR_TRY(tsr_mul_size(o->batch, o->accumulate, &j->samples));
    if (strcmp(loss, "modality") != 0 && strcmp(loss, "token") != 0)
        return tsr_recipe_fail(r, "train.loss", "\"%s\" is neither modality nor token", loss);
    o->loss = loss[0] == 'm' ? TSR_FM_LOSS_MODALITY : TSR_FM_LOSS_TOKEN;
    TSR_TRY(tsr_precision_of_recipe(r, "train.precision", &o->precision));
    TSR_TRY(choose_rate(j, &o->rate));
    o->adamw.weight_decay = tsr_recipe_number(r, "train.weight_decay", 0);
    o->adamw.beta1 = tsr_recipe_number(r, "train.beta1", 0.9);
    o->adamw.beta2 = tsr_recipe_number(r, "train.beta2", 0.95);
    o->adamw.eps = tsr_recipe_number(r, "train.eps", 1e-8);
    o->clip = tsr_recipe_number(r, "train.clip", 0);
    o->skip_above = tsr_recipe_number(r, "train.skip_above", 0);
    o->skip_bad = tsr_recipe_bool(r, "train.skip_bad", 0);
    o->explode = tsr_recipe_number(r, "train.explode", 4);
    o->average = tsr_recipe_number(r, "train.average", 0);
    json_object_foreach((json_t *)tsr_recipe_get(r, "train.weights"), name, v)
    {
        int m = tsr_mods_find(j->mods, name);
        if (m < 0 || !j->mods->items[m].output)
            return tsr_recipe_fail(r, "train.weights", "%s is not predicted", name);
        o->weights[m] = (float)json_number_value(v);
    }
    tsr_trainset_capacity(&j->set, &cap);
    o->in_rows = cap.in_rows;
    o->out_rows = cap.out_rows;
    memcpy(o->in_of, cap.in_of, sizeof o->in_of);
    memcpy(o->out_of, cap.out_of, sizeof o->out_of);
    return TSR_OK;
}
