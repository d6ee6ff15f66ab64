/* SPDX-License-Identifier: Apache-2.0
 * Broken and malicious files: each gives its error, none a crash, a hang or half a picture. */
#include "testing.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/str.h"
#include "codecs/codec.h"

#include <sys/stat.h>
#include <unistd.h>

#define PNG_HEAD "\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
/* width 2^31 - 1, height 2^31 - 1 */
#define HUGE_SIDES "\x7f\xff\xff\xff\x7f\xff\xff\xff\10\2\0\0\0"
#define NPY_HEAD   "\x93NUMPY\1\0\x46\0"
#define SPACES     "                                        "

typedef struct hostile {
    const char *name, *data;
    size_t bytes;
    tsr_status expected;
    const char *says; /* part of the sentence */
} hostile;

#define BYTES(s) s, sizeof(s) - 1

static const hostile table[] = {
    {"empty.png", BYTES(""), TSR_EFORMAT, "is empty"},
    {"empty.wav", BYTES(""), TSR_EFORMAT, "is empty"},
    {"empty.txt", BYTES(""), TSR_EFORMAT, "is empty"},
    {"text.png", BYTES("just some words"), TSR_EFORMAT, "is not PNG"},
    {"sound.png", BYTES("RIFF\x24\0\0\0WAVEfmt "), TSR_EFORMAT, "named like PNG, but holds WAV"},
    {"picture.wav", BYTES("GIF89a\1\0\1\0\0\0\0;"), TSR_EFORMAT, "named like WAV, but holds GIF"},
    {"unknown.xyz", BYTES("no idea"), TSR_EUNSUPPORTED, "neither the extension"},
    {"head.png", BYTES("\x89PNG\r\n\x1a\n"), TSR_EFORMAT, "header"},
    {"zero.png", BYTES(PNG_HEAD "\0\0\0\0\0\0\0\0\10\2\0\0\0crc!"), TSR_EFORMAT, "empty"},
    {"wide.png", BYTES(PNG_HEAD "\0\0\x9c\x40\0\0\0\1\10\2\0\0\0crc!"), TSR_ELIMIT, "40000 x 1"},
    {"huge.png", BYTES(PNG_HEAD HUGE_SIDES "crc!"), TSR_ELIMIT, "a side may have"},
    {"bomb.png", BYTES(PNG_HEAD "\0\0\x7f\xff\0\0\x7f\xff\10\2\0\0\0crc!"), TSR_ELIMIT,
     "more than the limit"},
    {"no-data.png", BYTES(PNG_HEAD "\0\0\0\1\0\0\0\1\10\2\0\0\0crc!\0\0\0\0IEND\xae\x42\x60\x82"),
     TSR_EFORMAT, "no pixel data"},
    {"chunk.png", BYTES(PNG_HEAD "\0\0\0\1\0\0\0\1\10\2\0\0\0crc!\xff\xff\xff\xffIDAT1234"),
     TSR_EFORMAT, "truncated"},
    {"soi.jpg", BYTES("\xff\xd8\xff"), TSR_EFORMAT, "truncated"},
    {"zero.jpg", BYTES("\xff\xd8\xff\xc0\0\x0b\x08\0\0\0\0\1\1\x11\0\xff\xd9"), TSR_EFORMAT,
     "empty"},
    {"marker.jpg", BYTES("\xff\xd8\xff\xdb\0\3\0zzz\xff\xd9"), TSR_EFORMAT, "marker"},
    {"nothing.jpg", BYTES("\xff\xd8\xff\xd9"), TSR_EFORMAT, "no picture"},
    {"length.jpg", BYTES("\xff\xd8\xff\xe1\xff\xff Exif"), TSR_EFORMAT, "truncated"},
    {"head.gif", BYTES("GIF89a\1\0"), TSR_EFORMAT, "header"},
    {"blocks.gif", BYTES("GIF89a\2\0\2\0\0\0\0,\0\0\0\0\2\0\2\0\0\2\x10zz"), TSR_EFORMAT,
     "truncated"},
    {"riff.webp", BYTES("RIFF\xff\xff\0\0WEBPVP8 \4\0\0\0abcd"), TSR_EFORMAT, "truncated"},
    {"chunk.webp", BYTES("RIFF\x10\0\0\0WEBPVP8 \xff\0\0\0abcd"), TSR_EFORMAT, "promises"},
    {"head.bmp", BYTES("BM\x46\0\0\0"), TSR_EFORMAT, "BMP"},
    {"ifd.tif", BYTES("II*\0\xff\xff\xff\x7f........"), TSR_EFORMAT, "TIFF"},
    {"size.ppm", BYTES("P6\nx y\n255\n"), TSR_EFORMAT, "without a size"},
    {"short.ppm", BYTES("P6\n100 100\n255\nabc"), TSR_EFORMAT, "PPM"},
    {"huge.pgm", BYTES("P5\n30000 30000\n255\nabc"), TSR_ELIMIT, "more than the limit"},
    {"scale.pfm", BYTES("Pf\n1 1\n0\nabcd"), TSR_EFORMAT, "scale is 0"},
    {"short.pfm", BYTES("Pf\n2 2\n-1\nabcd"), TSR_EFORMAT, "truncated"},
    {"word.pfm", BYTES("Pf\n2 "), TSR_EFORMAT, "cut off"},
    {"wide.pfm", BYTES("Pf\n40000 1\n-1\nabcd"), TSR_ELIMIT, "40000 x 1"},
    {"half.pfm", BYTES("Pf\n1.5 1\n-1\nabcd"), TSR_EFORMAT, "1.5"},
    {"type.npy",
     BYTES(NPY_HEAD "{'descr': '<c8', 'fortran_order': False, 'shape': (1, 1), }        \n"
                    "abcdabcd"),
     TSR_EUNSUPPORTED, "of type"},
    {"objects.npy",
     BYTES(NPY_HEAD "{'descr': '|O', 'fortran_order': False, 'shape': (1, 1), }         \n"
                    "abcd"),
     TSR_EFORMAT, "pickle"},
    {"huge.npy",
     BYTES(NPY_HEAD "{'descr':'<f4','fortran_order':False,'shape':(99999999,99999999)} "
                    "    \nabcd"),
     TSR_EFORMAT, "truncated"},
    {"over.npy",
     BYTES(NPY_HEAD "{'descr':'<f8','fortran_order':False,'shape':(4294967296,"
                    "4294967296)} \n"),
     TSR_ELIMIT, "size"},
    {"shape.npy", BYTES(NPY_HEAD "{'descr':'<f4','fortran_order':False,'shape':(-1,2)}" SPACES),
     TSR_EFORMAT, "shape"},
    {"zero.npy", BYTES(NPY_HEAD "{'descr':'<f4','fortran_order':False,'shape':(0,2)}" SPACES),
     TSR_EFORMAT, "no numbers"},
    {"head.npy", BYTES("\x93NUMPY\1\0\xff\xff{'descr"), TSR_EFORMAT, "header"},
    {"header.wav", BYTES("RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\1\0"), TSR_EFORMAT, "truncated"},
    {"nodata.wav", BYTES("RIFF\x1c\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0\x80>\0\0\0}\0\0\2\0\x10\0"),
     TSR_EFORMAT, "no data chunk"},
    {"short.wav",
     BYTES("RIFF\x24\x10\0\0WAVEfmt \x10\0\0\0\1\0\1\0\x80>\0\0\0}\0\0\2\0\x10\0"
           "data\0\x10\0\0abcd"),
     TSR_EFORMAT, "promises 4096"},
    {"rate.wav",
     BYTES("RIFF\x28\0\0\0WAVEfmt \x10\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\2\0\x10\0"
           "data\4\0\0\0abcd"),
     TSR_EFORMAT, "rate.wav"},
    {"silent.flac", BYTES("fLaC\0\0\0\x22"), TSR_EFORMAT, "silent.flac"},
    {"noise.mp3", BYTES("this is no sound at all, whatever the name says"), TSR_EFORMAT,
     "noise.mp3"},
    {"playlist.m4a", BYTES("#EXTM3U\n#EXTINF:1,\n/etc/passwd\n#EXT-X-ENDLIST\n"), TSR_EFORMAT,
     "playlist.m4a"},
    {"concat.mkv", BYTES("ffconcat version 1.0\nfile /etc/passwd\n"), TSR_EFORMAT, "concat.mkv"},
    {"latin1.txt", BYTES("caf\xe9"), TSR_EFORMAT, "not UTF-8"},
    {"nul.txt", BYTES("a\0b"), TSR_EFORMAT, "NUL"},
    {"surrogate.txt", BYTES("\xed\xa0\x80"), TSR_EFORMAT, "not UTF-8"},
    {"open.json", BYTES("{\"a\": [1, 2"), TSR_EFORMAT, "open.json"},
    {"twice.json", BYTES("{\"a\": 1, \"a\": 2}"), TSR_EFORMAT, "twice.json"},
    {"quote.csv", BYTES("a,b\n1,\"never closed\n"), TSR_EFORMAT, "not closed"},
    {"columns.csv", BYTES("a,b\n1,2,3\n"), TSR_EFORMAT, "3 fields"},
    {"same.csv", BYTES("a,a\n1,2\n"), TSR_EFORMAT, "two columns"},
    {"none.csv", BYTES("a,b\n"), TSR_ENOENT, "there are 0"},
    {"broken.jsonl", BYTES("{\"a\": \n"), TSR_EFORMAT, "line 1"},
    {"not.json.gz", BYTES("{}"), TSR_EFORMAT, "not a gzip"},
    {"cut.json.gz", BYTES("\x1f\x8b\x08\0\0\0\0\0\0\3\xab"), TSR_EFORMAT, "gzip"},
};

