/* SPDX-License-Identifier: Apache-2.0
 * Files of every kind that others wrote (Pillow, NumPy, FFmpeg, or bytes put together by
 * make_media.py), against what Pillow and ImageMagick see in them. */
#include "testing.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/str.h"
#include "codecs/codec.h"

#include <math.h>
#include <sys/wait.h>

static char *folder;

static tsr_media read_one(const char *name, const tsr_read_options *o)
{
    tsr_media m;
    char *path;
    assert_ok(tsr_format(&path, "%s/%s", folder, name));
    assert_ok(tsr_media_read(path, o, &m));
    tsr_free(path);
    return m;
}

static double value(const tsr_image *im, size_t i)
{
    if (im->pixel == TSR_PIXEL_U8)
        return ((uint8_t *)im->data)[i];
    if (im->pixel == TSR_PIXEL_U16)
        return ((uint16_t *)im->data)[i];
    return (double)((float *)im->data)[i];
}

/* NAME against NAME + suffix: same form, and no pixel further than `most`, on average `mean`. */
static void compare(const char *name, const char *suffix, const tsr_read_options *o, double most,
                    double mean)
{
    char *other;
    assert_ok(tsr_format(&other, "%s%s", name, suffix));
    tsr_media got = read_one(name, o), seen = read_one(other, NULL);
    const tsr_image *a = &got.as.image, *b = &seen.as.image;
    if (a->height != b->height || a->width != b->width || a->channels != b->channels ||
        a->pixel != b->pixel)
        fail_msg("%s: %zux%zux%zu of %d bytes, expected %zux%zux%zu of %d", name, a->height,
                 a->width, a->channels, (int)a->pixel, b->height, b->width, b->channels,
                 (int)b->pixel);
    double worst = 0, sum = 0;
    size_t n = a->height * a->width * a->channels;
    for (size_t i = 0; i < n; i++) {
        double d = fabs(value(a, i) - value(b, i));
        worst = d > worst ? d : worst;
        sum += d;
    }
    if (worst > most || sum > mean * (double)n)
        fail_msg("%s: differs from %s by %g at most, %g on average", name, other, worst,
                 sum / (double)n);
    tsr_media_clear(&got);
    tsr_media_clear(&seen);
    tsr_free(other);
}

