/* SPDX-License-Identifier: Apache-2.0
 * Regular expressions: a compiler to a few instructions, and a matcher with a stack of places to go
 * back to. */
#include "tokenizers/textregex.h"

#include "base/mem.h"
#include "tokenizers/textchar.h"

#include <string.h>

#define MAX_PATTERN 4096u  /* bytes */
#define MAX_CODE    16384u /* instructions */
#define MAX_DEPTH   16     /* groups in groups */
#define FOREVER     UINT32_MAX

enum {
    OP_SET,
    OP_FORK,
    OP_JUMP,
    OP_AHEAD,
    OP_NOT_AHEAD,
    OP_ATOM,
    OP_LINE_START,
    OP_LINE_END,
    OP_TEXT_START,
    OP_TEXT_END,
    OP_DONE
};

typedef struct instruction {
    uint8_t op;
    uint8_t possessive; /* OP_SET: gives nothing back */
    uint32_t set;       /* OP_SET */
    uint32_t least, most;
    uint32_t to; /* OP_JUMP: there. OP_FORK: the other way. OP_AHEAD..OP_ATOM: after the body */
    uint64_t first[2]; /* OP_FORK: ASCII characters the near way can begin with */
} instruction;

/* One member of a set. */
typedef struct member {
    enum { IS_RANGE, IS_CATEGORY, IS_SPACE, IS_WORD, IS_WORD_IN_SET } is;
    int negated;
    int32_t lo, hi;      /* IS_RANGE */
    uint32_t categories; /* IS_CATEGORY: bits */
} member;

typedef struct set {
    uint64_t ascii[2]; /* the answer below 128 */
    uint32_t from, to; /* members */
    int negated;
} set;

struct tsr_regex {
    instruction *code;
    size_t n_code, cap_code;
    set *sets;
    size_t n_sets, cap_sets;
    member *members;
    size_t n_members, cap_members;
};

/* ---- sets -------------------------------------------------------------------------------------*/

static int member_has(const member *m, int32_t c)
{
    int yes = 0;
    switch (m->is) {
    case IS_RANGE:
        yes = c >= m->lo && c <= m->hi;
        break;
    case IS_CATEGORY:
        yes = (int)(m->categories >> tsr_char_category(c) & 1);
        break;
    case IS_SPACE:
        yes = tsr_char_is_space(c);
        break;
    case IS_WORD:
        yes = tsr_char_is_onig_word(c, 0);
        break;
    case IS_WORD_IN_SET:
        yes = tsr_char_is_onig_word(c, 1);
        break;
    }
    return yes != m->negated;
}

static int set_has_slowly(const tsr_regex *re, const set *s, int32_t c)
{
    int yes = 0;
    for (uint32_t i = s->from; i < s->to && !yes; i++)
        yes = member_has(&re->members[i], c);
    return yes != s->negated;
}

static tsr_status add_member(tsr_regex *re, member m)
{
    TSR_TRY(tsr_room(&re->members, re->n_members, &re->cap_members, sizeof *re->members));
    re->members[re->n_members++] = m;
    return TSR_OK;
}

/* The set of the members added since `from`. */
static tsr_status add_set(tsr_regex *re, size_t from, int negated, uint32_t *out)
{
    TSR_TRY(tsr_room(&re->sets, re->n_sets, &re->cap_sets, sizeof *re->sets));
    set *s = &re->sets[re->n_sets];
    *s = (set){{0, 0}, (uint32_t)from, (uint32_t)re->n_members, negated};
    for (int32_t c = 0; c < 128; c++)
        if (set_has_slowly(re, s, c))
            s->ascii[c >> 6] |= 1ull << (c & 63);
    *out = (uint32_t)re->n_sets++;
    return TSR_OK;
}

/* ---- parsing ----------------------------------------------------------------------------------*/

typedef struct parser {
    tsr_regex *re;
    const char *origin, *pattern;
    size_t at, bytes;
    int ignore_case, depth, in_set;
} parser;

