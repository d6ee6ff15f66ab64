# SPDX-License-Identifier: Apache-2.0
# Files of the size, names and shapes of the published 4M tokenizers, all twelve kinds.
load common.bash

@test "each kind opens, and info tells what it is" {
    needs python3
    needs jq
    local make="$TESSERA_SOURCE/tests/scripts/make_published.py" kind modality tensors bytes n=0
    while read -r kind modality tensors bytes; do
        python3 "$make" "$kind" "$scratch/file"
        exits 0 "$tessera" info --json -m "$modality" "$scratch/file"
        jq -e --argjson n "$tensors" --argjson b "$bytes" '.kind == "tokenizer" and .tensor_count == $n and
            .data_bytes == $b and .tokenizer.encoder and .tokenizer.decoder' <<<"$output" ||
            { printf '%s: %s\n' "$kind" "$output"; return 1; }
        rm "$scratch/file"
        n=$((n + 1))
    done < <(python3 "$make")
    [ "$n" = 12 ]
}

@test "instances as 4M stores them: pickled objects of NumPy" {
    mkdir -p "$scratch/words/caption"
    echo "point polygon none" >"$scratch/words/caption/a.txt"
    cat >"$scratch/words.yaml" <<EOF
tokenizer: {kind: text, modality: caption, size: 4300}
data: {root: $scratch, from: caption, train: words, val: words}
output: $scratch/words.json
EOF
    exits 0 "$tessera" train-tokenizer "$scratch/words.yaml"
    cat >"$scratch/instances.json" <<EOF
{"kind": "instances", "modality": "sam_instance", "text": "$scratch/words.json", "queries": "grid"}
EOF
    /usr/bin/python3 - "$scratch" <<'EOF'
import json
import sys
import numpy as np

square = np.array([[[0, 0]], [[112, 0]], [[112, 60]], [[0, 60]]], np.int32)
codes = np.arange(16, dtype=np.int64)[None] * 60
crops = [{"points": [[square]], "token_ids": codes, "bbox": np.array([[0.5, 0, 60, 112]], np.float32)},
         {"points": [], "token_ids": np.zeros((0, 16), np.int64), "bbox": np.zeros((0, 4), np.float32)}]
np.save(f"{sys.argv[1]}/s.npy", np.array(crops, dtype=object), allow_pickle=True)
plain = [{"points": [square.tolist()], "token_ids": codes.tolist(), "bbox": [[0.5, 0, 60, 112]]},
         {"points": [], "token_ids": [], "bbox": []}]
json.dump(plain, open(f"{sys.argv[1]}/s.json", "w"))


class Other:
    def __reduce__(self):
        return eval, ("print('called')",)


np.save(f"{sys.argv[1]}/other.npy", np.array([Other()], dtype=object), allow_pickle=True)
EOF
    exits 0 "$tessera" encode -t "$scratch/instances.json" "$scratch/s.npy"
    packed=$(jq -c .ids <<<"$output")
    exits 0 "$tessera" encode -t "$scratch/instances.json" "$scratch/s.json"
    [ "$(jq -c .ids <<<"$output")" = "$packed" ]
    exits 0 "$tessera" roundtrip --json -t "$scratch/instances.json" "$scratch/s.npy"
    jq -e '.quality.exact == 1' <<<"$output"
    exits 4 "$tessera" encode -t "$scratch/instances.json" "$scratch/other.npy"
    contains "$errors" "eval"
    [ -z "$output" ]
}
