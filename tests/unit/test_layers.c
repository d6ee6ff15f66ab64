/* SPDX-License-Identifier: Apache-2.0
 * Operations of nn/layers.h: gradients, values, wrong shapes, same bytes for any batch. */
#include "gradcheck.h"

#include "nn/layers.h"

#define N_OF(a) ((int)(sizeof(a) / sizeof *(a)))

/* --- gradients ----------------------------------------------------------------------------------- */

static tsr_value build_activations(tsr_graph *g, const tsr_value *in)
{
    tsr_value a = tsr_gelu(g, in[0]), b = tsr_tanh(g, in[0]), c = tsr_silu(g, in[0]);
    tsr_value d = tsr_sigmoid(g, in[0]), e = tsr_exp(g, in[0]);
    return tsr_add(g, tsr_add(g, tsr_mul(g, a, b), tsr_mul(g, c, d)), e);
}

static void activations(void **state)
{
    gradcheck_input in[] = {{.ndim = 2, .shape = {3, 19}}};
    (void)state;
    gradcheck(N_OF(in), in, build_activations, 0.02f, 1e-4);
}

static tsr_value build_gate(tsr_graph *g, const tsr_value *in)
{
    return tsr_silu_gate(g, in[0], in[1]);
}

static void gate(void **state)
{
    gradcheck_input in[] = {{.ndim = 2, .shape = {5, 7}}, {.ndim = 2, .shape = {5, 7}}};
    (void)state;
    gradcheck(N_OF(in), in, build_gate, 0.02f, 1e-4);
}

static tsr_value build_norm(tsr_graph *g, const tsr_value *in)
{
    tsr_value y = tsr_layer_norm(g, in[0], in[1], in[2], 1e-6f);
    return tsr_add(g, y, tsr_layer_norm(g, in[0], TSR_NONE, TSR_NONE, 1e-5f));
}

static void layer_norm(void **state)
{
    gradcheck_input in[] = {{.ndim = 3, .shape = {2, 9, 70}}, {.ndim = 1, .shape = {70}, .weight = 1},
                            {.ndim = 1, .shape = {70}, .weight = 1}};
    (void)state;
    gradcheck(N_OF(in), in, build_norm, 0.02f, 1e-4);
}

static tsr_value build_normalize(tsr_graph *g, const tsr_value *in)
{
    return tsr_normalize(g, in[0], 1e-12f);
}

static void normalize(void **state)
{
    gradcheck_input in[] = {{.ndim = 2, .shape = {4, 21}}};
    (void)state;
    gradcheck(N_OF(in), in, build_normalize, 0.02f, 1e-4);
}

static tsr_value build_attention(tsr_graph *g, const tsr_value *in)
{
    return tsr_attention(g, in[0], in[1], in[2], &TSR_ATTENTION(2));
}

static tsr_value build_self(tsr_graph *g, const tsr_value *in)
{
    tsr_attention_spec s = TSR_ATTENTION(2);
    s.causal = 1;
    s.scale = 0.3f;
    return tsr_self_attention(g, in[0], &s);
}

static tsr_value build_cross(tsr_graph *g, const tsr_value *in)
{
    return tsr_cross_attention(g, in[0], in[1], &TSR_ATTENTION(3));
}

static tsr_value build_segments(tsr_graph *g, const tsr_value *in)
{
    tsr_attention_spec s = TSR_ATTENTION(2);
    s.q_offsets = in[1];
    s.causal_segments = in[2];
    return tsr_self_attention(g, in[0], &s);
}

static tsr_value build_cross_segments(tsr_graph *g, const tsr_value *in)
{
    tsr_attention_spec s = TSR_ATTENTION(2);
    s.q_offsets = in[2];
    s.k_offsets = in[3];
    return tsr_cross_attention(g, in[0], in[1], &s);
}

