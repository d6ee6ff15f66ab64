#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Scenes through trained tokenizers of every modality: the same bytes for 1, 2 and 4 threads, for one
# file and a whole corpus, and after kills at random moments. Tokenizers are trained for a few steps
# by the recipes of the project; TESSERA_TOKENIZERS names a folder of well-trained ones instead.
# TESSERA_SCENES is the number of scenes, TESSERA_KILLS that of kills, TESSERA_SEED their moments.
set -eu
tessera=$TESSERA_BUILD/tessera
dir=$TESSERA_BUILD/test_scenes.d
scenes=${TESSERA_SCENES:-48}
kills=${TESSERA_KILLS:-20}
seed=${TESSERA_SEED:-$(date +%s)}
echo "TESSERA_SEED=$seed"
rm -rf "$dir"
mkdir -p "$dir/tokenizers"
"$TESSERA_BUILD/tessera-scenes" --progress=none -o "$dir/files" -c "$scenes" --seed 5 --split 0.5,0.3,0.2 > /dev/null
recipe() { sed "s,demo/scenes,$dir,g" "$TESSERA_SOURCE/recipes/$1.yaml" > "$dir/$1.yaml"; }
# train NAME STEPS: the recipe with a small network
train()
{
    recipe "scenes-$1"
    "$tessera" train-tokenizer --progress=none -s train.steps="$2" -s train.warmup=0 -s train.batch=8 \
        -s train.val_samples=1 -s eval.samples=1 -s eval.baseline=false \
        -s tokenizer.model.enc_dim=64 -s tokenizer.model.enc_depth=1 -s tokenizer.model.enc_heads=1 \
        -s tokenizer.model.dec_dim=64 -s tokenizer.model.dec_depth=1 -s tokenizer.model.dec_heads=1 \
        "$dir/scenes-$1.yaml" > /dev/null
}
if [ -n "${TESSERA_TOKENIZERS:-}" ]; then
    cp "$TESSERA_TOKENIZERS"/*.safetensors "$dir/tokenizers/"
else
    for m in rgb depth normal semseg audio; do train $m 3; done
fi
recipe scenes-text
"$tessera" train-tokenizer --progress=none "$dir/scenes-text.yaml" > /dev/null
recipe scenes
# tokenize THREADS NAME [exec]
tokenize()
{
    ${3:-} "$tessera" tokenize --progress=none -j "$1" -s output="$dir/$2" -s shard_samples=$((scenes / 6)) \
        "$dir/scenes.yaml"
}
digests() { (cd "$dir/$1" && find . -type f ! -name recipe.yaml | sort | xargs sha256sum); }
same()
{
    digests "$1" > "$dir/$1.txt"
    diff "$dir/one.txt" "$dir/$1.txt" || { echo "$1 differs from the run with one thread"; exit 1; }
}

start=$(date +%s%N)
tokenize 1 one
took=$((($(date +%s%N) - start) / 1000)) # microseconds
digests one > "$dir/one.txt"
[ "$(wc -l < "$dir/one.txt")" -gt 60 ]
for j in 2 4; do
    tokenize $j threads > /dev/null
    same threads
    rm -rf "$dir/threads"
done

# One file gives the ids that the corpus has.
picture=$(find "$dir/files/val/rgb" -name '*.png' | sort | head -n 1)
key=${picture#"$dir/files/val/rgb/"}
alone=$("$tessera" encode -t "$dir/tokenizers/rgb.safetensors" "$picture" | jq -c '.ids | flatten')
corpus=$("$tessera" inspect --json --sample "${key%.png}" "$dir/one" |
    jq -c '.modalities[] | select(.modality == "rgb") | .ids | flatten')
[ "$alone" = "$corpus" ] || { echo "$picture: encode gives other ids than tokenize"; exit 1; }

# A run that is done before its kill must be right, and the next one starts afresh.
i=0
landed=0
while [ $landed -lt "$kills" ] && [ $i -lt $((kills * 10)) ]; do
    i=$((i + 1))
    tokenize $((i % 3 + 1)) killed exec > /dev/null 2>&1 &
    pid=$!
    delay=$(awk -v s="$seed" -v i="$i" -v t="$took" \
        'BEGIN { srand(s * 1000 + i); printf "%.4f", rand() * t / 2e6 }')
    sleep "$delay"
    kill -9 "$pid" 2> /dev/null || true
    code=0
    wait "$pid" 2> /dev/null || code=$?
    if [ $code = 137 ]; then
        landed=$((landed + 1))
    else
        [ $code = 0 ] || { echo "exit code $code"; exit 1; }
        same killed
        rm -rf "$dir/killed"
    fi
done
echo "$landed kills found the writer at work, $((i - landed)) runs ended before"
[ $landed = "$kills" ]
tokenize 2 killed > /dev/null
same killed
"$tessera" verify "$dir/killed"

# Broken files through the same tokenizers: each named, nothing else lost.
sh "$TESSERA_SOURCE/tests/scripts/make_broken.sh" "$dir/broken" "$picture" |
    grep -v rejected > "$dir/broken.txt"
text=$dir/tokenizers/text.json
cat > "$dir/broken.yaml" << END
source: {root: '$dir/broken'}
output: '$dir/corpus'
modalities:
  rgb: {tokenizer: '$dir/tokenizers/rgb.safetensors'}
  normal: {tokenizer: '$dir/tokenizers/normal.safetensors', from: rgb}
  semseg: {tokenizer: '$dir/tokenizers/semseg.safetensors', from: rgb}
  palette: {kind: palette, from: rgb, text: '$text'}
  pixels: {kind: pixels, from: rgb, image_size: 64}
  depth: {tokenizer: '$dir/tokenizers/depth.safetensors'}
  sound: {tokenizer: '$dir/tokenizers/audio.safetensors'}
  caption: {tokenizer: '$text'}
  fields: {kind: metadata, text: '$text', fields: [{name: n, type: int, low: 0, high: 300, required: true}]}
END
code=0
"$tessera" tokenize --progress=none "$dir/broken.yaml" > "$dir/broken.out" 2>&1 || code=$?
[ "$code" = 4 ] || { echo "broken files: exit code $code, expected 4"; exit 1; }
"$tessera" verify "$dir/corpus"
while read -r m key; do
    [ "$key" = broken/range ] && continue # 256 is within 0 .. 300
    case $m in rgb) of="rgb normal palette pixels" ;; *) of=$m ;; esac
    for each in $of; do
        reason=$(jq -r ".shards[].files.$each.failures[] | select(.key == \"$key\") | .reason" \
            "$dir/corpus/manifest.json")
        case $reason in
        "$m/$key".*": "?*) ;;
        *) echo "$each $key: no reason that names the file: \"$reason\""; exit 1 ;;
        esac
    done
done < "$dir/broken.txt"
for m in rgb normal palette pixels depth sound; do
    [ "$(jq "[.shards[].files.$m.present] | add" "$dir/corpus/manifest.json")" = 6 ] ||
        { echo "$m: good samples were lost"; exit 1; }
done
chmod -R u+rwX "$dir"
rm -rf "$dir"
