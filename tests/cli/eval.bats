# SPDX-License-Identifier: Apache-2.0
# tessera eval: reports, exit codes, mistakes. The model has hardly learned anything.
load common.bash

setup_file()
{
    command -v jq >/dev/null || return 0
    local build=${TESSERA_BUILD:-$PWD}
    made="$build/tests/scratch/eval-made"
    rm -rf "$made" && mkdir -p "$made"
    "$build/tessera-scenes" --progress=none -o "$made/files" -c 70 --seed 3 --size 32 \
        --split 0.8,0.1,0.1 -m rgb,caption,metadata >/dev/null
    cat >"$made/text.yaml" <<END
tokenizer: {kind: text, modality: caption, size: 4600}
data: {root: '$made/files', from: caption}
output: '$made/text.json'
END
    cat >"$made/corpus.yaml" <<END
source: {root: '$made/files', splits: [train, test]}
output: '$made/corpus'
modalities:
  caption: {tokenizer: '$made/text.json'}
  palette: {kind: palette, from: rgb, text: '$made/text.json'}
  rgb@32: {kind: pixels, from: rgb, image_size: 32, patch_size: 16}
END
    cat >"$made/model.yaml" <<END
output: '$made/model'
model: {dim: 64, encoder_depth: 1, decoder_depth: 1, heads: 1, max_tokens: {caption: 40}}
data: {scenes: {corpus: '$made/corpus'}}
mask: {totals: {inputs: 16, targets: 16}}
train: {steps: 2, batch: 2}
END
    "$build/tessera" train-tokenizer --progress=none "$made/text.yaml" >/dev/null
    "$build/tessera" tokenize --progress=none "$made/corpus.yaml" >/dev/null
    "$build/tessera" train --progress=none "$made/model.yaml" >/dev/null
}

setup()
{
    needs jq
    fresh_folder
    made="$TESSERA_BUILD/tests/scratch/eval-made"
    model="$made/model/model.safetensors"
}

# evaluate CODE [OPTION...]
evaluate()
{
    local code=$1
    shift
    exits "$code" "$tessera" eval --progress=none -c "$made/corpus" -f "$made/files" -n 6 "$@" "$model"
}

@test "a task beside its companions, as a table and merged into a report" {
    echo '{"kept": true}' >"$scratch/report.json"
    evaluate 0 -t rgb@32:caption -o "$scratch/report.json" --matrix 3 -k 3 -e "$scratch/examples"
    contains "$output" "rgb@32 to caption: caption_facts, more is better, 6 samples"
    contains "$output" "no_input"
    contains "$output" "ceiling"
    contains "$output" "nats per sample"
    jq -e '.kept and (.tasks | length) == 3 and .tasks[0].truth == "record"
        and .tasks[0].main and (.tasks[1].main | not) and .eval.failed == 0
        and .tasks[1].metric == "caption_count" and .tasks[1].ceiling.value > 0.8
        and (.candidates[0].chance * 3 | round) == 1 and (.matrix.cells | length) == 4' "$scratch/report.json"
    for f in $(jq -r '.examples[] | .truth, .model, .no_input, .wrong_input, .ceiling, .inputs["rgb@32"]' \
        "$scratch/examples/examples.json"); do
        [ -s "$scratch/examples/$f" ]
    done
    [ "$(jq '.examples | length' "$scratch/examples/examples.json")" = 6 ]
}

@test "tasks from a recipe, with settings of their own" {
    cat >"$scratch/tasks.yaml" <<END
tasks:
  - {from: rgb@32, to: caption, metric: words}
  - {from: [rgb@32, palette], to: caption, metric: words, temperature: 1, top_p: 0.9, samples: 4}
  - {from: palette, to: caption, metric: words, samples: 100}
END
    evaluate 0 -r "$scratch/tasks.yaml" --set tasks.1.top_p=0.5 --json
    jq -e '[.tasks[].settings.temperature] == [0, 1, 0] and [.tasks[].samples] == [6, 4, 6] and .tasks[1].settings.top_p == 0.5
        and .tasks[1].from == ["rgb@32", "palette"] and .tasks[0].figures.word_errors.ceiling < 0.2' <<<"$output"
    sed -i 's/top_p/topp/' "$scratch/tasks.yaml"
    evaluate 2 -r "$scratch/tasks.yaml"
    contains "$errors" "top_p"
}

@test "mistakes" {
    evaluate 2
    contains "$errors" "nothing to evaluate"
    evaluate 2 -t rgb@32
    contains "$errors" "INPUT[+INPUT...]:TARGET"
    evaluate 2 -t rgb@32:captoin
    contains "$errors" 'did you mean "caption"'
    evaluate 2 -t palette:rgb@32
    contains "$errors" "never predicts"
    evaluate 2 -t rgb@32:caption --split val
    contains "$errors" 'split "val"'
    exits 2 "$tessera" eval -t rgb@32:caption "$model"
    contains "$errors" "--corpus"
    exits 1 "$tessera" eval -t rgb@32:caption -c "$made/corpus" -f "$scratch/none" "$model"
    contains "$errors" "no such folder of files"
    sed 's/[0-9a-f]\{32\}/00000000000000000000000000000001/g' "$made/corpus/manifest.json" >"$scratch/manifest.json"
    cp -r "$made/corpus" "$scratch/corpus"
    mv "$scratch/manifest.json" "$scratch/corpus/manifest.json"
    exits 3 "$tessera" eval -t rgb@32:caption -c "$scratch/corpus" "$model"
    contains "$errors" "the model was trained with"
}

@test "a damaged file is named, left out and counted" {
    cp -r "$made/files" "$scratch/files"
    echo nothing >"$(find "$scratch/files/test/rgb" -name '*.png' | sort | head -n 1)"
    exits 4 "$tessera" eval --progress=none -c "$made/corpus" -f "$scratch/files" -n 6 -t caption:palette \
        --json "$model"
    jq -e '.eval.failed == 1 and .tasks[0].samples == 5' <<<"$output"
    contains "$errors" "left out"
}
