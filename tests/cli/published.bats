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
