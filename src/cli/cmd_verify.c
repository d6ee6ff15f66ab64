/* SPDX-License-Identifier: Apache-2.0
 * tessera verify: is a corpus, or one shard file, what it should be? */
#include "cli/commands.h"
#include "cli/console.h"
#include "cli/progress.h"
#include "shards/verify.h"

#include <stdio.h>

typedef struct settings {
    int progress, json, quick;
} settings;

static const tsr_option options[] = {
    {"quick", 'q', TSR_OPT_FLAG, offsetof(settings, quick), NULL, 0, 0, NULL,
     "leave out digests and ids, which need every byte to be read"},
    TSR_OPTION_JSON(settings),
    TSR_OPTION_PROGRESS(settings),
};

static tsr_status add_list(json_t *o, const char *key, const tsr_names *n)
{
    json_t *list = json_array();
    TSR_TRY(tsr_json_set(o, key, list));
    for (size_t i = 0; i < n->count; i++)
        TSR_TRY(tsr_json_append(list, json_string(n->names[i])));
    return TSR_OK;
}

static tsr_status print_json(const char *path, const tsr_verify_report *r)
{
    json_t *o = json_object();
    tsr_status st = TSR_OK;
    TSR_GO(tsr_json_set(o, "path", json_string(path)));
    TSR_GO(tsr_json_set(o, "ok", json_boolean(r->problems.count == 0)));
    TSR_GO(tsr_json_set(o, "files", json_integer((json_int_t)r->files)));
    TSR_GO(tsr_json_set(o, "bytes", json_integer((json_int_t)r->bytes)));
    TSR_GO(tsr_json_set(o, "samples", json_integer((json_int_t)r->samples)));
    TSR_GO(tsr_json_set(o, "tokens", json_integer((json_int_t)r->tokens)));
    TSR_GO(tsr_json_set(o, "failed", json_integer((json_int_t)r->failed)));
    TSR_GO(add_list(o, "problems", &r->problems));
    TSR_GO(add_list(o, "remarks", &r->remarks));
    TSR_GO(tsr_print_json(o, 1));
out:
    json_decref(o);
    return st;
}

static void print_text(const char *path, const tsr_verify_report *r)
{
    for (size_t i = 0; i < r->problems.count; i++)
        printf("problem: %s\n", r->problems.names[i]);
    for (size_t i = 0; i < r->remarks.count; i++)
        printf("remark: %s\n", r->remarks.names[i]);
    printf("%s: %s: %llu files, %llu samples, %llu tokens, %llu failed inputs\n", path,
           r->problems.count ? "DAMAGED" : "good", (unsigned long long)r->files,
           (unsigned long long)r->samples, (unsigned long long)r->tokens,
           (unsigned long long)r->failed);
}

static tsr_status verify(const settings *s, const char *path)
{
    tsr_verify_report r;
    tsr_meter meter;
    tsr_job job;
    tsr_meter_init(&meter, (tsr_progress_style)s->progress, &job);
    tsr_status st = tsr_verify(path, s->quick, &job, &r);
    tsr_meter_finish(&meter);
    TSR_TRY(st);
    if (s->json)
        st = print_json(path, &r);
    else
        print_text(path, &r);
    size_t problems = r.problems.count;
    tsr_verify_clear(&r);
    TSR_TRY(st);
    if (problems)
        TSR_FAIL(TSR_EMISMATCH, "%s: %zu problem%s", path, problems, problems > 1 ? "s" : "");
    return TSR_OK;
}

static int run(const void *settings_, int n_operands, char *const *operands)
{
    (void)n_operands;
    return tsr_finish(verify(settings_, operands[0]));
}

const tsr_command tsr_cmd_verify = {
    .name = "verify",
    .operands = "CORPUS|SHARD",
    .summary = "check a corpus against its manifest",
    .details =
        "Checks digests, formats, alignment of all modalities by key, offsets, ids, presence codes "
        "and counts, and lists every problem it finds. Remarks are no errors: leftovers of a "
        "killed "
        "writer, files that do not belong to the corpus, modalities that are not finished.\n"
        "\n"
        "Exit code 0 when the corpus is good, 3 when it is not.",
    .min_operands = 1,
    .max_operands = 1,
    .options = options,
    .n_options = sizeof options / sizeof options[0],
    .settings_bytes = sizeof(settings),
    .run = run,
};
