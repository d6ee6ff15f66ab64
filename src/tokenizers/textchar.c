/* SPDX-License-Identifier: Apache-2.0
 * Characters on the Unicode 14 tables of utf8proc, with what is younger or was older elsewhere. */
#include "tokenizers/textchar.h"

#include "base/mem.h"

#include <utf8proc.h>

/* ---- tables -----------------------------------------------------------------------------------*/

typedef struct range {
    int32_t lo, hi;
} range;

static int within(const range *table, size_t n, int32_t c)
{
    for (size_t i = 0; i < n; i++)
        if (c >= table[i].lo && c <= table[i].hi)
            return 1;
    return 0;
}

#define WITHIN(table, c) within(table, sizeof(table) / sizeof(table)[0], c)

/* Assigned by Unicode 15 to 16 (DerivedGeneralCategory.txt), sorted. */
static const struct younger {
    int32_t lo, hi;
    int category;
} younger[] = {
    {0x897, 0x897, TSR_CAT_MN},     {0xCF3, 0xCF3, TSR_CAT_MC},     {0xECE, 0xECE, TSR_CAT_MN},
    {0x1B4E, 0x1B4F, TSR_CAT_PO},   {0x1B7F, 0x1B7F, TSR_CAT_PO},   {0x1C89, 0x1C89, TSR_CAT_LU},
    {0x1C8A, 0x1C8A, TSR_CAT_LL},   {0x2427, 0x2429, TSR_CAT_SO},   {0x2FFC, 0x2FFF, TSR_CAT_SO},
    {0x31E4, 0x31E5, TSR_CAT_SO},   {0x31EF, 0x31EF, TSR_CAT_SO},   {0xA7CB, 0xA7CC, TSR_CAT_LU},
    {0xA7CD, 0xA7CD, TSR_CAT_LL},   {0xA7DA, 0xA7DA, TSR_CAT_LU},   {0xA7DB, 0xA7DB, TSR_CAT_LL},
    {0xA7DC, 0xA7DC, TSR_CAT_LU},   {0x105C0, 0x105F3, TSR_CAT_LO}, {0x10D40, 0x10D49, TSR_CAT_ND},
    {0x10D4A, 0x10D4D, TSR_CAT_LO}, {0x10D4E, 0x10D4E, TSR_CAT_LM}, {0x10D4F, 0x10D4F, TSR_CAT_LO},
    {0x10D50, 0x10D65, TSR_CAT_LU}, {0x10D69, 0x10D6D, TSR_CAT_MN}, {0x10D6E, 0x10D6E, TSR_CAT_PD},
    {0x10D6F, 0x10D6F, TSR_CAT_LM}, {0x10D70, 0x10D85, TSR_CAT_LL}, {0x10D8E, 0x10D8F, TSR_CAT_SM},
    {0x10EC2, 0x10EC4, TSR_CAT_LO}, {0x10EFC, 0x10EFF, TSR_CAT_MN}, {0x1123F, 0x11240, TSR_CAT_LO},
    {0x11241, 0x11241, TSR_CAT_MN}, {0x11380, 0x11389, TSR_CAT_LO}, {0x1138B, 0x1138B, TSR_CAT_LO},
    {0x1138E, 0x1138E, TSR_CAT_LO}, {0x11390, 0x113B5, TSR_CAT_LO}, {0x113B7, 0x113B7, TSR_CAT_LO},
    {0x113B8, 0x113BA, TSR_CAT_MC}, {0x113BB, 0x113C0, TSR_CAT_MN}, {0x113C2, 0x113C2, TSR_CAT_MC},
    {0x113C5, 0x113C5, TSR_CAT_MC}, {0x113C7, 0x113CA, TSR_CAT_MC}, {0x113CC, 0x113CD, TSR_CAT_MC},
    {0x113CE, 0x113CE, TSR_CAT_MN}, {0x113CF, 0x113CF, TSR_CAT_MC}, {0x113D0, 0x113D0, TSR_CAT_MN},
    {0x113D1, 0x113D1, TSR_CAT_LO}, {0x113D2, 0x113D2, TSR_CAT_MN}, {0x113D3, 0x113D3, TSR_CAT_LO},
    {0x113D4, 0x113D5, TSR_CAT_PO}, {0x113D7, 0x113D8, TSR_CAT_PO}, {0x113E1, 0x113E2, TSR_CAT_MN},
    {0x116D0, 0x116E3, TSR_CAT_ND}, {0x11B00, 0x11B09, TSR_CAT_PO}, {0x11BC0, 0x11BE0, TSR_CAT_LO},
    {0x11BE1, 0x11BE1, TSR_CAT_PO}, {0x11BF0, 0x11BF9, TSR_CAT_ND}, {0x11F00, 0x11F01, TSR_CAT_MN},
    {0x11F02, 0x11F02, TSR_CAT_LO}, {0x11F03, 0x11F03, TSR_CAT_MC}, {0x11F04, 0x11F10, TSR_CAT_LO},
    {0x11F12, 0x11F33, TSR_CAT_LO}, {0x11F34, 0x11F35, TSR_CAT_MC}, {0x11F36, 0x11F3A, TSR_CAT_MN},
    {0x11F3E, 0x11F3F, TSR_CAT_MC}, {0x11F40, 0x11F40, TSR_CAT_MN}, {0x11F41, 0x11F41, TSR_CAT_MC},
    {0x11F42, 0x11F42, TSR_CAT_MN}, {0x11F43, 0x11F4F, TSR_CAT_PO}, {0x11F50, 0x11F59, TSR_CAT_ND},
    {0x11F5A, 0x11F5A, TSR_CAT_MN}, {0x1342F, 0x1342F, TSR_CAT_LO}, {0x13439, 0x1343F, TSR_CAT_CF},
    {0x13440, 0x13440, TSR_CAT_MN}, {0x13441, 0x13446, TSR_CAT_LO}, {0x13447, 0x13455, TSR_CAT_MN},
    {0x13460, 0x143FA, TSR_CAT_LO}, {0x16100, 0x1611D, TSR_CAT_LO}, {0x1611E, 0x16129, TSR_CAT_MN},
    {0x1612A, 0x1612C, TSR_CAT_MC}, {0x1612D, 0x1612F, TSR_CAT_MN}, {0x16130, 0x16139, TSR_CAT_ND},
    {0x16D40, 0x16D42, TSR_CAT_LM}, {0x16D43, 0x16D6A, TSR_CAT_LO}, {0x16D6B, 0x16D6C, TSR_CAT_LM},
    {0x16D6D, 0x16D6F, TSR_CAT_PO}, {0x16D70, 0x16D79, TSR_CAT_ND}, {0x18CFF, 0x18CFF, TSR_CAT_LO},
    {0x1B132, 0x1B132, TSR_CAT_LO}, {0x1B155, 0x1B155, TSR_CAT_LO}, {0x1CC00, 0x1CCEF, TSR_CAT_SO},
    {0x1CCF0, 0x1CCF9, TSR_CAT_ND}, {0x1CD00, 0x1CEB3, TSR_CAT_SO}, {0x1D2C0, 0x1D2D3, TSR_CAT_NO},
    {0x1DF25, 0x1DF2A, TSR_CAT_LL}, {0x1E030, 0x1E06D, TSR_CAT_LM}, {0x1E08F, 0x1E08F, TSR_CAT_MN},
    {0x1E4D0, 0x1E4EA, TSR_CAT_LO}, {0x1E4EB, 0x1E4EB, TSR_CAT_LM}, {0x1E4EC, 0x1E4EF, TSR_CAT_MN},
    {0x1E4F0, 0x1E4F9, TSR_CAT_ND}, {0x1E5D0, 0x1E5ED, TSR_CAT_LO}, {0x1E5EE, 0x1E5EF, TSR_CAT_MN},
    {0x1E5F0, 0x1E5F0, TSR_CAT_LO}, {0x1E5F1, 0x1E5FA, TSR_CAT_ND}, {0x1E5FF, 0x1E5FF, TSR_CAT_PO},
    {0x1F6DC, 0x1F6DC, TSR_CAT_SO}, {0x1F774, 0x1F776, TSR_CAT_SO}, {0x1F77B, 0x1F77F, TSR_CAT_SO},
    {0x1F7D9, 0x1F7D9, TSR_CAT_SO}, {0x1F8B2, 0x1F8BB, TSR_CAT_SO}, {0x1F8C0, 0x1F8C1, TSR_CAT_SO},
    {0x1FA75, 0x1FA77, TSR_CAT_SO}, {0x1FA87, 0x1FA89, TSR_CAT_SO}, {0x1FA8F, 0x1FA8F, TSR_CAT_SO},
    {0x1FAAD, 0x1FAAF, TSR_CAT_SO}, {0x1FABB, 0x1FABF, TSR_CAT_SO}, {0x1FAC6, 0x1FAC6, TSR_CAT_SO},
    {0x1FACE, 0x1FACF, TSR_CAT_SO}, {0x1FADA, 0x1FADC, TSR_CAT_SO}, {0x1FADF, 0x1FADF, TSR_CAT_SO},
    {0x1FAE8, 0x1FAE9, TSR_CAT_SO}, {0x1FAF7, 0x1FAF8, TSR_CAT_SO}, {0x1FBCB, 0x1FBEF, TSR_CAT_SO},
    {0x2B739, 0x2B739, TSR_CAT_LO}, {0x2EBF0, 0x2EE5D, TSR_CAT_LO}, {0x31350, 0x323AF, TSR_CAT_LO},
};

