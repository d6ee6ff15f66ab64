/* SPDX-License-Identifier: Apache-2.0
 * Sound: log-mel frames at absolute times, cut into windows, each a small picture for a VQ-VAE.
 *
 * Window k covers frames [k W, (k+1) W) of the file, whatever came before or after: the tokens of a
 * file do not depend on how it was cut into pieces. Within a window tokens run in time first, so
 * that the tokens of a file are in order of time and row t of the grid is one step of time. */
#include "tokenizers/grid.h"

#include "base/hash.h"
#include "base/mem.h"
#include "dsp/griffinlim.h"
#include "dsp/logmel.h"
#include "dsp/quality.h"
#include "dsp/soundrate.h"
#include "tokenizers/audio.h"
#include "tokenizers/trainable.h"

#include <math.h>
#include <string.h>

#define FULL_SCALE_POWER 0.25 /* of a sine at full scale, see logmel.h */
#define MAX_WINDOWS 100000    /* 16 hours at the default settings */

typedef struct audio {
    tsr_grid_net net;
    tsr_logmel_spec spec;
    size_t frames;   /* of a window */
    size_t windows;  /* of a sample; 0: as many as it takes */
    int rounds;      /* of Griffin-Lim */
    float low, high; /* log powers that become -1 and 1 */
} audio;

/* ---- settings ---------------------------------------------------------------------------------*/

static tsr_status configure(audio *a, const tsr_settings *s)
{
    static const char *const scales[] = {"htk", "slaney", NULL};
    long long rate, fft, window, hop, bands, frames, windows, rounds;
    double floor_db;
    int scale;
    TSR_TRY(tsr_setting_int(s, "rate_hz", 16000, 1000, 768000, &rate));
    TSR_TRY(tsr_setting_int(s, "fft", 1024, 16, 65536, &fft));
    TSR_TRY(tsr_setting_int(s, "window", 640, 16, fft, &window));
    TSR_TRY(tsr_setting_int(s, "hop", 160, 1, window, &hop));
    TSR_TRY(tsr_setting_int(s, "bands", 64, 1, 1024, &bands));
    TSR_TRY(tsr_setting_int(s, "window_frames", 64, 1, 4096, &frames));
    TSR_TRY(tsr_setting_int(s, "windows", 0, 0, MAX_WINDOWS, &windows));
    TSR_TRY(tsr_setting_int(s, "griffin_lim_rounds", 32, 0, 10000, &rounds));
    TSR_TRY(tsr_setting_word(s, "mel_scale", scales, 1, &scale));
    TSR_TRY(tsr_setting_number(s, "low_hz", 0, 0, (double)rate / 2, &a->spec.low_hz));
    TSR_TRY(tsr_setting_number(s, "high_hz", (double)rate / 2, 1, (double)rate / 2,
                               &a->spec.high_hz));
    TSR_TRY(tsr_setting_number(s, "floor_db", -80, -200, -10, &floor_db));
    TSR_TRY(tsr_grid_precision(s, &a->net.precision));
    a->spec.stft = (tsr_stft_spec){(size_t)window, (size_t)fft, (size_t)hop};
    a->spec.scale = scale ? TSR_MEL_SLANEY : TSR_MEL_HTK;
    a->spec.rate_hz = (double)rate;
    a->spec.bands = (size_t)bands;
    a->spec.floor = (float)(FULL_SCALE_POWER * pow(10.0, floor_db / 10));
    a->frames = (size_t)frames;
    a->windows = (size_t)windows;
    a->rounds = (int)rounds;
    a->low = logf(a->spec.floor);
    a->high = logf((float)FULL_SCALE_POWER);
    return TSR_OK;
}

static tsr_status start(tsr_tokenizer *t, audio **out)
{
    TSR_TRY(tsr_grid_start(t, sizeof **out));
    *out = t->state;
    return TSR_OK;
}

