/* SPDX-License-Identifier: Apache-2.0
 * Pictures on terminals with graphics (kitty, iTerm2, sixel) through libchafa. */
#include "cli/preview.h"

#include <chafa.h>

int tsr_chafa_draw(FILE *out, const tsr_image *rgb, int columns, int rows)
{
    char **environment = g_get_environ();
    ChafaTermInfo *info = chafa_term_db_detect(chafa_term_db_get_default(), environment);
    ChafaPixelMode mode = CHAFA_PIXEL_MODE_SYMBOLS;
    if (chafa_term_info_have_seq(info, CHAFA_TERM_SEQ_BEGIN_KITTY_IMMEDIATE_IMAGE_V1))
        mode = CHAFA_PIXEL_MODE_KITTY;
    else if (chafa_term_info_have_seq(info, CHAFA_TERM_SEQ_BEGIN_ITERM2_IMAGE))
        mode = CHAFA_PIXEL_MODE_ITERM2;
    else if (chafa_term_info_have_seq(info, CHAFA_TERM_SEQ_BEGIN_SIXELS))
        mode = CHAFA_PIXEL_MODE_SIXELS;
    if (mode != CHAFA_PIXEL_MODE_SYMBOLS) {
        ChafaCanvasConfig *config = chafa_canvas_config_new();
        chafa_canvas_config_set_geometry(config, columns, rows);
        chafa_canvas_config_set_pixel_mode(config, mode);
        chafa_canvas_config_set_cell_geometry(config, 10, 20);
        ChafaCanvas *canvas = chafa_canvas_new(config);
        chafa_canvas_draw_all_pixels(canvas, CHAFA_PIXEL_RGB8, rgb->data, (gint)rgb->width,
                                     (gint)rgb->height, (gint)rgb->width * 3);
        GString *text = chafa_canvas_print(canvas, info);
        fwrite(text->str, 1, text->len, out);
        fputc('\n', out);
        g_string_free(text, TRUE);
        chafa_canvas_unref(canvas);
        chafa_canvas_config_unref(config);
    }
    chafa_term_info_unref(info);
    g_strfreev(environment);
    return mode != CHAFA_PIXEL_MODE_SYMBOLS;
}