int tsr_char_category(int32_t c)
{
    int k = (int)utf8proc_category(c);
    if (k != TSR_CAT_CN)
        return k;
    size_t lo = 0, hi = sizeof younger / sizeof younger[0];
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (c > younger[mid].hi)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < sizeof younger / sizeof younger[0] && c >= younger[lo].lo ? younger[lo].category
                                                                          : TSR_CAT_CN;
}

/* ---- classes ----------------------------------------------------------------------------------*/

/* Property White_Space, as in PropList.txt of Unicode. */
int tsr_char_is_space(int32_t c)
{
    static const range spaces[] = {{0x2000, 0x200A}, {0x2028, 0x2029}, {0x202F, 0x202F},
                                   {0x205F, 0x205F}, {0x3000, 0x3000}, {0x1680, 0x1680},
                                   {0x85, 0x85},     {0xA0, 0xA0}};
    if (c < 0x80)
        return c == ' ' || (c >= 9 && c <= 13);
    return WITHIN(spaces, c);
}

/* Category as the BERT rules know it. The library that made the published
 * vocabulary classifies by Unicode 8 there; ranges that got marks, punctuation or formats later are
 * plain symbols to it (compared for every code point with utf8proc's Unicode 14). */
static utf8proc_category_t old_category(int32_t c)
{
    static const range later[] = {
        {0x61D, 0x61D},     {0x7FD, 0x7FD},     {0x890, 0x8E2},     {0x9FD, 0x9FE},
        {0xA76, 0xA76},     {0xAFA, 0xAFF},     {0xB55, 0xB55},     {0xC04, 0xC3C},
        {0xC77, 0xC77},     {0xC84, 0xC84},     {0xD00, 0xD00},     {0xD3B, 0xD3C},
        {0xD81, 0xD81},     {0xEBA, 0xEBA},     {0x180F, 0x1886},   {0x1ABF, 0x1ACE},
        {0x1B7D, 0x1B7E},   {0x1DF6, 0x1DFB},   {0x2E43, 0x2E5D},   {0xA82C, 0xA82C},
        {0xA8C5, 0xA8C5},   {0xA8FF, 0xA8FF},   {0xA9BD, 0xA9BD},   {0x10D24, 0x10F89},
        {0x11070, 0x11074}, {0x110C2, 0x110CD}, {0x111CF, 0x111CF}, {0x1123E, 0x1123E},
        {0x1133B, 0x1133B}, {0x11438, 0x1145E}, {0x11660, 0x1166C}, {0x116B9, 0x116B9},
        {0x1182F, 0x11FFF}, {0x12FF1, 0x13438}, {0x16E97, 0x16F4F}, {0x16FE2, 0x16FE4},
        {0x1CF00, 0x1CF46}, {0x1E000, 0x1E2EF}, {0x1E944, 0x1E95F}};
    if (c < 0x61D)
        return utf8proc_category(c);
    if (c == 0x166D || c == 0x111C9)
        return UTF8PROC_CATEGORY_PO;
    if (c == 0x1734)
        return UTF8PROC_CATEGORY_MN;
    return WITHIN(later, c) ? UTF8PROC_CATEGORY_CN : utf8proc_category(c);
}