static void each_gives_its_error(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        const hostile *h = &table[i];
        tsr_media m = {0};
        tsr_status st = tsr_media_read_memory(h->name, h->data, h->bytes, NULL, &m);
        if (st != h->expected || !strstr(tsr_error(), h->says))
            fail_msg("%s: %s \"%s\", expected %s with \"%s\"", h->name, tsr_status_name(st),
                     st ? tsr_error() : "", tsr_status_name(h->expected), h->says);
        assert_int_equal(m.kind, TSR_MEDIA_NONE);
        size_t stem = strcspn(h->name, ".");
        assert_memory_equal(tsr_error(), h->name, stem);
    }
}

static void paths_that_are_no_files(void **state)
{
    (void)state;
    char *dir, *fifo, *closed;
    tsr_media m;
    assert_ok(tsr_format(&dir, "%s/test-hostile-folder.png", build_folder()));
    assert_ok(tsr_format(&fifo, "%s/test-hostile-fifo.png", build_folder()));
    assert_ok(tsr_format(&closed, "%s/test-hostile-closed.png", build_folder()));
    assert_ok(tsr_make_folders(dir));
    assert_fails(TSR_EFORMAT, tsr_media_read(dir, NULL, &m));
    assert_non_null(strstr(tsr_error(), "folder"));
    unlink(fifo);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_fails(TSR_EFORMAT, tsr_media_read(fifo, NULL, &m));
    assert_non_null(strstr(tsr_error(), "not a regular file"));
    assert_ok(tsr_file_write(closed, "x", 1));
    assert_int_equal(chmod(closed, 0), 0);
    if (geteuid() != 0) { /* root reads everything */
        assert_fails(TSR_EIO, tsr_media_read(closed, NULL, &m));
        assert_non_null(strstr(tsr_error(), "ermission"));
    }
    assert_fails(TSR_ENOENT, tsr_media_read("/no/such/file.png", NULL, &m));
    unlink(fifo);
    unlink(closed);
    rmdir(dir);
    tsr_free(dir);
    tsr_free(fifo);
    tsr_free(closed);
}

