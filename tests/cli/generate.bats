# SPDX-License-Identifier: Apache-2.0
# tessera generate with a small untrained model.
load common.bash

setup()
{
    needs jq
    fresh_folder
    "$TESSERA_BUILD/tokenize_tool" make "$scratch/src" 6
    "$TESSERA_BUILD/tokenize_tool" words "$scratch/words.json"
    printf '%s\n' "source: {root: '$scratch/src'}" "output: '$scratch/corpus'" "modalities:" \
        "  palette: {kind: palette, text: '$scratch/words.json', from: rgb}" \
        "  rgb@32: {kind: pixels, from: rgb, image_size: 32, patch_size: 8}" \
        "  caption: {tokenizer: '$scratch/words.json'}" >"$scratch/recipe.yaml"
    "$tessera" tokenize --progress none "$scratch/recipe.yaml" >/dev/null
    of="$scratch/corpus/tokenizers"
    mkdir "$scratch/run"
    "$TESSERA_BUILD/write_model" "$scratch/run/model.safetensors" "caption=$of/caption.json" \
        "palette=$of/palette.json" "rgb@32=$of/rgb@32.json" "rgb=$data/golden/rgb.safetensors"
    picture=$(find "$scratch/src/rgb" -name '*.png' | sort | head -n 1)
    generate=("$tessera" generate "$scratch/run/model.safetensors" --progress none)
}

@test "files to files, with a record" {
    exits 0 "${generate[@]}" --from "rgb@32=$picture" --to rgb,caption -n 2 --seed 3 \
        --tokenizers "$data/golden/rgb.safetensors" --set rgb.steps=2,temperature=0.5 \
        --set max_tokens=5 -o "$scratch/out"
    contains "$output" "caption 1: "
    [ -f "$scratch/out/caption.0.txt" ]
    [ "$(head -c 8 "$scratch/out/rgb.1.png" | od -An -tx1 | tr -d ' ')" = 89504e470d0a1a0a ]
    jq -e '.seed == 3 and .variants == 2 and (.results | length) == 2 and
        .chain[0].steps == 2 and .chain[0].temperature == 0.5 and .chain[1].max_tokens == 5 and
        (.given["rgb@32"].files | length) == 1 and
        all(.results[].targets; (.rgb.tokens | length) == 196 and
            (.caption.tokens | length) <= 5 and .caption.file != null)' "$scratch/out/generate.json"
}

@test "the same tokens for any batch and number of threads, other ones for another seed" {
    local args=(--from "caption:=a red ball" --to all --set rgb.steps=2 --json -n 3 -g 2)
    exits 4 "${generate[@]}" "${args[@]}" -j 1 -b 1 --seed 1
    one=$(jq -c .results <<<"$output")
    exits 4 "${generate[@]}" "${args[@]}" -j 3 -b 16 --seed 1
    [ "$(jq -c .results <<<"$output")" = "$one" ]
    exits 4 "${generate[@]}" "${args[@]}" --seed 2
    [ "$(jq -c .results <<<"$output")" != "$one" ]
    # rgb@32 is only read; grids come before texts
    jq -e '[.chain[].target] == ["rgb", "palette"]' <<<"$output"
    contains "$errors" "palette: its tokens cannot be decoded"
}

@test "a sample of the corpus is what its files are" {
    exits 0 "$tessera" inspect --json --sample 0 "$scratch/corpus"
    key=$(jq -r .key <<<"$output")
    exits 0 "${generate[@]}" --corpus "$scratch/corpus" --sample 0 --sample 3 --from rgb@32 \
        --to caption --set max_tokens=6 --json
    jq -e --arg key "$key" '(.results | length) == 2 and .results[0].key == $key' <<<"$output"
    a=$(jq -c '.results[0].targets' <<<"$output")
    exits 0 "${generate[@]}" --corpus "$scratch/corpus" --sample "$key" --to caption \
        --from "rgb@32=$scratch/src/rgb/${key##*/src/}.png" --set max_tokens=6 --json
    [ "$(jq -c '.results[0].targets' <<<"$output")" = "$a" ]
}

@test "a preset sets the chain and how, options go before it" {
    exits 4 "${generate[@]}" --from "caption:=a red ball" --preset any --json --batch 4
    jq -e '.preset == "any" and .grow and .decoder_steps == 50 and
        [.chain[].target] == ["rgb", "palette"] and
        .chain[0].steps == 25 and .chain[0].temperature == 3 and .chain[0].cooling == "onex" and
        .chain[0].guidance == 2 and .chain[0].top_p == 0.8 and
        .chain[1].max_tokens == 23 and .chain[1].guidance == 1' <<<"$output"
    exits 0 "${generate[@]}" --from "rgb@32=$picture" --preset t2i --to caption,rgb --json -g 1.5 \
        --set caption.max_tokens=4,rgb.steps=2 --no-grow --decoder-steps 3
    jq -e '(.grow | not) and .decoder_steps == 3 and [.chain[].target] == ["caption", "rgb"] and
        .chain[1].steps == 2 and .chain[1].guidance == 1.5 and .chain[1].temperature == 0.5 and
        .chain[0].temperature == 0.3 and .chain[0].max_tokens == 4' <<<"$output"
    exits 2 "${generate[@]}" --from "caption:=a" --preset retrieval
    contains "$errors" "no target"
    exits 2 "${generate[@]}" --preset t2j
    exits 2 "${generate[@]}" --to rgb -g much
    contains "$errors" "guidance"
    exits 2 "${generate[@]}" --to rgb --grow --no-grow
}

@test "wrong requests are told" {
    exits 2 "${generate[@]}" --to capton
    contains "$errors" 'did you mean "caption"'
    exits 2 "${generate[@]}" --from rgb@32 --to caption
    contains "$errors" "rgb@32=FILE"
    exits 2 "${generate[@]}" --to rgb@32
    contains "$errors" "only reads it"
    exits 2 "${generate[@]}" --to caption --set caption.heat=1
    contains "$errors" "heat"
    exits 2 "${generate[@]}" --from caption:=a --to caption
    exits 1 "${generate[@]}" --from "caption=$scratch/none" --to rgb
    contains "$errors" "caption:=WORDS"
    exits 1 "${generate[@]}" --from rgb="$picture" --to caption
    contains "$errors" "no tokenizer encodes rgb"
    exits 1 "$tessera" generate "$scratch/words.json" --to caption
    "$TESSERA_BUILD/tokenize_tool" make "$scratch/src" 6
    sed -i 's/image_size: 32, patch_size: 8/image_size: 32, patch_size: 8, resize: box/' "$scratch/recipe.yaml"
    exits 0 "$tessera" tokenize --progress none -s "output=$scratch/other" "$scratch/recipe.yaml"
    exits 3 "${generate[@]}" --corpus "$scratch/other" --sample 0 --from rgb@32 --to caption
    contains "$errors" "was made by tokenizer"
}
