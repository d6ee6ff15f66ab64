/* SPDX-License-Identifier: Apache-2.0
 * Writers and readers against each other, and against bytes written out by hand. */
#include "testing.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/par.h"
#include "base/str.h"
#include "codecs/codec.h"

#include <math.h>

static const tsr_read_options no_read = {0};

/* Pixels that differ everywhere, of any form. */
static tsr_media picture(size_t h, size_t w, size_t channels, tsr_pixel pixel)
{
    tsr_media m = {.kind = TSR_MEDIA_IMAGE};
    assert_ok(tsr_image_init(&m.as.image, h, w, channels, pixel));
    for (size_t i = 0; i < h * w * channels; i++) {
        if (pixel == TSR_PIXEL_U8)
            ((uint8_t *)m.as.image.data)[i] = (uint8_t)(i * 37 + i / 7);
        else if (pixel == TSR_PIXEL_U16)
            ((uint16_t *)m.as.image.data)[i] = (uint16_t)(i * 2657 + i / 7);
        else
            ((float *)m.as.image.data)[i] = (float)i * 0.37f - 5.0f;
    }
    return m;
}

static void round_trip(const char *name, const tsr_media *m, const tsr_read_options *o,
                       tsr_media *back)
{
    char *data;
    size_t bytes;
    assert_ok(tsr_media_write_memory(name, m, NULL, &data, &bytes));
    assert_ok(tsr_media_read_memory(name, data, bytes, o, back));
    tsr_free(data);
}

static void assert_same_image(const tsr_media *a, const tsr_media *b)
{
    assert_int_equal(a->kind, TSR_MEDIA_IMAGE);
    assert_int_equal(b->kind, TSR_MEDIA_IMAGE);
    const tsr_image *x = &a->as.image, *y = &b->as.image;
    assert_int_equal(x->height, y->height);
    assert_int_equal(x->width, y->width);
    assert_int_equal(x->channels, y->channels);
    assert_int_equal(x->pixel, y->pixel);
    assert_memory_equal(x->data, y->data, x->height * x->width * x->channels * (size_t)x->pixel);
}

static void exact_images_come_back(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        tsr_pixel pixel;
        size_t channels;
    } cases[] = {
        {"a.png", TSR_PIXEL_U8, 1},  {"a.png", TSR_PIXEL_U8, 2},  {"a.png", TSR_PIXEL_U8, 3},
        {"a.png", TSR_PIXEL_U8, 4},  {"a.PNG", TSR_PIXEL_U16, 1}, {"a.png", TSR_PIXEL_U16, 2},
        {"a.png", TSR_PIXEL_U16, 3}, {"a.png", TSR_PIXEL_U16, 4}, {"a.pfm", TSR_PIXEL_F32, 1},
        {"a.pfm", TSR_PIXEL_F32, 3}, {"a.npy", TSR_PIXEL_U8, 1},  {"a.npy", TSR_PIXEL_U8, 4},
        {"a.npy", TSR_PIXEL_U16, 1}, {"a.npy", TSR_PIXEL_F32, 1}, {"a.npy", TSR_PIXEL_F32, 3},
    };
    static const size_t sizes[][2] = {{1, 1}, {1, 9}, {9, 1}, {13, 21}, {128, 128}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (size_t k = 0; k < sizeof sizes / sizeof sizes[0]; k++) {
            tsr_media m = picture(sizes[k][0], sizes[k][1], cases[i].channels, cases[i].pixel),
                      back;
            round_trip(cases[i].name, &m, NULL, &back);
            assert_same_image(&m, &back);
            tsr_media_clear(&m);
            tsr_media_clear(&back);
        }
}

