/* SPDX-License-Identifier: Apache-2.0
 * tessera parity: our numbers beside those another implementation stored. */
#include "cli/commands.h"
#include "cli/console.h"
#include "tasks/parity.h"

#include <stdio.h>
#include <string.h>

typedef struct settings {
    int precision, json;
    double tolerance;
} settings;

static const tsr_option options[] = {
    {"precision", 'p', TSR_OPT_CHOICE, offsetof(settings, precision), "fp32", 0, 0, "fp32|bf16",
     "of the operands of matrix products; bf16 only where the processor has it"},
    {"tolerance", 0, TSR_OPT_NUMBER, offsetof(settings, tolerance), "1e-4", 1e-12, 1e6, "T",
     "largest difference allowed, relative to the tensor's largest value; ten times this for "
     "gradients; in bf16 also the share of tokens that may differ"},
    TSR_OPTION_JSON(settings),
};

static void print_line(const tsr_parity_line *l, int width)
{
    tsr_put_text(stdout, l->name); /* names come from outside */
    printf("%*s", width - (int)strlen(l->name) > 0 ? width - (int)strlen(l->name) + 1 : 1, "");
    if (l->verdict == TSR_PARITY_NOT_COMPUTED)
        printf("%9s %10s %10s ", "-", "-", "-");
    else if (l->whole)
        printf("%9zu %9.4f%% %10zu ", l->count,
               l->count ? 100.0 * (double)l->equal / (double)l->count : 100.0, l->clear);
    else
        printf("%9zu %10.3g %10.3g ", l->count, l->absolute, l->relative);
    fputs(tsr_parity_verdict_name(l->verdict), stdout);
    if (l->note) {
        fputs(" (", stdout);
        tsr_put_text(stdout, l->note);
        putchar(')');
    }
    putchar('\n');
}

static void print_table(const tsr_parity *p)
{
    int width = 10;
    for (size_t i = 0; i < p->count; i++)
        width = strlen(p->lines[i].name) > (size_t)width ? (int)strlen(p->lines[i].name) : width;
    width = width > 60 ? 60 : width;
    for (int whole = 0; whole < 2; whole++) {
        int head = 0;
        for (size_t i = 0; i < p->count; i++) {
            if (p->lines[i].whole != whole)
                continue;
            if (!head++)
                printf("%-*s %9s %10s %10s verdict\n", width, whole ? "ids" : "values", "count",
                       whole ? "equal" : "absolute", whole ? "clear" : "relative");
            print_line(&p->lines[i], width);
        }
    }
    printf("%s, %s: %zu of %zu outputs within\n", p->kind, tsr_precision_name(p->precision),
           p->count - tsr_parity_failed(p), p->count);
}

static int run(const void *settings_, int n_operands, char *const *operands)
{
    const settings *s = settings_;
    const tsr_parity_spec spec = {.precision =
                                      s->precision ? TSR_PRECISION_BF16 : TSR_PRECISION_FP32,
                                  .tolerance = s->tolerance};
    tsr_parity p;
    json_t *v = NULL;
    tsr_status st;
    (void)n_operands;
    TSR_GO(tsr_parity_run(operands[0], operands[1], &spec, &p));
    if (p.precision != spec.precision)
        tsr_say("this processor has no fast bf16: computed in fp32");
    if (s->json) {
        TSR_GO(tsr_parity_json(&p, &v));
        TSR_GO(tsr_print_json(v, 1));
    } else {
        print_table(&p);
    }
    if (tsr_parity_failed(&p))
        TSR_GOFAIL(TSR_EMISMATCH, "%zu of %zu stored outputs are not within the tolerance",
                   tsr_parity_failed(&p), p.count);
out:
    json_decref(v);
    tsr_parity_clear(&p);
    return tsr_finish(st);
}

const tsr_command tsr_cmd_parity = {
    .name = "parity",
    .operands = "CHECKPOINT IO.safetensors",
    .summary = "compare what a checkpoint computes with stored results",
    .details =
        "IO.safetensors holds inputs and what another implementation computed from them with the "
        "same checkpoint. All outputs it stores are computed again and compared; what it does not "
        "store is not. A stored output that cannot be computed is named and fails.\n"
        "\n"
        "Tokenizers:\n"
        "\n"
        "  input                     [samples, channels, height, width], as the encoder gets it;\n"
        "                            label maps [samples, height, width]\n"
        "  latents, quantized        [samples, width of a code, rows, columns]\n"
        "  tokens                    [samples, (heads,) rows, columns]\n"
        "  margin                    distance between the best and the second-best code,\n"
        "                            [heads, samples, rows, columns]\n"
        "  decoded                   [samples, channels, height, width]\n"
        "  noise                     what a diffusion decoder began with, like decoded\n"
        "  step_noise                what its calls added, [calls, samples, channels, height, width]\n"
        "\n"
        "Metadata of such a file, as text: steps, sampler (ddim, ddpm, pndm, plms), eta, guidance, "
        "compatible (1: visits the steps the published code visits).\n"
        "\n"
        "Masked models, a batch as the published training code has it:\n"
        "\n"
        "  in.MODALITY.tensor, .input_mask, .target_mask (true: hidden)\n"
        "  packed.*                  modality, mask and target of each slot\n"
        "  encoder_out, decoder_out  states of the slots\n"
        "  logits.MODALITY           of the decoder's slots\n"
        "  loss.MODALITY, loss_mod, loss_token\n"
        "  grad.TENSOR               of loss_mod\n"
        "\n"
        "Metadata of such a file: modality_order (how slots follow each other) and modality_ids, "
        "both JSON.\n"
        "\n"
        "The table gives the largest difference and the same relative to the largest value stored; "
        "for ids how many are equal and how many differ clearly, which for tokens means with a "
        "margin of at least 1e-5. Codes that are looked up and decoded are the stored ones. "
        "Slots of padding are not compared. The gradient of a bias of normed keys is 0 but for "
        "rounding and relative to the gradient of the weight beside it. loss_token is weighted by "
        "tokens times vocabulary, as the published code does.\n"
        "\n"
        "Exit status 3: an output beyond the tolerance, or one that cannot be computed.",
    .min_operands = 2,
    .max_operands = 2,
    .options = options,
    .n_options = sizeof options / sizeof options[0],
    .settings_bytes = sizeof(settings),
    .run = run,
};