static void attention(void **state)
{
    gradcheck_input separate[] = {{.ndim = 3, .shape = {2, 5, 12}}, {.ndim = 3, .shape = {2, 7, 12}},
                                  {.ndim = 3, .shape = {2, 7, 12}}};
    gradcheck_input self[] = {{.ndim = 3, .shape = {2, 6, 24}}};
    gradcheck_input cross[] = {{.ndim = 3, .shape = {2, 5, 12}}, {.ndim = 3, .shape = {2, 3, 24}}};
    (void)state;
    gradcheck(3, separate, build_attention, 0.02f, 2e-4);
    gradcheck(1, self, build_self, 0.02f, 2e-4);
    gradcheck(2, cross, build_cross, 0.02f, 2e-4);
}

static void attention_of_segments(void **state)
{
    static const int32_t offsets[] = {1, 4, 4, 9}, causal[] = {0, 1, 1}, keys[] = {0, 2, 5, 5};
    gradcheck_input self[] = {{.ndim = 2, .shape = {11, 24}}, {.ndim = 1, .shape = {4}, .ints = offsets},
                              {.ndim = 1, .shape = {3}, .ints = causal}};
    gradcheck_input cross[] = {{.ndim = 2, .shape = {11, 12}}, {.ndim = 2, .shape = {6, 24}},
                               {.ndim = 1, .shape = {4}, .ints = offsets},
                               {.ndim = 1, .shape = {4}, .ints = keys}};
    (void)state;
    gradcheck(3, self, build_segments, 0.02f, 2e-4);
    gradcheck(4, cross, build_cross_segments, 0.02f, 2e-4);
}

static tsr_value build_embedding(tsr_graph *g, const tsr_value *in)
{
    return tsr_embedding(g, in[0], in[1]);
}

static void embedding(void **state)
{
    static const int32_t ids[] = {3, 0, 3, 9, -1, 3, 10, 0};
    gradcheck_input in[] = {{.ndim = 2, .shape = {10, 5}, .weight = 1},
                            {.ndim = 2, .shape = {2, 4}, .ints = ids}};
    gradcheck_input wide[] = {{.ndim = 2, .shape = {10, 130}},
                              {.ndim = 1, .shape = {8}, .ints = ids}};
    (void)state;
    gradcheck(2, in, build_embedding, 0.02f, 1e-4);
    gradcheck(2, wide, build_embedding, 0.02f, 1e-4);
}

static tsr_value build_patchify(tsr_graph *g, const tsr_value *in)
{
    return tsr_patchify(g, in[0], 2);
}

static tsr_value build_unpatchify(tsr_graph *g, const tsr_value *in)
{
    return tsr_unpatchify(g, in[0], 2, 3, 2);
}

static void patches(void **state)
{
    gradcheck_input image[] = {{.ndim = 4, .shape = {2, 3, 4, 6}}};
    gradcheck_input tokens[] = {{.ndim = 3, .shape = {2, 6, 12}}};
    (void)state;
    gradcheck(1, image, build_patchify, 0.02f, 1e-4);
    gradcheck(1, tokens, build_unpatchify, 0.02f, 1e-4);
}

static tsr_value build_resample(tsr_graph *g, const tsr_value *in)
{
    return tsr_resample(g, in[0], 3, 8);
}

static void resample(void **state)
{
    gradcheck_input in[] = {{.ndim = 4, .shape = {1, 20, 7, 5}}};
    (void)state;
    gradcheck(1, in, build_resample, 0.02f, 1e-4);
}

static tsr_value build_conv(tsr_graph *g, const tsr_value *in)
{
    return tsr_conv2d(g, in[0], in[1], in[2], (tsr_conv_spec){.stride = 2, .pad = 1, .groups = 2});
}

static tsr_value build_depthwise(tsr_graph *g, const tsr_value *in)
{
    return tsr_conv2d(g, in[0], in[1], TSR_NONE, (tsr_conv_spec){.stride = 1, .pad = 3, .groups = 3});
}

