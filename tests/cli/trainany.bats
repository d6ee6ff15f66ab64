# SPDX-License-Identifier: Apache-2.0
# tessera train: figures, interruptions, damage and mistakes.
load common.bash

setup()
{
    needs jq
    fresh_folder
    "$TESSERA_BUILD/write_tokens" "$scratch/corpus" 100 20
    cat >"$scratch/any.yaml" <<END
output: unset
model: {dim: 32, encoder_depth: 1, decoder_depth: 1, heads: 1}
data:
  made-up: {corpus: '$scratch/corpus'}
mask: {totals: {inputs: [4, 16], targets: 16}}
validation: {val: {samples: 16}}
train: {steps: 40, batch: 8, lr: 0.01, warmup_steps: 4, log_every: 10, val_every: 20,
  checkpoint_every: 10}
END
}

# train CODE NAME [OPTION...]
train()
{
    local code=$1 name=$2
    shift 2
    exits "$code" "$tessera" train --progress=none -s "output=$scratch/$name" "$@" "$scratch/any.yaml"
}

@test "a run leaves model, metrics, checkpoints and report; a finished one is not repeated" {
    train 0 a -j 1
    contains "$output" "bits below unigrams"
    contains "$output" "parameters in blocks"
    [ "$(ls "$scratch/a/checkpoints" | tr '\n' ' ')" = "step-000000030.safetensors step-000000040.safetensors " ]
    jq -se 'map(select(.validation == null) | .step) == [10, 20, 30, 40]' "$scratch/a/metrics.jsonl"
    jq -se 'map(select(.validation == "val") | .step) == [20, 40]' "$scratch/a/metrics.jsonl"
    jq -se '.[-1].loss < .[0].loss and (.[0].nll | keys == ["caption", "depth", "rgb"])' \
        "$scratch/a/metrics.jsonl"
    # What is said of unigrams is what they are: rgb ids are spread evenly over 32.
    jq -e '.rgb.entropy_bits > 4.9 and .rgb.entropy_bits <= 5 and .rgb.tokens == 1600' \
        "$scratch/a/unigrams.json"
    jq -se '.[0] | (.bits_below_unigram.rgb - (3.46 - .nll.rgb) / 0.6931) | fabs < 0.05' \
        "$scratch/a/metrics.jsonl"
    jq -se 'map(.tokens_per_second > 0) | all' "$scratch/a/timing.jsonl"
    jq -e '.steps == 40 and .validation.val.samples == 16 and .samples_bad == 0' "$scratch/a/report.json"
    exits 0 "$tessera" info --json "$scratch/a/model.safetensors"
    jq -e '.provenance | .steps == 40 and .inputs > 0 and (.recipe | length == 32) and
        .data[0].samples > 0' <<<"$output"
    train 0 b -j 2
    for f in model.safetensors metrics.jsonl checkpoints/step-000000040.safetensors; do
        cmp "$scratch/a/$f" "$scratch/b/$f"
    done
    stat -c %Y.%i "$scratch/a/model.safetensors" >"$scratch/before"
    train 0 a --json
    jq -e '.steps == 40' <<<"$output"
    stat -c %Y.%i "$scratch/a/model.safetensors" | diff - "$scratch/before"
    # Another recipe does not get at the result unasked.
    train 3 a -s train.steps=20
    contains "$errors" "$scratch/a: holds the result of another recipe"
    contains "$errors" "--restart"
    train 3 a -s start.attention=true
    train 0 a -s train.steps=20 --restart
    [ "$(ls "$scratch/a/checkpoints" | tr '\n' ' ')" = "step-000000010.safetensors step-000000020.safetensors " ]
}

@test "--dry-run says what would be, and does nothing" {
    train 0 a -n
    contains "$output" "parameters in blocks"
    contains "$output" "measured"
    [ ! -e "$scratch/a" ]
    train 0 a -n --json -s train.accumulate=3
    # Encoder 4 D^2 + 3 D H, decoder 8 D^2 + 3 D H with H = trunc(2 * 128 / 3), and norms.
    jq -e '.parameters.blocks == 12 * 32 * 32 + 6 * 32 * 85 + 6 * 32' <<<"$output"
    jq -e '.batch.samples == 24 and .steps == 40 and .timed and .seconds > 0 and .flops_per_token > 1e4' \
        <<<"$output"
    jq -e '.modalities["rgb@16"] == {class: "pixels", input: true, output: false, vocabulary: 0,
        tokens: 16}' <<<"$output"
}