int tsr_char_is_punctuation(int32_t c)
{
    if (c < 0x80)
        return (c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) ||
               (c >= 123 && c <= 126);
    utf8proc_category_t k = old_category(c);
    return k >= UTF8PROC_CATEGORY_PC && k <= UTF8PROC_CATEGORY_PO;
}

/* Letters that Unicode files under symbols: circled and squared ones. */
static int is_circled(int32_t c)
{
    static const range circled[] = {
        {0x24B6, 0x24E9}, {0x1F130, 0x1F149}, {0x1F150, 0x1F169}, {0x1F170, 0x1F189}};
    return c >= 0x24B6 && WITHIN(circled, c);
}

int tsr_char_is_word(int32_t c)
{
    int k = tsr_char_category(c);
    if ((k >= TSR_CAT_LU && k <= TSR_CAT_NL) || k == TSR_CAT_PC)
        return 1; /* Lu Ll Lt Lm Lo Mn Mc Me Nd Nl */
    return c == 0x200C || c == 0x200D || is_circled(c);
}

int tsr_char_is_onig_word(int32_t c, int in_set)
{
    if (in_set && c < 0x100 && tsr_char_category(c) == TSR_CAT_NO)
        return 0;
    if (c == 0xB2 || c == 0xB3 || c == 0xB9 || (c >= 0xBC && c <= 0xBE))
        return 1;
    return c != 0x200C && c != 0x200D && tsr_char_is_word(c);
}