static void jpeg_is_close(void **state)
{
    (void)state;
    tsr_media m = picture(33, 47, 3, TSR_PIXEL_U8), back;
    for (size_t y = 0; y < 33; y++)
        for (size_t x = 0; x < 47; x++) {
            uint8_t *p = (uint8_t *)m.as.image.data + (y * 47 + x) * 3;
            p[0] = (uint8_t)(5 * x + 10);
            p[1] = (uint8_t)(7 * y);
            p[2] = (uint8_t)(2 * x + 3 * y);
        }
    char *data;
    size_t bytes, small;
    const tsr_write_options best = {.quality = 100}, poor = {.quality = 20};
    assert_ok(tsr_media_write_memory("a.jpg", &m, &best, &data, &bytes));
    assert_ok(tsr_media_read_memory("a.jpg", data, bytes, NULL, &back));
    tsr_free(data);
    double sum = 0;
    for (size_t i = 0; i < 33 * 47 * 3; i++) {
        double d = ((uint8_t *)m.as.image.data)[i] - ((uint8_t *)back.as.image.data)[i];
        sum += d * d;
    }
    /* Measured 50 dB; a wrong range or matrix gives less than 35. */
    assert_true(10 * log10(255.0 * 255.0 * 33 * 47 * 3 / sum) > 45);
    assert_ok(tsr_media_write_memory("a.jpg", &m, &poor, &data, &small));
    print_message("JPEG of %zu bytes at quality 100, %zu at 20\n", bytes, small);
    assert_true(small < bytes * 3 / 4);
    tsr_free(data);
    tsr_media_clear(&back);
    tsr_media_clear(&m);
}

static void depth_survives_millimetres(void **state)
{
    (void)state;
    const float metres[6] = {0.5f, 1.234f, NAN, 0.0f, 65.0f, 100.0f};
    tsr_media m = {.kind = TSR_MEDIA_IMAGE}, back;
    assert_ok(tsr_image_init(&m.as.image, 2, 3, 1, TSR_PIXEL_F32));
    memcpy(m.as.image.data, metres, sizeof metres);
    const tsr_write_options w = {.depth = {.scale_m = 0.001}};
    tsr_read_options r = {.depth = {.scale_m = 0.001}};
    char *data;
    size_t bytes;
    assert_ok(tsr_media_write_memory("d.png", &m, &w, &data, &bytes));
    assert_ok(tsr_media_read_memory("d.png", data, bytes, NULL, &back));
    static const uint16_t words[6] = {500, 1234, 0, 0, 65000, 65535};
    assert_int_equal(back.as.image.pixel, TSR_PIXEL_U16);
    assert_memory_equal(back.as.image.data, words, sizeof words);
    tsr_media_clear(&back);
    assert_ok(tsr_media_read_memory("d.png", data, bytes, &r, &back));
    const float *d = back.as.image.data;
    assert_int_equal(back.as.image.pixel, TSR_PIXEL_F32);
    assert_true(d[0] == 0.5f && d[1] == 1.234f && isnan(d[2]) && isnan(d[3]) && d[4] == 65.0f);
    tsr_media_clear(&back);
    r.depth.form = TSR_INVALID_ZERO;
    assert_ok(tsr_media_read_memory("d.png", data, bytes, &r, &back));
    assert_true(((float *)back.as.image.data)[2] == 0.0f);
    tsr_media_clear(&back);
    r.depth.all_valid = 1;
    r.depth.form = TSR_INVALID_NAN;
    assert_ok(tsr_media_read_memory("d.png", data, bytes, &r, &back));
    assert_true(((float *)back.as.image.data)[3] == 0.0f);
    tsr_media_clear(&back);
    tsr_free(data);
    /* NaN in a file is an error unless NaN is what marks invalid pixels */
    assert_ok(tsr_media_write_memory("d.pfm", &m, NULL, &data, &bytes));
    tsr_read_options f = {.depth = {.scale_m = 1}};
    assert_fails(TSR_ENUMERIC, tsr_media_read_memory("d.pfm", data, bytes, &f, &back));
    assert_non_null(strstr(tsr_error(), "row 0, column 2"));
    f.depth.invalid = NAN;
    assert_ok(tsr_media_read_memory("d.pfm", data, bytes, &f, &back));
    assert_true(isnan(((float *)back.as.image.data)[2]));
    assert_true(((float *)back.as.image.data)[3] == 0.0f);
    tsr_media_clear(&back);
    f.depth.scale_m = -1;
    assert_fails(TSR_EARG, tsr_media_read_memory("d.pfm", data, bytes, &f, &back));
    tsr_free(data);
    assert_fails(TSR_EARG, tsr_media_write_memory("d.png", &m, NULL, &data, &bytes));
    tsr_media_clear(&m);
}