static tsr_status refuse(const parser *p, const char *what)
{
    TSR_FAIL(TSR_EUNSUPPORTED,
             "%s: regular expression \"%.80s\": %s at character %zu is not supported", p->origin,
             p->pattern, what, p->at);
}

static int peek(const parser *p)
{
    return p->at < p->bytes ? (unsigned char)p->pattern[p->at] : 0;
}

static int accept(parser *p, const char *word)
{
    size_t n = strlen(word);
    if (p->bytes - p->at < n || memcmp(p->pattern + p->at, word, n) != 0)
        return 0;
    p->at += n;
    return 1;
}

/* \p{..} after the "\p". */
static tsr_status parse_property(parser *p, int negated)
{
    static const char names[] = "CnLuLlLtLmLoMnMcMeNdNlNoPcPdPsPePiPfPoSmScSkSoZsZlZpCcCfCsCo";
    if (!accept(p, "{"))
        return refuse(p, "a property without braces");
    if (accept(p, "^"))
        negated = !negated;
    const char *s = p->pattern + p->at;
    size_t n = strcspn(s, "}");
    uint32_t bits = 0;
    for (int k = 0; k < TSR_CAT_COUNT && (n == 1 || n == 2); k++)
        if (memcmp(names + 2 * k, s, n) == 0)
            bits |= 1u << k;
    if (!bits)
        return refuse(p, "the property");
    p->at += n + 1;
    return add_member(p->re, (member){IS_CATEGORY, negated, 0, 0, bits});
}

/* Hexadecimal digits, at most `most`. */
static tsr_status parse_hex(parser *p, int most, int32_t *c)
{
    int braces = most == 2 && accept(p, "{"), n = 0;
    *c = 0;
    for (; n < (braces ? 6 : most); n++, p->at++) {
        int d = peek(p);
        if (d >= '0' && d <= '9')
            *c = *c * 16 + d - '0';
        else if ((d | 32) >= 'a' && (d | 32) <= 'f')
            *c = *c * 16 + (d | 32) - 'a' + 10;
        else
            break;
    }
    if (n == 0 || (braces && !accept(p, "}")) || *c > 0x10FFFF)
        return refuse(p, "the hexadecimal escape");
    return TSR_OK;
}

/* What follows a backslash: a class (*c = -1, a member was added) or a character. */
static tsr_status parse_escape(parser *p, int32_t *c)
{
    static const char plain[] = "nrtfvae", means[] = "\n\r\t\f\v\a\033";
    const uint32_t digits = 1u << TSR_CAT_ND;
    int e = peek(p);
    p->at++;
    *c = -1;
    switch (e) {
    case 's':
    case 'S':
        return add_member(p->re, (member){IS_SPACE, e == 'S', 0, 0, 0});
    case 'w':
    case 'W':
        return add_member(p->re, (member){p->in_set ? IS_WORD_IN_SET : IS_WORD, e == 'W', 0, 0, 0});
    case 'd':
    case 'D':
        return add_member(p->re, (member){IS_CATEGORY, e == 'D', 0, 0, digits});
    case 'p':
    case 'P':
        return parse_property(p, e == 'P');
    case 'x':
        return parse_hex(p, 2, c);
    case 'u':
        return parse_hex(p, 4, c);
    default:
        break;
    }
    const char *hit = e ? strchr(plain, e) : NULL;
    if (hit)
        *c = means[hit - plain];
    else if (e > 32 && e < 127 && !((e | 32) >= 'a' && (e | 32) <= 'z') && !(e >= '0' && e <= '9'))
        *c = e;
    else
        return refuse(p, "the escape");
    return TSR_OK;
}

/* Members for the characters lo..hi, and their other case where that is asked for. Beyond ASCII
 * only the two letters that fold to ASCII are known: long s and the Kelvin sign. */