static void lossless_pictures_are_exact(void **state)
{
    (void)state;
    static const char *const names[] = {
        "grey8.png",  "ga8.png",     "rgb8.png",          "rgba8.png",     "grey16.png",
        "ga16.png",   "rgb16.png",   "rgba16.png",        "grey1.png",     "grey2.png",
        "grey4.png",  "palette.png", "palette-alpha.png", "key.png",       "textbomb.png",
        "all-a5.png", "all-5a.png",  "pillow.png",        "lossless.webp", "alpha.webp",
        "first.gif",  "rgb.bmp",     "palette.bmp",       "grey.bmp",      "rgb.tif",
        "alpha.tif",  "lzw.tif",     "deflate.tif",       "grey16.tif",    "rgb.ppm",
        "grey.pgm",   "bits.pbm",    "grey16.pgm",        "ascii.ppm",     "depth.pfm",
        "big.pfm",    "colour.pfm"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        compare(names[i], ".npy", NULL, 0, 0);
}

static void options_of_pictures(void **state)
{
    (void)state;
    const tsr_read_options indices = {.palette_indices = 1};
    const tsr_read_options white = {.flatten = 1, .background = {255, 255, 255}};
    compare("index.png", ".npy", &indices, 0, 0);
    compare("index4.png", ".npy", &indices, 0, 0);
    compare("flat.png", ".npy", &white, 0, 0);
    for (int o = 1; o <= 8; o++) {
        char name[32];
        snprintf(name, sizeof name, "turned%d.png", o);
        compare(name, ".npy", NULL, 0, 0);
        snprintf(name, sizeof name, "turned%d.jpg", o);
        compare(name, ".npy", NULL, 3, 0.25);
    }
    const tsr_read_options as_stored = {.ignore_orientation = 1};
    tsr_media m = read_one("turned6.jpg", &as_stored);
    assert_int_equal(m.as.image.width, 40);
    assert_int_equal(m.as.image.height, 16);
    tsr_media_clear(&m);
}

/* The inverse DCT may round differently (largest seen 3, on average 0.24 for 3 x 5 pixels and 0.07
 * else); a wrong range, matrix or chroma filter shows as 5 and more. */
static void jpegs_agree_with_libjpeg(void **state)
{
    (void)state;
    static const char *const sizes[] = {"53x37", "16x16", "48x64", "3x5", "1x1", "4x8", "2x9"};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (int s = 0; s < 3; s++) {
            char name[32];
            snprintf(name, sizeof name, "s%d-%s.jpg", s, sizes[i]);
            compare(name, ".npy", NULL, 3, 0.25);
        }
    static const char *const more[] = {"progressive.jpg", "grey.jpg", "cmyk.jpg",
                                       "cmyk-plain.jpg",  "ycck.jpg", "trailing.jpg"};
    for (size_t i = 0; i < sizeof more / sizeof more[0]; i++)
        compare(more[i], ".npy", NULL, 3, 0.1);
    compare("lossy.webp", ".npy", NULL, 4, 0.3);
    compare("lossy-alpha.webp", ".npy", NULL, 4, 0.3);
}

static void imagemagick_agrees(void **state)
{
    (void)state;
    static const char *const exact[] = {"rgb8.png", "rgb16.png", "palette.png",
                                        "rgb.bmp",  "lzw.tif",   "lossless.webp"};
    static const char *const close[] = {"s0-53x37.jpg", "s2-53x37.jpg", "progressive.jpg",
                                        "grey.jpg"};
    char *path;
    assert_ok(tsr_format(&path, "%s/grey.jpg.magick.npy", folder));
    int there = tsr_file_exists(path);
    tsr_free(path);
    if (!there)
        skip();
    for (size_t i = 0; i < sizeof exact / sizeof exact[0]; i++)
        compare(exact[i], ".magick.npy", NULL, 0, 0);
    for (size_t i = 0; i < sizeof close / sizeof close[0]; i++)
        compare(close[i], ".magick.npy", NULL, 3, 0.25);
}

static void arrays_of_every_type(void **state)
{
    (void)state;
    static const char *const types[] = {"u1",    "le-u2", "be-u2", "le-i2", "le-i4", "be-i4",
                                        "le-u4", "le-i8", "le-f2", "be-f2", "le-f4", "be-f4",
                                        "le-f8", "be-f8"};
    tsr_media seen = read_one("expected-array.npy", NULL);
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        for (int f = 0; f < 2; f++) {
            char name[32];
            snprintf(name, sizeof name, "%s-%c.npy", types[i], f ? 'F' : 'C');
            tsr_media m = read_one(name, NULL);
            assert_int_equal(m.as.image.height, 6);
            assert_int_equal(m.as.image.width, 5);
            assert_int_equal(m.as.image.pixel, i == 0             ? TSR_PIXEL_U8
                                               : i == 1 || i == 2 ? TSR_PIXEL_U16
                                                                  : TSR_PIXEL_F32);
            for (size_t k = 0; k < 30; k++)
                assert_true(value(&m.as.image, k) == value(&seen.as.image, k));
            tsr_media_clear(&m);
        }
    tsr_media_clear(&seen);
    tsr_media a = read_one("hwc.npy", NULL), b = read_one("chw.npy", NULL),
              c = read_one("chw-f.npy", NULL), d = read_one("v2.npy", NULL);
    assert_int_equal(b.as.image.channels, 3);
    assert_memory_equal(a.as.image.data, b.as.image.data, 90);
    assert_memory_equal(a.as.image.data, c.as.image.data, 90);
    assert_int_equal(d.as.image.height, 6);
    tsr_media_clear(&a);
    tsr_media_clear(&b);
    tsr_media_clear(&c);
    tsr_media_clear(&d);
    const tsr_read_options flat = {.as_vector = 1};
    a = read_one("vector.npy", NULL);
    b = read_one("matrix-f.npy", &flat);
    assert_int_equal(a.kind, TSR_MEDIA_VECTOR);
    for (size_t i = 0; i < 7; i++)
        assert_true(a.as.vector.data[i] == (float)i / 4);
    for (size_t i = 0; i < 6; i++)
        assert_true(b.as.vector.data[i] == (float)i);
    tsr_media_clear(&a);
    tsr_media_clear(&b);
}

/* Every half-precision number there is, and shapes that stay with arrays. */
static void arrays_as_vectors(void **state)
{
    (void)state;
    const tsr_read_options flat = {.as_vector = 1};
    tsr_media half = read_one("half.npy", &flat), want = read_one("half-expected.npy", &flat);
    assert_int_equal(half.as.vector.count, 65536);
    for (size_t i = 0; i < 65536; i++) {
        float a = half.as.vector.data[i], b = want.as.vector.data[i];
        assert_true(isnan(b) ? isnan(a) : a == b && signbit(a) == signbit(b));
    }
    tsr_media cube = read_one("cube.npy", &flat), again;
    char *data;
    size_t bytes;
    assert_int_equal(cube.as.vector.dims, 3);
    assert_int_equal(cube.as.vector.shape[0] * 100 + cube.as.vector.shape[1] * 10 +
                         cube.as.vector.shape[2],
                     234);
    assert_ok(tsr_media_write_memory("cube.npy", &cube, NULL, &data, &bytes));
    assert_ok(tsr_media_read_memory("cube.npy", data, bytes, &flat, &again));
    assert_int_equal(again.as.vector.dims, 3);
    assert_memory_equal(again.as.vector.shape, cube.as.vector.shape, sizeof cube.as.vector.shape);
    assert_memory_equal(again.as.vector.data, cube.as.vector.data, 24 * sizeof(float));
    tsr_free(data);
    tsr_media_clear(&half);
    tsr_media_clear(&want);
    tsr_media_clear(&cube);
    tsr_media_clear(&again);
}

/* Amplitude of 440 Hz in the middle half of a sound, by one bin of a Fourier transform. */
static double amplitude(const tsr_sound *s, double tone)
{
    double re = 0, im = 0;
    size_t from = s->frames / 4, n = s->frames / 2;
    for (size_t i = from; i < from + n; i++) {
        double w = 1 - cos(2 * M_PI * (double)(i - from) / (double)n);
        re += w * (double)s->data[i] * cos(2 * M_PI * tone * (double)i / s->rate_hz);
        im += w * (double)s->data[i] * sin(2 * M_PI * tone * (double)i / s->rate_hz);
    }
    return 2 * sqrt(re * re + im * im) / (double)n;
}

static void sounds_of_every_kind(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        double rate, tolerance;
    } cases[] = {
        {"tone.wav", 22050, 1e-3},  {"tone24.wav", 22050, 1e-3}, {"tone32f.wav", 22050, 1e-3},
        {"tone.flac", 22050, 1e-3}, {"tone.aiff", 22050, 1e-3},  {"tone.ogg", 22050, 0.02},
        {"tone.mp3", 22050, 0.04},  {"tone.m4a", 22050, 0.02},   {"tone.opus", 48000, 0.03},
        {"tone.mkv", 32000, 0.02},  {"video.mp4", 22050, 0.02},  {"adpcm-odd.wav", 22050, 0.02}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        tsr_media m = read_one(cases[i].name, NULL);
        const tsr_sound *s = &m.as.sound;
        double a = amplitude(s, 440);
        if (s->rate_hz != cases[i].rate || s->channels != 1 || fabs(a - 0.5) > cases[i].tolerance)
            fail_msg("%s: %g Hz, %zu channels, 440 Hz at %g, expected 0.5", cases[i].name,
                     s->rate_hz, s->channels, a);
        double seconds = (double)s->frames / s->rate_hz;
        if (seconds < 0.499 || seconds > 0.58) /* codecs pad to whole blocks */
            fail_msg("%s: %g s, expected 0.5", cases[i].name, seconds);
        tsr_media_clear(&m);
        const tsr_read_options low = {.rate_hz = 16000, .mono = 1};
        m = read_one(cases[i].name, &low);
        assert_true(m.as.sound.rate_hz == 16000);
        assert_true(fabs(amplitude(&m.as.sound, 440) - 0.5) < cases[i].tolerance);
        tsr_media_clear(&m);
    }
}

