# SPDX-License-Identifier: Apache-2.0
# tessera index and retrieve: a corpus with global features (the small published tokenizer) and a
# small untrained model.
load common.bash

setup()
{
    needs jq
    needs python3
    fresh_folder
    "$TESSERA_BUILD/tokenize_tool" make "$scratch/src" 24
    "$TESSERA_BUILD/tokenize_tool" words "$scratch/words.json"
    # features of 96 numbers for all samples but every tenth
    python3 - "$scratch/src" <<'PY'
import array, os, random, sys
root = sys.argv[1]
r = random.Random(4)
for folder, _, names in sorted(os.walk(root + "/rgb")):
    for i, name in enumerate(sorted(names)):
        at = folder.replace("/rgb", "/feature", 1)
        os.makedirs(at, exist_ok=True)
        head = "{'descr': '<f4', 'fortran_order': False, 'shape': (96,), }".ljust(117) + "\n"
        numbers = array.array("f", [r.gauss(0, 1) for _ in range(96)])
        if name != "s0010.png":
            with open(at + "/" + name[:-4] + ".npy", "wb") as f:
                f.write(b"\x93NUMPY\x01\x00v\x00" + head.encode() + numbers.tobytes())
PY
    golden="$data/golden/dinov2-global.safetensors"
    printf '%s\n' "source: {root: '$scratch/src'}" "output: '$scratch/corpus'" "modalities:" \
        "  rgb@32: {kind: pixels, from: rgb, image_size: 32, patch_size: 8}" \
        "  dinov2_global: {tokenizer: '$golden', from: feature}" \
        "  caption: {tokenizer: '$scratch/words.json'}" >"$scratch/recipe.yaml"
    "$tessera" tokenize --progress none "$scratch/recipe.yaml" >/dev/null
    cp "$golden" "$scratch/corpus/tokenizers/dinov2_global.safetensors"
    mkdir "$scratch/run"
    "$TESSERA_BUILD/write_model" "$scratch/run/model.safetensors" \
        "caption=$scratch/corpus/tokenizers/caption.json" "dinov2_global=$golden" \
        "rgb@32=$scratch/corpus/tokenizers/rgb@32.json"
    index=("$tessera" index "$scratch/corpus" --progress none)
    retrieve=("$tessera" retrieve --progress none)
}

@test "global features: stored tokens, decoded; a row finds itself, a file its sample" {
    exits 0 "${index[@]}" -m dinov2_global -o "$scratch/a.index" --json
    jq -e '.vectors == "decoded" and .rows == 23 and .left_out == 1 and .width == 96 and
        .tokens.grid == [1, 8]' <<<"$output"
    exits 0 "$tessera" info --json "$scratch/a.index"
    jq -e '.kind == "index" and .rows == 23 and .index.modality == "dinov2_global"' <<<"$output"
    exits 0 "${retrieve[@]}" "$scratch/a.index" --from row=3 --top 4 --json
    jq -e '(.results | length) == 4 and .results[0].row == 3 and .results[0].score > 0.9999 and
        ([.results[].score] | . == (sort | reverse)) and .rows_per_second > 0' <<<"$output"
    key=$(jq -r '.results[0].key' <<<"$output")
    exits 0 "${retrieve[@]}" "$scratch/a.index" --top 1 \
        --from "dinov2_global=$scratch/src/feature/${key##*/src/}.npy"
    contains "$output" "$key"
    exits 0 "${retrieve[@]}" "$scratch/a.index" --from dinov2_global --sample "$key" --top 1
    contains "$output" "$key"
    # pictures in a terminal are a help: where they cannot be had the search goes on
    exits 0 "${retrieve[@]}" "$scratch/a.index" --from row=3 --top 2 --colour 256
    contains "$output" $'\e['
    mv "$scratch/corpus" "$scratch/away"
    exits 0 "${retrieve[@]}" "$scratch/a.index" --from row=3 --top 2 --colour 256
    contains "$errors" "no pictures"
    [ "$(wc -l <<<"$output")" = 2 ]
    exits 0 "${retrieve[@]}" "$scratch/a.index" --from row=3 --corpus "$scratch/away" \
        --sheet "$scratch/sheet.png"
    mv "$scratch/away" "$scratch/corpus"
    # an independent reader: rows of length 1, and the keys in order
    python3 - "$scratch/a.index" "$key" <<'PY'
import array, json, struct, sys
b = open(sys.argv[1], "rb").read()
n = struct.unpack("<Q", b[:8])[0]
h = json.loads(b[8:8 + n])
def data(name, code):
    first, last = h[name]["data_offsets"]
    return array.array(code, b[8 + n + first:8 + n + last])
v, ends, keys = data("vectors", "f"), data("key_offsets", "Q"), data("keys", "B").tobytes()
rows = [v[i * 96:i * 96 + 96] for i in range(23)]
assert all(abs(sum(x * x for x in row) - 1) < 1e-5 for row in rows)
assert keys[ends[3]:ends[4]] == sys.argv[2].encode() + b"\0"
assert json.loads(h["__metadata__"]["tessera_index"])["modality"] == "dinov2_global"
PY
}