/* ---- limits ---- */

static void limits_hold(void **state)
{
    (void)state;
    tsr_media m = {.kind = TSR_MEDIA_IMAGE}, back, s = {.kind = TSR_MEDIA_SOUND};
    char *png, *wav;
    size_t png_bytes, wav_bytes;
    assert_ok(tsr_image_init(&m.as.image, 20, 30, 1, TSR_PIXEL_U8));
    assert_ok(tsr_sound_init(&s.as.sound, 8000, 1, 1000));
    assert_ok(tsr_media_write_memory("a.png", &m, NULL, &png, &png_bytes));
    assert_ok(tsr_media_write_memory("a.wav", &s, NULL, &wav, &wav_bytes));
    tsr_read_options o = {.max_pixels = 599};
    assert_fails(TSR_ELIMIT, tsr_media_read_memory("a.png", png, png_bytes, &o, &back));
    o = (tsr_read_options){.max_side = 29};
    assert_fails(TSR_ELIMIT, tsr_media_read_memory("a.png", png, png_bytes, &o, &back));
    o = (tsr_read_options){.max_bytes = png_bytes - 1};
    assert_fails(TSR_ELIMIT, tsr_media_read_memory("a.png", png, png_bytes, &o, &back));
    o = (tsr_read_options){.max_samples = 999};
    assert_fails(TSR_ELIMIT, tsr_media_read_memory("a.wav", wav, wav_bytes, &o, &back));
    o = (tsr_read_options){.max_samples = 1000, .rate_hz = 16000};
    assert_fails(TSR_ELIMIT, tsr_media_read_memory("a.wav", wav, wav_bytes, &o, &back));
    o = (tsr_read_options){.rate_hz = -1};
    assert_fails(TSR_EARG, tsr_media_read_memory("a.wav", wav, wav_bytes, &o, &back));
    o = (tsr_read_options){.max_pixels = 600, .max_side = 30, .max_bytes = png_bytes};
    assert_ok(tsr_media_read_memory("a.png", png, png_bytes, &o, &back));
    tsr_media_clear(&back);
    tsr_free(png);
    tsr_free(wav);
    tsr_media_clear(&m);
    tsr_media_clear(&s);
}

