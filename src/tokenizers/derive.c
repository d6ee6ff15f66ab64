/* SPDX-License-Identifier: Apache-2.0
 * The table of ways from one modality's pictures to another's. */
#include "tokenizers/derive.h"

#include "base/str.h"

#include <string.h>

static const tsr_derivation *const ways[] = {
    &tsr_derive_canny,
};

#define N_WAYS (sizeof ways / sizeof ways[0])

tsr_status tsr_derive_read(const tsr_settings *s, tsr_derive *out)
{
    const char *words[N_WAYS + 1] = {0};
    int which;
    if (!json_object_get(s->config, "derive"))
        return TSR_OK;
    for (size_t i = 0; i < N_WAYS; i++)
        words[i] = ways[i]->name;
    TSR_TRY(tsr_setting_word(s, "derive", words, 0, &which));
    out->way = ways[which];
    return out->way->configure(out, s);
}

const char *tsr_derive_of(const char *modality)
{
    for (size_t i = 0; i < N_WAYS; i++)
        if (tsr_starts_with(modality, ways[i]->made))
            return ways[i]->name;
    return NULL;
}

int tsr_derives(const tsr_derive *d, const char *from)
{
    if (!d->way || !from)
        return 0;
    size_t n = strcspn(from, "@");
    return n == strlen(d->way->from) && strncmp(from, d->way->from, n) == 0;
}

tsr_status tsr_derive_image(const tsr_derive *d, const tsr_image *im, tsr_image *out)
{
    return d->way->make(d, im, out);
}
