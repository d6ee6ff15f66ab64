#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A writer that is killed at 20 random moments and started again leaves the same bytes as one that
# was left alone. TESSERA_SEED chooses the moments.
set -eu
tool=$TESSERA_BUILD/tokenize_tool
dir=$TESSERA_BUILD/test_kill.d
seed=${TESSERA_SEED:-$(date +%s)}
kills=20
echo "TESSERA_SEED=$seed"
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
start=$(date +%s%N)
"$tool" run "$dir/calm.yaml" 2 || code=$?
[ "$code" = 4 ] || { echo "exit code $code, expected 4"; exit 1; }
took=$((($(date +%s%N) - start) / 1000)) # microseconds
i=0
landed=0
while [ $i -lt $kills ]; do
    i=$((i + 1))
    "$tool" run "$dir/killed.yaml" $((i % 3 + 1)) > /dev/null 2>&1 &
    pid=$!
    # Up to a third of a whole run, so that most kills find it at work.
    delay=$(awk -v s="$seed" -v i="$i" -v t="$took" \
        'BEGIN { srand(s * 100 + i); printf "%.4f", rand() * t / 3e6 }')
    sleep "$delay"
    if kill -9 "$pid" 2> /dev/null; then landed=$((landed + 1)); fi
    wait "$pid" 2> /dev/null || true
done
echo "$landed of $kills kills found the writer at work"
[ "$landed" -ge 5 ] || { echo "too few for a test"; exit 1; }
code=0
"$tool" run "$dir/killed.yaml" 2 || code=$?
[ "$code" = 4 ] || { echo "exit code $code, expected 4"; exit 1; }
digests calm > "$dir/calm.txt"
digests killed > "$dir/killed.txt"
diff "$dir/calm.txt" "$dir/killed.txt"
[ "$(wc -l < "$dir/calm.txt")" -gt 30 ]
rm -rf "$dir"
