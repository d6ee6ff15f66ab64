/* SPDX-License-Identifier: Apache-2.0
 * Escaping, data: URIs and readable numbers. */
#include "tasks/report_html.h"

#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define REPLACEMENT "\xef\xbf\xbd"

static void add_bytes(tsr_html *h, const char *s, size_t n)
{
    if (h->status == TSR_OK && n)
        h->status = tsr_str_add_bytes(&h->text, s, n);
}

void tsr_html_raw(tsr_html *h, const char *markup)
{
    add_bytes(h, markup, strlen(markup));
}

void tsr_html_clear(tsr_html *h)
{
    tsr_str_clear(&h->text);
    h->status = TSR_OK;
}

/* What stands for a byte of valid text; NULL: itself. */
static const char *reference(unsigned char c)
{
    switch (c) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    case '\t':
    case '\n':
        return NULL;
    default:
        return c < 32 || c == 127 ? REPLACEMENT : NULL;
    }
}

static void add_escaped(tsr_html *h, const char *s)
{
    size_t left = strlen(s);
    while (left) {
        size_t valid = tsr_utf8_valid(s, left), from = 0;
        for (size_t i = 0; i < valid; i++) {
            const char *other = reference((unsigned char)s[i]);
            if (!other)
                continue;
            add_bytes(h, s + from, i - from);
            tsr_html_raw(h, other);
            from = i + 1;
        }
        add_bytes(h, s + from, valid - from);
        if (valid < left) {
            tsr_html_raw(h, REPLACEMENT);
            valid++;
        }
        s += valid;
        left -= valid;
    }
}

/* One conversion, spec[0..n) = "%...c", that is no string. */
static void add_number(tsr_html *h, const char *spec, size_t n, va_list *args)
{
    const char *dot = memchr(spec, '.', n);
    char text[400], length = n > 2 ? spec[n - 2] : 0;
    int precision = dot ? dot[1] - '0' : 6, got = -1;
    switch (spec[n - 1]) {
    case 'f':
        got = snprintf(text, sizeof text, "%.*f", precision, va_arg(*args, double));
        break;
    case 'g':
        got = snprintf(text, sizeof text, "%.*g", precision, va_arg(*args, double));
        break;
    case 'c':
        got = snprintf(text, sizeof text, "%c", va_arg(*args, int));
        break;
    case 'u':
        if (length == 'z')
            got = snprintf(text, sizeof text, "%zu", va_arg(*args, size_t));
        break;
    case 'd':
        if (length != 'l' && length != 'z')
            got = snprintf(text, sizeof text, "%d", va_arg(*args, int));
        break;
    default:
        break;
    }
    if (got > 0)
        add_bytes(h, text, (size_t)got < sizeof text ? (size_t)got : sizeof text - 1);
    else if (h->status == TSR_OK)
        h->status = tsr_fail_at(TSR_EARG, __FILE__, __LINE__, "conversion %.*s", (int)n, spec);
}

void tsr_html_f(tsr_html *h, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    while (*format) {
        size_t plain = strcspn(format, "%");
        add_bytes(h, format, plain);
        format += plain;
        if (!*format)
            break;
        size_t n = 1 + strcspn(format + 1, "%sducfg") + 1;
        char kind = format[n - 1];
        if (kind == '%') {
            tsr_html_raw(h, "%");
        } else if (kind == 's') {
            const char *s = va_arg(args, const char *);
            add_escaped(h, s ? s : "");
        } else {
            add_number(h, format, n, &args);
        }
        format += n;
    }
    va_end(args);
}

tsr_status tsr_base64(const void *data, size_t bytes, tsr_str *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *p = data;
    char line[1024];
    size_t have = 0;
    for (size_t i = 0; i < bytes; i += 3) {
        size_t n = bytes - i < 3 ? bytes - i : 3;
        uint32_t v = (uint32_t)p[i] << 16;
        v |= n > 1 ? (uint32_t)p[i + 1] << 8 : 0;
        v |= n > 2 ? p[i + 2] : 0;
        line[have++] = digits[v >> 18];
        line[have++] = digits[v >> 12 & 63];
        line[have++] = n > 1 ? digits[v >> 6 & 63] : '=';
        line[have++] = n > 2 ? digits[v & 63] : '=';
        if (have == sizeof line) {
            TSR_TRY(tsr_str_add_bytes(out, line, have));
            have = 0;
        }
    }
    return tsr_str_add_bytes(out, line, have);
}

void tsr_html_data(tsr_html *h, const char *type, const void *data, size_t bytes)
{
    tsr_html_f(h, "data:%s;base64,", type);
    if (h->status == TSR_OK)
        h->status = tsr_base64(data, bytes, &h->text);
}

/* Commas between the thousands of the whole part. */
static void group_thousands(char text[TSR_NUMBER_CHARS])
{
    char *start = text + (text[0] == '-');
    size_t whole = strspn(start, "0123456789");
    if (start[whole] == 'e')
        return;
    for (size_t at = whole; at > 3 && strlen(text) + 2 < TSR_NUMBER_CHARS; at -= 3) {
        char *p = start + at - 3;
        memmove(p + 1, p, strlen(p) + 1);
        *p = ',';
    }
}

const char *tsr_number_text(double v, int digits, char text[TSR_NUMBER_CHARS])
{
    double size = fabs(v);
    v = v == 0 ? 0 : v; /* no -0 */
    if (!isfinite(v)) {
        snprintf(text, TSR_NUMBER_CHARS, "–");
        return text;
    }
    int whole = size >= 1  ? (int)floor(log10(size)) + 1
                : size > 0 ? (int)floor(log10(size)) + 1
                           : 1;
    int after = digits > whole ? digits - whole : 0;
    if (size >= 1e15 || (size > 0 && size < 1e-4))
        snprintf(text, TSR_NUMBER_CHARS, "%.*e", digits > 1 ? digits - 2 : 0, v);
    else if (v == floor(v) && (digits >= 9 || size == 0 || size >= pow(10, digits)))
        snprintf(text, TSR_NUMBER_CHARS, "%.0f", v);
    else
        snprintf(text, TSR_NUMBER_CHARS, "%.*f", after, v);
    group_thousands(text);
    return text;
}

const char *tsr_seconds_text(double seconds, char text[TSR_NUMBER_CHARS])
{
    char number[TSR_NUMBER_CHARS];
    if (!isfinite(seconds) || seconds < 0 || seconds > 1e12)
        snprintf(text, TSR_NUMBER_CHARS, "–");
    else if (seconds < 9.95)
        snprintf(text, TSR_NUMBER_CHARS, "%s s", tsr_number_text(seconds, 2, number));
    else if (seconds < 120)
        snprintf(text, TSR_NUMBER_CHARS, "%.0f s", seconds);
    else if (seconds < 7200)
        snprintf(text, TSR_NUMBER_CHARS, "%.0f min %.0f s", floor(seconds / 60),
                 floor(fmod(seconds, 60)));
    else
        snprintf(text, TSR_NUMBER_CHARS, "%.0f h %.0f min", floor(seconds / 3600),
                 floor(fmod(seconds, 3600) / 60));
    return text;
}

const char *tsr_bytes_text(double bytes, char text[TSR_NUMBER_CHARS])
{
    static const char *const units[] = {"bytes", "kB", "MB", "GB", "TB"};
    char number[TSR_NUMBER_CHARS];
    int unit = 0;
    while (bytes >= 1000 && unit < 4) {
        bytes /= 1000;
        unit++;
    }
    snprintf(text, TSR_NUMBER_CHARS, "%s %s", tsr_number_text(bytes, 3, number), units[unit]);
    return text;
}
