#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A training run that is killed at 20 random moments and started again leaves the same bytes as one
# that was left alone (model, metrics, checkpoint), with one thread and with two. TESSERA_SEED chooses
# the moments.
set -eu
tessera=$TESSERA_BUILD/tessera
dir=$TESSERA_BUILD/test_train_kill.d
. "$TESSERA_SOURCE/tests/scripts/kill_often.sh"
rm -rf "$dir"
mkdir -p "$dir"
"$TESSERA_BUILD/write_tokens" "$dir/corpus" 200 40
"$TESSERA_BUILD/write_tokens" "$dir/second" 60 10 7 2 5000
cat > "$dir/recipe.yaml" << END
output: unset
model: {dim: 64, encoder_depth: 1, decoder_depth: 2, heads: 1}
data:
  first: {corpus: '$dir/corpus', weight: 2}
  second: {corpus: '$dir/second', random_crops: true}
mask: {totals: {inputs: [0, 24], targets: 16}}
validation:
  val: {samples: 30}
  from-pixels: {samples: 10, corpus: first, mask: {components: [{inputs: {default: 0, pixels: 1}}]}}
train: {steps: 400, batch: 4, accumulate: 2, warmup_steps: 10, average: 0.9, clip: 1, log_every: 7,
  val_every: 100, checkpoint_every: 4, keep: 1}
END
# run NAME THREADS
run()
{
    "$tessera" train --progress=none -j "$2" -s "output=$dir/$1" "$dir/recipe.yaml"
}
digests()
{
    (cd "$dir/$1" && sha256sum model.safetensors metrics.jsonl unigrams.json checkpoints/*)
}
start=$(now_us)
run calm 1 > /dev/null
took=$(($(now_us) - start))
attempt()
{
    if ls "$dir"/killed/checkpoints/step-* > /dev/null 2>&1; then echo "$1" >> "$dir/resumed"; fi
    exec "$tessera" train --progress=none -j $(($1 % 2 + 1)) -s "output=$dir/killed" \
        "$dir/recipe.yaml"
}
# Up to a fifth of a whole run, so that most kills find it at work.
: > "$dir/resumed"
kill_often $((took / 5))
echo "$(wc -l < "$dir/resumed") of them one that had been resumed"
run killed 2 > /dev/null
digests calm > "$dir/calm.txt"
digests killed > "$dir/killed.txt"
diff "$dir/calm.txt" "$dir/killed.txt"
[ "$(wc -l < "$dir/calm.txt")" = 4 ]
[ "$(grep -c validation "$dir/calm/metrics.jsonl")" = 8 ]
# A finished run is not repeated.
touch "$dir/mark"
run killed 2 > /dev/null
[ -z "$(find "$dir/killed" -newer "$dir/mark" -type f)" ]
rm -rf "$dir"
