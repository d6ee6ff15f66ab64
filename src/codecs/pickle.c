/* SPDX-License-Identifier: Apache-2.0
 * A reader of pickles that knows NumPy's arrays and plain values.
 * Source   Python's pickletools (opcodes) and NumPy's ndarray.__reduce__. */
#include "codecs/pickle.h"

#include "base/mem.h"
#include "base/str.h"

#include <math.h>
#include <string.h>

#define MAX_NODES ((size_t)4 << 20) /* values of a file, and of the JSON made from it */
#define MAX_DEPTH 64

typedef enum kind {
    NONE,
    TRUTH,
    INT,
    REAL,
    TEXT,
    BYTES,
    LIST,
    TUPLE,
    DICT,
    NAME,
    TYPE,
    ARRAY,
    MARK
} kind;

/* A value. All live in one list and are released together, so that values may hold each other. */
typedef struct node node;
struct node {
    kind kind;
    int64_t integer; /* TRUTH, INT */
    double real;
    const uint8_t *bytes; /* TEXT, BYTES, NAME ("module" in items[0]); TYPE: "i4" */
    size_t n_bytes;
    node **items; /* LIST, TUPLE; DICT: key, value, ...; ARRAY once built: shape, type, values */
    size_t count, cap;
    int big; /* TYPE: big-endian */
};

typedef struct machine {
    const char *name;
    const uint8_t *data, *end;
    node **all;
    size_t n_all, cap_all;
    node **stack;
    size_t tall, cap_stack;
    node **memo;
    size_t n_memo, cap_memo;
    size_t written; /* JSON values */
} machine;

/* ---- values -----------------------------------------------------------------------------------*/

static tsr_status make(machine *m, kind k, node **out)
{
    if (m->n_all >= MAX_NODES)
        TSR_FAIL(TSR_ELIMIT, "%s: more than %zu pickled values", m->name, MAX_NODES);
    TSR_TRY(tsr_room(&m->all, m->n_all, &m->cap_all, sizeof *m->all));
    TSR_TRY(tsr_alloc(out, 1, sizeof **out));
    (*out)->kind = k;
    m->all[m->n_all++] = *out;
    return TSR_OK;
}

static tsr_status add(node *to, node *item)
{
    TSR_TRY(tsr_room(&to->items, to->count, &to->cap, sizeof *to->items));
    to->items[to->count++] = item;
    return TSR_OK;
}

static tsr_status push(machine *m, node *v)
{
    TSR_TRY(tsr_room(&m->stack, m->tall, &m->cap_stack, sizeof *m->stack));
    m->stack[m->tall++] = v;
    return TSR_OK;
}

static tsr_status push_new(machine *m, kind k, node **out)
{
    TSR_TRY(make(m, k, out));
    return push(m, *out);
}

static tsr_status push_int(machine *m, int64_t v, kind k)
{
    node *n;
    TSR_TRY(push_new(m, k, &n));
    n->integer = v;
    return TSR_OK;
}

static tsr_status pop(machine *m, node **out)
{
    if (m->tall == 0)
        TSR_FAIL(TSR_EFORMAT, "%s: a pickle that takes more than it has", m->name);
    *out = m->stack[--m->tall];
    return TSR_OK;
}

/* The container below what is to be added to it. */
static tsr_status top(machine *m, kind k, node **out)
{
    if (m->tall == 0 || m->stack[m->tall - 1]->kind != k)
        TSR_FAIL(TSR_EFORMAT, "%s: a pickle that adds to what takes nothing", m->name);
    *out = m->stack[m->tall - 1];
    return TSR_OK;
}

/* Where the values after the last mark begin; the mark goes. */
static tsr_status pop_mark(machine *m, size_t *from)
{
    size_t i = m->tall;
    while (i > 0 && m->stack[i - 1]->kind != MARK)
        i--;
    if (i == 0)
        TSR_FAIL(TSR_EFORMAT, "%s: a pickle without the mark it goes back to", m->name);
    *from = i;
    return TSR_OK;
}

/* ---- bytes ------------------------------------------------------------------------------------*/

