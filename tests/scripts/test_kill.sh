#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A writer that is killed at 20 random moments and started again leaves the same bytes as one that
# was left alone. TESSERA_SEED chooses the moments.
set -eu
tool=$TESSERA_BUILD/tokenize_tool
dir=$TESSERA_BUILD/test_kill.d
. "$TESSERA_SOURCE/tests/scripts/kill_often.sh"
rm -rf "$dir"
mkdir -p "$dir"
"$tool" make "$dir/src" 640
recipe()
{
    printf '%s\n' "source: {root: '$dir/src', name: test}" "output: '$dir/$1'" "shard_samples: 64" \
        "crops: {count: 2}" \
        "modalities: {rgb: {kind: test-means}, caption: {kind: test-bytes}}" > "$dir/$1.yaml"
}
digests() { (cd "$dir/$1" && find . -type f ! -name recipe.yaml | sort | xargs sha256sum); }
recipe calm
recipe killed
code=0
start=$(now_us)
"$tool" run "$dir/calm.yaml" 2 || code=$?
[ "$code" = 4 ] || { echo "exit code $code, expected 4"; exit 1; }
took=$(($(now_us) - start))
attempt() { exec "$tool" run "$dir/killed.yaml" $(($1 % 3 + 1)); }
# Up to a third of a whole run, so that most kills find it at work.
kill_often $((took / 3))
code=0
"$tool" run "$dir/killed.yaml" 2 || code=$?
[ "$code" = 4 ] || { echo "exit code $code, expected 4"; exit 1; }
digests calm > "$dir/calm.txt"
digests killed > "$dir/killed.txt"
diff "$dir/calm.txt" "$dir/killed.txt"
[ "$(wc -l < "$dir/calm.txt")" -gt 30 ]
rm -rf "$dir"
