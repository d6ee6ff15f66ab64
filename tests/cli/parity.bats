# SPDX-License-Identifier: Apache-2.0
# tessera parity on the reduced golden vectors.
load common.bash

golden="$data/golden"

# parity MODEL IO CODE OPTION...: as JSON.
parity()
{
    local model=$1 io=$2 code=$3
    shift 3
    exits "$code" "$tessera" parity --json "$@" "$golden/$model.safetensors" "$golden/$io.io.safetensors"
}

@test "tokenizers agree with what the reference computed" {
    needs jq
    for io in rgb rgb-448x320 euclidean dinov2-global; do
        parity "${io%-448x320}" "$io" 0
        jq -e '.kind == "tokenizer" and .precision == "fp32" and .not_within == 0 and
            ([.outputs[].name] == ["latents", "tokens", "decoded.37"]) and
            all(.outputs[]; .verdict == "within") and
            (.outputs[1] | .equal > 0.98 and .clear_differences == 0) and
            (.outputs[0] | .relative > 0 and .relative <= 1e-4)' <<<"$output"
    done
}

@test "masked models agree: states, logits, losses and gradients" {
    needs jq
    for io in fm-swiglu fm-gelu-qknorm; do
        parity "$io" "$io" 0
        jq -e '.kind == "masked model" and .not_within == 0 and
            ([.outputs[].name] | index("encoder_out") and index("rows.caption") and
             index("loss_mod") and index("loss_token")) and
            ([.outputs[] | select(.name | test("^grad"))] | length >= 69) and
            all(.outputs[]; .verdict == "within" and .count > 0)' <<<"$output"
    done
}

@test "beyond the tolerance: exit 3 and the line says so" {
    exits 3 "$tessera" parity --tolerance 1e-11 "$golden/rgb.safetensors" "$golden/rgb.io.safetensors"
    contains "$output" "beyond"
    contains "$output" "1 of 3 outputs within"
    contains "$errors" "not within the tolerance"
}

@test "results of another checkpoint do not pass" {
    needs jq
    parity fm-swiglu fm-gelu-qknorm 3
    jq -e '[.outputs[] | select(.name == "encoder_out")][0].verdict == "beyond"' <<<"$output"
    jq -e '[.outputs[] | select(.name | test("k_norm"))] | length > 0 and
        all(.[]; .verdict == "not computed" and (.note | contains("k_norm")))' <<<"$output"
}

@test "a stored output that cannot be computed is named" {
    needs python3
    python3 - "$golden/dinov2-global.io.safetensors" "$scratch/more.safetensors" <<'PY'
import json, struct, sys
b = open(sys.argv[1], 'rb').read()
n = struct.unpack('<Q', b[:8])[0]
h, data = json.loads(b[8:8 + n]), b[8 + n:]
h['entropy'] = {'dtype': 'F32', 'shape': [1], 'data_offsets': [len(data), len(data) + 4]}
t = json.dumps(h).encode()
open(sys.argv[2], 'wb').write(struct.pack('<Q', len(t)) + t + data + bytes(4))
PY
    exits 3 "$tessera" parity "$golden/dinov2-global.safetensors" "$scratch/more.safetensors"
    contains "$output" "entropy"
    contains "$output" "not computed (no output of tokenizers)"
    contains "$output" "3 of 4 outputs within"
}

@test "a token may differ where the margin is small, and nowhere else" {
    needs python3
    for margin in 1e-6 1e-4; do
        python3 - "$golden/dinov2-global.io.safetensors" "$scratch/$margin.safetensors" $margin <<'PY'
import json, struct, sys
b = bytearray(open(sys.argv[1], 'rb').read())
n = struct.unpack('<Q', b[:8])[0]
h = json.loads(b[8:8 + n])
at = 8 + n + h['tokens']['data_offsets'][0] + 4 * 3
b[at] ^= 1
at = 8 + n + h['margin']['data_offsets'][0] + 4 * 3
b[at:at + 4] = struct.pack('<f', float(sys.argv[3]))
open(sys.argv[2], 'wb').write(b)
PY
    done
    run "$tessera" parity "$golden/dinov2-global.safetensors" "$scratch/1e-6.safetensors"
    [[ $output =~ tokens\ +8\ +87.5000%\ +0\ within ]]
    run "$tessera" parity "$golden/dinov2-global.safetensors" "$scratch/1e-4.safetensors"
    [[ $output =~ tokens\ +8\ +87.5000%\ +1\ beyond ]]
    [ "$status" = 3 ]
}