static tsr_status add_range(parser *p, int32_t lo, int32_t hi)
{
    TSR_TRY(add_member(p->re, (member){IS_RANGE, 0, lo, hi, 0}));
    if (!p->ignore_case)
        return TSR_OK;
    if (hi >= 128)
        return refuse(p, "a character beyond ASCII without regard to case");
    for (int32_t c = lo; c <= hi; c++) {
        int32_t low = c | 32;
        if (low < 'a' || low > 'z')
            continue;
        TSR_TRY(add_member(p->re, (member){IS_RANGE, 0, c ^ 32, c ^ 32, 0}));
        if (low == 's' || low == 'k') {
            int32_t far = low == 's' ? 0x17F : 0x212A;
            TSR_TRY(add_member(p->re, (member){IS_RANGE, 0, far, far, 0}));
        }
    }
    return TSR_OK;
}

static int32_t take_char(parser *p)
{
    size_t used;
    int32_t c = tsr_text_char(p->pattern + p->at, p->bytes - p->at, &used);
    p->at += used;
    return c;
}

/* One character or class inside brackets; *c = -1 for a class. */
static tsr_status parse_set_char(parser *p, int32_t *c)
{
    if (p->at >= p->bytes)
        return refuse(p, "a set without end");
    if (peek(p) == '[' || (peek(p) == '&' && p->pattern[p->at + 1] == '&'))
        return refuse(p, "a set in a set");
    *c = take_char(p);
    if (*c != '\\')
        return TSR_OK;
    p->in_set = 1;
    tsr_status st = parse_escape(p, c);
    p->in_set = 0;
    return st;
}

/* A set, after its '['. */
static tsr_status parse_set(parser *p, uint32_t *out)
{
    size_t from = p->re->n_members;
    int negated = accept(p, "^");
    if (peek(p) == ']')
        return refuse(p, "an empty set");
    while (!accept(p, "]")) {
        int32_t lo, hi;
        TSR_TRY(parse_set_char(p, &lo));
        if (lo < 0)
            continue;
        hi = lo;
        if (peek(p) == '-' && p->pattern[p->at + 1] != ']') {
            p->at++;
            TSR_TRY(parse_set_char(p, &hi));
            if (hi < lo)
                return refuse(p, "the range");
        }
        TSR_TRY(add_range(p, lo, hi));
    }
    return add_set(p->re, from, negated, out);
}

/* ---- code -------------------------------------------------------------------------------------*/

static tsr_status emit(parser *p, instruction i)
{
    tsr_regex *re = p->re;
    if (re->n_code >= MAX_CODE)
        return refuse(p, "so long an expression");
    TSR_TRY(tsr_room(&re->code, re->n_code, &re->cap_code, sizeof *re->code));
    re->code[re->n_code++] = i;
    return TSR_OK;
}

/* Puts an instruction in front of those from `at` on, whose targets all lie behind it. */
static tsr_status insert(parser *p, size_t at, instruction i)
{
    tsr_regex *re = p->re;
    TSR_TRY(emit(p, i));
    memmove(re->code + at + 1, re->code + at, (re->n_code - 1 - at) * sizeof *re->code);
    re->code[at] = i;
    for (size_t k = at + 1; k < re->n_code; k++)
        if (re->code[k].op >= OP_FORK && re->code[k].op <= OP_ATOM)
            re->code[k].to++;
    return TSR_OK;
}

typedef struct repeat {
    uint32_t least, most;
    int possessive;
} repeat;

/* {n}, {n,}, {,m}, {n,m}; leaves p->at alone when it is not one of them. */
static void parse_interval(parser *p, repeat *r)
{
    size_t start = p->at;
    uint32_t n[2] = {0, 0};
    int digits[2] = {0, 0}, comma = 0;
    p->at++;
    for (int k = 0; k < 2; k++) {
        for (; peek(p) >= '0' && peek(p) <= '9' && digits[k] < 4; p->at++, digits[k]++)
            n[k] = n[k] * 10 + (uint32_t)(peek(p) - '0');
        if (k == 0)
            comma = accept(p, ",");
        if (!comma)
            break;
    }
    if (!accept(p, "}") || digits[0] + digits[1] == 0) {
        p->at = start;
        return;
    }
    r->least = n[0];
    r->most = !comma ? n[0] : digits[1] ? n[1] : FOREVER;
}

