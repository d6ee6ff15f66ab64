/* SPDX-License-Identifier: Apache-2.0
 * Graphs: building, messages, planning, running, differentiating. */
#include "testing.h"

#include "base/par.h"
#include "nn/graph.h"
#include "nn/ops.h"

static void test_trivial(void **state)
{
    (void)state;
    tsr_graph *g;
    tsr_exec *run;
    assert_ok(tsr_graph_create(NULL, TSR_PRECISION_FP32, &g));
    tsr_value x = tsr_input(g, "x", TSR_F32, 2, (size_t[]){2, 3});
    tsr_value b = tsr_input(g, "b", TSR_F32, 1, (size_t[]){3});
    tsr_value y = tsr_scale(g, tsr_add(g, x, b), 2.0f);
    tsr_graph_output(g, y);
    assert_ok(tsr_graph_check(g));
    assert_ok(tsr_exec_create(g, &run));
    memcpy(tsr_exec_input(run, x), (float[]){1, 2, 3, 4, 5, 6}, 24);
    memcpy(tsr_exec_input(run, b), (float[]){10, 20, 30}, 12);
    assert_ok(tsr_exec_run(run));
    assert_memory_equal(tsr_exec_value(run, y), ((float[]){22, 44, 66, 28, 50, 72}), 24);
    tsr_exec_destroy(run);
    tsr_graph_destroy(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trivial),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
