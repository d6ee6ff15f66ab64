/* SPDX-License-Identifier: Apache-2.0
 * Settings of a tokenizer: read from a recipe's section or a file's metadata, checked either way, and
 * kept complete (defaults filled in) in the object that is stored with the tokenizer. */
#ifndef TSR_TOKENIZERS_SETTING_H
#define TSR_TOKENIZERS_SETTING_H

#include "base/json.h"
#include "base/status.h"
#include "dsp/resize.h"
#include "tokenizers/pixels.h"

/* Where settings come from and go to. `config` is borrowed and may lack any key; every value that
 * was read is put into `kept`. `origin` names the recipe or file in messages. */
typedef struct tsr_settings {
    const json_t *config;
    json_t *kept;
    const char *origin;
} tsr_settings;

/* One value, or `fallback` when the key is absent.
 * Errors   TSR_ECONFIG naming origin and key: another type, out of [lo, hi], not one of `words`
 *          (ended by NULL; *out is the index). */
TSR_USE tsr_status tsr_setting_number(const tsr_settings *s, const char *key, double fallback,
                                      double lo, double hi, double *out);
TSR_USE tsr_status tsr_setting_int(const tsr_settings *s, const char *key, long long fallback,
                                   long long lo, long long hi, long long *out);
TSR_USE tsr_status tsr_setting_bool(const tsr_settings *s, const char *key, int fallback, int *out);
TSR_USE tsr_status tsr_setting_word(const tsr_settings *s, const char *key,
                                    const char *const *words, int fallback, int *out);

/* A number taken for both sides, or a list of two: [height, width]. */
TSR_USE tsr_status tsr_setting_size(const tsr_settings *s, const char *key, long long fallback,
                                    long long lo, long long hi, size_t out[2]);

/* A resize filter by its name (dsp/resize.h). */
TSR_USE tsr_status tsr_setting_filter(const tsr_settings *s, const char *key, tsr_filter fallback,
                                      tsr_filter *out);

/* "background", what transparent pixels stand before: [red, green, blue] of 0..255, default white; or
 * "none", which drops their alpha. */
TSR_USE tsr_status tsr_setting_background(const tsr_settings *s, tsr_background *out);

/* After the last tsr_setting_*: every key of the recipe's section must have been one that this kind
 * reads, or one of `others` (ended by NULL). TSR_ECONFIG naming the key, with a suggestion. */
TSR_USE tsr_status tsr_settings_check(const tsr_settings *s, const char *const *others);

#endif