static tsr_status parse_repeat(parser *p, repeat *r)
{
    int c = peek(p), interval = 0;
    *r = (repeat){1, 1, 0};
    if (c == '*' || c == '+' || c == '?') {
        p->at++;
        r->least = c == '+';
        r->most = c == '?' ? 1 : FOREVER;
    } else if (c == '{') {
        size_t start = p->at;
        parse_interval(p, r);
        if (p->at == start || r->least > r->most || r->most == 0)
            return refuse(p, "the repetition");
        interval = 1;
    } else {
        return TSR_OK;
    }
    if (accept(p, "+")) {
        if (interval)
            return refuse(p, "a repeated interval");
        r->possessive = 1;
    }
    if (peek(p) == '?' || peek(p) == '*' || peek(p) == '+' || peek(p) == '{')
        return refuse(p, "lazy or repeated repetition");
    return TSR_OK;
}

/* 1 when code[from..to) may match nothing. Alternatives count as whatever their shortest is. */
static int may_be_empty(const tsr_regex *re, size_t from, size_t to)
{
    for (size_t i = from; i < to;) {
        const instruction *c = &re->code[i];
        if (c->op == OP_SET && c->least > 0)
            return 0;
        if (c->op == OP_FORK) {
            /* near way .. JUMP end, far way .. end; or a repetition, whose body may be left out */
            const instruction *last = &re->code[c->to - 1];
            size_t end = last->op == OP_JUMP && last->to > c->to ? last->to : c->to;
            int repetition = end == c->to;
            if (!repetition && !may_be_empty(re, i + 1, c->to - 1) && !may_be_empty(re, c->to, end))
                return 0;
            i = end;
            continue;
        }
        if (c->op == OP_ATOM && !may_be_empty(re, i + 1, c->to - 1))
            return 0;
        i = c->op >= OP_AHEAD && c->op <= OP_ATOM ? c->to : i + 1;
    }
    return 1;
}

/* Repeats the group whose code starts at `from`. */
static tsr_status repeat_group(parser *p, size_t from, const repeat *r)
{
    tsr_regex *re = p->re;
    if (r->least == 1 && r->most == 1)
        return TSR_OK;
    if (r->least > 1 || (r->most != 1 && r->most != FOREVER))
        return refuse(p, "a group so many times");
    if (r->most == FOREVER && may_be_empty(re, from, re->n_code))
        return refuse(p, "a repeated group that may match nothing");
    if (r->least == 0)
        TSR_TRY(insert(p, from, (instruction){.op = OP_FORK, .to = (uint32_t)re->n_code + 1}));
    if (r->most == FOREVER && r->least == 0) {
        TSR_TRY(emit(p, (instruction){.op = OP_JUMP, .to = (uint32_t)from}));
        re->code[from].to = (uint32_t)re->n_code;
    } else if (r->most == FOREVER) {
        TSR_TRY(emit(p, (instruction){.op = OP_FORK, .to = (uint32_t)re->n_code + 2}));
        TSR_TRY(emit(p, (instruction){.op = OP_JUMP, .to = (uint32_t)from}));
    }
    if (!r->possessive)
        return TSR_OK;
    TSR_TRY(insert(p, from, (instruction){.op = OP_ATOM}));
    TSR_TRY(emit(p, (instruction){.op = OP_DONE}));
    re->code[from].to = (uint32_t)re->n_code;
    return TSR_OK;
}

static tsr_status parse_alternatives(parser *p);

