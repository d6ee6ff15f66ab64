# SPDX-License-Identifier: Apache-2.0
# tessera encode, decode, roundtrip, bench: single files through tokenizers.
load common.bash

setup()
{
    fresh_folder
    text="$data/text/tokenizer.json"
    rgb="$data/golden/rgb.safetensors"
    printf 'A red cube beside a green sphere\n' >"$scratch/a.txt"
    printf 'two trees\n' >"$scratch/b.txt"
    { printf 'P6 48 40 255\n'; head -c 5760 /dev/zero | tr '\0' 'x'; } >"$scratch/p.ppm"
}

@test "text to tokens and back" {
    needs jq
    exits 0 "$tessera" encode -t "$text" -m caption "$scratch/a.txt"
    jq -e '.modality == "caption" and (.ids | length) > 5 and .ids == .global and .ids[-1] == 3' <<<"$output"
    exits 0 "$tessera" decode -t "$text" -m caption -o "$scratch/out" <<<"$output"
    [ "$(cat "$output")" = "a red cube beside a green sphere" ]
    case $output in "$scratch"/out/*) ;; *) false ;; esac
}

@test "encode | inspect - shows pieces" {
    "$tessera" encode -t "$text" "$scratch/a.txt" >"$scratch/lines"
    exits 0 "$tessera" inspect - -t "$text" --colour none <"$scratch/lines"
    contains "$output" "[EOS]"
    contains "$output" "a red cube beside a green sphere"
}

@test "a picture through a published tokenizer, the same for any number of threads" {
    needs jq
    exits 0 "$tessera" encode -j 1 -t "$rgb" -m rgb "$scratch/p.ppm" "$scratch/p.ppm"
    one=$output
    [ "$(wc -l <<<"$one")" = 2 ]
    jq -se 'all(.[]; (.ids | length) == 196 and (.ids | max) < 1024 and .grid == [14, 14])' <<<"$one"
    exits 0 "$tessera" encode -j 3 -t "$rgb" -m rgb "$scratch/p.ppm" "$scratch/p.ppm"
    [ "$output" = "$one" ]
    exits 0 "$tessera" decode -t "$rgb" -m rgb -o "$scratch/out" --json <<<"$one"
    path=$(jq -rs '.[0].path' <<<"$output")
    [ "$(head -c 8 "$path" | od -An -tx1 | tr -d ' ')" = 89504e470d0a1a0a ]
}

@test "bad files are named, the rest go on, exit 4" {
    needs jq
    printf 'broken' >"$scratch/x.png"
    printf '\377\376' >"$scratch/bad.txt"
    exits 4 "$tessera" encode -t "$text" "$scratch/a.txt" "$scratch/bad.txt" "$scratch/none.txt" "$scratch/b.txt"
    [ "$(jq -s length <<<"$output")" = 2 ]
    contains "$errors" "bad.txt"
    contains "$errors" "none.txt"
    exits 4 "$tessera" encode -t "$rgb" -m rgb "$scratch/x.png"
    contains "$errors" "x.png"
    exits 4 "$tessera" encode -t "$rgb" -m rgb "$scratch/a.txt"
}

@test "wrong usage and wrong tokenizers" {
    exits 2 "$tessera" encode "$scratch/a.txt"
    contains "$errors" "-t FILE"
    exits 2 "$tessera" encode -t "$text"
    exits 1 "$tessera" encode -t "$scratch/nothing.json" "$scratch/a.txt"
    exits 2 "$tessera" encode -t "$text" --with "$scratch/b.txt" "$scratch/a.txt" "$scratch/b.txt"
    exits 2 "$tessera" decode -o "$scratch/out"
    exits 2 "$tessera" roundtrip "$scratch/a.txt"
    "$tessera" encode -t "$text" "$scratch/a.txt" >"$scratch/lines"
    exits 3 "$tessera" decode -t "$rgb" -m rgb -o "$scratch/out" "$scratch/lines"
    contains "$errors" "none of the tokenizers"
}

@test "what a tokenizer file says wrongly is no wrong usage: exit 3" {
    printf '%s' '{"kind": "palette", "modality": "No Name"}' >"$scratch/name.json"
    exits 3 "$tessera" encode -t "$scratch/name.json" "$scratch/a.txt"
    contains "$errors" "name.json: modality \"No Name\" is not a name"
    printf '%s' '{"kind": "palette", "modality": "palette", "mots": 3}' >"$scratch/mots.json"
    exits 3 "$tessera" encode -t "$scratch/mots.json" "$scratch/a.txt"
    contains "$errors" "mots"
    exits 2 "$tessera" encode -t "$text" -m 'no name' "$scratch/a.txt"
    contains "$errors" "not a modality name"
}

@test "decode names bad lines and goes on" {
    "$tessera" encode -t "$text" "$scratch/a.txt" >"$scratch/lines"
    { echo nonsense; cat "$scratch/lines"; } >"$scratch/mixed"
    exits 4 "$tessera" decode -t "$text" -o "$scratch/out" "$scratch/mixed"
    contains "$errors" "line 1"
    [ -s "$output" ]
}

@test "a key cannot lead out of the output folder" {
    "$tessera" encode -t "$text" "$scratch/a.txt" |
        sed 's|"key": "[^"]*"|"key": "../../../../escape\\u0007/x.txt"|' >"$scratch/lines"
    mkdir -p "$scratch/deep/out"
    exits 0 "$tessera" decode -t "$text" -o "$scratch/deep/out" "$scratch/lines"
    [ "$(find "$scratch/deep" -type f | wc -l)" = 1 ]
    [ "$(find "$scratch/deep/out" -type f | wc -l)" = 1 ]
}

@test "roundtrip measures and writes" {
    needs jq
    exits 0 "$tessera" roundtrip --json -t "$text" "$scratch/a.txt" -o "$scratch/out"
    jq -e '.quality.exact == 1 and .bits > 0 and .tokens > 5' <<<"$output"
    [ -s "$(jq -r .decoded <<<"$output")" ]
    exits 0 "$tessera" roundtrip -t "$rgb" -m rgb "$scratch/p.ppm" --show --colour 256
    contains "$output" "psnr_db"
    contains "$output" $'\033[48;5;'
    contains "$output" "▀"
    exits 4 "$tessera" roundtrip -t "$text" "$scratch/none.txt" "$scratch/a.txt"
}

@test "a closed pipe stops encode quietly" {
    run bash -c "set -o pipefail; '$tessera' encode -t '$text' $(printf "'$scratch/a.txt' %.0s" $(seq 300)) 2>'$scratch/err' | head -n 1"
    [ "$status" = 0 ]
    [ ! -s "$scratch/err" ]
}

@test "bench prints both rates" {
    needs jq
    exits 0 "$tessera" bench gemm --size 64x64x64 --seconds 0.01 --rounds 1 --json
    jq -e '.gflops > 0 and .library_gflops > 0' <<<"$output"
    exits 0 "$tessera" bench encode --width 64 --depth 1 --image 32 --seconds 0.01 --rounds 1
    contains "$output" "GFLOP/s"
    exits 0 "$tessera" bench train --batch 2 --seconds 0.01 --rounds 1 --json
    exits 2 "$tessera" bench nothing
    exits 2 "$tessera" bench gemm --size 1x2
    exits 2 "$tessera" bench encode --width 65
}
