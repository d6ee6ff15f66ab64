# SPDX-License-Identifier: Apache-2.0
# tessera decode with tokenizers that have a diffusion decoder.
load common.bash

setup()
{
    fresh_folder
    needs python3
    needs jq
    make="$TESSERA_SOURCE/tests/scripts/make_divae.py"
    python3 "$make" rgb "$scratch/rgb.safetensors" --small
    { printf 'P6 48 40 255\n'; head -c 5760 /dev/zero | tr '\0' 'x'; } >"$scratch/p.ppm"
    "$tessera" encode -t "$scratch/rgb.safetensors" -m rgb@64 "$scratch/p.ppm" >"$scratch/tokens"
}

decode()
{
    folder=$1
    shift
    exits 0 "$tessera" decode -t "$scratch/rgb.safetensors" -m rgb@64 -o "$scratch/$folder" "$@" \
        "$scratch/tokens"
}

@test "info tells the decoder and how it decodes" {
    exits 0 "$tessera" info --json -m rgb "$scratch/rgb.safetensors"
    jq -e '.. | objects | select(.decoder_kind) | .decoder_kind == "UNet diffusion" and
        .diffusion.steps == 25 and .diffusion.schedule == "linear" and .diffusion.clip' <<<"$output"
    exits 0 "$tessera" info -m rgb "$scratch/rgb.safetensors"
    contains "$output" "UNet diffusion"
    python3 "$make" edge "$scratch/edge.safetensors" --small
    exits 0 "$tessera" info --json -m edge "$scratch/edge.safetensors"
    jq -e '.. | objects | select(.decoder_kind) | .decoder_kind == "UViT diffusion" and
        .diffusion.steps == 10 and .diffusion.prediction == "v_prediction"' <<<"$output"
}

@test "the same seed gives the same file, another one another, for any number of threads" {
    decode a --steps 3 --seed 5
    a=$output
    decode b --steps 3 --seed 5
    cmp "$a" "$output"
    TESSERA_THREADS=3 decode c --steps 3 --seed 5
    cmp "$a" "$output"
    decode d --steps 3 --seed 6
    ! cmp -s "$a" "$output"
    decode e --steps 4 --seed 5
    ! cmp -s "$a" "$output"
    decode f --steps 4 --seed 5 --guidance 2
    g=$output
    decode h --steps 4 --seed 5 --sampler ddpm
    ! cmp -s "$g" "$output"
    [ "$(head -c 8 "$a" | od -An -tx1 | tr -d ' ')" = 89504e470d0a1a0a ]
}

@test "steps as the reference visits them differ only where it miscounts" {
    decode a --steps 3 --seed 5 # 3 does not divide 1000
    even=$output
    decode b --steps 3 --seed 5 --compatible --progress json
    ! cmp -s "$even" "$output"
    [ "$(jq -s '.[-1].total' <<<"$errors")" = 4 ]
    decode c --steps 4 --seed 5
    even=$output
    decode d --steps 4 --seed 5 --compatible
    cmp "$even" "$output"
}

@test "each step is reported" {
    decode out --steps 4 --progress json
    [ "$(jq -s '.[-1] | .phase == "decode" and .done == 4 and .total == 4' <<<"$errors")" = true ]
}

@test "steps that cannot be" {
    exits 2 "$tessera" decode -t "$scratch/rgb.safetensors" -m rgb@64 --steps 0 "$scratch/tokens"
    exits 2 "$tessera" decode -t "$scratch/rgb.safetensors" -m rgb@64 --sampler euler "$scratch/tokens"
    exits 2 "$tessera" decode -t "$scratch/rgb.safetensors" -m rgb@64 --steps 2000 "$scratch/tokens"
    contains "$errors" "1000"
    exits 2 "$tessera" decode -t "$scratch/rgb.safetensors" -m rgb@72 --steps 2 "$scratch/tokens"
}

@test "an edge tokenizer decodes to grey" {
    python3 "$make" edge "$scratch/edge.safetensors" --small
    "$tessera" encode -t "$scratch/edge.safetensors" -m edge@32 "$scratch/p.ppm" >"$scratch/tokens"
    exits 0 "$tessera" decode -t "$scratch/edge.safetensors" -m edge@32 -o "$scratch/out" "$scratch/tokens"
    # Colour type 0 of the PNG header: grey.
    [ "$(od -An -tu1 -j25 -N1 "$output" | tr -d ' ')" = 0 ]
}

@test "settings that are not known: the file is named" {
    for change in 's/"linear"/"lineal"/' 's/"lucid"/"lucky"/' 's/"sample"/"simple"/'; do
        LC_ALL=C sed "$change" "$scratch/rgb.safetensors" >"$scratch/other.safetensors"
        exits 1 "$tessera" decode -t "$scratch/other.safetensors" -m rgb@64 "$scratch/tokens"
        contains "$errors" "$scratch/other.safetensors"
        contains "$errors" "is not known"
    done
}

@test "a signal between the steps: a clean stop and no file" {
    "$tessera" encode -t "$scratch/rgb.safetensors" -m rgb@256 "$scratch/p.ppm" >"$scratch/tokens"
    "$tessera" decode -t "$scratch/rgb.safetensors" -m rgb@256 -o "$scratch/out" --steps 1000 \
        --guidance 2 --progress json "$scratch/tokens" >"$scratch/stdout" 2>"$scratch/progress" &
    pid=$!
    # The folder is made when all is loaded.
    for _ in $(seq 600); do
        if [ -d "$scratch/out" ]; then break; fi
        sleep 0.05
    done
    sleep 0.5
    kill -INT $pid
    code=0
    wait $pid || code=$?
    [ "$code" = 130 ]
    contains "$(<"$scratch/progress")" "stopped on request"
    [ ! -s "$scratch/stdout" ]
    [ -z "$(find "$scratch/out" -type f)" ]
}