static tsr_status take(machine *m, size_t n, const uint8_t **out)
{
    if (n > (size_t)(m->end - m->data))
        TSR_FAIL(TSR_EFORMAT, "%s: the pickle is cut off", m->name);
    *out = m->data;
    m->data += n;
    return TSR_OK;
}

static tsr_status take_number(machine *m, size_t bytes, uint64_t *out)
{
    const uint8_t *p;
    TSR_TRY(take(m, bytes, &p));
    *out = 0;
    for (size_t i = 0; i < bytes; i++)
        *out |= (uint64_t)p[i] << (8 * i);
    return TSR_OK;
}

static int64_t extend(uint64_t v, size_t bytes)
{
    return bytes == 0 ? 0 : (int64_t)(v << (64 - 8 * bytes)) >> (64 - 8 * bytes);
}

/* A text or bytes behind its length. */
static tsr_status push_bytes(machine *m, size_t length_bytes, kind k)
{
    uint64_t n;
    node *v;
    TSR_TRY(take_number(m, length_bytes, &n));
    TSR_TRY(push_new(m, k, &v));
    v->n_bytes = (size_t)n;
    return take(m, (size_t)n, &v->bytes);
}

static tsr_status push_long(machine *m)
{
    uint64_t n, v;
    TSR_TRY(take_number(m, 1, &n));
    if (n > 8)
        TSR_FAIL(TSR_EUNSUPPORTED, "%s: a whole number of %llu bytes", m->name,
                 (unsigned long long)n);
    TSR_TRY(take_number(m, (size_t)n, &v));
    return push_int(m, extend(v, (size_t)n), INT);
}

