/* SPDX-License-Identifier: Apache-2.0
 * Decoders: from the texts of tokens back to one text.
 *
 * Source   behaviour of Hugging Face tokenizers 0.23, src/decoders. */
#include "tokenizers/textstep.h"

#include "base/mem.h"
#include "tokenizers/textchar.h"

#include <string.h>

/* String i of a row. */
static const char *text_of(const tsr_texts *t, size_t i, size_t *bytes)
{
    size_t from = i ? t->ends[i - 1] : 0;
    *bytes = t->ends[i] - from;
    return *bytes ? t->all.s + from : "";
}

/* ---- WordPiece --------------------------------------------------------------------------------*/

/* The clean-up of the WordPiece decoder, in its order. */
static const struct {
    const char *from, *to;
} cleanups[] = {{" .", "."},   {" ?", "?"},     {" !", "!"},    {" ,", ","},
                {" ' ", "'"},  {" n't", "n't"}, {" 'm", "'m"},  {" do not", " don't"},
                {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};

/* s[0..*bytes) with every `from` replaced by the shorter `to`, in place. */
static void clean(char *s, size_t *bytes, const char *from, const char *to)
{
    size_t a = strlen(from), b = strlen(to), kept = 0;
    for (size_t i = 0; i < *bytes;) {
        if (*bytes - i >= a && memcmp(s + i, from, a) == 0) {
            memcpy(s + kept, to, b);
            kept += b;
            i += a;
        } else {
            s[kept++] = s[i++];
        }
    }
    *bytes = kept;
}

static tsr_status read_wordpiece(const json_t *part, const char *origin, tsr_textstep *s,
                                 json_t **canonical)
{
    const char *prefix;
    TSR_TRY(tsr_json_string(part, "prefix", origin, &prefix));
    TSR_TRY(tsr_strdup(&s->pattern, prefix));
    TSR_TRY(tsr_textstep_flag(part, "cleanup", 1, origin, &s->flags[0]));
    *canonical =
        json_pack("{s:s, s:s, s:b}", "type", "WordPiece", "prefix", prefix, "cleanup", s->flags[0]);
    return TSR_OK;
}

static tsr_status wordpiece(const tsr_textstep *s, const tsr_texts *in, tsr_texts *out)
{
    size_t prefix = strlen(s->pattern), bytes;
    for (size_t i = 0; i < in->count; i++) {
        const char *t = text_of(in, i, &bytes);
        size_t from = out->all.len;
        int glued = i > 0 && bytes >= prefix && memcmp(t, s->pattern, prefix) == 0;
        if (i > 0 && !glued)
            TSR_TRY(tsr_str_add(&out->all, " "));
        TSR_TRY(
            tsr_str_add_bytes(&out->all, t + (glued ? prefix : 0), bytes - (glued ? prefix : 0)));
        bytes = out->all.len - from;
        for (size_t k = 0; s->flags[0] && k < sizeof cleanups / sizeof cleanups[0]; k++)
            clean(out->all.s + from, &bytes, cleanups[k].from, cleanups[k].to);
        out->all.len = from + bytes;
        TSR_TRY(tsr_texts_end(out));
    }
    return TSR_OK;
}

/* ---- bytes ------------------------------------------------------------------------------------*/

#define REPLACEMENT "\xEF\xBF\xBD"

/* Length of what one U+FFFD stands for at s, where no valid character starts: the longest start of
 * a valid character, at least one byte (Unicode 16, section 3.9, U+FFFD substitution of maximal
 * subparts; Rust's from_utf8_lossy). */
static size_t broken(const unsigned char *s, size_t bytes)
{
    unsigned lo = 0x80, hi = 0xBF;
    size_t need = s[0] >= 0xC2 && s[0] <= 0xDF   ? 2
                  : s[0] >= 0xE0 && s[0] <= 0xEF ? 3
                  : s[0] >= 0xF0 && s[0] <= 0xF4 ? 4
                                                 : 1;
    lo = s[0] == 0xE0 ? 0xA0 : s[0] == 0xF0 ? 0x90 : lo;
    hi = s[0] == 0xED ? 0x9F : s[0] == 0xF4 ? 0x8F : hi;
    size_t n = 1;
    for (; n < need && n < bytes && s[n] >= lo && s[n] <= hi; n++) {
        lo = 0x80;
        hi = 0xBF;
    }
    return n;
}

static tsr_status add_lossy(tsr_str *out, const char *s, size_t bytes)
{
    while (bytes > 0) {
        size_t n = tsr_utf8_valid(s, bytes);
        TSR_TRY(tsr_str_add_bytes(out, s, n));
        if (n == bytes)
            return TSR_OK;
        s += n;
        bytes -= n;
        n = broken((const unsigned char *)s, bytes);
        TSR_TRY(tsr_str_add(out, REPLACEMENT));
        s += n;
        bytes -= n;
    }
    return TSR_OK;
}

/* Every token's bytes if all its characters stand for one, else its text as it is; all of them
 * together are one string. */
static tsr_status byte_level(const tsr_textstep *s, const tsr_texts *in, tsr_texts *out)
{
    tsr_str bytes = {0};
    tsr_status st = TSR_OK;
    size_t n, used;
    (void)s;
    for (size_t i = 0; i < in->count; i++) {
        const char *t = text_of(in, i, &n);
        size_t from = bytes.len, at = 0;
        for (; at < n; at += used) {
            int byte = tsr_text_byte_of(tsr_text_char(t + at, n - at, &used));
            if (byte < 0)
                break;
            const char one = (char)byte;
            TSR_GO(tsr_str_add_bytes(&bytes, &one, 1));
        }
        if (at < n) {
            bytes.len = from;
            TSR_GO(tsr_str_add_bytes(&bytes, t, n));
        }
    }
    TSR_GO(add_lossy(&out->all, bytes.s, bytes.len));
    TSR_GO(tsr_texts_end(out));
out:
    tsr_str_clear(&bytes);
    return st;
}

static int hex(int c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 32;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte of "<0x41>", or -1. Rust's number parser, which the library uses, takes "+5" too. */
static int fallback_byte(const char *t, size_t n)
{
    if (n != 6 || memcmp(t, "<0x", 3) != 0 || t[5] != '>')
        return -1;
    int hi = t[3] == '+' ? 0 : hex((unsigned char)t[3]), lo = hex((unsigned char)t[4]);
    return hi < 0 || lo < 0 ? -1 : hi * 16 + lo;
}

/* Ends a run of byte tokens: their text, or U+FFFD for each. */
static tsr_status flush_bytes(tsr_str *run, tsr_texts *out)
{
    if (run->len == 0)
        return TSR_OK;
    if (tsr_utf8_valid(run->s, run->len) == run->len)
        TSR_TRY(tsr_texts_add(out, run->s, run->len));
    else
        for (size_t i = 0; i < run->len; i++)
            TSR_TRY(tsr_texts_add(out, REPLACEMENT, 3));
    run->len = 0;
    return TSR_OK;
}

static tsr_status byte_fallback(const tsr_textstep *s, const tsr_texts *in, tsr_texts *out)
{
    tsr_str run = {0};
    tsr_status st = TSR_OK;
    size_t n;
    (void)s;
    for (size_t i = 0; i < in->count; i++) {
        const char *t = text_of(in, i, &n);
        int byte = fallback_byte(t, n);
        const char one = (char)byte;
        if (byte >= 0) {
            TSR_GO(tsr_str_add_bytes(&run, &one, 1));
            continue;
        }
        TSR_GO(flush_bytes(&run, out));
        TSR_GO(tsr_texts_add(out, t, n));
    }
    TSR_GO(flush_bytes(&run, out));
out:
    tsr_str_clear(&run);
    return st;
}

/* ---- the rest ---------------------------------------------------------------------------------*/

static tsr_status fuse(const tsr_textstep *s, const tsr_texts *in, tsr_texts *out)
{
    (void)s;
    return tsr_texts_add(out, in->all.s ? in->all.s : "", in->count ? in->ends[in->count - 1] : 0);
}

static tsr_status replace(const tsr_textstep *s, const tsr_texts *in, tsr_texts *out)
{
    size_t n;
    for (size_t i = 0; i < in->count; i++) {
        const char *t = text_of(in, i, &n);
        TSR_TRY(tsr_textstep_replace(s, s->content, t, n, &out->all));
        TSR_TRY(tsr_texts_end(out));
    }
    return TSR_OK;
}

static tsr_status read_strip(const json_t *part, const char *origin, tsr_textstep *s,
                             json_t **canonical)
{
    long long n[2];
    TSR_TRY(tsr_textstep_string(part, "content", origin, &s->content));
    TSR_TRY(tsr_json_int(part, "start", origin, &n[0]));
    TSR_TRY(tsr_json_int(part, "stop", origin, &n[1]));
    if (n[0] < 0 || n[1] < 0 || tsr_text_chars(s->content, strlen(s->content)) != 1)
        TSR_FAIL(TSR_EFORMAT, "%s: Strip needs one character and counts from 0", origin);
    s->limits[0] = (size_t)n[0];
    s->limits[1] = (size_t)n[1];
    *canonical = json_pack("{s:s, s:s, s:I, s:I}", "type", "Strip", "content", s->content, "start",
                           (json_int_t)n[0], "stop", (json_int_t)n[1]);
    return TSR_OK;
}

static tsr_status strip(const tsr_textstep *s, const tsr_texts *in, tsr_texts *out)
{
    size_t c = strlen(s->content), n;
    for (size_t i = 0; i < in->count; i++) {
        const char *t = text_of(in, i, &n);
        for (size_t k = 0; k < s->limits[0] && n >= c && memcmp(t, s->content, c) == 0; k++) {
            t += c;
            n -= c;
        }
        for (size_t k = 0; k < s->limits[1] && n >= c && memcmp(t + n - c, s->content, c) == 0; k++)
            n -= c;
        TSR_TRY(tsr_texts_add(out, t, n));
    }
    return TSR_OK;
}

static tsr_status metaspace(const tsr_textstep *s, const tsr_texts *in, tsr_texts *out)
{
    size_t n;
    for (size_t i = 0; i < in->count; i++) {
        const char *t = text_of(in, i, &n);
        int drop = i == 0 && (s->flags[0] || s->flags[1]);
        const tsr_textstep blanks = {.pattern = s->content};
        TSR_TRY(tsr_textstep_replace(&blanks, drop ? "" : " ", t, n, &out->all));
        TSR_TRY(tsr_texts_end(out));
    }
    return TSR_OK;
}

static tsr_status read_suffix(const json_t *part, const char *origin, tsr_textstep *s,
                              json_t **canonical)
{
    TSR_TRY(tsr_textstep_string(part, "suffix", origin, &s->pattern));
    *canonical = json_pack("{s:s, s:s}", "type", "BPEDecoder", "suffix", s->pattern);
    return TSR_OK;
}

static tsr_status suffix(const tsr_textstep *s, const tsr_texts *in, tsr_texts *out)
{
    size_t n;
    for (size_t i = 0; i < in->count; i++) {
        const char *t = text_of(in, i, &n);
        int last = i + 1 == in->count;
        TSR_TRY(tsr_textstep_replace(s, last ? "" : " ", t, n, &out->all));
        TSR_TRY(tsr_texts_end(out));
    }
    return TSR_OK;
}

static const tsr_textkind kinds[] = {
    {.type = "BPEDecoder", .read = read_suffix, .decode = suffix},
    {.type = "ByteFallback", .read = tsr_textstep_plain, .decode = byte_fallback},
    {.type = "ByteLevel", .read = tsr_textstep_read_bytes, .decode = byte_level},
    {.type = "Fuse", .read = tsr_textstep_plain, .decode = fuse},
    {.type = "Metaspace", .read = tsr_textstep_read_meta, .decode = metaspace},
    {.type = "Replace", .read = tsr_textstep_read_replace, .decode = replace},
    {.type = "Strip", .read = read_strip, .decode = strip},
    {.type = "WordPiece", .read = read_wordpiece, .decode = wordpiece},
};

const tsr_textpart tsr_textpart_decoder = {"decoder", "decoders", kinds,
                                           sizeof kinds / sizeof kinds[0]};