@test "Ctrl-C keeps a checkpoint; the run goes on to the same bytes" {
    train 0 a -s train.steps=1500
    local code=0
    "$tessera" train --progress=none -s "output=$scratch/b" -s train.steps=1500 "$scratch/any.yaml" \
        >"$scratch/out" 2>"$scratch/err" &
    local pid=$!
    for _ in $(seq 200); do
        [ ! -s "$scratch/b/metrics.jsonl" ] || break
        sleep 0.05
    done
    kill -INT "$pid"
    wait "$pid" || code=$?
    [ $code = 130 ]
    contains "$(<"$scratch/err")" "the same command goes on from there"
    [ ! -e "$scratch/b/model.safetensors" ]
    train 3 b
    contains "$errors" "belongs to another recipe"
    train 0 b -s train.steps=1500
    cmp "$scratch/a/model.safetensors" "$scratch/b/model.safetensors"
    cmp "$scratch/a/metrics.jsonl" "$scratch/b/metrics.jsonl"
}

@test "event files hold what metrics hold" {
    needs python3
    train 0 a --tensorboard
    python3 "$TESSERA_SOURCE/tests/scripts/read_events.py" "$scratch"/a/events/* >"$scratch/events"
    jq -se '.[0].version == "brain.Event:2" and .[1].start == 0' "$scratch/events"
    jq -r 'select(.validation == null) | [.step, .loss, .nll.rgb, .nll.caption] | map(. * 1e5 | round) | @tsv' \
        "$scratch/a/metrics.jsonl" >"$scratch/want"
    jq -r 'select(."train/loss" != null) |
        [.step, ."train/loss", ."train/nll/rgb", ."train/nll/caption"] | map(. * 1e5 | round) | @tsv' \
        "$scratch/events" >"$scratch/have"
    [ "$(wc -l <"$scratch/want")" = 4 ]
    paste "$scratch/want" "$scratch/have" |
        awk '{ for (i = 1; i <= 4; i++) if (($i - $(i + 4)) ^ 2 > 1) exit 1 }'
    jq -se 'map(select(."validation/val/loss") | .step) == [20, 40]' "$scratch/events"
    jq -se 'map(select(."train/lr") | ."train/lr") | .[0] > 0.005' "$scratch/events"
}

@test "a model goes on from another, with modalities it had not" {
    train 0 a -s 'model.inputs=[rgb, caption]' -s 'model.outputs=[rgb, caption]'
    train 0 b -s model.preset= -s "start_from=$scratch/a/model.safetensors" -s train.lr=0 \
        -s model.dim= -s model.encoder_depth= -s model.decoder_depth= -s model.heads= \
        -s 'model.inputs=[rgb, caption]' -s 'model.outputs=[rgb, caption]' -s train.steps=1 -s train.warmup_steps=0
    # With a rate of 0 it is the same model.
    diff <(jq -S .validation.val.nll "$scratch/a/report.json") <(jq -S .validation.val.nll "$scratch/b/report.json")
    train 0 c -s "start_from=$scratch/a/model.safetensors" \
        -s model.dim= -s model.encoder_depth= -s model.decoder_depth= -s model.heads= -s train.steps=4
    jq -e '.validation.val.nll | keys == ["caption", "depth", "rgb"]' "$scratch/c/report.json"
    train 2 d -s "start_from=$scratch/a/model.safetensors"
    contains "$errors" "the file has its sizes"
}

# publish FILE OUT: without our own key, and with the embedded sentences of 4M-21.
publish() {
    python3 - "$1" "$2" <<'EOF'
import json, struct, sys
data = open(sys.argv[1], "rb").read()
n = struct.unpack("<Q", data[:8])[0]
header, data = json.loads(data[8 : 8 + n]), data[8 + n :]
meta = header["__metadata__"]
del meta["tessera"]
meta["domains_in"] = str(json.loads(meta["domains_in"].replace("'", '"')) + ["t5_caption"])
for name, values in (("emb_proj.weight", [0.25] * 6), ("mod_emb", [1.5] * 3)):
    more = struct.pack(f"<{len(values)}f", *values)
    header["encoder_embeddings.t5_caption." + name] = {
        "dtype": "F32", "shape": [len(values)], "data_offsets": [len(data), len(data) + len(more)]}
    data += more
text = json.dumps(header).encode()
open(sys.argv[2], "wb").write(struct.pack("<Q", len(text)) + text + data)
EOF
}

@test "a model goes on from a published file and keeps what it does not use" {
    train 0 a -s 'model.inputs=[rgb, caption]' -s 'model.outputs=[rgb, caption]'
    publish "$scratch/a/model.safetensors" "$scratch/published.safetensors"
    exits 0 "$tessera" info --json "$scratch/published.safetensors"
    jq -e '.left_out == ["t5_caption"] and .kind == "masked model"' <<<"$output"
    train 0 b -s model.preset= -s "start_from=$scratch/published.safetensors" -s train.lr=0 \
        -s model.dim= -s model.encoder_depth= -s model.decoder_depth= -s model.heads= \
        -s 'model.inputs=[rgb, caption]' -s 'model.outputs=[rgb, caption]' -s train.steps=1 -s train.warmup_steps=0
    diff <(jq -S .validation.val.nll "$scratch/a/report.json") <(jq -S .validation.val.nll "$scratch/b/report.json")
    train 0 c -s "start_from=$scratch/b/model.safetensors" \
        -s model.dim= -s model.encoder_depth= -s model.decoder_depth= -s model.heads= -s train.steps=4
    for at in b c; do
        exits 0 "$tessera" info --json --tensors "$scratch/$at/model.safetensors"
        jq -e '.left_out == ["t5_caption"] and
            .tensors["encoder_embeddings.t5_caption.emb_proj.weight"] == "F32 [6]"' <<<"$output"
        python3 - "$scratch/$at/model.safetensors" <<'EOF'
import json, struct, sys
data = open(sys.argv[1], "rb").read()
n = struct.unpack("<Q", data[:8])[0]
start, end = json.loads(data[8 : 8 + n])["encoder_embeddings.t5_caption.mod_emb"]["data_offsets"]
assert data[8 + n + start : 8 + n + end] == struct.pack("<3f", 1.5, 1.5, 1.5)
EOF
    done
}

@test "mistakes in recipes: exit 2, the file and what is meant" {
    train 2 a -s train.stepz=3
    contains "$errors" 'did you mean "steps"?'
    train 2 a -s 'model.outputs=[rgb, dept]'
    contains "$errors" 'no corpus has modality "dept"; did you mean "depth"?'
    train 2 a -s 'model.outputs=[rgb@16]'
    contains "$errors" "holds pixels, which are input only"
    train 2 a -s train.steps=
    contains "$errors" "steps or tokens is missing"
    train 2 a -s train.tokens=1e6
    contains "$errors" "not both"
    train 2 a -s train.loss=sum
    contains "$errors" '"sum" is neither modality nor token'
    train 2 a -s train.schedule=linear
    contains "$errors" 'schedule "linear" is not known'
    train 2 a -s train.warmup_steps=50
    contains "$errors" "warm-up of 50 steps is longer than the run of 40"
    train 2 a -s model.heads=5
    train 2 a -s mask.totalz=3
    contains "$errors" "total"
    train 2 a -s data.made-up.split=trian
    contains "$errors" 'no samples of split "trian"'
    train 2 a -s train.weights.rgb@16=2
    contains "$errors" "rgb@16 is not predicted"
    train 1 a -s "data.made-up.corpus=$scratch/nonesuch"
    contains "$errors" "$scratch/nonesuch"
    [ ! -e "$scratch/a/checkpoints" ]
}

@test "a corpus of another tokenizer is refused, both are named" {
    train 0 a
    "$TESSERA_BUILD/write_tokens" "$scratch/other" 100 20 8
    train 3 b -s "start_from=$scratch/a/model.safetensors" -s "data.made-up.corpus=$scratch/other" \
        -s model.dim= -s model.encoder_depth= -s model.decoder_depth= -s model.heads=
    contains "$errors" "00000000000000070000000000000002"
    contains "$errors" "00000000000000080000000000000002"
    contains "$errors" "$scratch/other"
    train 3 c -s "data.more.corpus=$scratch/other"
    contains "$errors" "$scratch/other"
}

@test "a damaged checkpoint is named; the one before goes on" {
    train 0 a
    cp -r "$scratch/a" "$scratch/b"
    rm "$scratch/b/report.json" "$scratch/b/model.safetensors"
    truncate -s 5000 "$scratch/b/checkpoints/step-000000040.safetensors"
    echo '{' >"$scratch/b/report.json"
    train 3 b
    contains "$errors" "b/report.json"
    contains "$errors" "--restart"
    rm "$scratch/b/report.json"
    train 3 b
    contains "$errors" "the last checkpoint cannot be used"
    contains "$errors" "step-000000040.safetensors"
    [ -e "$scratch/b/checkpoints/step-000000030.safetensors" ]
    rm "$scratch/b/checkpoints/step-000000040.safetensors"
    train 0 b
    for f in model.safetensors metrics.jsonl checkpoints/step-000000040.safetensors; do
        cmp "$scratch/a/$f" "$scratch/b/$f"
    done
    # A corpus that changed under a checkpoint is not the same run.
    rm "$scratch/b/report.json" "$scratch/b/checkpoints/step-000000040.safetensors"
    rm -r "$scratch/corpus"
    "$TESSERA_BUILD/write_tokens" "$scratch/corpus" 99 20
    train 3 b
    contains "$errors" "the corpora have changed"
}

@test "a full disk during a checkpoint is named; the last one is intact" {
    train 0 a -s train.average=0.9
    # Checkpoints are larger than the limit; metrics are not.
    code=0
    (ulimit -f 100 && trap '' XFSZ && exec "$tessera" train --progress=none -s "output=$scratch/b" \
        -s train.average=0.9 "$scratch/any.yaml") >/dev/null 2>"$scratch/err" || code=$?
    [ $code = 1 ]
    contains "$(<"$scratch/err")" "step-000000010.safetensors"
    [ -z "$(ls "$scratch/b/checkpoints")" ]
    [ ! -e "$scratch/b/model.safetensors" ]
    # Room for one checkpoint of the first kind, none later: the first stays and is whole.
    train 0 b -s train.average=0.9
    cmp "$scratch/a/model.safetensors" "$scratch/b/model.safetensors"
    rm "$scratch/b/model.safetensors" "$scratch/b/report.json" \
        "$scratch/b/checkpoints/step-000000040.safetensors"
    sha256sum "$scratch/b/checkpoints/step-000000030.safetensors" >"$scratch/before"
    code=0
    (ulimit -f 100 && trap '' XFSZ && exec "$tessera" train --progress=none -s "output=$scratch/b" \
        -s train.average=0.9 "$scratch/any.yaml") >/dev/null 2>"$scratch/err" || code=$?
    [ $code = 1 ]
    contains "$(<"$scratch/err")" "that of step 30 stays"
    sha256sum -c --quiet "$scratch/before"
    train 0 b -s train.average=0.9
    cmp "$scratch/a/model.safetensors" "$scratch/b/model.safetensors"
}

@test "a loss that explodes stops the run, naming the modality; the checkpoint stays" {
    train 1 a -s train.lr=10 -s train.clip=0 -s train.explode=1.2 -s train.steps=2000 -s train.checkpoint_every=1
    contains "$errors" "exploded"
    contains "$errors" "modality"
    contains "$errors" "stays"
    ls "$scratch/a/checkpoints/" | grep -q step-
}

@test "two runs do not write to one folder" {
    mkdir "$scratch/a"
    exec 8>"$scratch/a/.run.lock"
    flock 8
    train 1 a
    contains "$errors" "another run is writing there"
}

@test "recipes of the published runs fit a corpus with their modalities" {
    "$TESSERA_BUILD/write_published" "$scratch/corpus21"
    local small=(-s model.dim=16 -s model.heads=1 -s model.encoder_depth=1 -s model.decoder_depth=1)
    # Warm-up of 10 billion tokens: 4,769 steps in both; a batch of 8,192 (4,096): lr 3.2e-3 (1.6e-3).
    exits 0 "$tessera" train --progress=none -n --json "${small[@]}" \
        -s "data.cc12m.corpus=$scratch/corpus21" "$TESSERA_SOURCE/recipes/4m-7.yaml"
    jq -e '.steps == 238419 and .warmup_steps == 4769 and (.lr - 3.2e-3 | fabs) < 1e-9 and
        .batch == {samples: 8192, accumulate: 64, inputs: 128, targets: 128} and
        ([.modalities[] | select(.input)] | length) == 8 and
        ([.modalities[] | select(.output)] | length) == 7' <<<"$output"
    exits 0 "$tessera" train --progress=none -n --json "${small[@]}" \
        -s "data.cc12m.corpus=$scratch/corpus21" "$TESSERA_SOURCE/recipes/4m-21.yaml"
    jq -e '.steps == 238419 and .warmup_steps == 4769 and (.lr - 1.6e-3 | fabs) < 1e-9 and
        .batch == {samples: 4096, accumulate: 64, inputs: 256, targets: 256} and
        ([.modalities[] | select(.input)] | length) == 18 and
        ([.modalities[] | select(.output)] | length) == 17' <<<"$output"
}