static tsr_media chirp(size_t channels, size_t frames, double rate)
{
    tsr_media m = {.kind = TSR_MEDIA_SOUND};
    assert_ok(tsr_sound_init(&m.as.sound, rate, channels, frames));
    for (size_t i = 0; i < frames * channels; i++)
        m.as.sound.data[i] = (float)(0.7 * sin(0.01 * (double)i + 1e-6 * (double)(i * i)));
    return m;
}

static void sounds_come_back(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int is_float;
        double tolerance;
    } cases[] = {{"a.wav", 0, 0.5001 / 32768}, {"a.wav", 1, 0}, {"a.flac", 0, 0.5001 / 32768}};
    for (size_t i = 0; i < 3; i++)
        for (size_t channels = 1; channels <= 2; channels++) {
            tsr_media m = chirp(channels, 3001, 16000), back;
            const tsr_write_options w = {.wav_float = cases[i].is_float};
            char *data, *again;
            size_t bytes, bytes_again;
            assert_ok(tsr_media_write_memory(cases[i].name, &m, &w, &data, &bytes));
            assert_ok(tsr_media_write_memory(cases[i].name, &m, &w, &again, &bytes_again));
            assert_int_equal(bytes, bytes_again);
            assert_memory_equal(data, again, bytes);
            assert_ok(tsr_media_read_memory(cases[i].name, data, bytes, NULL, &back));
            assert_int_equal(back.as.sound.channels, channels);
            assert_int_equal(back.as.sound.frames, 3001);
            assert_true(back.as.sound.rate_hz == 16000);
            for (size_t k = 0; k < channels * 3001; k++)
                assert_true(fabs((double)(back.as.sound.data[k] - m.as.sound.data[k])) <=
                            cases[i].tolerance);
            tsr_free(data);
            tsr_free(again);
            tsr_media_clear(&back);
            tsr_media_clear(&m);
        }
}

static void loud_samples_are_clipped(void **state)
{
    (void)state;
    tsr_media m = {.kind = TSR_MEDIA_SOUND}, back;
    assert_ok(tsr_sound_init(&m.as.sound, 8000, 1, 4));
    const float loud[4] = {2.0f, -2.0f, 1.0f, -1.0f};
    memcpy(m.as.sound.data, loud, sizeof loud);
    round_trip("a.wav", &m, NULL, &back);
    const float *d = back.as.sound.data;
    assert_true(d[0] == 32767.0f / 32768 && d[1] == -1.0f && d[2] == d[0] && d[3] == -1.0f);
    tsr_media_clear(&back);
    tsr_media_clear(&m);
}

/* A sine through the converter, against the same sine computed at the new rate. */
static double resampled_snr_db(double from, double to, double tone)
{
    tsr_media m = {.kind = TSR_MEDIA_SOUND}, back;
    size_t frames = (size_t)from;
    assert_ok(tsr_sound_init(&m.as.sound, from, 2, frames));
    for (size_t i = 0; i < frames; i++) {
        double v = sin(2 * M_PI * tone * (double)i / from);
        m.as.sound.data[2 * i] = (float)(0.6 * v);
        m.as.sound.data[2 * i + 1] = (float)(0.2 * v);
    }
    const tsr_write_options w = {.wav_float = 1};
    const tsr_read_options r = {.rate_hz = to, .mono = 1};
    char *data;
    size_t bytes;
    assert_ok(tsr_media_write_memory("a.wav", &m, &w, &data, &bytes));
    assert_ok(tsr_media_read_memory("a.wav", data, bytes, &r, &back));
    tsr_free(data);
    assert_int_equal(back.as.sound.channels, 1);
    assert_int_equal(back.as.sound.frames, (size_t)to);
    assert_true(back.as.sound.rate_hz == to);
    double noise = 0, signal = 0;
    for (size_t i = 500; i + 500 < (size_t)to; i++) { /* without the edges */
        double v = 0.4 * sin(2 * M_PI * tone * (double)i / to);
        noise += pow(v - (double)back.as.sound.data[i], 2);
        signal += v * v;
    }
    tsr_media_clear(&back);
    tsr_media_clear(&m);
    return 10 * log10(signal / noise);
}

