/* SPDX-License-Identifier: Apache-2.0
 * Finding special strings: a tree over bytes, children in a linked list but for the root's. */
#include "base/mem.h"
#include "tokenizers/text_private.h"

static uint32_t child_of(const tsr_texttree *t, uint32_t node, unsigned char byte)
{
    if (node == 0)
        return t->first[byte];
    uint32_t c = t->nodes[node].child;
    while (c && t->nodes[c].byte != byte)
        c = t->nodes[c].sibling;
    return c;
}

static tsr_status new_node(tsr_texttree *t, uint32_t parent, unsigned char byte, uint32_t *out)
{
    TSR_TRY(tsr_room(&t->nodes, t->count, &t->cap, sizeof *t->nodes));
    struct tsr_texttree_node *n = &t->nodes[t->count];
    *n = (struct tsr_texttree_node){.byte = byte};
    if (t->count > 0 && parent == 0) {
        t->first[byte] = (uint32_t)t->count;
    } else if (t->count > 0) {
        n->sibling = t->nodes[parent].child;
        t->nodes[parent].child = (uint32_t)t->count;
    }
    *out = (uint32_t)t->count++;
    return TSR_OK;
}

tsr_status tsr_texttree_add(tsr_texttree *t, const char *s, size_t bytes, uint32_t entry,
                            int *taken)
{
    uint32_t at = 0;
    if (t->count == 0)
        TSR_TRY(new_node(t, 0, 0, &at));
    for (size_t i = 0; i < bytes; i++) {
        uint32_t next = child_of(t, at, (unsigned char)s[i]);
        if (!next)
            TSR_TRY(new_node(t, at, (unsigned char)s[i], &next));
        at = next;
    }
    *taken = t->nodes[at].entry != 0;
    if (!*taken)
        t->nodes[at].entry = entry;
    return TSR_OK;
}

void tsr_texttree_clear(tsr_texttree *t)
{
    tsr_free(t->nodes);
    *t = (tsr_texttree){0};
}

uint32_t tsr_texttree_longest(const tsr_texttree *t, const char *text, size_t bytes, size_t at,
                              size_t *end)
{
    uint32_t node = 0, found = 0;
    for (size_t i = at; i < bytes; i++) {
        node = child_of(t, node, (unsigned char)text[i]);
        if (!node)
            break;
        if (t->nodes[node].entry) {
            found = t->nodes[node].entry;
            *end = i + 1;
        }
    }
    return found;
}