@test "inputs that do not fit, files that are not there" {
    exits 3 "$tessera" parity "$golden/rgb.safetensors" "$golden/dinov2-global.io.safetensors"
    contains "$errors" "'input'"
    exits 1 "$tessera" parity "$golden/fm-swiglu.safetensors" "$golden/rgb.io.safetensors"
    contains "$errors" "input_mask"
    exits 1 "$tessera" parity "$golden/rgb.safetensors" "$scratch/none"
    exits 2 "$tessera" parity "$golden/rgb.safetensors"
}

@test "diffusion decoders agree, given the noise the other began with and added" {
    needs python3
    needs jq
    for kind in rgb edge; do
        python3 "$TESSERA_SOURCE/tests/scripts/make_divae.py" $kind "$scratch/$kind.safetensors" --small
    done
    for io in rgb-ddim rgb-ddpm rgb-eta edge-ddim; do
        # Random decoders amplify rounding; another seed would be 0.5 and more away.
        exits 0 "$tessera" parity --json --tolerance 5e-4 "$scratch/${io%-*}.safetensors" \
            "$data/vqvae/divae-$io.io.safetensors"
        jq -e '.not_within == 0 and ([.outputs[].name] | sort ==
            ["decoded", "latents", "quantized", "tokens"])' <<<"$output"
    done
}

# edit FILE PYTHON: the header h of a copy of the eta file, changed.
edit()
{
    python3 - "$data/vqvae/divae-rgb-eta.io.safetensors" "$1" "$2" <<'PY'
import json, struct, sys
b = open(sys.argv[1], 'rb').read()
n = struct.unpack('<Q', b[:8])[0]
h, data = json.loads(b[8:8 + n]), b[8 + n:]
exec(sys.argv[3])
t = json.dumps(h).encode()
open(sys.argv[2], 'wb').write(struct.pack('<Q', len(t)) + t + data)
PY
}

@test "noise of a diffusion decoder that is missing, other or too little" {
    needs python3
    python3 "$TESSERA_SOURCE/tests/scripts/make_divae.py" rgb "$scratch/rgb.safetensors" --small
    edit "$scratch/no-noise" "h['something'] = h.pop('noise')"
    exits 3 "$tessera" parity "$scratch/rgb.safetensors" "$scratch/no-noise"
    contains "$output" "its noise is not stored"
    edit "$scratch/no-steps" "h['something'] = h.pop('step_noise')"
    exits 3 "$tessera" parity "$scratch/rgb.safetensors" "$scratch/no-steps"
    contains "$output" "the noise that its steps add is not stored"
    edit "$scratch/other" "h['__metadata__']['eta'] = '0.25'"
    exits 3 "$tessera" parity --tolerance 5e-4 "$scratch/rgb.safetensors" "$scratch/other"
    [[ $output =~ decoded.*beyond ]]
    edit "$scratch/steps" "h['__metadata__']['steps'] = '5'"
    exits 3 "$tessera" parity "$scratch/rgb.safetensors" "$scratch/steps"
    contains "$errors" "noise is given for"
    edit "$scratch/word" "h['__metadata__']['eta'] = 'much'"
    exits 1 "$tessera" parity "$scratch/rgb.safetensors" "$scratch/word"
    contains "$errors" "'eta'"
    edit "$scratch/few" "h['noise'], h['latents'] = h['latents'], h['noise']"
    exits 3 "$tessera" parity "$scratch/rgb.safetensors" "$scratch/few"
}