static double real_of(uint64_t bits)
{
    double v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

static tsr_status push_real(machine *m)
{
    const uint8_t *p;
    uint64_t v = 0;
    node *n;
    TSR_TRY(take(m, 8, &p));
    for (int i = 0; i < 8; i++)
        v = v << 8 | p[i];
    TSR_TRY(push_new(m, REAL, &n));
    n->real = real_of(v);
    return TSR_OK;
}

/* Text up to a line feed. */
static tsr_status take_line(machine *m, node *out)
{
    const uint8_t *stop = memchr(m->data, '\n', (size_t)(m->end - m->data));
    if (!stop)
        TSR_FAIL(TSR_EFORMAT, "%s: the pickle is cut off in a name", m->name);
    out->bytes = m->data;
    out->n_bytes = (size_t)(stop - m->data);
    m->data = stop + 1;
    return TSR_OK;
}

static int says(const node *v, const char *s)
{
    return v->n_bytes == strlen(s) && memcmp(v->bytes, s, v->n_bytes) == 0;
}

/* ---- containers -------------------------------------------------------------------------------*/

static tsr_status tuple_from(machine *m, size_t from, size_t drop)
{
    node *t;
    TSR_TRY(make(m, TUPLE, &t));
    for (size_t i = from; i < m->tall; i++)
        TSR_TRY(add(t, m->stack[i]));
    m->tall = from - drop;
    return push(m, t);
}

static tsr_status tuple_of(machine *m, size_t n)
{
    if (m->tall < n)
        TSR_FAIL(TSR_EFORMAT, "%s: a pickle that takes more than it has", m->name);
    return tuple_from(m, m->tall - n, 0);
}

/* Add what stands after the mark (or the last `n` values) to the container before it. */
static tsr_status add_all(machine *m, kind k, size_t n)
{
    size_t from, first;
    node *to;
    if (n == 0) {
        TSR_TRY(pop_mark(m, &from));
        first = from - 1;
    } else {
        if (m->tall < n)
            TSR_FAIL(TSR_EFORMAT, "%s: a pickle that takes more than it has", m->name);
        from = first = m->tall - n;
    }
    size_t count = m->tall - from;
    if (k == DICT && count % 2)
        TSR_FAIL(TSR_EFORMAT, "%s: a key without a value", m->name);
    m->tall = first;
    TSR_TRY(top(m, k, &to));
    for (size_t i = 0; i < count; i++)
        TSR_TRY(add(to, m->stack[from + i]));
    return TSR_OK;
}

/* ---- names, arrays ----------------------------------------------------------------------------*/

static tsr_status push_name(machine *m, node *module, node *word)
{
    node *v;
    if (module->kind != TEXT || word->kind != TEXT)
        TSR_FAIL(TSR_EFORMAT, "%s: a name that is no text", m->name);
    TSR_TRY(push_new(m, NAME, &v));
    v->bytes = word->bytes;
    v->n_bytes = word->n_bytes;
    return add(v, module);
}

static int is_numpy(const node *f, const char *word)
{
    const node *module = f->kind == NAME ? f->items[0] : NULL;
    return module && says(f, word) &&
           (says(module, "numpy") || says(module, "numpy.core.multiarray") ||
            says(module, "numpy._core.multiarray"));
}

static tsr_status scalar(machine *m, const node *arguments, node *out)
{
    if (arguments->count != 2 || arguments->items[0]->kind != TYPE ||
        arguments->items[1]->kind != BYTES)
        TSR_FAIL(TSR_EUNSUPPORTED, "%s: a NumPy number of another form", m->name);
    node *shape;
    TSR_TRY(make(m, TUPLE, &shape));
    TSR_TRY(add(out, shape));
    TSR_TRY(add(out, arguments->items[0]));
    return add(out, arguments->items[1]);
}

/* Call of NumPy's makers of empty arrays, types and numbers. */
static tsr_status reduce(machine *m)
{
    node *arguments, *f, *v;
    TSR_TRY(pop(m, &arguments));
    TSR_TRY(pop(m, &f));
    if (arguments->kind != TUPLE)
        TSR_FAIL(TSR_EFORMAT, "%s: a call without a tuple", m->name);
    if (is_numpy(f, "_reconstruct"))
        return push_new(m, ARRAY, &v);
    if (is_numpy(f, "scalar")) {
        TSR_TRY(push_new(m, ARRAY, &v));
        return scalar(m, arguments, v);
    }
    if (is_numpy(f, "dtype") && arguments->count > 0 && arguments->items[0]->kind == TEXT) {
        TSR_TRY(push_new(m, TYPE, &v));
        v->bytes = arguments->items[0]->bytes;
        v->n_bytes = arguments->items[0]->n_bytes;
        return TSR_OK;
    }
    TSR_FAIL(TSR_EUNSUPPORTED,
             "%s: holds a Python object (%.*s) that is no plain array, list or dict", m->name,
             f->kind == NAME && f->n_bytes < 60 ? (int)f->n_bytes : 1,
             f->kind == NAME ? (const char *)f->bytes : "?");
}

/* State of an array: (version, shape, type, Fortran order, values); of a type: (version, byte
 * order, ...). */
static tsr_status build(machine *m)
{
    node *state, *v;
    TSR_TRY(pop(m, &state));
    if (m->tall == 0 || state->kind != TUPLE)
        TSR_FAIL(TSR_EFORMAT, "%s: a state that is no tuple", m->name);
    v = m->stack[m->tall - 1];
    if (v->kind == TYPE && state->count > 1 && state->items[1]->kind == TEXT) {
        v->big = says(state->items[1], ">");
        return TSR_OK;
    }
    if (v->kind != ARRAY || v->count || state->count != 5 || state->items[1]->kind != TUPLE ||
        state->items[2]->kind != TYPE || state->items[3]->kind != TRUTH)
        TSR_FAIL(TSR_EUNSUPPORTED, "%s: an array of another form", m->name);
    if (state->items[3]->integer && state->items[1]->count > 1)
        TSR_FAIL(TSR_EUNSUPPORTED, "%s: an array in Fortran order; store it in C order", m->name);
    TSR_TRY(add(v, state->items[1]));
    TSR_TRY(add(v, state->items[2]));
    return add(v, state->items[4]);
}

/* ---- memo -------------------------------------------------------------------------------------*/

static tsr_status remember(machine *m, uint64_t at)
{
    if (m->tall == 0 || at > m->n_all)
        TSR_FAIL(TSR_EFORMAT, "%s: nothing to remember at %llu", m->name, (unsigned long long)at);
    while (m->n_memo <= at) {
        TSR_TRY(tsr_room(&m->memo, m->n_memo, &m->cap_memo, sizeof *m->memo));
        m->memo[m->n_memo++] = NULL;
    }
    m->memo[at] = m->stack[m->tall - 1];
    return TSR_OK;
}

static tsr_status recall(machine *m, uint64_t at)
{
    if (at >= m->n_memo || !m->memo[at])
        TSR_FAIL(TSR_EFORMAT, "%s: nothing was remembered at %llu", m->name,
                 (unsigned long long)at);
    return push(m, m->memo[at]);
}

/* ---- opcodes ----------------------------------------------------------------------------------*/

static tsr_status global(machine *m)
{
    node *module, *word;
    TSR_TRY(make(m, TEXT, &module));
    TSR_TRY(make(m, TEXT, &word));
    TSR_TRY(take_line(m, module));
    TSR_TRY(take_line(m, word));
    return push_name(m, module, word);
}

static tsr_status stack_global(machine *m)
{
    node *module, *word;
    TSR_TRY(pop(m, &word));
    TSR_TRY(pop(m, &module));
    return push_name(m, module, word);
}

static tsr_status numbered(machine *m, size_t bytes, tsr_status (*use)(machine *m, uint64_t at))
{
    uint64_t at;
    TSR_TRY(take_number(m, bytes, &at));
    return use(m, at);
}

static tsr_status small_int(machine *m, size_t bytes, int is_signed)
{
    uint64_t v;
    TSR_TRY(take_number(m, bytes, &v));
    return push_int(m, is_signed ? extend(v, bytes) : (int64_t)v, INT);
}

static tsr_status marked_tuple(machine *m)
{
    size_t from;
    TSR_TRY(pop_mark(m, &from));
    return tuple_from(m, from, 1);
}

static tsr_status skip(machine *m, size_t n)
{
    const uint8_t *p;
    return take(m, n, &p);
}

/* One opcode but the last, '.'. A switch of calls: the table of the format. */
static tsr_status step(machine *m, uint8_t code)
{
    node *v;
    switch (code) {
    case 0x80:
        return skip(m, 1); /* protocol */
    case 0x95:
        return skip(m, 8); /* frame */
    case 'c':
        return global(m);
    case 0x93:
        return stack_global(m);
    case 0x8c:
        return push_bytes(m, 1, TEXT);
    case 'X':
        return push_bytes(m, 4, TEXT);
    case 0x8d:
        return push_bytes(m, 8, TEXT);
    case 'C':
        return push_bytes(m, 1, BYTES);
    case 'B':
        return push_bytes(m, 4, BYTES);
    case 0x8e:
        return push_bytes(m, 8, BYTES);
    case 'q':
        return numbered(m, 1, remember);
    case 'r':
        return numbered(m, 4, remember);
    case 0x94:
        return remember(m, m->n_memo);
    case 'h':
        return numbered(m, 1, recall);
    case 'j':
        return numbered(m, 4, recall);
    case '(':
        return push_new(m, MARK, &v);
    case ')':
        return push_new(m, TUPLE, &v);
    case 0x85:
        return tuple_of(m, 1);
    case 0x86:
        return tuple_of(m, 2);
    case 0x87:
        return tuple_of(m, 3);
    case 't':
        return marked_tuple(m);
    case ']':
        return push_new(m, LIST, &v);
    case 'a':
        return add_all(m, LIST, 1);
    case 'e':
        return add_all(m, LIST, 0);
    case '}':
        return push_new(m, DICT, &v);
    case 's':
        return add_all(m, DICT, 2);
    case 'u':
        return add_all(m, DICT, 0);
    case 'J':
        return small_int(m, 4, 1);
    case 'K':
        return small_int(m, 1, 0);
    case 'M':
        return small_int(m, 2, 0);
    case 0x8a:
        return push_long(m);
    case 'G':
        return push_real(m);
    case 'N':
        return push_new(m, NONE, &v);
    case 0x88:
        return push_int(m, 1, TRUTH);
    case 0x89:
        return push_int(m, 0, TRUTH);
    case 'R':
        return reduce(m);
    case 'b':
        return build(m);
    default:
        TSR_FAIL(TSR_EUNSUPPORTED,
                 "%s: holds Python objects that are no plain arrays, lists or dicts "
                 "(opcode 0x%02x)",
                 m->name, code);
    }
}

static tsr_status run(machine *m, node **out)
{
    for (;;) {
        const uint8_t *code;
        TSR_TRY(take(m, 1, &code));
        if (*code == '.')
            return pop(m, out);
        TSR_TRY(step(m, *code));
    }
}

/* ---- to JSON ----------------------------------------------------------------------------------*/

static tsr_status to_json(machine *m, const node *v, int depth, json_t **out);

static tsr_status list_to_json(machine *m, node *const *items, size_t n, int depth, json_t *into)
{
    for (size_t i = 0; i < n; i++) {
        json_t *one;
        TSR_TRY(to_json(m, items[i], depth + 1, &one));
        TSR_TRY(tsr_json_append(into, one));
    }
    return TSR_OK;
}

static tsr_status dict_to_json(machine *m, const node *v, int depth, json_t *into)
{
    for (size_t i = 0; i + 1 < v->count; i += 2) {
        const node *key = v->items[i];
        json_t *one;
        char *text = NULL;
        if (key->kind != TEXT || memchr(key->bytes, 0, key->n_bytes))
            TSR_FAIL(TSR_EFORMAT, "%s: a dict with a key that is no text", m->name);
        TSR_TRY(to_json(m, v->items[i + 1], depth + 1, &one));
        tsr_status st = tsr_strndup(&text, (const char *)key->bytes, key->n_bytes);
        if (st == TSR_OK)
            st = tsr_json_set(into, text, json_incref(one));
        tsr_free(text);
        json_decref(one);
        TSR_TRY(st);
    }
    return TSR_OK;
}

static tsr_status real_json(const machine *m, double v, json_t **out)
{
    if (!isfinite(v))
        TSR_FAIL(TSR_EFORMAT, "%s: a number that is not finite", m->name);
    *out = json_real(v);
    return *out ? TSR_OK : tsr_fail_at(TSR_ENOMEM, __FILE__, __LINE__, "%s: no memory", m->name);
}

/* Value i of an array of numbers. */
static tsr_status number_json(const machine *m, const node *type, const uint8_t *bytes, size_t size,
                              json_t **out)
{
    uint64_t v = 0;
    float single;
    for (size_t i = 0; i < size; i++)
        v |= (uint64_t)bytes[type->big ? size - 1 - i : i] << (8 * i);
    if (type->bytes[0] == 'f' && size == 4) {
        uint32_t bits = (uint32_t)v;
        memcpy(&single, &bits, sizeof single);
        return real_json(m, (double)single, out);
    }
    if (type->bytes[0] == 'f')
        return real_json(m, real_of(v), out);
    *out = type->bytes[0] == 'b'
               ? json_boolean(v != 0)
               : json_integer(type->bytes[0] == 'i' ? extend(v, size) : (json_int_t)v);
    return *out ? TSR_OK : tsr_fail_at(TSR_ENOMEM, __FILE__, __LINE__, "%s: no memory", m->name);
}

/* Bytes of a number of this type; 0: objects, or a type that is not known. */
static size_t size_of(const node *type)
{
    static const char *const known[] = {"b1", "i1", "i2", "i4", "i8", "u1",
                                        "u2", "u4", "u8", "f4", "f8"};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (says(type, known[i]))
            return (size_t)(known[i][1] - '0');
    return 0;
}

/* The values of an array below its dimension d, from number *at on. */
static tsr_status nest(machine *m, const node *v, size_t d, size_t *at, int depth, json_t **out)
{
    const node *shape = v->items[0], *type = v->items[1], *values = v->items[2];
    size_t size = size_of(type);
    if (d == shape->count && size)
        return number_json(m, type, values->bytes + size * (*at)++, size, out);
    if (d == shape->count)
        return to_json(m, values->items[(*at)++], depth + 1, out);
    json_t *list = json_array();
    tsr_status st = TSR_OK;
    if (!list)
        TSR_FAIL(TSR_ENOMEM, "%s: no memory", m->name);
    for (int64_t i = 0; st == TSR_OK && i < shape->items[d]->integer; i++) {
        json_t *one = NULL;
        if (++m->written > MAX_NODES)
            st = tsr_fail_at(TSR_ELIMIT, __FILE__, __LINE__, "%s: more than %zu values", m->name,
                             MAX_NODES);
        if (st == TSR_OK)
            st = nest(m, v, d + 1, at, depth, &one);
        if (st == TSR_OK)
            st = tsr_json_append(list, one);
    }
    if (st != TSR_OK) {
        json_decref(list);
        return st;
    }
    *out = list;
    return TSR_OK;
}

static tsr_status array_to_json(machine *m, const node *v, int depth, json_t **out)
{
    if (v->count != 3)
        TSR_FAIL(TSR_EFORMAT, "%s: an array that was never filled", m->name);
    const node *shape = v->items[0], *type = v->items[1], *values = v->items[2];
    size_t n = 1, size = size_of(type), at = 0;
    for (size_t d = 0; d < shape->count; d++) {
        if (shape->items[d]->kind != INT || shape->items[d]->integer < 0)
            TSR_FAIL(TSR_EFORMAT, "%s: an array with an impossible shape", m->name);
        TSR_TRY(tsr_mul_size(n, (size_t)shape->items[d]->integer, &n));
    }
    int objects = says(type, "O8") || says(type, "O");
    if (!objects && size == 0)
        TSR_FAIL(TSR_EUNSUPPORTED, "%s: an array of type %.*s", m->name,
                 type->n_bytes < 8 ? (int)type->n_bytes : 8, (const char *)type->bytes);
    size_t there = objects ? values->count : values->n_bytes / size;
    if ((objects ? values->kind != LIST : values->kind != BYTES) || there != n ||
        shape->count > MAX_DEPTH)
        TSR_FAIL(TSR_EFORMAT, "%s: an array of %zu values where its shape says %zu", m->name, there,
                 n);
    return nest(m, v, 0, &at, depth, out);
}

static tsr_status text_to_json(const machine *m, const node *v, json_t **out)
{
    *out = json_stringn((const char *)v->bytes, v->n_bytes);
    if (!*out)
        TSR_FAIL(TSR_EFORMAT, "%s: a text that is not UTF-8", m->name);
    return TSR_OK;
}

static tsr_status container_to_json(machine *m, const node *v, int depth, json_t **out)
{
    json_t *into = v->kind == DICT ? json_object() : json_array();
    if (!into)
        TSR_FAIL(TSR_ENOMEM, "%s: no memory", m->name);
    tsr_status st = v->kind == DICT ? dict_to_json(m, v, depth, into)
                                    : list_to_json(m, v->items, v->count, depth, into);
    if (st != TSR_OK) {
        json_decref(into);
        return st;
    }
    *out = into;
    return TSR_OK;
}

static tsr_status to_json(machine *m, const node *v, int depth, json_t **out)
{
    if (depth > MAX_DEPTH)
        TSR_FAIL(TSR_ELIMIT, "%s: values nested more than %d deep", m->name, MAX_DEPTH);
    if (++m->written > MAX_NODES)
        TSR_FAIL(TSR_ELIMIT, "%s: more than %zu values", m->name, MAX_NODES);
    switch (v->kind) {
    case TEXT:
        return text_to_json(m, v, out);
    case REAL:
        return real_json(m, v->real, out);
    case ARRAY:
        return array_to_json(m, v, depth, out);
    case LIST:
    case TUPLE:
    case DICT:
        return container_to_json(m, v, depth, out);
    case NONE:
        *out = json_null();
        return TSR_OK;
    case TRUTH:
        *out = json_boolean(v->integer);
        return TSR_OK;
    case INT:
        *out = json_integer(v->integer);
        break;
    default:
        TSR_FAIL(TSR_EFORMAT, "%s: a value that is neither number, text nor list", m->name);
    }
    return *out ? TSR_OK : tsr_fail_at(TSR_ENOMEM, __FILE__, __LINE__, "%s: no memory", m->name);
}

tsr_status tsr_pickle_read(const char *name, const uint8_t *data, size_t n, json_t **out)
{
    machine m = {.name = name, .data = data, .end = data + n};
    node *v;
    tsr_status st = run(&m, &v);
    if (st == TSR_OK)
        st = to_json(&m, v, 0, out);
    for (size_t i = 0; i < m.n_all; i++) {
        tsr_free(m.all[i]->items);
        tsr_free(m.all[i]);
    }
    tsr_free(m.all);
    tsr_free(m.stack);
    tsr_free(m.memo);
    return st;
}