int tsr_char_is_number(int32_t c)
{
    int k = tsr_char_category(c);
    return (k >= TSR_CAT_ND && k <= TSR_CAT_NO) || (c >= 0x11DE0 && c <= 0x11DE9) ||
           (c >= 0x16FF4 && c <= 0x16FF6);
}

int tsr_char_is_cjk(int32_t c)
{
    static const range blocks[] = {{0x4E00, 0x9FFF},   {0x3400, 0x4DBF},   {0x20000, 0x2A6DF},
                                   {0x2A700, 0x2B73F}, {0x2B740, 0x2B81F}, {0x2B920, 0x2CEAF},
                                   {0xF900, 0xFAFF},   {0x2F800, 0x2FA1F}};
    return WITHIN(blocks, c);
}

int tsr_char_is_dropped(int32_t c)
{
    if (c == '\t' || c == '\n' || c == '\r')
        return 0;
    utf8proc_category_t k = old_category(c);
    return c == 0 || c == 0xFFFD || k == UTF8PROC_CATEGORY_CC || k == UTF8PROC_CATEGORY_CF ||
           k == UTF8PROC_CATEGORY_CO || k == UTF8PROC_CATEGORY_CS;
}

int tsr_char_is_nonspacing(int32_t c)
{
    return c >= 0x300 && old_category(c) == UTF8PROC_CATEGORY_MN;
}