/* What stands in the parentheses of a look-ahead or atomic group, closing one included. */
static tsr_status parse_inner(parser *p, uint8_t op)
{
    size_t at = p->re->n_code;
    TSR_TRY(emit(p, (instruction){.op = op}));
    TSR_TRY(parse_alternatives(p));
    TSR_TRY(emit(p, (instruction){.op = OP_DONE}));
    p->re->code[at].to = (uint32_t)p->re->n_code;
    return accept(p, ")") ? TSR_OK : refuse(p, "a group without end");
}

/* A group after its '('. *look is 1 for a look-ahead, which nothing may repeat. */
static tsr_status parse_group(parser *p, int *look)
{
    int keep = p->ignore_case;
    *look = 0;
    if (++p->depth > MAX_DEPTH)
        return refuse(p, "so deep a group");
    if (accept(p, "?=") || accept(p, "?!")) {
        *look = 1;
        TSR_TRY(parse_inner(p, p->pattern[p->at - 1] == '=' ? OP_AHEAD : OP_NOT_AHEAD));
    } else if (accept(p, "?>")) {
        TSR_TRY(parse_inner(p, OP_ATOM));
    } else {
        if (accept(p, "?i:"))
            p->ignore_case = 1;
        else if (!accept(p, "?:") && peek(p) == '?')
            return refuse(p, "this kind of group");
        TSR_TRY(parse_alternatives(p));
        if (!accept(p, ")"))
            return refuse(p, "a group without end");
    }
    p->ignore_case = keep;
    p->depth--;
    return TSR_OK;
}

/* A set or character with its repetition. */
static tsr_status parse_single(parser *p)
{
    instruction i = {.op = OP_SET};
    repeat r;
    if (accept(p, "[")) {
        TSR_TRY(parse_set(p, &i.set));
    } else {
        size_t from = p->re->n_members;
        int32_t c = take_char(p);
        if (c == '\\')
            TSR_TRY(parse_escape(p, &c));
        if (c >= 0)
            TSR_TRY(add_range(p, c, c));
        TSR_TRY(add_set(p->re, from, 0, &i.set));
    }
    TSR_TRY(parse_repeat(p, &r));
    i.least = r.least;
    i.most = r.most;
    i.possessive = (uint8_t)(r.possessive || r.least == r.most);
    return emit(p, i);
}

static tsr_status parse_item(parser *p)
{
    static const struct {
        const char *text;
        uint8_t op;
    } places[] = {
        {"^", OP_LINE_START}, {"$", OP_LINE_END}, {"\\A", OP_TEXT_START}, {"\\z", OP_TEXT_END}};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
        if (accept(p, places[i].text))
            return emit(p, (instruction){.op = places[i].op});
    int c = peek(p);
    if (c == '.' || c == '*' || c == '+' || c == '?' || c == '{' || c == ']')
        return refuse(p, c == '.' ? "the dot" : "this character");
    if (!accept(p, "("))
        return parse_single(p);
    size_t from = p->re->n_code;
    int look;
    repeat r;
    TSR_TRY(parse_group(p, &look));
    TSR_TRY(parse_repeat(p, &r));
    if (look && (r.least != 1 || r.most != 1))
        return refuse(p, "a repeated look-ahead");
    return repeat_group(p, from, &r);
}

static tsr_status parse_alternatives(parser *p)
{
    tsr_regex *re = p->re;
    size_t from = re->n_code;
    while (p->at < p->bytes && peek(p) != '|' && peek(p) != ')')
        TSR_TRY(parse_item(p));
    if (peek(p) != '|')
        return TSR_OK;
    p->at++;
    TSR_TRY(insert(p, from, (instruction){.op = OP_FORK}));
    size_t jump = re->n_code;
    TSR_TRY(emit(p, (instruction){.op = OP_JUMP}));
    re->code[from].to = (uint32_t)re->n_code;
    TSR_TRY(parse_alternatives(p));
    re->code[jump].to = (uint32_t)re->n_code;
    return TSR_OK;
}

