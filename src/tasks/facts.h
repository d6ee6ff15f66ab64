/* SPDX-License-Identifier: Apache-2.0
 * What a caption says, as facts that can be right or wrong: which objects, how many, of what.
 *
 * Read by the grammar of tessera-scenes' captions (an object is a colour, maybe a material, and a
 * shape, in that order: "a large striped blue metal ball") from any text, however broken. Other
 * text simply holds no facts; words shared with a reference then say how close it is. */
#ifndef TSR_TASKS_FACTS_H
#define TSR_TASKS_FACTS_H

#include "base/json.h"
#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

#define TSR_FACT_COLOURS   10
#define TSR_FACT_SHAPES    5
#define TSR_FACT_MATERIALS 3

/* Zeroed by the two readers below. Colour and shape together name an object: a scene has no two
 * objects alike in both. */
typedef struct tsr_facts {
    int count; /* number of objects stated, or listed where none is stated; -1: not said */
    uint8_t named[TSR_FACT_COLOURS][TSR_FACT_SHAPES];
    int8_t material[TSR_FACT_COLOURS][TSR_FACT_SHAPES]; /* of a named object; -1: not said */
    int of_them[TSR_FACT_MATERIALS]; /* "two of them are made of metal"; -1: not said */
} tsr_facts;

/* Read text[0..bytes). Case, punctuation and the blanks of normalised text do not matter. Later
 * mentions of an object add its material where it was not said; contradictions keep the first.
 * The count is that of "there are N objects", "N objects", "N things" (number word or digits, at
 * most 999), 1 for "there is a ...", 0 for "nothing stands", and else the number of different
 * objects in the first sentence when it begins as "a picture of" or "the picture shows". */
void tsr_facts_of_text(const char *text, size_t bytes, tsr_facts *out);

/* The truth: a record of tessera-scenes, {"objects": [{"colour", "shape", "material", "visible"},
 * ...]}; objects with visible false do not count. 0 when the value is no such record. */
int tsr_facts_of_record(const json_t *record, tsr_facts *out);

/* Different objects named. */
int tsr_facts_objects(const tsr_facts *f);

/* How a caption compares with the truth; every figure is in 0..1, more is better; NAN where the
 * truth says nothing to compare with.
 *
 *   A fact is an object's pair of colour and shape, or the number of objects. With R facts of the
 *   truth, C facts claimed and H that are in both,
 *     facts      H / max(R, C)     the main figure: a caption that claims everything is as
 *     f1         2 H / (R + C)     low as one that claims nothing
 *   With r, c, h the same without the number,
 *     objects    h / r             colour and shape named
 *     precision  h / c             (0 when nothing is named)
 *   full         objects named with colour, shape and the right material, over r
 *   count        1 when the number is right
 *   material     materials as a multiset, one for each object that has one said ("k of them are
 * made of M" counts as at least k): agreeing ones over the larger of both sizes. Needs no colour:
 * sound tells it. */
typedef struct tsr_fact_rates {
    double facts, f1, objects, precision, full, count, material;
} tsr_fact_rates;

/* Fill the rates of a caption's facts against the truth's. */
void tsr_facts_compare(const tsr_facts *truth, const tsr_facts *got, tsr_fact_rates *out);

/* Words that two texts share, for text of any kind: F1 of the multisets of words (runs of letters
 * and digits, bytes above 127 counting as letters; ASCII case ignored). 1 when neither has a word.
 * Source   the token F1 of SQuAD: Rajpurkar et al. 2016, arXiv:1606.05250, section 6.
 * Errors   TSR_ENOMEM. */
TSR_USE tsr_status tsr_words_f1(const char *truth, const char *got, double *f1);

#endif