/* ---- files of others, cut and changed ---- */

static char *load(const char *name, size_t *bytes)
{
    char *path, *data;
    assert_ok(tsr_format(&path, "%s/%s", folder, name));
    assert_ok(tsr_file_read(path, 1 << 24, &data, bytes));
    tsr_free(path);
    return data;
}

/* A copy of exactly n bytes, so that a sanitizer sees a read beyond it. */
static tsr_status read_exact(const char *name, const char *data, size_t n,
                             const tsr_read_options *o, tsr_media *m)
{
    char *copy = malloc(n ? n : 1);
    memcpy(copy, data, n);
    tsr_status st = tsr_media_read_memory(name, copy, n, o, m);
    free(copy);
    return st;
}

static const char *const others[] = {
    "palette-alpha.png", "rgba16.png",    "progressive.jpg",  "s2-53x37.jpg", "ycck.jpg",
    "turned6.jpg",       "lossless.webp", "lossy-alpha.webp", "first.gif",    "rgb.bmp",
    "palette.bmp",       "lzw.tif",       "rgb.tif",          "rgb.ppm",      "grey16.pgm",
    "bits.pbm",          "tone.wav",      "tone.aiff",        "tone.flac",    "tone.ogg",
    "tone.mp3",          "tone.m4a",      "tone.mkv",         "video.mp4"};