/* ASCII characters that a match from `pc` on can begin with: all of them when it is hard to say. */
static void find_first(const tsr_regex *re, uint32_t pc, int depth, uint64_t first[2])
{
    const instruction *i = &re->code[pc];
    if (i->op == OP_SET && depth < 64) {
        first[0] |= re->sets[i->set].ascii[0];
        first[1] |= re->sets[i->set].ascii[1];
        if (i->least == 0)
            find_first(re, pc + 1, depth + 1, first);
    } else if (i->op == OP_JUMP && i->to > pc && depth < 64) {
        find_first(re, i->to, depth + 1, first);
    } else if (i->op == OP_FORK && i->to > pc && depth < 8) {
        find_first(re, pc + 1, depth + 1, first);
        find_first(re, i->to, depth + 1, first);
    } else {
        first[0] = first[1] = UINT64_MAX;
    }
}

tsr_status tsr_regex_compile(const char *pattern, const char *origin, tsr_regex **out)
{
    parser p = {.origin = origin, .pattern = pattern, .bytes = strlen(pattern)};
    tsr_status st = TSR_OK;
    if (p.bytes > MAX_PATTERN)
        TSR_FAIL(TSR_EUNSUPPORTED, "%s: a regular expression of %zu bytes; the limit is %u", origin,
                 p.bytes, MAX_PATTERN);
    TSR_TRY(tsr_alloc(&p.re, 1, sizeof *p.re));
    TSR_GO(parse_alternatives(&p));
    if (p.at < p.bytes) {
        st = refuse(&p, "this parenthesis");
        goto out;
    }
    if (may_be_empty(p.re, 0, p.re->n_code)) {
        st = refuse(&p, "a match of nothing");
        goto out;
    }
    TSR_GO(emit(&p, (instruction){.op = OP_DONE}));
    for (uint32_t i = 0; i < p.re->n_code; i++)
        if (p.re->code[i].op == OP_FORK)
            find_first(p.re, i + 1, 0, p.re->code[i].first);
    *out = p.re;
    p.re = NULL;
out:
    tsr_regex_destroy(p.re);
    return st;
}

void tsr_regex_destroy(tsr_regex *re)
{
    if (!re)
        return;
    tsr_free(re->code);
    tsr_free(re->sets);
    tsr_free(re->members);
    tsr_free(re);
}

/* ---- matching ---------------------------------------------------------------------------------*/

void tsr_regex_begin(tsr_regex_work *w, size_t bytes)
{
    w->steps = 100000 + 1000 * (uint64_t)bytes;
    w->count = 0;
}

void tsr_regex_work_clear(tsr_regex_work *w)
{
    tsr_free(w->back);
    *w = (tsr_regex_work){0};
}

/* Length of the character at s if it is in the set, else 0. */
static size_t set_takes(const tsr_regex *re, const set *s, const unsigned char *text, size_t bytes)
{
    size_t used;
    if (bytes == 0)
        return 0;
    if (text[0] < 128)
        return (size_t)(s->ascii[text[0] >> 6] >> (text[0] & 63) & 1);
    int32_t c = tsr_text_char((const char *)text, bytes, &used);
    return set_has_slowly(re, s, c) ? used : 0;
}

static tsr_status push(tsr_regex_work *w, uint32_t pc, size_t at, size_t least)
{
    TSR_TRY(tsr_room(&w->back, w->count, &w->cap, sizeof *w->back));
    w->back[w->count++] = (struct tsr_regex_back){pc, at, least};
    return TSR_OK;
}

/* Takes the last place to go back to; 0 when none is left above `floor`. */
static int go_back(tsr_regex_work *w, const unsigned char *text, size_t floor, uint32_t *pc,
                   size_t *at)
{
    if (w->count == floor)
        return 0;
    struct tsr_regex_back *b = &w->back[w->count - 1];
    *pc = b->pc;
    *at = b->at;
    if (b->at <= b->least) {
        w->count--;
        return 1;
    }
    do
        b->at--;
    while ((text[b->at] & 0xC0) == 0x80);
    return 1;
}

