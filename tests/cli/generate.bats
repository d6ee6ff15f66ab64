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

# tokens MODALITY: those of the first result in $output.
tokens()
{
    jq -c --arg m "$1" '.results[0].targets[$m].tokens' <<<"$output"
}

# changed A B: places in which two lists of tokens differ, "row,column ..." of a 14 x 14 grid
changed()
{
    jq -rn --argjson a "$1" --argjson b "$2" \
        '[range(196) | select($a[.] != $b[.]) | "\(. / 14 | floor),\(. % 14)"] | join(" ")'
}

@test "only what is hidden of a grid is generated" {
    local args=(--from "rgb=$picture" --tokenizers "$data/golden/rgb.safetensors" --to rgb --json
        --set steps=4)
    exits 0 "${generate[@]}" "${args[@]}" --hide rgb=0
    whole=$(tokens rgb)
    jq -e '.given.rgb.hide == "0"' <<<"$output"
    exits 0 "${generate[@]}" "${args[@]}" --hide rgb=0.25,0.25,0.75,0.5
    middle=$(tokens rgb)
    # cells that the rectangle touches: columns 3 to 10, rows 3 to 6
    for place in $(changed "$whole" "$middle"); do
        [ "${place%,*}" -ge 3 ] && [ "${place%,*}" -le 6 ]
        [ "${place#*,}" -ge 3 ] && [ "${place#*,}" -le 10 ]
    done
    [ "$(changed "$whole" "$middle" | wc -w)" -gt 25 ]
    exits 0 "${generate[@]}" "${args[@]}" --hide rgb=0.25,0.25,0.75,0.5 -j 3 -b 1
    [ "$(tokens rgb)" = "$middle" ]
    exits 0 "${generate[@]}" "${args[@]}" --hide rgb=0.25,0.25,0.75,0.5 --seed 1
    [ "$(tokens rgb)" != "$middle" ]
    # the left half is white
    printf 'P5\n4 2\n255\n\377\377\000\000\377\377\000\000' >"$scratch/left.pgm"
    exits 0 "${generate[@]}" "${args[@]}" --keep "rgb=$scratch/left.pgm"
    half=$(tokens rgb)
    for place in $(changed "$whole" "$half"); do [ "${place#*,}" -ge 7 ]; done
    [ "$(changed "$whole" "$half" | wc -w)" -gt 80 ]
    exits 0 "${generate[@]}" "${args[@]}" --keep rgb=0,0,0.5,1
    [ "$(tokens rgb)" = "$half" ]
    exits 0 "${generate[@]}" "${args[@]}" --keep rgb=0.75
    n=$(changed "$whole" "$(tokens rgb)" | wc -w)
    [ "$n" -gt 40 ] && [ "$n" -le 49 ]
}

@test "hidden pixels are not seen" {
    printf 'P5\n32 32\n255\n' | tee "$scratch/a.pgm" >"$scratch/b.pgm"
    seq -f %03g 1 400 | tr -d '\n' | head -c 512 | tee -a "$scratch/a.pgm" >>"$scratch/b.pgm"
    head -c 512 /dev/zero >>"$scratch/a.pgm"
    seq -f %03g 1 400 | tr -d '\n' | head -c 512 >>"$scratch/b.pgm"
    local args=(--to caption --json --set max_tokens=8,temperature=0)
    # the same upper half
    for hide in 0 0,0.5,1,1 0,0,1,0.5; do
        exits 0 "${generate[@]}" --from "rgb@32=$scratch/a.pgm" --hide "rgb@32=$hide" "${args[@]}"
        a=$(tokens caption)
        exits 0 "${generate[@]}" --from "rgb@32=$scratch/b.pgm" --hide "rgb@32=$hide" "${args[@]}"
        printf '%s ' "$([ "$(tokens caption)" = "$a" ] && echo same || echo other)"
    done >"$scratch/seen"
    [ "$(cat "$scratch/seen")" = "other same other " ]
}

@test "what is missing in a text is written" {
    local args=(--json --set max_tokens=4 --set temperature=2)
    exits 0 "${generate[@]}" --from "caption:=[MASK] bad [S_7] sample" --to caption "${args[@]}"
    jq -e '.given.caption.text == "[MASK] bad [S_7] sample"' <<<"$output"
    text=$(jq -r '.results[0].targets.caption.text' <<<"$output")
    [[ $text == *bad*sample && $text != *"[S_"* && $text != *MASK* && $text != "bad sample" ]]
    exits 0 "${generate[@]}" --from "caption:=[S_1] bad [S_2] sample" --to caption "${args[@]}" -j 2
    [ "$(jq -r '.results[0].targets.caption.text' <<<"$output")" = "$text" ]
    # as its tokens are written; two colours were announced
    code=0
    "${generate[@]}" --from "palette:=v1=2 v0=255 v0=0 v0=0 [MASK]" --to palette --json \
        >"$scratch/palette.json" || code=$?
    [ "$code" = 0 ] || [ "$code" = 4 ]
    jq -e '.results[0].targets.palette.tokens | .[0:4] == [1206, 459, 204, 204]' \
        "$scratch/palette.json"
}