static tsr_status complete(tsr_tokenizer *t, audio *a, const char *origin)
{
    const tsr_vqvae_info *info = tsr_vqvae_info_of(a->net.model);
    if (info->is_vector || info->in_channels != 1 || info->heads != 1)
        TSR_FAIL(TSR_EMISMATCH, "%s: a network for sound has one plane and one codebook", origin);
    TSR_TRY(tsr_vqvae_plan_create(a->net.model, a->frames, a->spec.bands, a->net.precision,
                                  &a->net.plan));
    const tsr_vqvae_sizes *sizes = tsr_vqvae_plan_sizes(a->net.plan);
    int fixed = a->windows > 0;
    t->space.layout = fixed ? TSR_LAYOUT_GRID : TSR_LAYOUT_SEQUENCE;
    t->space.height = fixed ? (uint32_t)(a->windows * sizes->grid_height) : 1;
    t->space.width = fixed ? (uint32_t)sizes->grid_width : 1;
    t->space.levels = 1;
    t->space.codebook_size = (uint32_t)info->codes;
    return TSR_OK;
}

static tsr_status create(tsr_tokenizer *t, const json_t *config, const char *origin, uint64_t seed)
{
    audio *a;
    TSR_TRY(start(t, &a));
    tsr_settings s = {config, a->net.settings, origin};
    TSR_TRY(configure(a, &s));
    TSR_TRY(tsr_settings_check(&s, tsr_grid_recipe_keys));
    const tsr_train_shape shape = {1, a->frames, a->spec.bands, 0, 0};
    TSR_TRY(tsr_grid_model(config, origin, seed, &shape, &a->net.model));
    return complete(t, a, origin);
}

static tsr_status open_audio(tsr_tokenizer *t, const tsr_kind_file *file)
{
    audio *a;
    TSR_TRY(tsr_kind_name_space(t, file->settings, file->path, NULL));
    TSR_TRY(start(t, &a));
    tsr_settings s = {file->settings, a->net.settings, file->path};
    TSR_TRY(configure(a, &s));
    TSR_TRY(tsr_settings_check(&s, tsr_grid_recipe_keys)); /* of a later version, perhaps */
    TSR_TRY(tsr_vqvae_open(file->path, TSR_VQVAE_RUN, &a->net.model));
    TSR_TRY(complete(t, a, file->path));
    return file->quick ? TSR_OK : tsr_hash_file(file->path, &t->space.tokenizer);
}

static tsr_status describe(const tsr_tokenizer *t, json_t *into)
{
    const audio *a = t->state;
    const tsr_vqvae_sizes *sizes = tsr_vqvae_plan_sizes(a->net.plan);
    double seconds = (double)(a->frames * a->spec.stft.hop) / a->spec.rate_hz;
    double tokens = (double)(sizes->grid_height * sizes->grid_width);
    TSR_TRY(tsr_json_set(into, "media", json_string("sound")));
    TSR_TRY(tsr_json_set(into, "input", json_pack("[III]", (json_int_t)1, (json_int_t)a->frames,
                                                  (json_int_t)a->spec.bands)));
    TSR_TRY(tsr_json_set(into, "window_s", json_real(seconds)));
    TSR_TRY(tsr_json_set(into, "tokens_per_second", json_real(tokens / seconds)));
    TSR_TRY(tsr_json_set(into, "bits_per_second",
                         json_real(tokens / seconds * log2(t->space.codebook_size))));
    return tsr_grid_describe(
        t, "mono; log-mel power from floor_db to a full-scale sine in [-1, 1]", into);
}

/* ---- windows ----------------------------------------------------------------------------------*/

static void scale_frames(const audio *a, float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = 2.0f * (x[i] - a->low) / (a->high - a->low) - 1.0f;
}

static void unscale_frames(const audio *a, const float *x, size_t n, float *logmel)
{
    for (size_t i = 0; i < n; i++) {
        float v = x[i] < -1.0f ? -1.0f : x[i] > 1.5f ? 1.5f : x[i];
        logmel[i] = a->low + 0.5f * (v + 1.0f) * (a->high - a->low);
    }
}

static size_t window_values(const audio *a)
{
    return a->frames * a->spec.bands;
}

