# SPDX-License-Identifier: Apache-2.0
# tessera inspect and info on a small corpus of known contents.
load common.bash

setup_file()
{
    export corpus="$TESSERA_BUILD/tests/scratch/inspect-corpus"
    rm -rf "$corpus"
    mkdir -p "${corpus%/*}"
    "$TESSERA_BUILD/write_corpus" "$corpus" >"$corpus.jsonl"
}

@test "a corpus: totals, ranges and usage" {
    exits 0 "$tessera" inspect "$corpus"
    contains "$output" "samples 15 in 3 shards: train 10 val 5"
    contains "$output" "30000 .. 31023"
    contains "$output" "codes never used"
    [ -z "$errors" ]
}

@test "the JSON agrees with what was written" {
    needs jq
    exits 0 "$tessera" inspect --json "$corpus"
    used=$(jq '.modalities[] | select(.modality == "rgb") | .codes_used' <<<"$output")
    wanted=$(jq -s '[.[] | select(.modality == "rgb") | .ids[][]] | unique | length' "$corpus.jsonl")
    [ "$used" -gt 0 ]
    [ "$used" = "$wanted" ]
    tokens=$(jq '.modalities[] | select(.modality == "rgb") | .tokens' <<<"$output")
    [ "$tokens" = "$(jq -s '[.[] | select(.modality == "rgb") | .ids[][]] | length' "$corpus.jsonl")" ]
    jq -e '.modalities[] | select(.modality == "rgb") |
        (.perplexity - pow(2; .entropy_bits) | fabs) < 1e-6 and
        .codes_used + .codes_unused == .codebook_size and (.top | length) == 5' <<<"$output"
}

@test "the same for any number of threads" {
    "$tessera" inspect --json -j 1 "$corpus" >"$scratch/one"
    "$tessera" inspect --json -j 4 "$corpus" >"$scratch/four"
    cmp "$scratch/one" "$scratch/four"
}

@test "a sample by number and by key, with ids in their colours" {
    needs jq
    exits 0 "$tessera" inspect "$corpus" --sample 0 --colour full
    contains "$output" $'\033[48;2;'
    contains "$output" "757"
    exits 0 "$tessera" inspect "$corpus" --sample a0/00000 --json
    jq -se --slurpfile w "$corpus.jsonl" '(.[0].modalities | map(select(.modality == "rgb") | .ids)) ==
        ($w | map(select(.key == "a0/00000" and .modality == "rgb"))[0].ids)' <<<"$output"
    exits 1 "$tessera" inspect "$corpus" --sample 99
    contains "$errors" "no sample has the key or number 99"
}

@test "NO_COLOR and pipes: no escape codes" {
    NO_COLOR=1 exits 0 "$tessera" inspect "$corpus" --sample 0
    [[ $output != *$'\033'* ]]
}

@test "sequences have no grid" {
    needs jq
    for of in "inspect --json $corpus" "info --json $corpus" "inspect --json --sample 0 $corpus"; do
        exits 0 "$tessera" $of
        jq -e '[.modalities[] | select(.layout == "sequence")] | length > 1 and
            all(.[]; has("grid") or has("levels") | not)' <<<"$output"
        jq -e '[.modalities[] | select(.layout == "grid")] | length > 1 and all(.[]; .grid | length == 2)' <<<"$output"
    done
    exits 0 "$tessera" info --json "$corpus/caption-00000.h5"
    jq -e '.layout == "sequence" and (has("grid") | not)' <<<"$output"
}

@test "patches are counted and shown as pictures, without codes" {
    needs jq
    exits 0 "$tessera" inspect "$corpus"
    contains "$output" "rgb@8          2x3 px4"
    contains "$output" "pixels of 8 x 12, no codes"
    exits 0 "$tessera" inspect --json "$corpus"
    jq -e '.modalities[] | select(.modality == "rgb@8") | .layout == "patches" and .patch_size == 4 and
        .grid == [2, 3] and .values == .present * .crops * 288 and
        ([has("codebook_size", "base", "vocabulary", "perplexity", "top")] | any | not)' <<<"$output"
    jq -e '.ranges | map(.name) | index("") == null and length == 3' <<<"$output"
    exits 0 "$tessera" inspect "$corpus/rgb@8-00000.h5"
    contains "$output" "no codes"
    exits 0 "$tessera" inspect --sample 2 --colour full "$corpus/rgb@8-00000.h5"
    contains "$output" "2 x 3 patches of 4 x 4 pixels"
    exits 0 "$tessera" inspect --sample 0 "$corpus/rgb@8-00000.h5"
    [ "$output" = "row 0: missing" ]
    exits 0 "$tessera" inspect --sample 1 "$corpus/rgb@8-00000.h5"
    [ "$output" = "row 1: failed" ]
    exits 0 "$tessera" inspect --sample 2 --json "$corpus"
    jq -se --slurpfile w "$corpus.jsonl" '(.[0].modalities | map(select(.modality == "rgb@8" and
        .state == "present") | .values)) ==
        ($w | map(select(.key == "a0/00002" and .modality == "rgb@8"))[0].ids)' <<<"$output"
}

