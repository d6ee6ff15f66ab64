/* SPDX-License-Identifier: Apache-2.0
 * The program that renders the synthetic, exactly aligned corpus. */
#include "base/options.h"
#include "base/par.h"
#include "cli/console.h"
#include "cli/progress.h"
#include "config.h"
#include "scenes/scene_write.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

typedef struct settings {
    const char *out, *split, *modalities;
    long long count, first, seed, size, jpeg, threads;
    int force, progress, json, dry_run;
} settings;

#define AT(field) offsetof(settings, field)

static const tsr_option options[] = {
    {"out", 'o', TSR_OPT_STRING, AT(out), NULL, 0, 0, "DIR", "write below this folder"},
    {"count", 'c', TSR_OPT_INT, AT(count), "1000", 1, 4294967296.0, "N", "number of scenes"},
    {"first", 0, TSR_OPT_INT, AT(first), "0", 0, 281474976710656.0, "N",
     "index of the first scene, to share a corpus among machines"},
    {"seed", 0, TSR_OPT_INT, AT(seed), "0", 0, 9007199254740992.0, "N",
     "same seed, same bytes, for any number of threads"},
    {"size", 0, TSR_OPT_INT, AT(size), "128", 16, 4096, "N", "pixels a side"},
    {"split", 0, TSR_OPT_STRING, AT(split), "0.9,0.05,0.05", 0, 0, "T,V,S",
     "fractions of train, val and test"},
    {"modalities", 'm', TSR_OPT_STRING, AT(modalities),
     "rgb,depth,normal,semseg,instance,det,caption,audio,metadata", 0, 0, "LIST",
     "what to write of each scene"},
    {"jpeg", 0, TSR_OPT_INT, AT(jpeg), "0", 0, 100, "Q",
     "write rgb as JPEG of this quality; 0 is PNG"},
    TSR_OPTION_THREADS(settings),
    {"force", 'f', TSR_OPT_FLAG, AT(force), NULL, 0, 0, NULL, "write again what is already there"},
    TSR_OPTION_DRY_RUN(settings),
    TSR_OPTION_PROGRESS(settings),
    TSR_OPTION_JSON(settings),
};

static const tsr_command command = {
    .name = "", /* the program is the command */
    .operands = "",
    .summary = "render a synthetic corpus of aligned pictures, labels, words and sounds",
    .details =
        "Renders furnished little worlds with a seeded ray caster and writes, for each scene, "
        "its picture, depth, surface normals, class and instance maps, boxes, caption, sound "
        "and metadata to DIR/SPLIT/MODALITY/FOLDER/NAME.EXT. Samples that are complete are "
        "not made again.",
    .options = options,
    .n_options = sizeof options / sizeof options[0],
    .settings_bytes = sizeof(settings),
};

static tsr_status report_json(const tsr_scene_plan *p, const tsr_scene_tally *t, int dry)
{
    json_t *o = json_pack(
        "{s:s,s:b,s:I,s:I,s:I,s:i,s:{s:I,s:I,s:I},s:I,s:I,s:I,s:I,s:i,s:f}", "out", p->out,
        "dry_run", dry, "seed", (json_int_t)p->seed, "first", (json_int_t)p->first, "count",
        (json_int_t)p->count, "size", p->size, "splits", "train", (json_int_t)t->per_split[0],
        "val", (json_int_t)t->per_split[1], "test", (json_int_t)t->per_split[2], "written",
        (json_int_t)t->written, "kept", (json_int_t)t->kept, "files", (json_int_t)t->files, "bytes",
        (json_int_t)t->bytes, "threads", tsr_par_threads(), "seconds", t->seconds);
    if (!o)
        TSR_FAIL(TSR_ENOMEM, "no memory for the report");
    tsr_status st = tsr_print_json(o, 1);
    json_decref(o);
    return st;
}

static tsr_status report(const tsr_scene_plan *p, const tsr_scene_tally *t, const settings *s)
{
    if (s->json)
        return report_json(p, t, s->dry_run);
    if (s->dry_run) {
        printf("would render %" PRId64 " scenes of %d x %d to %s: ", p->count, p->size, p->size,
               p->out);
    } else {
        double minutes = t->seconds / 60 + 1e-9;
        printf("%" PRId64 " scenes written (%.1f MB, %.0f a minute), %" PRId64
               " were there, in %s: ",
               t->written, (double)t->bytes / 1e6, (double)t->written / minutes, t->kept, p->out);
    }
    printf("%" PRId64 " train, %" PRId64 " val, %" PRId64 " test\n", t->per_split[0],
           t->per_split[1], t->per_split[2]);
    return TSR_OK;
}

static tsr_status make_plan(const settings *s, tsr_scene_plan *p)
{
    *p = (tsr_scene_plan){.out = s->out,
                          .seed = (uint64_t)s->seed,
                          .first = s->first,
                          .count = s->count,
                          .size = (int)s->size,
                          .jpeg_quality = (int)s->jpeg,
                          .force = s->force};
    if (!s->out)
        TSR_FAIL(TSR_EARG, "--out DIR is needed; --help tells the options");
    TSR_TRY(tsr_scene_modalities(s->modalities, &p->modalities));
    return tsr_scene_fractions(s->split, p->split);
}

static tsr_status render(const settings *s)
{
    tsr_scene_plan plan;
    tsr_scene_tally tally;
    tsr_meter meter;
    tsr_job job;
    TSR_TRY(make_plan(s, &plan));
    tsr_par_set_threads((int)s->threads);
    if (s->dry_run) {
        tsr_scene_count(&plan, &tally);
        return report(&plan, &tally, s);
    }
    tsr_meter_init(&meter, (tsr_progress_style)s->progress, &job);
    tsr_status st = tsr_scene_render(&plan, &job, &tally);
    tsr_meter_finish(&meter);
    if (st == TSR_OK || st == TSR_ECANCEL)
        TSR_TRY(report(&plan, &tally, s));
    return st;
}

/* 1 when the only argument asks for the version. */
static int asks_version(int argc, char **argv)
{
    return argc == 2 && strcmp(argv[1], "--version") == 0;
}

int main(int argc, char **argv)
{
    settings s = {0};
    int n_operands, help = 0;
    if (asks_version(argc, argv)) {
        printf("tessera-scenes %s\n", PACKAGE_VERSION);
        return tsr_finish(TSR_OK);
    }
    tsr_status st = tsr_options_parse(&command, argc, argv, &s, &n_operands, &help);
    if (st == TSR_OK && help)
        tsr_options_help(&command, "tessera-scenes", stdout);
    else if (st == TSR_OK)
        st = render(&s);
    tsr_options_clear(&command, &s);
    return tsr_finish(st);
}
