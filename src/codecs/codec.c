/* SPDX-License-Identifier: Apache-2.0
 * The table of formats, and the choice among them. */
#include "codecs/codec.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "codecs/format.h"

#include <libavcodec/codec_id.h>

#include <math.h>
#include <string.h>
#include <strings.h>

/* ---- how files begin ---- */

static int begins(const uint8_t *h, size_t n, size_t at, const char *mark, size_t chars)
{
    return n >= at + chars && memcmp(h + at, mark, chars) == 0;
}
#define BEGINS(at, mark) begins(h, n, at, mark, sizeof(mark) - 1)

static int is_png(const uint8_t *h, size_t n)
{
    return BEGINS(0, "\x89PNG\r\n\x1a\n");
}

static int is_jpeg(const uint8_t *h, size_t n)
{
    return BEGINS(0, "\xff\xd8\xff");
}

static int is_webp(const uint8_t *h, size_t n)
{
    return BEGINS(0, "RIFF") && BEGINS(8, "WEBP");
}

static int is_gif(const uint8_t *h, size_t n)
{
    return BEGINS(0, "GIF87a") || BEGINS(0, "GIF89a");
}

static int is_bmp(const uint8_t *h, size_t n)
{
    return BEGINS(0, "BM");
}

static int is_tiff(const uint8_t *h, size_t n)
{
    return BEGINS(0, "II*\0") || BEGINS(0, "MM\0*");
}

static int is_pnm(const uint8_t *h, size_t n, char a, char b)
{
    return n > 2 && h[0] == 'P' && (h[1] == a || h[1] == b) && h[2] && strchr(" \t\r\n#", h[2]);
}

static int is_pbm(const uint8_t *h, size_t n)
{
    return is_pnm(h, n, '1', '4');
}

static int is_pgm(const uint8_t *h, size_t n)
{
    return is_pnm(h, n, '2', '5');
}

static int is_ppm(const uint8_t *h, size_t n)
{
    return is_pnm(h, n, '3', '6');
}

static int is_pam(const uint8_t *h, size_t n)
{
    return is_pnm(h, n, '7', '7');
}

static int is_pfm(const uint8_t *h, size_t n)
{
    return is_pnm(h, n, 'f', 'F');
}

static int is_npy(const uint8_t *h, size_t n)
{
    return BEGINS(0, "\x93NUMPY");
}

static int is_wav(const uint8_t *h, size_t n)
{
    return (BEGINS(0, "RIFF") || BEGINS(0, "RF64") || BEGINS(0, "RIFX")) && BEGINS(8, "WAVE");
}

static int is_flac(const uint8_t *h, size_t n)
{
    return BEGINS(0, "fLaC");
}

static int is_ogg(const uint8_t *h, size_t n)
{
    return BEGINS(0, "OggS");
}

static int is_mp3(const uint8_t *h, size_t n)
{
    return BEGINS(0, "ID3") || (n > 2 && h[0] == 0xff && (h[1] & 0xe6) == 0xe2);
}

static int is_aiff(const uint8_t *h, size_t n)
{
    return BEGINS(0, "FORM") && BEGINS(8, "AIF");
}

static int is_container(const uint8_t *h, size_t n)
{
    return BEGINS(4, "ftyp") || BEGINS(0, "\x1a\x45\xdf\xa3") || BEGINS(0, "FLV\1") ||
           (BEGINS(0, "RIFF") && BEGINS(8, "AVI ")) ||
           BEGINS(0, "\x30\x26\xb2\x75\x8e\x66\xcf\x11");
}

/* ---- texts ---- */