/* ---- seeds, for cutting and mutating: what our writers make ---- */

typedef struct seed {
    const char *name;
    char *data;
    size_t bytes;
} seed;

static seed seeds[9];

static int make_seeds(void **state)
{
    (void)state;
    static const char *const names[9] = {"s.png", "s16.png", "s.jpg",  "s.pfm", "s.npy",
                                         "s.wav", "s.flac",  "s.json", "s.csv"};
    tsr_media rgb = {.kind = TSR_MEDIA_IMAGE}, words = rgb, floats = rgb;
    tsr_media sound = {.kind = TSR_MEDIA_SOUND};
    if (tsr_image_init(&rgb.as.image, 24, 31, 3, TSR_PIXEL_U8) ||
        tsr_image_init(&words.as.image, 24, 31, 1, TSR_PIXEL_U16) ||
        tsr_image_init(&floats.as.image, 9, 8, 1, TSR_PIXEL_F32) ||
        tsr_sound_init(&sound.as.sound, 16000, 2, 900))
        return -1;
    tsr_rng r;
    tsr_rng_init(&r, 5, TSR_RNG_TEST, 0);
    for (size_t i = 0; i < 24 * 31 * 3; i++)
        ((uint8_t *)rgb.as.image.data)[i] = (uint8_t)(i / 9 + tsr_rng_below(&r, 9));
    for (size_t i = 0; i < 24 * 31; i++)
        ((uint16_t *)words.as.image.data)[i] = (uint16_t)(i * 80);
    for (size_t i = 0; i < 1800; i++)
        sound.as.sound.data[i] = tsr_rng_range(&r, -0.5f, 0.5f);
    const tsr_media *of[9] = {&rgb, &words, &rgb, &floats, &words, &sound, &sound, NULL, NULL};
    static const char *const texts[9] = {[7] = "{\"a\": [1, 2.5, \"b\"], \"c\": {\"d\": null}}",
                                         [8] = "a,b,c\r\n1,\"two, \"\"2\"\"\",\r\nx,y,z\r\n"};
    for (size_t i = 0; i < 9; i++) {
        seeds[i].name = names[i];
        tsr_status st;
        if (of[i])
            st = tsr_media_write_memory(names[i], of[i], NULL, &seeds[i].data, &seeds[i].bytes);
        else {
            st = tsr_strdup(&seeds[i].data, texts[i]);
            seeds[i].bytes = strlen(texts[i]);
        }
        if (st != TSR_OK)
            return -1;
    }
    tsr_media_clear(&rgb);
    tsr_media_clear(&words);
    tsr_media_clear(&floats);
    tsr_media_clear(&sound);
    return 0;
}