/* How many windows n samples take. */
static tsr_status count_windows(const tsr_tokenizer *t, size_t n, size_t *out)
{
    const audio *a = t->state;
    size_t frames = tsr_stft_frames(&a->spec.stft, n);
    size_t windows = (frames + a->frames - 1) / a->frames;
    double window_s = (double)(a->frames * a->spec.stft.hop) / a->spec.rate_hz;
    if (windows == 0)
        TSR_FAIL(TSR_EFORMAT, "the sound has no samples");
    if (a->windows && windows > a->windows)
        TSR_FAIL(TSR_ELIMIT, "the sound lasts %.3f s; modality %s holds %.3f s",
                 (double)n / a->spec.rate_hz, t->space.modality, (double)a->windows * window_s);
    if (windows > MAX_WINDOWS)
        TSR_FAIL(TSR_ELIMIT, "the sound lasts %.0f s; at most %.0f s are taken",
                 (double)n / a->spec.rate_hz, MAX_WINDOWS * window_s);
    *out = a->windows ? a->windows : windows;
    return TSR_OK;
}

static tsr_status finite_samples(const tsr_sound *s)
{
    for (size_t i = 0; i < s->frames * s->channels; i++)
        if (!isfinite(s->data[i]))
            TSR_FAIL(TSR_ENUMERIC, "the sound is not finite at %.3f s",
                     (double)(i / s->channels) / s->rate_hz);
    return TSR_OK;
}

/* Scaled frames of the whole sound, padded with silence to full windows: [windows, frames, bands]. */
static tsr_status all_windows(const tsr_tokenizer *t, const tsr_inputs *in, float **out,
                              size_t *windows)
{
    const audio *a = t->state;
    const tsr_media *m;
    tsr_sound mono = {0};
    tsr_logmel *front = NULL;
    float *x = NULL;
    tsr_status st = TSR_OK;
    size_t n, values;
    TSR_TRY(tsr_inputs_need(t, in, TSR_MEDIA_SOUND, &m));
    TSR_GO(finite_samples(&m->as.sound));
    TSR_GO(tsr_sound_convert(&m->as.sound, a->spec.rate_hz, &mono));
    TSR_GO(count_windows(t, mono.frames, &n));
    TSR_GO(tsr_mul_size(n, window_values(a), &values));
    TSR_GO(tsr_alloc(&x, values, sizeof *x));
    for (size_t i = 0; i < values; i++)
        x[i] = a->low;
    TSR_GO(tsr_logmel_create(&a->spec, &front));
    tsr_logmel_whole(front, mono.data, mono.frames, x);
    scale_frames(a, x, values);
    *out = x;
    *windows = n;
    x = NULL;
out:
    tsr_free(x);
    tsr_logmel_destroy(front);
    tsr_sound_clear(&mono);
    return st;
}

/* ---- work -------------------------------------------------------------------------------------*/

typedef struct audio_work {
    tsr_vqvae_work *net;
    int32_t *ids;
} audio_work;

static tsr_status work_create(const tsr_tokenizer *t, tsr_tokenizer_work *w)
{
    const audio *a = t->state;
    audio_work *k;
    TSR_TRY(tsr_alloc(&k, 1, sizeof *k));
    w->state = k;
    TSR_TRY(tsr_vqvae_work_create(a->net.plan, &k->net));
    return tsr_alloc(&k->ids, tsr_vqvae_plan_sizes(a->net.plan)->ids, sizeof *k->ids);
}

static void work_destroy(tsr_tokenizer_work *w)
{
    audio_work *k = w->state;
    if (!k)
        return;
    tsr_vqvae_work_destroy(k->net);
    tsr_free(k->ids);
    tsr_free(k);
}

static tsr_status encode_window(const audio *a, audio_work *k, const float *x, uint32_t *ids)
{
    size_t n = tsr_vqvae_plan_sizes(a->net.plan)->ids;
    const tsr_vqvae_input input = {.pixels = x};
    TSR_TRY(tsr_vqvae_encode(k->net, &input, NULL, k->ids));
    for (size_t i = 0; i < n; i++)
        ids[i] = (uint32_t)k->ids[i];
    return TSR_OK;
}