static void resampling_is_clean(void **state)
{
    (void)state;
    static const double cases[][3] = {
        {44100, 16000, 440}, {44100, 16000, 5000}, {48000, 16000, 1000},
        {8000, 16000, 440},  {22050, 16000, 3000}, {16000, 44100, 5000},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        double snr = resampled_snr_db(cases[i][0], cases[i][1], cases[i][2]);
        print_message("%g -> %g Hz at %g Hz: %.1f dB\n", cases[i][0], cases[i][1], cases[i][2],
                      snr);
        assert_true(snr > 80);
    }
    /* what the new rate cannot hold is gone: 12 kHz into 16 kHz leaves noise only */
    tsr_media m = {.kind = TSR_MEDIA_SOUND}, back;
    assert_ok(tsr_sound_init(&m.as.sound, 44100, 1, 44100));
    for (size_t i = 0; i < 44100; i++)
        m.as.sound.data[i] = (float)sin(2 * M_PI * 12000 * (double)i / 44100);
    const tsr_read_options r = {.rate_hz = 16000};
    round_trip("a.wav", &m, &r, &back);
    for (size_t i = 500; i < 15500; i++)
        assert_true(fabs((double)back.as.sound.data[i]) < 1e-3);
    tsr_media_clear(&back);
    tsr_media_clear(&m);
}

static void texts_and_records(void **state)
{
    (void)state;
    tsr_media m = {0}, back;
    assert_ok(tsr_text_init(&m, "un \xc3\xa9l\xc3\xa9phant\n", 14));
    round_trip("c.txt", &m, NULL, &back);
    assert_string_equal(back.as.text.s, m.as.text.s);
    tsr_media_clear(&back);
    char *data;
    size_t bytes;
    assert_fails(TSR_EUNSUPPORTED, tsr_media_write_memory("c.json", &m, NULL, &data, &bytes));
    assert_fails(TSR_EUNSUPPORTED, tsr_media_write_memory("c.gif", &m, NULL, &data, &bytes));
    assert_fails(TSR_EUNSUPPORTED, tsr_media_write_memory("c.wav", &m, NULL, &data, &bytes));
    assert_fails(TSR_EUNSUPPORTED, tsr_media_write_memory("c.png", &m, NULL, &data, &bytes));
    tsr_media_clear(&m);
    assert_ok(tsr_media_read_memory("c.txt", "\xef\xbb\xbfhi", 5, NULL, &back));
    assert_string_equal(back.as.text.s, "hi");
    tsr_media_clear(&back);
    assert_ok(tsr_media_read_memory("c.json", "{\"b\": [1, 2.5], \"a\": null}", 26, NULL, &m));
    assert_int_equal(m.kind, TSR_MEDIA_RECORD);
    round_trip("c.json", &m, NULL, &back);
    assert_true(json_equal(m.as.record, back.as.record));
    tsr_media_clear(&back);
    tsr_media_clear(&m);
}

static void files_are_written_in_one_step(void **state)
{
    (void)state;
    char *path;
    assert_ok(tsr_format(&path, "%s/test-media-write.png", build_folder()));
    tsr_media m = picture(5, 4, 3, TSR_PIXEL_U8), back;
    assert_ok(tsr_media_write(path, &m, NULL));
    assert_ok(tsr_media_read(path, &no_read, &back));
    assert_same_image(&m, &back);
    tsr_media_clear(&back);
    tsr_media_clear(&m);
    remove(path);
    tsr_free(path);
}

/* ---- by hand ---- */

static void npy_by_hand(void **state)
{
    (void)state;
    static const char head[] = "{'descr': '>i2', 'fortran_order': True, 'shape': (2, 3), }";
    char file[10 + 64 + 12] = "\x93NUMPY\1\0\100\0";
    memset(file + 10, ' ', 64);
    memcpy(file + 10, head, sizeof head - 1);
    static const uint8_t words[12] = {0, 1, 0xff, 0xff, 0, 2, 1, 0, 0, 3, 0x80, 0};
    memcpy(file + 74, words, 12);
    tsr_media m;
    assert_ok(tsr_media_read_memory("a.npy", file, sizeof file, NULL, &m));
    static const float expected[6] = {1, 2, 3, -1, 256, -32768};
    assert_int_equal(m.as.image.height, 2);
    assert_int_equal(m.as.image.width, 3);
    assert_memory_equal(m.as.image.data, expected, sizeof expected);
    tsr_media_clear(&m);
    const tsr_read_options flat = {.as_vector = 1};
    assert_ok(tsr_media_read_memory("a.npy", file, sizeof file, &flat, &m));
    assert_int_equal(m.kind, TSR_MEDIA_VECTOR);
    assert_int_equal(m.as.vector.count, 6);
    assert_memory_equal(m.as.vector.data, expected, sizeof expected);
    tsr_media_clear(&m);
    assert_fails(TSR_EFORMAT, tsr_media_read_memory("a.npy", file, sizeof file - 1, NULL, &m));
}