static int drop_seeds(void **state)
{
    (void)state;
    for (size_t i = 0; i < 9; i++)
        tsr_free(seeds[i].data);
    return 0;
}

/* A copy of exactly n bytes, so that a sanitizer sees a read beyond it. */
static tsr_status read_exact(const char *name, const char *data, size_t n, tsr_media *m)
{
    char *copy = malloc(n ? n : 1);
    memcpy(copy, data, n);
    tsr_status st = tsr_media_read_memory(name, copy, n, NULL, m);
    free(copy);
    return st;
}

static void whatever_is_cut_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < 8; i++) { /* a CSV may end anywhere outside a quote */
        size_t step = seeds[i].bytes / 61 + 1;
        for (size_t n = 0; n < seeds[i].bytes; n += step) {
            tsr_media m = {0};
            if (read_exact(seeds[i].name, seeds[i].data, n, &m) == TSR_OK)
                fail_msg("%s: %zu of %zu bytes were read as a whole file", seeds[i].name, n,
                         seeds[i].bytes);
        }
        tsr_media m = {0};
        assert_ok(read_exact(seeds[i].name, seeds[i].data, seeds[i].bytes, &m));
        tsr_media_clear(&m);
    }
}

static void mutations_do_no_harm(void **state)
{
    (void)state;
    size_t refused = 0, total = 0;
    for (size_t i = 0; i < 9; i++) {
        char *copy = malloc(seeds[i].bytes);
        for (uint64_t k = 0; k < 60; k++) {
            tsr_rng r;
            tsr_rng_init(&r, 7, TSR_RNG_TEST, i << 16 | k);
            memcpy(copy, seeds[i].data, seeds[i].bytes);
            /* most changes in the header, where they do most */
            for (uint32_t c = tsr_rng_below(&r, 6) + 1; c > 0; c--) {
                size_t span = tsr_rng_below(&r, 3) && seeds[i].bytes > 64 ? 64 : seeds[i].bytes;
                copy[tsr_rng_below(&r, (uint32_t)span)] = (char)tsr_rng_u32(&r);
            }
            tsr_media m = {0};
            const tsr_read_options o = {.max_pixels = 1 << 20,
                                        .max_samples = 1 << 20,
                                        .rate_hz = k % 2 ? 8000 : 0,
                                        .mono = k % 3 == 0,
                                        .flatten = k % 4 == 0};
            total++;
            if (tsr_media_read_memory(seeds[i].name, copy, seeds[i].bytes, &o, &m) == TSR_OK)
                tsr_media_clear(&m);
            else
                refused++;
        }
        free(copy);
    }
    print_message("%zu of %zu mutated files were refused\n", refused, total);
    assert_true(refused > total / 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_gives_its_error), cmocka_unit_test(paths_that_are_no_files),
        cmocka_unit_test(limits_hold),          cmocka_unit_test(whatever_is_cut_is_refused),
        cmocka_unit_test(mutations_do_no_harm),
    };
    return cmocka_run_group_tests(tests, make_seeds, drop_seeds);
}