@test "predictions: the same for any threads and batch; a sample finds its own prediction" {
    local args=(-m dinov2_global -M "$scratch/run/model.safetensors" --from rgb@32 -n 3
        --set temperature=1,top_p=0 --seed 7)
    exits 0 "${index[@]}" "${args[@]}" -o "$scratch/a.index" -j 1 -b 1
    exits 0 "${index[@]}" "${args[@]}" -o "$scratch/b.index" -j 3 -b 16
    cmp "$scratch/a.index" "$scratch/b.index"
    exits 0 "${index[@]}" "${args[@]}" -o "$scratch/b.index" --seed 8
    ! cmp -s "$scratch/a.index" "$scratch/b.index"
    # the model is known, and conditions, seed and key give the same tokens again
    exits 0 "${retrieve[@]}" "$scratch/a.index" --from rgb@32 --sample 5 -n 3 --seed 7 \
        --set temperature=1,top_p=0 --top 2 --json
    jq -e '.query.way == "predicted" and .results[0].sample == 5 and .results[0].score > 0.9999' \
        <<<"$output"
    exits 0 "${retrieve[@]}" "$scratch/a.index" --from rgb@32 --evaluate 24 -n 3 --seed 7 \
        --set temperature=1,top_p=0 --json
    jq -e '.evaluation | .queries == 24 and .recall["1"].value == 1 and .median_rank.value == 1 and
        .median_rank.chance == 12.5 and (.recall["5"].chance - 5 / 24 | fabs) < 1e-9' <<<"$output"
    picture=$(find "$scratch/src/rgb" -name '*.png' | sort | head -n 1)
    exits 0 "${retrieve[@]}" "$scratch/a.index" --from "rgb@32=$picture" \
        --top 7 --sheet "$scratch/sheet.png"
    [ "$(wc -l <<<"$output")" = 7 ]
    [ "$(head -c 8 "$scratch/sheet.png" | od -An -tx1 | tr -d ' ')" = 89504e470d0a1a0a ]
    exits 0 "${retrieve[@]}" "$scratch/a.index" --from "rgb@32=$picture" --json
    jq -e '.query.predicted | .variants == 1 and .settings.steps == 1 and
        .settings.temperature == 0.1' <<<"$output"
    exits 0 "${retrieve[@]}" "$scratch/a.index" --from "rgb@32=$picture" --top 7 \
        --files "$scratch/src" --sheet "$scratch/files.png"
    [ -s "$scratch/files.png" ]
}

@test "candidates are ordered anew by likelihood, alone and in an evaluation" {
    exits 0 "${index[@]}" -m dinov2_global -o "$scratch/a.index"
    local args=("$scratch/a.index" -M "$scratch/run/model.safetensors" --from rgb@32 --sample 2)
    exits 0 "${retrieve[@]}" "${args[@]}" --top 23 --rerank 6 --score-steps 8 --json
    jq -e '([.results[] | select(.gain)] | length) == 6 and
        ([.results[:6][].gain] | . == (sort | reverse)) and
        ([.results[6:][].score] | . == (sort | reverse)) and
        all(.results[:6][]; .likelihood < 0)' <<<"$output"
    gains=$(jq -c '[.results[:6][] | {key, gain}] | sort_by(.key)' <<<"$output")
    exits 0 "${retrieve[@]}" "${args[@]}" --top 6 --rerank 6 --score-steps 8 --by likelihood \
        --json -j 3 -b 2
    jq -e '[.results[].likelihood] | . == (sort | reverse)' <<<"$output"
    [ "$(jq -c '[.results[] | {key, gain}] | sort_by(.key)' <<<"$output")" = "$gains" ]
    exits 0 "${retrieve[@]}" "$scratch/a.index" -M "$scratch/run/model.safetensors" \
        --from rgb@32 --evaluate 9 --rerank 5 --json
    jq -e '.evaluation | .queries == 9 and .reranked.median_rank.value >= 1 and
        .recall["10"].samples == 9' <<<"$output"
}

