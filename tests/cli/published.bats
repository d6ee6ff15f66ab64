# SPDX-License-Identifier: Apache-2.0
# Published tokenizers on the files published tools read: edges, crops.
load common.bash

setup()
{
    fresh_folder
    /usr/bin/python3 -c "import numpy, h5py" 2>/dev/null || skip "numpy and h5py are not installed"
    needs jq
    edge="$scratch/edge.safetensors"
    /usr/bin/python3 "$TESSERA_SOURCE/tests/scripts/make_divae.py" edge "$edge" --small
    /usr/bin/python3 "$TESSERA_SOURCE/tests/scripts/make_pictures.py" "$scratch"
}

ids()
{
    exits 0 "$tessera" encode -t "$edge" -m canny_edge@64 "$@"
    jq -c .ids <<<"$output"
}

@test "edges of a picture are those of the ready map" {
    map=$(ids "$scratch/edges.png")
    [ "$(ids --from rgb "$scratch/photo.png")" = "$map" ]
    [ "$(ids "$scratch/photo.png")" != "$map" ]
    exits 0 "$tessera" roundtrip -t "$edge" -m canny_edge@64 --from rgb -o "$scratch/a" "$scratch/photo.png"
    exits 0 "$tessera" roundtrip -t "$edge" -m canny_edge@64 -o "$scratch/b" "$scratch/edges.png"
    cmp "$scratch"/a/*photo.canny_edge@64.target.png "$scratch"/b/*edges.canny_edge@64.target.png
    exits 0 "$tessera" info --json -m canny_edge@64 "$edge"
    jq -e '.. | objects | select(.derive) | .derive == "canny" and .canny_high == 200' <<<"$output"
}

@test "crops from the command line and from a file of 4M" {
    exits 0 "$tessera" encode -t "$edge" -m canny_edge@64 --crop "$scratch/crops.npy" "$scratch/edges.png"
    [ "$(jq -r .key <<<"$output")" = "$(printf '%s.crop0.png\n%s.crop1.png' "$scratch/edges" "$scratch/edges")" ]
    first=$(jq -c .ids <<<"$output" | sed -n 1p)
    second=$(jq -c .ids <<<"$output" | sed -n 2p)
    [ "$first" = "$(ids "$scratch/edges.png")" ]
    [ "$second" = "$(ids --crop 4,6,50,60,1 "$scratch/edges.png")" ]
    [ "$second" != "$(ids --crop 4,6,50,60 "$scratch/edges.png")" ]
    for wrong in 1,2,3 1,2,0,4 1,2,3,4,2 1,2,3,4,5,6; do
        exits 2 "$tessera" encode -t "$edge" -m canny_edge@64 --crop "$wrong" "$scratch/edges.png"
        contains "$errors" "TOP,LEFT,HEIGHT,WIDTH"
    done
    exits 1 "$tessera" encode -t "$edge" -m canny_edge@64 --crop "$scratch/edges.png" "$scratch/edges.png"
    contains "$errors" "[k, 5]"
    exits 2 "$tessera" roundtrip -t "$edge" -m canny_edge@64 --crop "$scratch/crops.npy" "$scratch/edges.png"
}

@test "a corpus of edges from pictures and from maps" {
    mkdir -p "$scratch/src/rgb" "$scratch/src/edges"
    cp "$scratch/photo.png" "$scratch/src/rgb/a.png"
    cp "$scratch/edges.png" "$scratch/src/edges/a.png"
    cat >"$scratch/r.yaml" <<EOF
source: {root: $scratch/src}
output: $scratch/corpus
modalities:
  canny_edge@64: {tokenizer: $edge, from: rgb}
  canny_ready@64: {tokenizer: $edge, from: edges}
EOF
    exits 0 "$tessera" tokenize "$scratch/r.yaml" --json
    /usr/bin/python3 - "$scratch/corpus" <<'EOF'
import sys
import h5py
one, two = (h5py.File(f"{sys.argv[1]}/{name}-00000.h5")["tokens"][:] for name in ("canny_edge@64", "canny_ready@64"))
assert one.shape == (1, 16), one.shape
assert (one == two).all() and one.max() > 0
EOF
}

@test "a corpus with the crops that were stored" {
    mkdir -p "$scratch/src/edges" "$scratch/src/crop_settings"
    for name in a b c; do cp "$scratch/edges.png" "$scratch/src/edges/$name.png"; done
    cp "$scratch/crops.npy" "$scratch/src/crop_settings/a.npy"
    cp "$scratch/edges.png" "$scratch/src/crop_settings/b.npy"
    cat >"$scratch/r.yaml" <<EOF
source: {root: $scratch/src}
output: $scratch/corpus
crops: {count: 2, from: crop_settings, reference: edges}
modalities:
  canny_edge@64: {tokenizer: $edge, from: edges}
EOF
    exits 4 "$tessera" tokenize "$scratch/r.yaml" --json
    jq -e '.failed == 2 and (.failures | map(.reason) | any(test("no file in the folder of crops")))' <<<"$output"
    exits 0 "$tessera" encode -t "$edge" -m canny_edge@64 --crop "$scratch/crops.npy" "$scratch/edges.png"
    jq -sc 'map(.ids)' <<<"$output" >"$scratch/ids"
    /usr/bin/python3 - "$scratch" <<'EOF'
import json
import sys
import h5py
tokens = h5py.File(f"{sys.argv[1]}/corpus/canny_edge@64-00000.h5")
keys = h5py.File(f"{sys.argv[1]}/corpus/keys-00000.h5")
assert tokens["present"][:].tolist()[0] == 1 and tokens["present"][:].tolist()[1] != 1
assert tokens["tokens"][0].reshape(2, -1).tolist() == json.load(open(f"{sys.argv[1]}/ids"))
assert keys["crops"][0].tolist() == [[0, 8, 64, 64, 0], [4, 6, 50, 60, 1]]
EOF
    exits 4 "$tessera" tokenize "$scratch/r.yaml" --json
    exits 3 "$tessera" tokenize "$scratch/r.yaml" -s crops.from=elsewhere
    contains "$errors" "crops.from"
    exits 3 "$tessera" tokenize "$scratch/r.yaml" -s crops.count=3
}