@test "what cannot be given in part is told" {
    local tok=(--tokenizers "$data/golden/rgb.safetensors")
    exits 2 "${generate[@]}" --from "caption:=a ball" --to caption
    contains "$errors" "[MASK]"
    exits 2 "${generate[@]}" --from "rgb=$picture" --to rgb "${tok[@]}"
    contains "$errors" "--hide"
    exits 2 "${generate[@]}" --to rgb --hide rgb=0.5
    contains "$errors" "not given"
    exits 2 "${generate[@]}" --from "caption:=a" --to rgb --hide caption=0.5
    contains "$errors" "[MASK]"
    exits 2 "${generate[@]}" --from "rgb=$picture" --to rgb --hide rgb=0.5 --keep rgb=0.5
    for wrong in 1.5 -1 0.5,0.5,0.4,1 0,0,2,1 0.3,0.3,0.7 ''; do
        exits 2 "${generate[@]}" --from "rgb=$picture" --to rgb "${tok[@]}" --hide "rgb=$wrong"
    done
    exits 1 "${generate[@]}" --from "rgb=$picture" --to rgb "${tok[@]}" --hide "rgb=$scratch/none"
    exits 2 "${generate[@]}" --from "rgb=$picture" --to rgb "${tok[@]}" --hide "rgb=$scratch/words.json"
    contains "$errors" "a mask is a picture"
    exits 1 "${generate[@]}" --from "palette:=two colours" --to rgb
}

@test "files that do not say what they are go by shape, then by name" {
    local one="$scratch/4M_rgb_16k/model.safetensors" other="$scratch/4M_normal_8k/model.safetensors"
    mkdir -p "$scratch/4M_rgb_16k" "$scratch/4M_normal_8k"
    cp "$data/golden/rgb.safetensors" "$one"
    cp "$one" "$other"
    printf '\377' | dd of="$other" bs=1 seek=$(($(stat -c %s "$other") - 6)) conv=notrunc status=none
    "$TESSERA_BUILD/write_model" "$scratch/m.safetensors" "tok_rgb@224=$one"
    local run=("$tessera" generate --progress none --quiet --to tok_rgb@224 --set steps=1
        "$scratch/m.safetensors")
    exits 0 "${run[@]}" --tokenizers "tok_rgb@224=$one" -o "$scratch/a"
    exits 0 "${run[@]}" --tokenizers "tok_rgb@224=$other" -o "$scratch/b"
    ! cmp -s "$scratch/a/tok_rgb@224.png" "$scratch/b/tok_rgb@224.png"
    exits 0 "${run[@]}" --tokenizers "$scratch" -o "$scratch/c"
    cmp "$scratch/a/tok_rgb@224.png" "$scratch/c/tok_rgb@224.png"
    # two that are named alike
    mkdir "$scratch/both"
    cp "$one" "$scratch/both/x.safetensors"
    cp "$other" "$scratch/both/y.safetensors"
    exits 3 "${run[@]}" --tokenizers "$scratch/both" -o "$scratch/d"
    contains "$errors" "x.safetensors"
    contains "$errors" "y.safetensors"
    contains "$errors" "--tokenizers tok_rgb@224=FILE"
    exits 3 "${run[@]}" --tokenizers "tok_rgb@224=$data/golden/euclidean.safetensors" -o "$scratch/d"
    contains "$errors" "14 x 14"
    exits 2 "${run[@]}" --tokenizers "tok_rgb@448=$one" -o "$scratch/d"
    exits 1 "${run[@]}" --tokenizers "tok_rgb@224=$scratch/none" -o "$scratch/d"
}

@test "pictures and records of published models need no files of their own" {
    # text tokenizer alone: patches are cut, boxes and palettes written with its words
    echo '{"kind": "pixels", "modality": "rgb@224", "image_size": 224, "patch_size": 16}' \
        >"$scratch/pixels.json"
    "$TESSERA_BUILD/write_model" "$scratch/m.safetensors" "caption=$scratch/words.json" \
        "det=$scratch/words.json" "color_palette=$scratch/words.json" "rgb@224=$scratch/pixels.json"
    local run=("$tessera" generate "$scratch/m.safetensors" --tokenizers "$scratch/words.json"
        --progress none --quiet --set max_tokens=5)
    exits 0 "${run[@]}" --from "rgb@224=$picture" --to det -o "$scratch/out"
    jq -e '.instances | type == "array"' "$scratch/out/det.json"
    exits 0 "${run[@]}" --from 'color_palette:={"colors": [[255, 0, 0]]}' --to caption \
        -o "$scratch/a"
    exits 1 "${run[@]}" --from "color_palette:=two colours" --to caption -o "$scratch/b"
    exits 0 "${run[@]}" --tokenizers "det=$scratch/words.json" --to det -o "$scratch/c"
    [ -f "$scratch/c/det.json" ]
    # without it, what is missing is said
    exits 1 "$tessera" generate "$scratch/m.safetensors" --quiet \
        --from 'det:={"instances": []}' --to caption
    contains "$errors" "text of "
}