static tsr_status encode(const tsr_tokenizer *t, tsr_tokenizer_work *w, const tsr_inputs *in,
                         tsr_tokens *out)
{
    const audio *a = t->state;
    size_t per_window = tsr_vqvae_plan_sizes(a->net.plan)->ids, windows;
    float *x = NULL;
    tsr_status st = TSR_OK;
    TSR_TRY(all_windows(t, in, &x, &windows));
    TSR_GO(tsr_tokens_init(out, windows * per_window));
    for (size_t k = 0; k < windows; k++)
        TSR_GO(encode_window(a, w->state, x + k * window_values(a), out->ids + k * per_window));
out:
    tsr_free(x);
    return st;
}

/* Sound from scaled windows; the phases start from a stream keyed by what is to be heard. */
static tsr_status sound_of(const audio *a, const float *x, size_t windows, tsr_media *out)
{
    size_t frames = windows * a->frames, values = windows * window_values(a);
    float *logmel;
    TSR_TRY(tsr_alloc(&logmel, values, sizeof *logmel));
    unscale_frames(a, x, values, logmel);
    const tsr_griffinlim_spec phases = {.stft = a->spec.stft, .rounds = a->rounds, .momentum = 0.99,
                                        .seed = 0,
                                        .index = tsr_hash(x, values * sizeof *x).lo};
    tsr_status st = tsr_sound_init(&out->as.sound, a->spec.rate_hz, 1, frames * a->spec.stft.hop);
    if (st == TSR_OK) {
        out->kind = TSR_MEDIA_SOUND;
        st = tsr_logmel_invert(&a->spec, &phases, logmel, frames, out->as.sound.data,
                               out->as.sound.frames);
    }
    tsr_free(logmel);
    return st;
}

static tsr_status decode(const tsr_tokenizer *t, tsr_tokenizer_work *w, const tsr_tokens *tokens,
                         tsr_media *out)
{
    const audio *a = t->state;
    audio_work *k = w->state;
    size_t per_window = tsr_vqvae_plan_sizes(a->net.plan)->ids;
    size_t windows = tokens->count / per_window;
    float *x = NULL;
    size_t values;
    tsr_status st = TSR_OK;
    if (tokens->count == 0 || tokens->count % per_window || windows > MAX_WINDOWS)
        TSR_FAIL(TSR_EFORMAT, "%zu tokens of sound; whole windows have %zu each", tokens->count,
                 per_window);
    TSR_TRY(tsr_mul_size(windows, window_values(a), &values));
    TSR_TRY(tsr_alloc(&x, values, sizeof *x));
    for (size_t i = 0; i < windows; i++) {
        for (size_t j = 0; j < per_window; j++)
            k->ids[j] = (int32_t)tokens->ids[i * per_window + j];
        TSR_GO(tsr_vqvae_decode(k->net, k->ids, x + i * window_values(a)));
    }
    TSR_GO(sound_of(a, x, windows, out));
out:
    tsr_free(x);
    return st;
}

/* Mono at the tokenizer's rate, as long as its windows. */
static tsr_status target(const tsr_tokenizer *t, tsr_tokenizer_work *w, const tsr_inputs *in,
                         tsr_media *out)
{
    const audio *a = t->state;
    const tsr_media *m;
    tsr_sound mono = {0};
    tsr_status st = TSR_OK;
    size_t windows;
    (void)w;
    TSR_TRY(tsr_inputs_need(t, in, TSR_MEDIA_SOUND, &m));
    TSR_GO(finite_samples(&m->as.sound));
    TSR_GO(tsr_sound_convert(&m->as.sound, a->spec.rate_hz, &mono));
    TSR_GO(count_windows(t, mono.frames, &windows));
    TSR_GO(tsr_sound_init(&out->as.sound, a->spec.rate_hz, 1,
                          windows * a->frames * a->spec.stft.hop));
    out->kind = TSR_MEDIA_SOUND;
    memcpy(out->as.sound.data, mono.data, mono.frames * sizeof *mono.data);
out:
    tsr_sound_clear(&mono);
    return st;
}