/* Marks younger than Unicode 9: to the normal forms they are plain characters. */
static int is_young_mark(int32_t c)
{
    static const range marks[] = {
        {0x7FD, 0x7FD},     {0x898, 0x89F},     {0x8CA, 0x8D3},     {0x9FE, 0x9FE},
        {0xAFA, 0xAFF},     {0xB55, 0xB55},     {0xC04, 0xC04},     {0xC3C, 0xC3C},
        {0xD00, 0xD00},     {0xD3B, 0xD3C},     {0xD81, 0xD81},     {0xEBA, 0xEBA},
        {0x1715, 0x1715},   {0x180F, 0x180F},   {0x1ABF, 0x1ACE},   {0x1CF7, 0x1CF7},
        {0x1DF6, 0x1DFA},   {0xA82C, 0xA82C},   {0xA8FF, 0xA8FF},   {0x10D24, 0x10D27},
        {0x10EAB, 0x10EAC}, {0x10F46, 0x10F50}, {0x10F82, 0x10F85}, {0x11070, 0x11070},
        {0x11073, 0x11074}, {0x110C2, 0x110C2}, {0x11145, 0x11146}, {0x111C9, 0x111C9},
        {0x111CE, 0x111CF}, {0x1133B, 0x1133B}, {0x1145E, 0x1145E}, {0x1182C, 0x1183A},
        {0x11930, 0x11935}, {0x11937, 0x11938}, {0x1193B, 0x1193E}, {0x11940, 0x11940},
        {0x11942, 0x11943}, {0x119D1, 0x119D7}, {0x119DA, 0x119E0}, {0x119E4, 0x119E4},
        {0x11A01, 0x11A0A}, {0x11A33, 0x11A39}, {0x11A3B, 0x11A3E}, {0x11A47, 0x11A47},
        {0x11A51, 0x11A5B}, {0x11A8A, 0x11A99}, {0x11D31, 0x11D36}, {0x11D3A, 0x11D3A},
        {0x11D3C, 0x11D3D}, {0x11D3F, 0x11D45}, {0x11D47, 0x11D47}, {0x11D8A, 0x11D8E},
        {0x11D90, 0x11D91}, {0x11D93, 0x11D97}, {0x11EF3, 0x11EF6}, {0x16F4F, 0x16F4F},
        {0x16F7F, 0x16F87}, {0x16FE4, 0x16FE4}, {0x16FF0, 0x16FF1}, {0x1CF00, 0x1CF2D},
        {0x1CF30, 0x1CF46}, {0x1E130, 0x1E136}, {0x1E2AE, 0x1E2AE}, {0x1E2EC, 0x1E2EF},
    };
    return c >= marks[0].lo && WITHIN(marks, c);
}

int tsr_char_is_mark(int32_t c)
{
    if (c < 0x300 || is_young_mark(c))
        return 0;
    utf8proc_category_t k = utf8proc_category(c);
    return (k >= UTF8PROC_CATEGORY_MN && k <= UTF8PROC_CATEGORY_ME) || c == 0x1CF2 || c == 0x1CF3;
}

/* ---- characters of a string -------------------------------------------------------------------*/

int32_t tsr_text_char(const char *text, size_t bytes, size_t *used)
{
    if ((unsigned char)text[0] < 0x80) {
        *used = 1;
        return text[0];
    }
    utf8proc_int32_t c;
    utf8proc_ssize_t n =
        utf8proc_iterate((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)bytes, &c);
    *used = n > 0 ? (size_t)n : 1;
    return n > 0 ? c : 0xFFFD;
}

int32_t tsr_text_char_before(const char *text, size_t end)
{
    size_t at = end - 1, used;
    while (at > 0 && ((unsigned char)text[at] & 0xC0) == 0x80)
        at--;
    return tsr_text_char(text + at, end - at, &used);
}

size_t tsr_text_chars(const char *text, size_t bytes)
{
    size_t n = 0;
    for (size_t i = 0; i < bytes; i++)
        n += ((unsigned char)text[i] & 0xC0) != 0x80;
    return n;
}

tsr_status tsr_text_put_char(tsr_str *out, int32_t c)
{
    utf8proc_uint8_t text[4];
    utf8proc_ssize_t n = utf8proc_encode_char(c, text);
    return tsr_str_add_bytes(out, text, (size_t)n);
}

/* Lower case of capitals younger than utf8proc's tables (UnicodeData.txt of Unicode 17). */
static int32_t young_lower(int32_t c)
{
    static const struct {
        int32_t lo, hi, lower;
    } letters[] = {{0x1C89, 0x1C89, 0x1C8A},    {0xA7CB, 0xA7CB, 0x264},
                   {0xA7CC, 0xA7CC, 0xA7CD},    {0xA7CE, 0xA7CE, 0xA7CF},
                   {0xA7D2, 0xA7D2, 0xA7D3},    {0xA7D4, 0xA7D4, 0xA7D5},
                   {0xA7DA, 0xA7DA, 0xA7DB},    {0xA7DC, 0xA7DC, 0x19B},
                   {0x10D50, 0x10D65, 0x10D70}, {0x16EA0, 0x16EB8, 0x16EBB}};
    for (size_t i = 0; i < sizeof letters / sizeof letters[0]; i++)
        if (c >= letters[i].lo && c <= letters[i].hi)
            return letters[i].lower + (c - letters[i].lo);
    return c;
}

