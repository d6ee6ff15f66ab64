/* SPDX-License-Identifier: Apache-2.0
 * Products of matrices that are in cache: register tiles of a few rows by 16 or 32 columns. Included
 * by kernel_body.h only. */

/* rows and nv are constants after inlining, so that the tile lives in registers. */
V16_INLINE void tile(int rows, int nv, const tsr_product *p, size_t i0, size_t j0)
{
    v16 s[8][2];
    const float *a = p->a + i0 * p->a_row, *b = p->b + j0;
    float *c = p->c + i0 * p->c_row + j0;
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 2
        for (int j = 0; j < nv; j++)
            s[i][j] = p->accumulate ? v16_load(c + (size_t)i * p->c_row + 16 * j) : v16_set(0.0f);
    const size_t k = p->k, a_row = p->a_row, a_col = p->a_col, b_row = p->b_row;
    for (size_t q = 0; q < k; q++, a += a_col, b += b_row) {
        v16 bv[2];
#pragma GCC unroll 2
        for (int j = 0; j < nv; j++)
            bv[j] = v16_load(b + 16 * j);
#pragma GCC unroll 8
        for (int i = 0; i < rows; i++) {
            v16 x = v16_set(a[(size_t)i * a_row]);
#pragma GCC unroll 2
            for (int j = 0; j < nv; j++)
                s[i][j] = v16_fma(x, bv[j], s[i][j]);
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 2
        for (int j = 0; j < nv; j++)
            v16_store(c + (size_t)i * p->c_row + 16 * j, s[i][j]);
}

/* All rows of one column panel. */
V16_INLINE void panel(int nv, const tsr_product *p, size_t j0)
{
    size_t i = 0;
    for (; i + TILE_ROWS <= p->m; i += TILE_ROWS)
        tile(TILE_ROWS, nv, p, i, j0);
    for (; i + 2 <= p->m; i += 2)
        tile(2, nv, p, i, j0);
    if (i < p->m)
        tile(1, nv, p, i, j0);
}

static void product(const tsr_product *p)
{
    size_t j = 0;
#if TILE_VECTORS == 2
    for (; j + 32 <= p->n; j += 32)
        panel(2, p, j);
#endif
    for (; j < p->n; j += 16)
        panel(1, p, j);
}