static tsr_status frames_of(const audio *a, const tsr_sound *s, float **out)
{
    tsr_logmel *front;
    float *x;
    TSR_TRY(tsr_logmel_create(&a->spec, &front));
    tsr_status st =
        tsr_alloc(&x, tsr_stft_frames(&a->spec.stft, s->frames) * a->spec.bands, sizeof *x);
    if (st == TSR_OK) {
        tsr_logmel_whole(front, s->data, s->frames, x);
        *out = x;
    }
    tsr_logmel_destroy(front);
    return st;
}

static tsr_status quality(const tsr_tokenizer *t, const tsr_media *want, const tsr_media *got,
                          json_t *into)
{
    const audio *a = t->state;
    float *x = NULL, *y = NULL;
    double db;
    tsr_status st = TSR_OK;
    if (want->kind != TSR_MEDIA_SOUND || got->kind != TSR_MEDIA_SOUND ||
        want->as.sound.frames != got->as.sound.frames || want->as.sound.channels != 1 ||
        got->as.sound.channels != 1)
        TSR_FAIL(TSR_EARG, "modality %s compares mono sounds of one length", t->space.modality);
    TSR_GO(frames_of(a, &want->as.sound, &x));
    TSR_GO(frames_of(a, &got->as.sound, &y));
    size_t n = tsr_stft_frames(&a->spec.stft, want->as.sound.frames) * a->spec.bands;
    TSR_GO(tsr_mel_distance(x, y, n, &db));
    TSR_GO(tsr_json_set(into, "mel_db", json_real(db)));
out:
    tsr_free(x);
    tsr_free(y);
    return st;
}

/* ---- training ---------------------------------------------------------------------------------*/

static void train_shape(const tsr_tokenizer *t, tsr_train_shape *out)
{
    const audio *a = t->state;
    *out = (tsr_train_shape){1, a->frames, a->spec.bands, 0,
                             tsr_vqvae_info_of(a->net.model)->patch};
}

static tsr_vq_loss train_loss(const tsr_tokenizer *t)
{
    (void)t;
    return TSR_VQ_L1;
}

static tsr_status train_items(const tsr_tokenizer *t, const tsr_inputs *in, size_t *items)
{
    const audio *a = t->state;
    const tsr_media *m;
    size_t n;
    TSR_TRY(tsr_inputs_need(t, in, TSR_MEDIA_SOUND, &m));
    TSR_TRY(tsr_soundrate_frames(m->as.sound.frames, m->as.sound.rate_hz, a->spec.rate_hz, &n));
    return count_windows(t, n, items);
}

/* Samples that the frames of one window look at, to either side of its first and last centre. */
static size_t reach(const audio *a)
{
    return a->spec.stft.fft / 2;
}

/* One window's frames, the sound moved by `shift` samples. Only the stretch that the window sees is
 * looked at; it starts a whole number of hops early so that its frames are frames of the file. */
static tsr_status window_of(const audio *a, const tsr_sound *mono, size_t item, size_t shift,
                            float *x)
{
    size_t hop = a->spec.stft.hop, lead = (reach(a) + hop - 1) / hop;
    size_t length = (a->frames + 2 * lead) * hop;
    float *piece = NULL, *frames = NULL;
    tsr_logmel *front = NULL;
    tsr_status st = TSR_OK;
    TSR_GO(tsr_alloc(&piece, length, sizeof *piece));
    TSR_GO(tsr_alloc(&frames, tsr_stft_frames(&a->spec.stft, length) * a->spec.bands,
                     sizeof *frames));
    for (size_t i = 0; i < length; i++) {
        size_t at = item * a->frames * hop + i + shift;
        if (at >= lead * hop && at - lead * hop < mono->frames)
            piece[i] = mono->data[at - lead * hop];
    }
    TSR_GO(tsr_logmel_create(&a->spec, &front));
    tsr_logmel_whole(front, piece, length, frames);
    memcpy(x, frames + lead * a->spec.bands, window_values(a) * sizeof *x);
    scale_frames(a, x, window_values(a));
out:
    tsr_logmel_destroy(front);
    tsr_free(piece);
    tsr_free(frames);
    return st;
}