/* Runs an OP_SET; 0 in *ok when it does not match here. */
static tsr_status run_set(const tsr_regex *re, tsr_regex_work *w, uint32_t pc,
                          const unsigned char *text, size_t bytes, size_t *at, int *ok)
{
    const instruction *i = &re->code[pc];
    const set *s = &re->sets[i->set];
    size_t n, to = *at, least = *at;
    uint32_t k = 0;
    for (; k < i->most; k++, to += n) {
        n = set_takes(re, s, text + to, bytes - to);
        if (n == 0)
            break;
        if (k < i->least)
            least = to + n;
    }
    *ok = k >= i->least;
    if (!*ok)
        return TSR_OK;
    w->steps -= k < w->steps ? k : w->steps;
    *at = to;
    if (i->possessive || to == least)
        return TSR_OK;
    size_t back = to - 1;
    while ((text[back] & 0xC0) == 0x80)
        back--;
    return push(w, pc + 1, back, least);
}

static int near_way(const instruction *fork, const unsigned char *text, size_t bytes, size_t at)
{
    if (at >= bytes)
        return 1;
    unsigned char c = text[at];
    return c >= 128 || (fork->first[c >> 6] >> (c & 63) & 1);
}

static int place_holds(uint8_t op, const unsigned char *text, size_t bytes, size_t at)
{
    switch (op) {
    case OP_LINE_START:
        return at == 0 || (text[at - 1] == '\n' && at < bytes);
    case OP_LINE_END:
        return at == bytes || text[at] == '\n';
    case OP_TEXT_START:
        return at == 0;
    default:
        return at == bytes;
    }
}

/* Matches from `pc` at text[at] to its OP_DONE; *end is SIZE_MAX when there is no match. Calls
 * itself for look-aheads and atomic groups only, so as deep as groups are in groups. */
static tsr_status run(const tsr_regex *re, tsr_regex_work *w, uint32_t pc,
                      const unsigned char *text, size_t bytes, size_t at, size_t *end)
{
    const size_t floor = w->count;
    *end = SIZE_MAX;
    for (;;) {
        const instruction *i = &re->code[pc];
        int ok = 1;
        if (w->steps == 0)
            TSR_FAIL(TSR_ELIMIT, "the regular expression takes too many steps on this text");
        w->steps--;
        if (i->op == OP_SET) {
            TSR_TRY(run_set(re, w, pc++, text, bytes, &at, &ok));
        } else if (i->op == OP_FORK) {
            int near = near_way(i, text, bytes, at);
            if (near)
                TSR_TRY(push(w, i->to, at, at));
            pc = near ? pc + 1 : i->to;
        } else if (i->op == OP_JUMP) {
            pc = i->to;
        } else if (i->op == OP_DONE) {
            *end = at;
            w->count = floor;
            return TSR_OK;
        } else if (i->op <= OP_ATOM) {
            size_t inner;
            TSR_TRY(run(re, w, pc + 1, text, bytes, at, &inner));
            ok = (inner != SIZE_MAX) == (i->op != OP_NOT_AHEAD);
            at = i->op == OP_ATOM && ok ? inner : at;
            pc = i->to;
        } else {
            ok = place_holds(i->op, text, bytes, at);
            pc++;
        }
        if (!ok && !go_back(w, text, floor, &pc, &at))
            return TSR_OK;
    }
}

tsr_status tsr_regex_next(const tsr_regex *re, tsr_regex_work *w, const char *text, size_t bytes,
                          size_t from, size_t *start, size_t *end)
{
    const unsigned char *s = (const unsigned char *)text;
    *start = SIZE_MAX;
    for (size_t at = from; at < bytes; at++) {
        if ((s[at] & 0xC0) == 0x80)
            continue;
        size_t stop;
        TSR_TRY(run(re, w, 0, s, bytes, at, &stop));
        if (stop != SIZE_MAX && stop > at) {
            *start = at;
            *end = stop;
            return TSR_OK;
        }
    }
    return TSR_OK;
}
