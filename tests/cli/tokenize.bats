# SPDX-License-Identifier: Apache-2.0
# tessera tokenize and tessera verify, with the kinds that need no training.
load common.bash

setup()
{
    needs jq
    fresh_folder
    "$TESSERA_BUILD/tokenize_tool" make "$scratch/src" 30
    "$TESSERA_BUILD/tokenize_tool" words "$scratch/words.json"
    printf '%s\n' "source: {root: '$scratch/src'}" "output: '$scratch/corpus'" \
        "shard_samples: 16" "modalities:" \
        "  palette: {kind: palette, text: '$scratch/words.json', from: rgb}" \
        "  caption: {tokenizer: '$scratch/words.json'}" > "$scratch/recipe.yaml"
    { cat "$scratch/recipe.yaml"
      echo "  rgb@32: {kind: pixels, from: rgb, image_size: 32, patch_size: 8}"
      echo "crops: {count: 2}"; } > "$scratch/pixels.yaml"
}

@test "a folder becomes a corpus that verifies" {
    exits 0 "$tessera" tokenize "$scratch/recipe.yaml"
    contains "$output" "30 samples in 2 shards, 4 files written"
    exits 0 "$tessera" verify "$scratch/corpus"
    contains "$output" ": good: 6 files, 30 samples"
    exits 0 "$tessera" verify "$scratch/corpus/palette-00001.h5"
    [ "$(jq -r '.vocabulary.ranges | length' "$scratch/corpus/manifest.json")" = 1 ]
    [ "$(jq -r .modalities.palette.layout "$scratch/corpus/manifest.json")" = sequence ]
    [ -f "$scratch/corpus/recipe.yaml" ]
    [ -f "$scratch/corpus/tokenizers/palette.json" ]
}