static tsr_status train_prepare(const tsr_tokenizer *t, const tsr_inputs *in, size_t item,
                                tsr_rng *augment, float *x, uint8_t *valid)
{
    const audio *a = t->state;
    const tsr_media *m;
    tsr_sound mono = {0};
    tsr_status st = TSR_OK;
    TSR_TRY(tsr_inputs_need(t, in, TSR_MEDIA_SOUND, &m));
    TSR_GO(finite_samples(&m->as.sound));
    TSR_GO(tsr_sound_convert(&m->as.sound, a->spec.rate_hz, &mono));
    size_t span = a->frames * a->spec.stft.hop;
    size_t shift = augment ? tsr_rng_below(augment, (uint32_t)span) : 0;
    TSR_GO(window_of(a, &mono, item, shift, x));
    memset(valid, 1, window_values(a));
out:
    tsr_sound_clear(&mono);
    return st;
}

static tsr_status train_finish(const tsr_tokenizer *t, const float *y, size_t items, tsr_media *out)
{
    return sound_of(t->state, y, items, out);
}

static const tsr_trainable train = {
    .create = create,
    .shape = train_shape,
    .model = tsr_grid_model_of,
    .loss = train_loss,
    .items = train_items,
    .prepare = train_prepare,
    .finish = train_finish,
};

const tsr_kind tsr_kind_audio = {
    .name = "audio",
    .summary = "sound: a VQ-VAE over windows of log-mel frames",
    .open = open_audio,
    .write = tsr_grid_write,
    .destroy = tsr_grid_destroy,
    .describe = describe,
    .work_create = work_create,
    .work_destroy = work_destroy,
    .encode = encode,
    .decode = decode,
    .target = target,
    .quality = quality,
    .train = &train,
};

/* ---- stream -----------------------------------------------------------------------------------*/

struct tsr_audio_stream {
    const tsr_tokenizer *tokenizer;
    tsr_tokenizer_work *work;
    tsr_logmel *front;
    float *x;       /* the window that is being filled */
    size_t filled;  /* frames */
};

tsr_status tsr_audio_stream_create(const tsr_tokenizer *t, tsr_audio_stream **out)
{
    tsr_audio_stream *s;
    if (t->kind != &tsr_kind_audio)
        TSR_FAIL(TSR_EARG, "modality %s is no sound", t->space.modality);
    const audio *a = t->state;
    TSR_TRY(tsr_alloc(&s, 1, sizeof *s));
    s->tokenizer = t;
    tsr_status st = TSR_OK;
    TSR_GO(tsr_tokenizer_work_create(t, &s->work));
    TSR_GO(tsr_logmel_create(&a->spec, &s->front));
    TSR_GO(tsr_alloc(&s->x, window_values(a), sizeof *s->x));
    *out = s;
    s = NULL;
out:
    tsr_audio_stream_destroy(s);
    return st;
}

void tsr_audio_stream_destroy(tsr_audio_stream *s)
{
    if (!s)
        return;
    tsr_tokenizer_work_destroy(s->work);
    tsr_logmel_destroy(s->front);
    tsr_free(s->x);
    tsr_free(s);
}

tsr_status tsr_audio_stream_push(tsr_audio_stream *s, const float *samples, size_t n)
{
    return tsr_logmel_push(s->front, samples, n);
}

tsr_status tsr_audio_stream_pull(tsr_audio_stream *s, int finish, uint32_t *ids, size_t *count)
{
    const audio *a = s->tokenizer->state;
    size_t bands = a->spec.bands;
    *count = 0;
    if (finish)
        tsr_logmel_finish(s->front);
    s->filled += tsr_logmel_pull(s->front, s->x + s->filled * bands, a->frames - s->filled);
    if (s->filled == 0 || (s->filled < a->frames && !finish))
        return TSR_OK;
    for (size_t i = s->filled * bands; i < window_values(a); i++)
        s->x[i] = a->low;
    scale_frames(a, s->x, window_values(a));
    s->filled = 0;
    TSR_TRY(encode_window(a, s->work->state, s->x, ids));
    *count = tsr_vqvae_plan_sizes(a->net.plan)->ids;
    return TSR_OK;
}

size_t tsr_audio_stream_window(const tsr_tokenizer *t)
{
    return tsr_vqvae_plan_sizes(((const audio *)t->state)->net.plan)->ids;
}