@test "words, counted; features from files" {
    exits 0 "${index[@]}" -m caption -o "$scratch/a.index" --json
    jq -e '.vectors == "counts" and .width > 0' <<<"$output"
    # what every caption has tells nothing; two of 20 have "a bad" besides, and are alike
    exits 0 "${retrieve[@]}" "$scratch/a.index" --from caption:="a bad sample" --top 3 --json
    jq -e '.query.way == "direct" and [.results[:2][].key] == ["1/s0016", "2/s0005"] and
        .results[1].score > 0.9999 and .results[2].score == 0' <<<"$output"
    exits 0 "${retrieve[@]}" "$scratch/a.index" --from caption --evaluate 99 --json
    jq -e '.evaluation | .queries == 20 and .recall["1"].value == 0 and .recall["5"].value == 0.1' \
        <<<"$output"
    exits 0 "$tessera" inspect --json --sample 0 "$scratch/corpus"
    base=$(jq -r .key <<<"$output")
    exits 0 "${index[@]}" -m feature --features "$scratch/src/feature" -o "$scratch/b.index" --json
    jq -e '.vectors == "features" and .rows == 23 and .left_out == 1' <<<"$output"
    exits 0 "${retrieve[@]}" "$scratch/b.index" --top 1 \
        --from "feature=$scratch/src/feature/$base.npy"
    contains "$output" "$base"
    exits 1 "${index[@]}" -m feature --features "$scratch/src/feature/$base.npy" -o "$scratch/c.index"
    contains "$errors" "24 samples"
    [ ! -e "$scratch/c.index" ]
}

@test "wrong requests, wrong files, other corpora and models" {
    exits 0 "${index[@]}" -m dinov2_global -o "$scratch/a.index"
    exits 2 "${index[@]}" -m dinov2_global
    exits 2 "${index[@]}" -m depth -o "$scratch/b.index"
    exits 2 "${index[@]}" -m caption --from rgb@32 -o "$scratch/b.index"
    exits 2 "${index[@]}" -m rgb@32 -o "$scratch/b.index"
    contains "$errors" "patches"
    exits 2 "${index[@]}" -m caption --vectors words -o "$scratch/b.index"
    exits 2 "${index[@]}" -m caption --vectors codes -o "$scratch/b.index"
    exits 2 "${index[@]}" -m caption --split none -o "$scratch/b.index"
    exits 2 "${retrieve[@]}" "$scratch/a.index"
    exits 2 "${retrieve[@]}" "$scratch/a.index" --from caption
    contains "$errors" "--sample"
    exits 2 "${retrieve[@]}" "$scratch/a.index" --from caption:=a
    contains "$errors" "--model"
    exits 2 "${retrieve[@]}" "$scratch/a.index" --from row=1 --rerank 2
    exits 1 "${retrieve[@]}" "$scratch/a.index" --from row=23
    exits 1 "${retrieve[@]}" "$scratch/words.json" --from row=0
    exits 1 "${retrieve[@]}" "$golden" --from row=0
    contains "$errors" "tessera index"
    # a number of the last row, and the file cut short
    cp "$scratch/a.index" "$scratch/b.index"
    size=$(stat -c %s "$scratch/b.index")
    byte=$(od -An -tu1 -j$((size / 2)) -N1 "$scratch/b.index")
    printf "\\$(printf %o $((byte ^ 255)))" |
        dd of="$scratch/b.index" bs=1 seek=$((size / 2)) conv=notrunc status=none
    exits 3 "${retrieve[@]}" "$scratch/b.index" --from row=0
    head -c $((size / 2)) "$scratch/a.index" >"$scratch/b.index"
    exits 1 "${retrieve[@]}" "$scratch/b.index" --from row=0
    # another corpus; a model of another tokenizer
    rm "$(find "$scratch/src/rgb" -name '*.png' | sort | head -n 1)"
    rm "$(find "$scratch/src/feature" -name '*.npy' | sort | head -n 1)"
    exits 0 "$tessera" tokenize --progress none -s "output=$scratch/other" "$scratch/recipe.yaml"
    exits 3 "${retrieve[@]}" "$scratch/a.index" --from row=0 --corpus "$scratch/other"
    contains "$errors" "not the corpus"
    cp "$golden" "$scratch/other.safetensors"
    chmod u+w "$scratch/other.safetensors"
    printf '\001' | dd of="$scratch/other.safetensors" bs=1 conv=notrunc status=none \
        seek=$(($(stat -c %s "$golden") - 4))
    "$TESSERA_BUILD/write_model" "$scratch/run/other.safetensors" \
        "caption=$scratch/corpus/tokenizers/caption.json" \
        "dinov2_global=$scratch/other.safetensors"
    exits 3 "${retrieve[@]}" "$scratch/a.index" --from caption:=a -M "$scratch/run/other.safetensors"
    contains "$errors" "tokenizer"
}