/* Whole numbers keep their shape and fit where they are put, or are refused. */
static void integers_there_and_back(void **state)
{
    (void)state;
    int64_t values[6] = {0, -1, 32767, -32768, 7, 100};
    tsr_media m = {.kind = TSR_MEDIA_INTEGERS,
                   .as.integers = {.data = values, .count = 6, .dims = 2, .shape = {3, 2}}};
    const tsr_read_options whole = {.as_integers = 1};
    char *data;
    size_t bytes;
    for (int size = 2; size <= 8; size *= 2) {
        const tsr_write_options o = {.integer_bytes = size};
        tsr_media back;
        assert_ok(tsr_media_write_memory("a.npy", &m, &o, &data, &bytes));
        assert_int_equal(bytes, 128 + 6 * (size_t)size);
        assert_ok(tsr_media_read_memory("a.npy", data, bytes, &whole, &back));
        tsr_free(data);
        assert_int_equal(back.kind, TSR_MEDIA_INTEGERS);
        assert_int_equal(back.as.integers.dims, 2);
        assert_int_equal(back.as.integers.shape[0], 3);
        assert_int_equal(back.as.integers.shape[1], 2);
        assert_memory_equal(back.as.integers.data, values, sizeof values);
        tsr_media_clear(&back);
    }
    const tsr_write_options small = {.integer_bytes = 2}, odd = {.integer_bytes = 3};
    values[5] = 32768;
    assert_fails(TSR_EARG, tsr_media_write_memory("a.npy", &m, &small, &data, &bytes));
    assert_fails(TSR_EARG, tsr_media_write_memory("a.npy", &m, &odd, &data, &bytes));
    assert_fails(TSR_EUNSUPPORTED, tsr_media_write_memory("a.txt", &m, NULL, &data, &bytes));
    /* A float is no whole number, whatever its value. */
    float one = 1;
    const tsr_media v = {.kind = TSR_MEDIA_VECTOR, .as.vector = {.data = &one, .count = 1}};
    tsr_media back;
    assert_ok(tsr_media_write_memory("a.npy", &v, NULL, &data, &bytes));
    assert_fails(TSR_EFORMAT, tsr_media_read_memory("a.npy", data, bytes, &whole, &back));
    tsr_free(data);
}

static void pfm_by_hand(void **state)
{
    (void)state;
    /* bottom row first, big-endian: 1 2 over 3 4 */
    static const char file[] = "Pf\n2 2\n1.0\n\x40\x40\0\0\x40\x80\0\0\x3f\x80\0\0\x40\0\0";
    static const float expected[4] = {1, 2, 3, 4};
    tsr_media m;
    assert_ok(tsr_media_read_memory("a.pfm", file, sizeof file, NULL, &m));
    assert_memory_equal(m.as.image.data, expected, sizeof expected);
    tsr_media_clear(&m);
}

/* ---- many threads ---- */

typedef struct shared {
    char *png, *jpg, *flac;
    size_t png_bytes, jpg_bytes, flac_bytes;
    tsr_media picture;
} shared;

