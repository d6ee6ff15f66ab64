/* SPDX-License-Identifier: Apache-2.0
 * Media and tokens in a terminal. */
#ifndef TSR_CLI_PREVIEW_H
#define TSR_CLI_PREVIEW_H

#include "base/json.h"
#include "base/status.h"
#include "types/media.h"
#include "types/tokens.h"

#include <stdio.h>

/* In the order of the words of TSR_OPTION_COLOUR. */
typedef enum tsr_colour_mode {
    TSR_COLOUR_AUTO,
    TSR_COLOUR_NONE,
    TSR_COLOUR_256,
    TSR_COLOUR_FULL, /* 24 bit */
} tsr_colour_mode;

typedef struct tsr_screen {
    FILE *out;
    int columns;
    tsr_colour_mode colour; /* never AUTO */
    int graphics;           /* pictures through chafa (only in builds that have it) */
} tsr_screen;

/* The screen behind stdout: width of the terminal (80 when it is none), colours as asked or as
 * NO_COLOR, TERM and COLORTERM tell. */
void tsr_screen_init(tsr_screen *s, tsr_colour_mode colour);

/* A picture, at most `columns` wide; two pixels a character, or through chafa. RGB U8 only. Without
 * colours it is drawn in shades of grey made of characters. */
TSR_USE tsr_status tsr_show_picture(const tsr_screen *s, const tsr_image *rgb, int columns);

/* Media as fits its kind: picture (with the legend of a depth or label map), spectrogram, swatches,
 * fields, text. `kind` is the tokenizer's kind or the modality's name. */
TSR_USE tsr_status tsr_show_media(const tsr_screen *s, const tsr_media *m, const char *kind);

/* Ids as a grid of numbers on the colour of their hash, or as cells when the screen is too narrow
 * for numbers. Patches as the picture they are. */
TSR_USE tsr_status tsr_show_tokens(const tsr_screen *s, const tsr_tokens *t,
                                   const tsr_token_space *space);

/* Pieces of text on the colours of their ids, with visible separators; control characters
 * are made visible. pieces [count] (or NULL); NULL entries show the number. */
void tsr_show_pieces(const tsr_screen *s, const uint32_t *ids, const char *const *pieces,
                     size_t count);

/* "name = value" lines of an object, nested ones with dotted names. */
TSR_USE tsr_status tsr_show_fields(const tsr_screen *s, const json_t *object);

/* Drawn by chafa; only in builds with it (preview_chafa.c), else it draws nothing and gives 0
 * (preview_blocks.c). 1 when the picture was drawn. */
int tsr_chafa_draw(FILE *out, const tsr_image *rgb, int columns, int rows);

#endif