@test "pixels of pictures, beside tokens: the same bytes for any number of threads" {
    exits 0 "$tessera" tokenize -j 1 "$scratch/pixels.yaml"
    contains "$output" "184320 values"
    mv "$scratch/corpus" "$scratch/one"
    exits 0 "$tessera" tokenize -j 4 "$scratch/pixels.yaml"
    diff -r "$scratch/one" "$scratch/corpus"
    exits 0 "$tessera" verify "$scratch/corpus"
    exits 0 jq -e '.vocabulary.ranges | map(.name) == ["text"]' "$scratch/corpus/manifest.json"
    # What one file gives is what the corpus has, and it comes back to the last bit.
    local of="$scratch/corpus/tokenizers/rgb@32.json" file
    file=$(ls "$scratch"/src/rgb/0/*.png | head -n 1)
    exits 0 "$tessera" encode -t "$of" "$file"
    [ "$(jq -c .values <<<"$output")" = "$("$tessera" inspect --json --sample 0 "$scratch/corpus" |
        jq -c '.modalities[] | select(.modality == "rgb@32" and .crop == 0) | .values')" ]
    "$tessera" encode -t "$of" "$file" >"$scratch/line"
    exits 0 "$tessera" decode -t "$of" -o "$scratch/out" "$scratch/line"
    exits 0 "$tessera" encode -t "$of" "$output"
    [ "$(jq -c .values <<<"$output")" = "$(jq -c .values "$scratch/line")" ]
    exits 0 "$tessera" roundtrip --json -t "$of" "$file"
    jq -e '.values == 3072 and .quality.psnr_db == 100' <<<"$output"
    exits 0 "$tessera" inspect --png "$scratch/sheets" --source "$scratch/src" "$scratch/corpus"
    [ -s "$scratch/sheets/rgb@32.png" ]
}

@test "a corpus gets pixels later, and nothing else changes" {
    exits 0 "$tessera" tokenize -s crops.count=2 "$scratch/recipe.yaml"
    cp "$scratch/corpus/manifest.json" "$scratch/before.json"
    exits 0 "$tessera" tokenize "$scratch/pixels.yaml"
    contains "$output" "2 files written, 4 already sealed"
    exits 0 jq -se '.[0].vocabulary == .[1].vocabulary and .[0].shards[0].files.caption ==
        .[1].shards[0].files.caption' "$scratch/before.json" "$scratch/corpus/manifest.json"
    exits 2 "$tessera" tokenize --replace -s 'modalities.rgb@32.image_size=30' "$scratch/pixels.yaml"
    contains "$errors" "whole patches of 8"
}

@test "corpus.h5 is made anew where a kill left none or an old one" {
    exits 0 "$tessera" tokenize "$scratch/recipe.yaml"
    cp "$scratch/corpus/corpus.h5" "$scratch/old.h5"
    cp "$scratch/src/rgb/0/s0003.png" "$scratch/src/rgb/0/s9999.png"
    exits 0 "$tessera" tokenize "$scratch/recipe.yaml"
    cp "$scratch/corpus/corpus.h5" "$scratch/new.h5"
    cp "$scratch/old.h5" "$scratch/corpus/corpus.h5"
    exits 0 "$tessera" tokenize "$scratch/recipe.yaml"
    contains "$output" "0 files written"
    cmp "$scratch/new.h5" "$scratch/corpus/corpus.h5"
    rm "$scratch/corpus/corpus.h5"
    exits 0 "$tessera" tokenize "$scratch/recipe.yaml"
    cmp "$scratch/new.h5" "$scratch/corpus/corpus.h5"
    echo damaged > "$scratch/corpus/corpus.h5"
    exits 0 "$tessera" tokenize "$scratch/recipe.yaml"
    cmp "$scratch/new.h5" "$scratch/corpus/corpus.h5"
}

@test "the kept tokenizers open where the corpus is moved to" {
    exits 0 "$tessera" tokenize "$scratch/recipe.yaml"
    mv "$scratch/corpus" "$scratch/moved"
    [ "$(jq -r .text "$scratch/moved/tokenizers/palette.json")" = words.json ]
    exits 0 "$tessera" info --json "$scratch/moved/tokenizers/palette.json"
    contains "$output" "$(jq -r .modalities.palette.tokenizer "$scratch/moved/manifest.json")"
}

@test "the same bytes for any number of threads" {
    exits 0 "$tessera" tokenize -j 1 "$scratch/recipe.yaml"
    mv "$scratch/corpus" "$scratch/one"
    exits 0 "$tessera" tokenize -j 4 "$scratch/recipe.yaml"
    diff -r "$scratch/one" "$scratch/corpus"
}

@test "a second run skips what is sealed; --json says so" {
    exits 0 "$tessera" tokenize "$scratch/recipe.yaml"
    exits 0 "$tessera" tokenize --json "$scratch/recipe.yaml"
    [ "$(jq -r '"\(.files_written) \(.files_skipped) \(.missing)"' <<< "$output")" = "0 4 5" ]
}

@test "--dry-run says what would be done and writes nothing" {
    exits 0 "$tessera" tokenize --dry-run "$scratch/recipe.yaml"
    contains "$output" "4 files to write"
    [ ! -e "$scratch/corpus" ]
}

@test "a broken file is named, recorded and counted: exit 4" {
    head -c 50 "$scratch/src/rgb/0/s0003.png" > "$scratch/cut"
    mv "$scratch/cut" "$scratch/src/rgb/0/s0003.png"
    exits 4 "$tessera" tokenize "$scratch/recipe.yaml"
    contains "$output" "failed: palette of 0/s0003: rgb/0/s0003.png:"
    contains "$errors" "palette of sample 0/s0003 failed"
    exits 0 "$tessera" verify "$scratch/corpus"
    # ... and again when everything is sealed
    exits 4 "$tessera" tokenize "$scratch/recipe.yaml"
    # repaired, it is tokenized
    cp "$scratch/src/rgb/0/s0006.png" "$scratch/src/rgb/0/s0003.png"
    exits 0 "$tessera" tokenize "$scratch/recipe.yaml"
    contains "$output" "1 files written"
}

@test "a long list of failures says that it goes on" {
    rm -r "$scratch/src/caption"
    mkdir -p "$scratch/src/caption/0"
    for i in $(seq 103); do printf '\377' > "$scratch/src/caption/0/x$i.txt"; done
    exits 4 "$tessera" tokenize "$scratch/recipe.yaml"
    [ "$(grep -c "  failed: caption of" <<< "$output")" = 100 ]
    contains "$output" "  and 3 more, all of them in manifest.json"
}

@test "another tokenizer is refused, or replaces with --replace" {
    exits 0 "$tessera" tokenize "$scratch/recipe.yaml"
    exits 3 "$tessera" tokenize -s modalities.palette.most=3 "$scratch/recipe.yaml"
    contains "$errors" "--replace"
    exits 0 "$tessera" tokenize --replace -s modalities.palette.most=3 "$scratch/recipe.yaml"
    contains "$output" "2 files written, 2 already sealed"
    exits 0 "$tessera" verify "$scratch/corpus"
}

@test "damage is found: exit 3, every problem listed" {
    exits 0 "$tessera" tokenize "$scratch/recipe.yaml"
    printf x >> "$scratch/corpus/caption-00000.h5"
    rm "$scratch/corpus/palette-00001.h5"
    exits 3 "$tessera" verify "$scratch/corpus"
    contains "$output" "caption-00000.h5: has"
    contains "$output" "palette-00001.h5: is listed"
    exits 3 "$tessera" verify --json "$scratch/corpus"
    [ "$(jq '.problems | length' <<< "$output")" = 2 ]
    exits 0 "$tessera" tokenize "$scratch/recipe.yaml"
}

@test "a flipped bit is found by its digest" {
    exits 0 "$tessera" tokenize "$scratch/recipe.yaml"
    f=$scratch/corpus/keys-00000.h5
    printf '\001' | dd of="$f" bs=1 seek=$(($(wc -c < "$f") - 1)) conv=notrunc status=none
    exits 3 "$tessera" verify "$scratch/corpus"
    contains "$output" "keys-00000.h5"
}

@test "one writer at a time" {
    needs flock
    exits 0 "$tessera" tokenize "$scratch/recipe.yaml"
    exits 1 flock "$scratch/corpus/.writer.lock" "$tessera" tokenize "$scratch/recipe.yaml"
    contains "$errors" "another program is writing"
}

@test "wrong recipes and paths: exit codes and sentences" {
    exits 2 "$tessera" tokenize -s shard_sample=3 "$scratch/recipe.yaml"
    contains "$errors" 'did you mean "shard_samples"'
    exits 2 "$tessera" tokenize
    exits 1 "$tessera" tokenize /nonexistent.yaml
    exits 1 "$tessera" verify /nonexistent
    contains "$errors" /nonexistent
    exits 1 "$tessera" tokenize -s source.root=/nonexistent "$scratch/recipe.yaml"
    contains "$errors" /nonexistent
}
