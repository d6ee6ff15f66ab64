/* SPDX-License-Identifier: Apache-2.0
 * Sixteen floats as one value, for kernels compiled once per instruction set. */
#ifndef TSR_BASE_VEC_H
#define TSR_BASE_VEC_H

/* The same source gives AVX-512, AVX2+FMA or plain C, chosen by the flags of the including file;
 * the number of lanes is always 16, so reductions run in one order everywhere. Names are short on
 * purpose (v16_add): a kernel is a formula. v16_fma is fused where the level has FMA and two
 * roundings in plain C. max(a, b) and min(a, b) return b when one of the two is NaN. */
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Vectors must stay in registers. Not so in plain C under a sanitizer, where inlining sixteen checked
 * lanes everywhere would take minutes to compile. */
#if defined(__SANITIZE_ADDRESS__) && !defined(__AVX2__)
#define V16_INLINE static __attribute__((noinline, unused))
#else
#define V16_INLINE static inline __attribute__((always_inline, unused))
#endif

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__)
#include <immintrin.h>
typedef __m512 v16;
typedef __mmask16 v16_mask;

V16_INLINE v16 v16_set(float x) { return _mm512_set1_ps(x); }
V16_INLINE v16 v16_load(const float *p) { return _mm512_loadu_ps(p); }
V16_INLINE void v16_store(float *p, v16 a) { _mm512_storeu_ps(p, a); }
V16_INLINE v16 v16_add(v16 a, v16 b) { return _mm512_add_ps(a, b); }
V16_INLINE v16 v16_sub(v16 a, v16 b) { return _mm512_sub_ps(a, b); }
V16_INLINE v16 v16_mul(v16 a, v16 b) { return _mm512_mul_ps(a, b); }
V16_INLINE v16 v16_div(v16 a, v16 b) { return _mm512_div_ps(a, b); }
V16_INLINE v16 v16_max(v16 a, v16 b) { return _mm512_max_ps(a, b); }
V16_INLINE v16 v16_min(v16 a, v16 b) { return _mm512_min_ps(a, b); }
V16_INLINE v16 v16_fma(v16 a, v16 b, v16 c) { return _mm512_fmadd_ps(a, b, c); }
V16_INLINE v16 v16_sqrt(v16 a) { return _mm512_sqrt_ps(a); }
V16_INLINE v16 v16_abs(v16 a) { return _mm512_abs_ps(a); }
/* Nearest integer, ties to even. */
V16_INLINE v16 v16_round(v16 a) { return _mm512_roundscale_ps(a, 8); }
/* a * 2^n for integral n; over- and underflow round once. */
V16_INLINE v16 v16_scale2(v16 a, v16 n) { return _mm512_scalef_ps(a, n); }
/* Sign of b, magnitude of a. */
V16_INLINE v16 v16_copysign(v16 a, v16 b)
{
    const __m512 sign = _mm512_set1_ps(-0.0f);
    return _mm512_or_ps(_mm512_andnot_ps(sign, a), _mm512_and_ps(sign, b));
}
V16_INLINE v16_mask v16_gt(v16 a, v16 b) { return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ); }
V16_INLINE v16_mask v16_isnan(v16 a) { return _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q); }
V16_INLINE int v16_any(v16_mask m) { return m != 0; }
/* m ? a : b in each lane. */
V16_INLINE v16 v16_pick(v16_mask m, v16 a, v16 b) { return _mm512_mask_blend_ps(m, b, a); }
/* The first n lanes (n <= 16); the others are zero. */
V16_INLINE v16 v16_load_n(const float *p, size_t n)
{
    return _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1u), p);
}
V16_INLINE void v16_store_n(float *p, v16 a, size_t n)
{
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1u), a);
}
V16_INLINE v16 v16_load_bf16(const uint16_t *p)
{
    __m512i u = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(u, 16));
}
#if defined(__AVX512BF16__)
/* Round to nearest even; NaN stays NaN; denormals become zero. */
V16_INLINE void v16_store_bf16(uint16_t *p, v16 a)
{
    _mm256_storeu_si256((__m256i *)(void *)p, (__m256i)_mm512_cvtneps_pbh(a));
}
#else
/* Round to nearest even; NaN stays NaN. */
V16_INLINE void v16_store_bf16(uint16_t *p, v16 a)
{
    __m512i u = _mm512_castps_si512(a), one = _mm512_set1_epi32(1);
    __m512i odd = _mm512_and_si512(_mm512_srli_epi32(u, 16), one);
    __m512i r = _mm512_add_epi32(u, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    __m512i quiet = _mm512_or_si512(u, _mm512_set1_epi32(0x400000));
    r = _mm512_mask_blend_epi32(v16_isnan(a), r, quiet);
    _mm256_storeu_si256((__m256i *)(void *)p, _mm512_cvtepi32_epi16(_mm512_srli_epi32(r, 16)));
}
#endif

#elif defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
typedef struct v16 {
    __m256 l, h;
} v16;
typedef v16 v16_mask;

#define V16_TWO(name, f)                                                                           \
    V16_INLINE v16 name(v16 a, v16 b) { return (v16){f(a.l, b.l), f(a.h, b.h)}; }
V16_TWO(v16_add, _mm256_add_ps)
V16_TWO(v16_sub, _mm256_sub_ps)
V16_TWO(v16_mul, _mm256_mul_ps)
V16_TWO(v16_div, _mm256_div_ps)
V16_TWO(v16_max, _mm256_max_ps)
V16_TWO(v16_min, _mm256_min_ps)
V16_INLINE v16 v16_set(float x) { return (v16){_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
V16_INLINE v16 v16_load(const float *p)
{
    return (v16){_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
}
V16_INLINE void v16_store(float *p, v16 a)
{
    _mm256_storeu_ps(p, a.l);
    _mm256_storeu_ps(p + 8, a.h);
}
V16_INLINE v16 v16_fma(v16 a, v16 b, v16 c)
{
    return (v16){_mm256_fmadd_ps(a.l, b.l, c.l), _mm256_fmadd_ps(a.h, b.h, c.h)};
}
V16_INLINE v16 v16_sqrt(v16 a) { return (v16){_mm256_sqrt_ps(a.l), _mm256_sqrt_ps(a.h)}; }
V16_INLINE v16 v16_abs(v16 a)
{
    const __m256 s = _mm256_set1_ps(-0.0f);
    return (v16){_mm256_andnot_ps(s, a.l), _mm256_andnot_ps(s, a.h)};
}
V16_INLINE v16 v16_round(v16 a)
{
    return (v16){_mm256_round_ps(a.l, 8), _mm256_round_ps(a.h, 8)};
}
V16_INLINE __m256 v8_pow2_(__m256 n)
{
    __m256i e = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
    return _mm256_castsi256_ps(_mm256_slli_epi32(e, 23));
}
V16_INLINE __m256 v8_scale2_(__m256 a, __m256 n)
{
    __m256 half = _mm256_round_ps(_mm256_mul_ps(n, _mm256_set1_ps(0.5f)), 8);
    return _mm256_mul_ps(_mm256_mul_ps(a, v8_pow2_(half)), v8_pow2_(_mm256_sub_ps(n, half)));
}
V16_INLINE v16 v16_scale2(v16 a, v16 n) { return (v16){v8_scale2_(a.l, n.l), v8_scale2_(a.h, n.h)}; }
V16_INLINE v16 v16_copysign(v16 a, v16 b)
{
    const __m256 s = _mm256_set1_ps(-0.0f);
    v16 m = v16_abs(a);
    return (v16){_mm256_or_ps(m.l, _mm256_and_ps(s, b.l)), _mm256_or_ps(m.h, _mm256_and_ps(s, b.h))};
}
V16_INLINE v16_mask v16_gt(v16 a, v16 b)
{
    return (v16){_mm256_cmp_ps(a.l, b.l, _CMP_GT_OQ), _mm256_cmp_ps(a.h, b.h, _CMP_GT_OQ)};
}
V16_INLINE v16_mask v16_isnan(v16 a)
{
    return (v16){_mm256_cmp_ps(a.l, a.l, _CMP_UNORD_Q), _mm256_cmp_ps(a.h, a.h, _CMP_UNORD_Q)};
}
V16_INLINE int v16_any(v16_mask m) { return _mm256_movemask_ps(_mm256_or_ps(m.l, m.h)) != 0; }
V16_INLINE v16 v16_pick(v16_mask m, v16 a, v16 b)
{
    return (v16){_mm256_blendv_ps(b.l, a.l, m.l), _mm256_blendv_ps(b.h, a.h, m.h)};
}
V16_INLINE v16 v16_load_n(const float *p, size_t n)
{
    float t[16] = {0};
    if (n >= 16)
        return v16_load(p);
    memcpy(t, p, n * sizeof *p);
    return v16_load(t);
}
V16_INLINE void v16_store_n(float *p, v16 a, size_t n)
{
    float t[16];
    if (n >= 16) {
        v16_store(p, a);
        return;
    }
    v16_store(t, a);
    memcpy(p, t, n * sizeof *p);
}
V16_INLINE __m256 v8_load_bf16_(const uint16_t *p)
{
    __m256i u = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(u, 16));
}
V16_INLINE v16 v16_load_bf16(const uint16_t *p)
{
    return (v16){v8_load_bf16_(p), v8_load_bf16_(p + 8)};
}
V16_INLINE __m256i v8_round_bf16_(__m256 a)
{
    __m256i u = _mm256_castps_si256(a);
    __m256i odd = _mm256_and_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(1));
    __m256i r = _mm256_add_epi32(u, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    __m256i quiet = _mm256_or_si256(u, _mm256_set1_epi32(0x400000));
    __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(a, a, _CMP_UNORD_Q));
    return _mm256_srli_epi32(_mm256_blendv_epi8(r, quiet, nan), 16);
}
V16_INLINE void v16_store_bf16(uint16_t *p, v16 a)
{
    __m256i r = _mm256_packus_epi32(v8_round_bf16_(a.l), v8_round_bf16_(a.h));
    _mm256_storeu_si256((__m256i *)(void *)p, _mm256_permute4x64_epi64(r, 0xd8));
}

#else
typedef struct v16 {
    float x[16];
} v16;
typedef struct v16_mask {
    int x[16];
} v16_mask;

#define V16_EACH for (int i = 0; i < 16; i++)
#define V16_TWO(name, expr)                                                                        \
    V16_INLINE v16 name(v16 a, v16 b)                                                              \
    {                                                                                              \
        v16 r;                                                                                     \
        V16_EACH r.x[i] = (expr);                                                                  \
        return r;                                                                                  \
    }
#define V16_ONE(name, expr)                                                                        \
    V16_INLINE v16 name(v16 a)                                                                     \
    {                                                                                              \
        v16 r;                                                                                     \
        V16_EACH r.x[i] = (expr);                                                                  \
        return r;                                                                                  \
    }
V16_TWO(v16_add, a.x[i] + b.x[i])
V16_TWO(v16_sub, a.x[i] - b.x[i])
V16_TWO(v16_mul, a.x[i] * b.x[i])
V16_TWO(v16_div, a.x[i] / b.x[i])
V16_TWO(v16_max, a.x[i] > b.x[i] ? a.x[i] : b.x[i])
V16_TWO(v16_min, a.x[i] < b.x[i] ? a.x[i] : b.x[i])
V16_TWO(v16_scale2, b.x[i] == b.x[i] ? ldexpf(a.x[i], (int)b.x[i]) : b.x[i])
V16_TWO(v16_copysign, copysignf(a.x[i], b.x[i]))
V16_ONE(v16_sqrt, sqrtf(a.x[i]))
V16_ONE(v16_abs, fabsf(a.x[i]))
V16_ONE(v16_round, nearbyintf(a.x[i]))
V16_INLINE v16 v16_set(float x)
{
    v16 r;
    V16_EACH r.x[i] = x;
    return r;
}
V16_INLINE v16 v16_load_n(const float *p, size_t n)
{
    v16 r = v16_set(0.0f);
    memcpy(r.x, p, n * sizeof *p);
    return r;
}
V16_INLINE void v16_store_n(float *p, v16 a, size_t n) { memcpy(p, a.x, n * sizeof *p); }
V16_INLINE v16 v16_load(const float *p) { return v16_load_n(p, 16); }
V16_INLINE void v16_store(float *p, v16 a) { v16_store_n(p, a, 16); }
V16_INLINE v16 v16_fma(v16 a, v16 b, v16 c) { return v16_add(v16_mul(a, b), c); }
V16_INLINE v16_mask v16_gt(v16 a, v16 b)
{
    v16_mask r;
    V16_EACH r.x[i] = a.x[i] > b.x[i];
    return r;
}
V16_INLINE v16_mask v16_isnan(v16 a)
{
    v16_mask r;
    V16_EACH r.x[i] = a.x[i] != a.x[i];
    return r;
}
V16_INLINE int v16_any(v16_mask m)
{
    int any = 0;
    V16_EACH any |= m.x[i];
    return any;
}
V16_INLINE v16 v16_pick(v16_mask m, v16 a, v16 b)
{
    v16 r;
    V16_EACH r.x[i] = m.x[i] ? a.x[i] : b.x[i];
    return r;
}
V16_INLINE v16 v16_load_bf16(const uint16_t *p)
{
    v16 r;
    V16_EACH
    {
        uint32_t u = (uint32_t)p[i] << 16;
        memcpy(&r.x[i], &u, sizeof u);
    }
    return r;
}
V16_INLINE void v16_store_bf16(uint16_t *p, v16 a)
{
    V16_EACH
    {
        uint32_t u;
        memcpy(&u, &a.x[i], sizeof u);
        uint32_t rounded = u + 0x7fffu + ((u >> 16) & 1u);
        p[i] = (uint16_t)((a.x[i] != a.x[i] ? (u | 0x400000u) : rounded) >> 16);
    }
}
#endif

/* Sum and largest of the lanes, always folded 8, 4, 2, 1; and lanes n.. replaced by x (n <= 16). */
#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__)
#define V16_FOLD(name, f256, f128)                                                                 \
    V16_INLINE float name(v16 a)                                                                   \
    {                                                                                              \
        __m256 t = f256(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));                  \
        __m128 u = f128(_mm256_castps256_ps128(t), _mm256_extractf128_ps(t, 1));                   \
        u = f128(u, _mm_movehl_ps(u, u));                                                          \
        return _mm_cvtss_f32(f128(u, _mm_movehdup_ps(u)));                                         \
    }
V16_FOLD(v16_sum, _mm256_add_ps, _mm_add_ps)
V16_FOLD(v16_top, _mm256_max_ps, _mm_max_ps)
V16_INLINE v16 v16_fill_from(v16 a, size_t n, float x)
{
    return _mm512_mask_blend_ps((__mmask16)((1u << n) - 1u), _mm512_set1_ps(x), a);
}
#else
V16_INLINE float v16_sum(v16 a)
{
    float t[16];
    v16_store(t, a);
    for (int half = 8; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            t[i] += t[i + half];
    return t[0];
}
V16_INLINE float v16_top(v16 a)
{
    float t[16];
    v16_store(t, a);
    for (int half = 8; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            t[i] = t[i] > t[i + half] ? t[i] : t[i + half];
    return t[0];
}
V16_INLINE v16 v16_fill_from(v16 a, size_t n, float x)
{
    float t[16];
    v16_store(t, a);
    for (size_t i = n; i < 16; i++)
        t[i] = x;
    return v16_load(t);
}

#endif

#endif