tsr_status tsr_text_put_lower(tsr_str *out, int32_t c)
{
    if (c == 0x130) { /* the one letter whose lower case is two characters */
        TSR_TRY(tsr_text_put_char(out, 'i'));
        return tsr_text_put_char(out, 0x307);
    }
    int32_t lower = utf8proc_tolower(c);
    return tsr_text_put_char(out, lower == c && c >= 0x1C89 ? young_lower(c) : lower);
}

/* ---- normal forms -----------------------------------------------------------------------------*/

tsr_status tsr_chars_push(tsr_chars *b, int32_t c)
{
    TSR_TRY(tsr_room(&b->c, b->count, &b->cap, sizeof *b->c));
    b->c[b->count++] = c;
    return TSR_OK;
}

/* Characters that got their decomposition after Unicode 9. */
static int is_whole(int32_t c)
{
    static const range whole[] = {{0x32FF, 0x32FF},   {0xA7F2, 0xA7F4},   {0xAB69, 0xAB69},
                                  {0x10781, 0x107BA}, {0x11938, 0x11938}, {0x1F16C, 0x1F16C},
                                  {0x1FBF0, 0x1FBF9}};
    return WITHIN(whole, c);
}

/* The longest decomposition of Unicode has 18 characters (U+FDFA). */
tsr_status tsr_chars_push_decomposed(tsr_chars *b, int32_t c, int compatible)
{
    utf8proc_int32_t parts[32];
    int boundary = 0;
    int how = UTF8PROC_DECOMPOSE | (compatible ? UTF8PROC_COMPAT : 0);
    if (c < 0x80 || is_whole(c))
        return tsr_chars_push(b, c);
    utf8proc_ssize_t n = utf8proc_decompose_char(c, parts, 32, (utf8proc_option_t)how, &boundary);
    if (n < 1 || n > 32)
        return tsr_chars_push(b, c);
    for (utf8proc_ssize_t i = 0; i < n; i++)
        TSR_TRY(tsr_chars_push(b, parts[i]));
    return TSR_OK;
}

static int combining_class(int32_t c)
{
    if (c < 0x300)
        return 0;
    int class = utf8proc_get_property(c)->combining_class;
    return class > 0 && is_young_mark(c) ? 0 : class;
}

/* Sorts one run of marks c[0..n), n >= 2. Runs are short in any language; a hostile one is as long
 * as the text, so this counts instead of comparing neighbours. */
static void sort_marks(int32_t *c, size_t n, int32_t *scratch)
{
    size_t start[257] = {0};
    for (size_t i = 0; i < n; i++)
        start[combining_class(c[i]) + 1]++;
    for (size_t k = 1; k < 257; k++)
        start[k] += start[k - 1];
    for (size_t i = 0; i < n; i++)
        scratch[start[combining_class(c[i])]++] = c[i];
    for (size_t i = 0; i < n; i++)
        c[i] = scratch[i];
}

tsr_status tsr_chars_order(tsr_chars *b)
{
    int32_t *scratch = NULL;
    for (size_t i = 0; i < b->count;) {
        size_t end = i, sorted = 1;
        for (int last = 0, class; end < b->count; end++, last = class) {
            class = combining_class(b->c[end]);
            if (class == 0)
                break;
            sorted &= class >= last;
        }
        if (!sorted) {
            if (!scratch)
                TSR_TRY(tsr_alloc(&scratch, b->count, sizeof *scratch));
            sort_marks(b->c + i, end - i, scratch);
        }
        i = end + 1;
    }
    tsr_free(scratch);
    return TSR_OK;
}

void tsr_chars_compose(tsr_chars *b)
{
    size_t kept = 0;
    for (size_t i = 0; i < b->count;) {
        size_t end = i;
        while (end < b->count && !is_young_mark(b->c[end]))
            end++;
        if (end > i) {
            utf8proc_ssize_t n = utf8proc_normalize_utf32(b->c + i, (utf8proc_ssize_t)(end - i),
                                                          UTF8PROC_COMPOSE | UTF8PROC_STABLE);
            for (utf8proc_ssize_t k = 0; k < n; k++)
                b->c[kept++] = b->c[i + (size_t)k];
        }
        if (end < b->count)
            b->c[kept++] = b->c[end++];
        i = end;
    }
    b->count = kept;
}