static tsr_status read_text(const tsr_codec *f, tsr_blob *s, const tsr_read_options *o,
                            tsr_media *out)
{
    (void)f;
    (void)o;
    size_t bom = s->bytes >= 3 && memcmp(s->data, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    return tsr_text_init(out, (const char *)s->data + bom, s->bytes - bom);
}

static tsr_status write_text(const char *name, const tsr_media *m, const tsr_write_options *o,
                             char **data, size_t *bytes)
{
    (void)o;
    if (m->kind != TSR_MEDIA_TEXT)
        TSR_FAIL(TSR_EUNSUPPORTED, "%s: a text file cannot hold %s", name, tsr_media_name(m->kind));
    TSR_TRY(tsr_strndup(data, m->as.text.s, m->as.text.bytes));
    *bytes = m->as.text.bytes;
    return TSR_OK;
}

static tsr_status read_json(const tsr_codec *f, tsr_blob *s, const tsr_read_options *o,
                            tsr_media *out)
{
    (void)f;
    (void)o;
    json_t *value;
    TSR_TRY(tsr_json_parse((const char *)s->data, s->bytes, s->name, &value));
    *out = (tsr_media){.kind = TSR_MEDIA_RECORD, .as.record = value};
    return TSR_OK;
}

static tsr_status write_json(const char *name, const tsr_media *m, const tsr_write_options *o,
                             char **data, size_t *bytes)
{
    if (m->kind != TSR_MEDIA_RECORD)
        TSR_FAIL(TSR_EUNSUPPORTED, "%s: a JSON file cannot hold %s", name, tsr_media_name(m->kind));
    char *text;
    TSR_TRY(tsr_json_text(m->as.record, o->indent, &text));
    tsr_status st = tsr_format(data, "%s\n", text);
    tsr_free(text);
    if (st == TSR_OK)
        *bytes = strlen(*data);
    return st;
}

/* ---- the table ---- */

static const tsr_codec formats[] = {
    {"PNG", "png", TSR_MEDIA_IMAGE, is_png, tsr_image_read_av, tsr_png_write, AV_CODEC_ID_PNG},
    {"JPEG", "jpg jpeg jpe", TSR_MEDIA_IMAGE, is_jpeg, tsr_image_read_av, tsr_jpeg_write,
     AV_CODEC_ID_MJPEG},
    {"WebP", "webp", TSR_MEDIA_IMAGE, is_webp, tsr_image_read_av, NULL, AV_CODEC_ID_WEBP},
    {"GIF", "gif", TSR_MEDIA_IMAGE, is_gif, tsr_image_read_av, NULL, AV_CODEC_ID_GIF},
    {"BMP", "bmp", TSR_MEDIA_IMAGE, is_bmp, tsr_image_read_av, NULL, AV_CODEC_ID_BMP},
    {"TIFF", "tif tiff", TSR_MEDIA_IMAGE, is_tiff, tsr_image_read_av, NULL, AV_CODEC_ID_TIFF},
    {"PPM", "ppm pnm", TSR_MEDIA_IMAGE, is_ppm, tsr_image_read_av, NULL, AV_CODEC_ID_PPM},
    {"PGM", "pgm", TSR_MEDIA_IMAGE, is_pgm, tsr_image_read_av, NULL, AV_CODEC_ID_PGM},
    {"PBM", "pbm", TSR_MEDIA_IMAGE, is_pbm, tsr_image_read_av, NULL, AV_CODEC_ID_PBM},
    {"PAM", "pam", TSR_MEDIA_IMAGE, is_pam, tsr_image_read_av, NULL, AV_CODEC_ID_PAM},
    {"PFM", "pfm", TSR_MEDIA_IMAGE, is_pfm, tsr_pfm_read, tsr_pfm_write, 0},
    {"NumPy array", "npy", TSR_MEDIA_IMAGE, is_npy, tsr_npy_read, tsr_npy_write, 0},
    {"WAV", "wav wave", TSR_MEDIA_SOUND, is_wav, tsr_sound_read, tsr_wav_write, 0},
    {"FLAC", "flac", TSR_MEDIA_SOUND, is_flac, tsr_sound_read, tsr_flac_write, 0},
    {"Ogg", "ogg oga opus", TSR_MEDIA_SOUND, is_ogg, tsr_sound_read, NULL, 0},
    {"MP3", "mp3", TSR_MEDIA_SOUND, is_mp3, tsr_sound_read, NULL, 0},
    {"AIFF", "aif aiff aifc", TSR_MEDIA_SOUND, is_aiff, tsr_sound_read, NULL, 0},
    {"a sound or video container",
     "m4a mp4 m4v mov mkv mka webm avi flv wma wmv asf aac ac3 amr au caf ts mpg mpeg 3gp ogv",
     TSR_MEDIA_SOUND, is_container, tsr_sound_read, NULL, 0},
    {"text", "txt text caption", TSR_MEDIA_TEXT, NULL, read_text, write_text, 0},
    {"JSON", "json", TSR_MEDIA_RECORD, NULL, read_json, write_json, 0},
    {"records", "jsonl ndjson csv tsv", TSR_MEDIA_RECORD, NULL, tsr_record_read, NULL, 0},
};

#define FORMATS (sizeof formats / sizeof formats[0])

static int lists(const char *words, const char *word, size_t chars)
{
    for (const char *w = words; chars && *w;) {
        size_t n = strcspn(w, " ");
        if (n == chars && strncasecmp(w, word, n) == 0)
            return 1;
        w += n + (w[n] == ' ');
    }
    return 0;
}

/* By extension, a final .gz not counted. */
static const tsr_codec *announced(const char *name)
{
    const char *ext = tsr_path_extension(name);
    size_t chars = strlen(ext);
    if (tsr_is_gz(name)) {
        const char *base = tsr_path_name(name), *end = ext - 1, *dot = end;
        while (dot > base && dot[-1] != '.')
            dot--;
        ext = dot;
        chars = dot > base ? (size_t)(end - dot) : 0;
    }
    for (size_t i = 0; i < FORMATS; i++)
        if (lists(formats[i].extensions, ext, chars))
            return &formats[i];
    return NULL;
}

static const tsr_codec *recognised(const uint8_t *head, size_t n)
{
    for (size_t i = 0; i < FORMATS; i++)
        if (formats[i].is && formats[i].is(head, n))
            return &formats[i];
    return NULL;
}

tsr_media_kind tsr_codec_kind(const char *name)
{
    const tsr_codec *f = announced(name);
    return f ? f->kind : TSR_MEDIA_NONE;
}

int tsr_codec_writes(const char *name)
{
    const tsr_codec *f = tsr_is_gz(name) ? NULL : announced(name);
    return f && f->write;
}

/* The format to read with: texts as announced, the rest by what the bytes say. */
static tsr_status choose(const tsr_blob *s, const tsr_codec **out)
{
    uint8_t head[TSR_HEAD_BYTES];
    size_t n;
    TSR_TRY(tsr_blob_read(s, 0, head, sizeof head, &n));
    if (n == 0)
        TSR_FAIL(TSR_EFORMAT, "%s: is empty", s->name);
    const tsr_codec *name = announced(s->name), *bytes = NULL;
    if (!name || name->is)
        bytes = recognised(head, n);
    if (!name && !bytes)
        TSR_FAIL(TSR_EUNSUPPORTED,
                 "%s: neither the extension nor the first bytes are of a known "
                 "format",
                 s->name);
    if (name && bytes && name->kind != bytes->kind)
        TSR_FAIL(TSR_EFORMAT, "%s: is named like %s, but holds %s", s->name, name->name,
                 bytes->name);
    /* Only sounds may begin with anything: several of their formats have no mark. */
    if (name && !bytes && name->is && name->kind != TSR_MEDIA_SOUND)
        TSR_FAIL(TSR_EFORMAT, "%s: is not %s: it begins with bytes %02x %02x %02x %02x", s->name,
                 name->name, head[0], n > 1 ? head[1] : 0, n > 2 ? head[2] : 0,
                 n > 3 ? head[3] : 0);
    *out = bytes ? bytes : name;
    return TSR_OK;
}

static tsr_status read_chosen(tsr_blob *s, const tsr_read_options *o, tsr_media *out)
{
    const tsr_codec *f;
    TSR_TRY(choose(s, &f));
    if (f->kind != TSR_MEDIA_SOUND)
        TSR_TRY(tsr_blob_load(s, o->max_bytes));
    return f->read(f, s, o, out);
}

/* Whatever failed, the sentence names the input. */
static tsr_status read_format(tsr_blob *s, const tsr_read_options *o, tsr_media *out)
{
    tsr_status st = read_chosen(s, o, out);
    if (st != TSR_OK && !tsr_starts_with(tsr_error(), s->name))
        return tsr_context(st, "%s", s->name);
    return st;
}

static tsr_status read_source(tsr_blob *s, const tsr_read_options *o, tsr_media *out)
{
    if (!tsr_is_gz(s->name))
        return read_format(s, o, out);
    tsr_blob inner;
    TSR_TRY(tsr_gunzip(s, o->max_bytes, &inner));
    tsr_status st = read_format(&inner, o, out);
    tsr_blob_close(&inner);
    return st;
}

static tsr_status with_defaults(const tsr_read_options *opt, tsr_read_options *o)
{
    *o = opt ? *opt : (tsr_read_options){0};
    if (!(o->rate_hz == 0 || (o->rate_hz >= 100 && o->rate_hz <= 1e6)))
        TSR_FAIL(TSR_EARG, "a sample rate of %g Hz, expected 100..1000000", o->rate_hz);
    if (o->rate_hz != floor(o->rate_hz))
        TSR_FAIL(TSR_EARG, "a sample rate of %g Hz, expected a whole number", o->rate_hz);
    o->max_pixels = o->max_pixels ? o->max_pixels : TSR_MAX_PIXELS;
    o->max_side = o->max_side ? o->max_side : TSR_MAX_SIDE;
    o->max_samples = o->max_samples ? o->max_samples : TSR_MAX_SAMPLES;
    o->max_bytes = o->max_bytes ? o->max_bytes : TSR_MAX_BYTES;
    return TSR_OK;
}

tsr_status tsr_media_read(const char *path, const tsr_read_options *opt, tsr_media *out)
{
    tsr_read_options o;
    TSR_TRY(with_defaults(opt, &o));
    tsr_blob s;
    TSR_TRY(tsr_blob_open(path, &s));
    tsr_status st = read_source(&s, &o, out);
    tsr_blob_close(&s);
    return st;
}

tsr_status tsr_media_read_memory(const char *name, const void *data, size_t bytes,
                                 const tsr_read_options *opt, tsr_media *out)
{
    tsr_read_options o;
    TSR_TRY(with_defaults(opt, &o));
    tsr_blob s = tsr_blob_memory(name, data, bytes);
    tsr_status st = read_source(&s, &o, out);
    tsr_blob_close(&s);
    return st;
}

tsr_status tsr_media_write_memory(const char *name, const tsr_media *m,
                                  const tsr_write_options *opt, char **data, size_t *bytes)
{
    const tsr_write_options o = opt ? *opt : (tsr_write_options){0};
    if (!tsr_codec_writes(name))
        TSR_FAIL(TSR_EUNSUPPORTED, "%s: no writer for this extension", name);
    if (o.quality < 0 || o.quality > 100 || o.compression < 0 || o.compression > 9 ||
        o.indent < 0 || o.indent > 16)
        TSR_FAIL(TSR_EARG, "%s: quality %d, compression %d or indent %d is out of range", name,
                 o.quality, o.compression, o.indent);
    return announced(name)->write(name, m, &o, data, bytes);
}

tsr_status tsr_media_write(const char *path, const tsr_media *m, const tsr_write_options *opt)
{
    char *data;
    size_t bytes;
    TSR_TRY(tsr_media_write_memory(path, m, opt, &data, &bytes));
    tsr_status st = tsr_file_write(path, data, bytes);
    tsr_free(data);
    return st;
}