static tsr_status one_reading(void *ctx, size_t i, int lane)
{
    (void)lane;
    const shared *s = ctx;
    tsr_media m;
    if (i % 3 == 0) {
        TSR_TRY(tsr_media_read_memory("a.png", s->png, s->png_bytes, NULL, &m));
        int same = memcmp(m.as.image.data, s->picture.as.image.data, 64 * 64 * 3) == 0;
        tsr_media_clear(&m);
        if (!same)
            TSR_FAIL(TSR_EMISMATCH, "pixels differ in reading %zu", i);
        return TSR_OK;
    }
    const tsr_read_options r = {.rate_hz = 8000};
    if (i % 3 == 1)
        TSR_TRY(tsr_media_read_memory("a.jpg", s->jpg, s->jpg_bytes, NULL, &m));
    else
        TSR_TRY(tsr_media_read_memory("a.flac", s->flac, s->flac_bytes, &r, &m));
    tsr_media_clear(&m);
    /* and one that fails: its sentence is this thread's own */
    if (tsr_media_read_memory("cut.png", s->png, s->png_bytes / 2, NULL, &m) != TSR_EFORMAT ||
        !strstr(tsr_error(), "cut.png"))
        TSR_FAIL(TSR_EMISMATCH, "a cut picture was read, or blamed on another: %s", tsr_error());
    return TSR_OK;
}

static void readings_do_not_meet(void **state)
{
    (void)state;
    shared s = {.picture = picture(64, 64, 3, TSR_PIXEL_U8)};
    tsr_media sound = chirp(1, 4000, 16000);
    assert_ok(tsr_media_write_memory("a.png", &s.picture, NULL, &s.png, &s.png_bytes));
    assert_ok(tsr_media_write_memory("a.jpg", &s.picture, NULL, &s.jpg, &s.jpg_bytes));
    assert_ok(tsr_media_write_memory("a.flac", &sound, NULL, &s.flac, &s.flac_bytes));
    tsr_par_set_threads(4);
    assert_ok(tsr_par_for(120, one_reading, &s));
    tsr_par_set_threads(0);
    tsr_free(s.png);
    tsr_free(s.jpg);
    tsr_free(s.flac);
    tsr_media_clear(&sound);
    tsr_media_clear(&s.picture);
}

/* The 1st allocation fails, then the 2nd, until the call succeeds. */
static void memory_may_run_out(void **state)
{
    (void)state;
    tsr_media m = picture(9, 9, 3, TSR_PIXEL_U8), back;
    tsr_media sound = chirp(2, 500, 16000);
    char *png = NULL, *wav = NULL, *fresh;
    size_t png_bytes = 0, wav_bytes = 0, bytes;
    assert_ok(tsr_media_write_memory("a.png", &m, NULL, &png, &png_bytes));
    assert_ok(tsr_media_write_memory("a.wav", &sound, NULL, &wav, &wav_bytes));
    const tsr_read_options r = {.rate_hz = 8000, .mono = 1, .flatten = 1};
    int done = 0;
    for (long n = 1; done < 4; n++) {
        assert_true(n < 100);
        done = 0;
        tsr_mem_fail_after(n);
        if (tsr_media_read_memory("a.png", png, png_bytes, &r, &back) == TSR_OK) {
            tsr_media_clear(&back);
            done++;
        }
        tsr_mem_fail_after(n);
        if (tsr_media_read_memory("a.wav", wav, wav_bytes, &r, &back) == TSR_OK) {
            tsr_media_clear(&back);
            done++;
        }
        tsr_mem_fail_after(n);
        if (tsr_media_write_memory("a.png", &m, NULL, &fresh, &bytes) == TSR_OK) {
            tsr_free(fresh);
            done++;
        }
        tsr_mem_fail_after(n);
        if (tsr_media_write_memory("a.npy", &m, NULL, &fresh, &bytes) == TSR_OK) {
            tsr_free(fresh);
            done++;
        }
        tsr_mem_fail_after(0);
    }
    tsr_free(png);
    tsr_free(wav);
    tsr_media_clear(&m);
    tsr_media_clear(&sound);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exact_images_come_back),
        cmocka_unit_test(jpeg_is_close),
        cmocka_unit_test(depth_survives_millimetres),
        cmocka_unit_test(sounds_come_back),
        cmocka_unit_test(loud_samples_are_clipped),
        cmocka_unit_test(resampling_is_clean),
        cmocka_unit_test(texts_and_records),
        cmocka_unit_test(files_are_written_in_one_step),
        cmocka_unit_test(npy_by_hand),
        cmocka_unit_test(integers_there_and_back),
        cmocka_unit_test(pfm_by_hand),
        cmocka_unit_test(readings_do_not_meet),
        cmocka_unit_test(memory_may_run_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