@test "a shard file: usage and rows" {
    needs jq
    exits 0 "$tessera" inspect "$corpus/rgb-00000.h5"
    contains "$output" "shard 0 of rgb"
    exits 0 "$tessera" inspect --json "$corpus/rgb-00000.h5" --sample 0
    jq -e '.ids | length == 6' <<<"$output"
    exits 1 "$tessera" inspect "$corpus/rgb-00000.h5" --sample 9999
    exits 2 "$tessera" inspect "$corpus/rgb-00000.h5" --png "$scratch"
}

@test "contact sheets hold token maps of every modality" {
    needs jq
    exits 0 "$tessera" inspect "$corpus" --png "$scratch/sheets" --samples 4 --json
    [ "$(jq '.sheets | length' <<<"$output")" = 5 ]
    for f in $(jq -r '.sheets[]' <<<"$output"); do
        [ "$(head -c 8 "$f" | od -An -tx1 | tr -d ' ')" = 89504e470d0a1a0a ]
    done
}

@test "a stream is shown as it arrives, bad lines are named" {
    "$tessera" inspect "$corpus/rgb-00000.h5" --sample 0 --json >"$scratch/line"
    exits 0 "$tessera" inspect - <"$scratch/line"
    contains "$output" "rgb: 6 tokens"
    { cat "$scratch/line"; echo '{"key": 1}'; } >"$scratch/bad"
    exits 1 "$tessera" inspect - <"$scratch/bad"
    contains "$errors" "line 2"
    sed 's/"ids": \[0/"ids": [99999/' "$scratch/line" >"$scratch/large"
    exits 1 "$tessera" inspect - <"$scratch/large"
    contains "$errors" "not below the codebook size"
    exits 2 "$tessera" inspect - --json <"$scratch/line"
}

@test "text from outside cannot command the terminal" {
    sed 's/"key": "0"/"key": "\\u001b[31mred"/' <("$tessera" inspect "$corpus/rgb-00000.h5" --sample 0 --json) >"$scratch/line"
    exits 0 "$tessera" inspect - <"$scratch/line"
    contains "$output" "[31mred"
    [[ $output != *$'\033'* ]]
}

@test "a closed pipe ends a stream quietly" {
    "$tessera" inspect "$corpus/rgb-00000.h5" --sample 0 --json >"$scratch/line"
    for i in $(seq 2000); do cat "$scratch/line"; done >"$scratch/many"
    run bash -c "set -o pipefail; '$tessera' inspect - <'$scratch/many' 2>'$scratch/err' | head -n 1"
    [ "$status" = 0 ]
    [ ! -s "$scratch/err" ]
}

@test "info names every kind of file" {
    needs jq
    for pair in rgb-00000.h5:shard keys-00000.h5:keys .:corpus; do
        exits 0 "$tessera" info --json "$corpus/${pair%:*}"
        [ "$(jq -r .kind <<<"$output")" = "${pair#*:}" ]
    done
    exits 0 "$tessera" info --json "$data/golden/fm-swiglu.safetensors"
    [ "$(jq -r '.kind, .parameters.trained, .modalities.metadata.max_tokens' <<<"$output" | xargs)" = "masked model 1696640 40" ]
    exits 1 "$tessera" info "$corpus/nothing"
    contains "$errors" "nothing"
    : >"$scratch/empty"
    exits 1 "$tessera" info "$scratch/empty"
    contains "$errors" "empty"
    head -c 100 "$corpus/rgb-00000.h5" >"$scratch/cut.h5"
    exits 1 "$tessera" info "$scratch/cut.h5"
    exits 4 "$tessera" info "$scratch/cut.h5" "$corpus/rgb-00000.h5"
}

@test "the example of the library lists the same ids" {
    needs jq
    exits 0 "$TESSERA_BUILD/doc/example" "$corpus" rgb
    contains "$output" "a0/00000: 0 757 490 223 980 713"
    exits 1 "$TESSERA_BUILD/doc/example" "$corpus" nothing
    contains "$errors" "ENOENT"
    exits 2 "$TESSERA_BUILD/doc/example"
}

@test "damaged shards are named and left out, the rest is shown: exit 3" {
    needs jq
    cp -r "$corpus" "$scratch/c"
    printf 'garbage!' | dd of="$scratch/c/rgb-00001.h5" conv=notrunc status=none
    exits 3 "$tessera" inspect --json "$scratch/c"
    contains "$errors" "c/rgb-00001.h5: is not a readable HDF5 file"
    contains "$errors" "1 shard file could not be read"
    whole=$("$tessera" inspect --json "$corpus" | jq -c '[.modalities[] | select(.modality != "rgb")]')
    [ "$(jq -c '[.modalities[] | select(.modality != "rgb")]' <<<"$output")" = "$whole" ]
    jq -e '.modalities[] | select(.modality == "rgb") | .tokens > 0' <<<"$output"
    exits 3 "$tessera" inspect "$scratch/c"
    exits 1 "$tessera" info "$scratch/c/rgb-00001.h5"
    contains "$errors" "HDF5"
}

@test "files and folders that are none of ours are told so" {
    printf 'just some words' >"$scratch/x.yaml"
    exits 4 "$tessera" info "$scratch/x.yaml" "$corpus"
    contains "$errors" "is neither a corpus, a shard, a tokenizer nor a safetensors file"
    exits 2 "$tessera" info "$corpus/manifest.json"
    contains "$errors" "give its folder"
    mkdir "$scratch/none"
    exits 1 "$tessera" inspect "$scratch/none"
    contains "$errors" "none: is no corpus: it has no manifest.json"
}