static void cut_files_are_refused(void **state)
{
    (void)state;
    /* These have no length to check against: an MP3 is a stream of frames; a GIF goes on behind its
     * first picture. */
    static const char endless[] = "tone.mp3 first.gif";
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        size_t bytes;
        char *data = load(others[i], &bytes);
        for (size_t tenth = 1; tenth < 10; tenth++) {
            tsr_media m = {0};
            if (read_exact(others[i], data, bytes * tenth / 10, NULL, &m) != TSR_OK)
                continue;
            if (!strstr(endless, others[i]))
                fail_msg("%s: %zu0 %% of it were read as a whole file", others[i], tenth);
            tsr_media_clear(&m);
        }
        tsr_free(data);
    }
}

static void pixels_that_end_early_are_noticed(void **state)
{
    (void)state;
    size_t bytes;
    tsr_media m;
    char *data = load("few-rows.png", &bytes);
    assert_fails(TSR_EFORMAT, tsr_media_read_memory("few-rows.png", data, bytes, NULL, &m));
    assert_non_null(strstr(tsr_error(), "before the last row"));
    tsr_free(data);
}

static void changed_files_do_no_harm(void **state)
{
    (void)state;
    size_t refused = 0, total = 0;
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        size_t bytes;
        char *data = load(others[i], &bytes);
        for (uint64_t k = 0; k < 16; k++, total++) {
            tsr_rng r;
            tsr_rng_init(&r, 11, TSR_RNG_TEST, i << 16 | k);
            for (uint32_t c = tsr_rng_below(&r, 4) + 1; c > 0; c--) {
                size_t span = tsr_rng_below(&r, 3) && bytes > 96 ? 96 : bytes;
                data[tsr_rng_below(&r, (uint32_t)span)] = (char)tsr_rng_u32(&r);
            }
            const tsr_read_options o = {.max_pixels = 1 << 20,
                                        .max_samples = 1 << 20,
                                        .flatten = k % 2 == 0,
                                        .palette_indices = k % 3 == 0};
            tsr_media m = {0};
            if (read_exact(others[i], data, bytes, &o, &m) == TSR_OK)
                tsr_media_clear(&m);
            else
                refused++;
            if (k % 4 == 3) { /* changes add up for four rounds, then begin anew */
                tsr_free(data);
                data = load(others[i], &bytes);
            }
        }
        tsr_free(data);
    }
    print_message("%zu of %zu changed files were refused\n", refused, total);
    assert_true(refused > total / 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lossless_pictures_are_exact),
        cmocka_unit_test(options_of_pictures),
        cmocka_unit_test(jpegs_agree_with_libjpeg),
        cmocka_unit_test(imagemagick_agrees),
        cmocka_unit_test(arrays_of_every_type),
        cmocka_unit_test(arrays_as_vectors),
        cmocka_unit_test(sounds_of_every_kind),
        cmocka_unit_test(cut_files_are_refused),
        cmocka_unit_test(changed_files_do_no_harm),
        cmocka_unit_test(pixels_that_end_early_are_noticed),
    };
    const char *python = getenv("PYTHON");
    char *command;
    if (tsr_format(&folder, "%s/test-media-files", build_folder()) != TSR_OK ||
        tsr_format(&command, "'%s' '%s/tests/unit/make_media.py' '%s'",
                   python && python[0] ? python : "python3", source_folder(), folder) != TSR_OK)
        return 99;
    int code = system(command);
    tsr_free(command);
    if (!WIFEXITED(code) || WEXITSTATUS(code) != 0) {
        fprintf(stderr, "make_media.py did not make the files (exit %d)%s\n", WEXITSTATUS(code),
                WEXITSTATUS(code) == 77 ? ": skipped" : "");
        return WIFEXITED(code) && (WEXITSTATUS(code) == 77 || WEXITSTATUS(code) == 127) ? 77 : 99;
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    tsr_free(folder);
    return failed;
}