@test "a published tokenizer for a name that is none" {
    local encode=("$tessera" encode -t "$data/golden/rgb.safetensors" "$picture")
    exits 0 "${encode[@]}" -m tok_rgb@224
    tokens=$(jq -c .tokens <<<"$output")
    exits 0 "${encode[@]}" -m rgb@224
    [ "$(jq -c .tokens <<<"$output")" = "$tokens" ]
    exits 2 "${encode[@]}" -m rgb@x
    exits 2 "${encode[@]}" -m rgb@0
    contains "$errors" "rgb@224"
    exits 1 "${encode[@]}" -m banana
    contains "$errors" "begin with"
    exits 3 "${encode[@]}" -m depth@224
    contains "$errors" "3 channels"
    exits 1 "$tessera" encode -t "$scratch/run/model.safetensors" -m rgb "$picture"
    contains "$errors" "not a tokenizer file"
}

@test "super-resolution by a second model" {
    local tok="$data/golden/rgb.safetensors" run="$scratch/run"
    "$TESSERA_BUILD/write_model" "$run/base.safetensors" "caption=$of/caption.json" "tok_rgb@224=$tok"
    "$TESSERA_BUILD/write_model" "$run/sr.safetensors" "caption=$of/caption.json" \
        "tok_rgb@224=$tok" "tok_rgb@448=$tok"
    "$TESSERA_BUILD/write_model" "$run/bare.safetensors" "tok_rgb@224=$tok" "tok_rgb@448=$tok"
    local sr=("$tessera" generate --tokenizers "$of/caption.json" --tokenizers "$tok"
        --progress none --quiet --set "tok_rgb@448.steps=2,temperature=0")
    # from words, with the published settings, at both sizes
    exits 0 "${sr[@]}" "$run/base.safetensors" --super-resolution "$run/sr.safetensors" \
        --from "caption:=a sample" --preset t2i --set "tok_rgb@224.steps=2" -n 2 -o "$scratch/out"
    for n in 0 1; do
        [ "$(od -An -tu1 -j18 -N2 "$scratch/out/tok_rgb@224.$n.png" | xargs)" = "0 224" ]
        [ "$(od -An -tu1 -j18 -N2 "$scratch/out/tok_rgb@448.$n.png" | xargs)" = "1 192" ]
    done
    jq -e '[.chain[].target] == ["tok_rgb@224"] and .chain[0].temperature == 0.5 and
        .super_resolution.seed == 1 and .super_resolution.grow and
        (.super_resolution.chain | map(.target)) == ["tok_rgb@448"] and
        .super_resolution.chain[0].scheme == "maskgit" and
        .super_resolution.chain[0].guidance == 3 and .super_resolution.chain[0].steps == 2 and
        all(.results[].targets; (.["tok_rgb@224"].tokens | length) == 196 and
            (.["tok_rgb@448"].tokens | length) == 784)' "$scratch/out/generate.json"
    # it sees what was generated: other tokens at 224, other ones at 448
    jq -e '[.results[].targets["tok_rgb@448"].tokens] | .[0] != .[1]' "$scratch/out/generate.json"
    # two steps are the same as one
    exits 0 "${sr[@]}" "$run/base.safetensors" --super-resolution "$run/bare.safetensors" --json \
        --from "tok_rgb@224=$picture" --to "caption,tok_rgb@448" --set caption.max_tokens=3
    both=$(tokens tok_rgb@448)
    exits 0 "${sr[@]}" "$run/bare.safetensors" --from "tok_rgb@224=$picture" --preset any --seed 1 \
        --json
    [ "$(tokens tok_rgb@448)" = "$both" ]
    exits 0 "${sr[@]}" "$run/base.safetensors" --super-resolution "$run/sr.safetensors" --json \
        --from "tok_rgb@224=$picture" --to "caption,tok_rgb@448" --set caption.max_tokens=3
    [ "$(tokens tok_rgb@448)" != "$both" ]

    exits 2 "${sr[@]}" "$run/base.safetensors" --super-resolution "$run/base.safetensors" \
        --from "caption:=a" --to "tok_rgb@224"
    contains "$errors" "larger"
    exits 2 "${sr[@]}" "$run/base.safetensors" --super-resolution "$run/sr.safetensors" \
        --from "caption:=a" --to "tok_rgb@224,tok_rgb@447"
    contains "$errors" 'did you mean "tok_rgb@448"'
    "$TESSERA_BUILD/write_model" "$run/other.safetensors" "caption=$of/palette.json" \
        "tok_rgb@224=$tok" "tok_rgb@448=$tok"
    exits 3 "${sr[@]}" "$run/base.safetensors" --super-resolution "$run/other.safetensors" \
        --from "caption:=a" --to "tok_rgb@224"
    contains "$errors" "caption is made by tokenizer"
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