static void convolution(void **state)
{
    gradcheck_input in[] = {{.ndim = 4, .shape = {2, 4, 6, 7}},
                            {.ndim = 4, .shape = {6, 2, 3, 2}, .weight = 1},
                            {.ndim = 1, .shape = {6}, .weight = 1}};
    gradcheck_input depthwise[] = {{.ndim = 4, .shape = {2, 3, 9, 8}},
                                   {.ndim = 4, .shape = {3, 1, 7, 7}}};
    (void)state;
    gradcheck(3, in, build_conv, 0.02f, 1e-4);
    gradcheck(2, depthwise, build_depthwise, 0.02f, 1e-4);
}

static tsr_value build_regressions(tsr_graph *g, const tsr_value *in)
{
    tsr_value a = tsr_mse(g, in[0], in[1], TSR_NONE), b = tsr_mse(g, in[0], in[1], in[2]);
    tsr_value c = tsr_smooth_l1(g, in[0], in[1], in[2], 0.7f), d = tsr_l1(g, in[0], in[1], in[3]);
    return tsr_add(g, tsr_add(g, a, b), tsr_add(g, c, d));
}

static tsr_value build_cosine(tsr_graph *g, const tsr_value *in)
{
    tsr_value a = tsr_cosine_loss(g, in[0], in[1], TSR_NONE);
    return tsr_add(g, a, tsr_cosine_loss(g, in[0], in[1], in[2]));
}

static void losses(void **state)
{
    static const float channel_mask[] = {1, 0, 0, 1, 0.5f, 1, 1, 0, 1, 1};
    static const float same[30] = {[2] = 1, [11] = 1, [12] = 1, [29] = 2};
    static const float rows[] = {1, 0, 1, 1, 0, 0.25f};
    gradcheck_input in[] = {{.ndim = 3, .shape = {2, 3, 5}}, {.ndim = 3, .shape = {2, 3, 5}, .fixed = 1},
                            {.ndim = 3, .shape = {2, 1, 5}, .floats = channel_mask, .fixed = 1},
                            {.ndim = 3, .shape = {2, 3, 5}, .floats = same, .fixed = 1}};
    gradcheck_input angles[] = {{.ndim = 3, .shape = {2, 3, 5}},
                                {.ndim = 3, .shape = {2, 3, 5}, .fixed = 1},
                                {.ndim = 2, .shape = {2, 3}, .floats = rows, .fixed = 1}};
    (void)state;
    gradcheck(4, in, build_regressions, 0.002f, 2e-3);
    gradcheck(3, angles, build_cosine, 0.02f, 2e-4);
}

static tsr_value build_entropy(tsr_graph *g, const tsr_value *in)
{
    tsr_value a = tsr_softmax_cross_entropy(g, in[0], in[1], TSR_NONE);
    return tsr_add(g, a, tsr_softmax_cross_entropy(g, in[0], in[1], in[2]));
}

static void cross_entropy(void **state)
{
    static const int32_t ids[] = {0, 36, -1, 5, 37, 5, 5, 1, 2, 3};
    static const float weights[] = {1, 1, 1, 0, 1, 2, 0.5f, 1, 1, 0};
    gradcheck_input in[] = {{.ndim = 2, .shape = {10, 37}}, {.ndim = 1, .shape = {10}, .ints = ids},
                            {.ndim = 1, .shape = {10}, .floats = weights, .fixed = 1}};
    (void)state;
    gradcheck(3, in, build_entropy, 0.02f, 2e-4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(activations),
        cmocka_unit_test(gate),
        cmocka_unit_test(layer_norm),
        cmocka_unit_test(normalize),
        cmocka_unit_test(attention),
        cmocka_unit_test(attention_of_segments),
        cmocka_unit_test(embedding),
        cmocka_unit_test(patches),
        cmocka_unit_test(resample),
        cmocka_unit_test(convolution),
        cmocka_unit_test(losses),
        cmocka_unit_test(cross_entropy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
