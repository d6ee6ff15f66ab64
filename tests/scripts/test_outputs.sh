#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Outputs of decode, generate, eval and report are whole or absent: killed at any moment, asked to stop,
# on a full disk.
set -eu
tessera=$TESSERA_BUILD/tessera
dir=$TESSERA_BUILD/test_outputs.d
command -v jq > /dev/null || { echo "jq is not installed"; exit 77; }
rm -rf "$dir"
mkdir -p "$dir"

# --- a corpus of small scenes, a model that has hardly learned anything ---

"$TESSERA_BUILD/tessera-scenes" --progress=none -o "$dir/files" -c 40 --seed 3 --size 32 \
    --split 0.7,0.1,0.2 -m rgb,caption,metadata > /dev/null
cat > "$dir/text.yaml" << END
tokenizer: {kind: text, modality: caption, size: 4600}
data: {root: '$dir/files', from: caption}
output: '$dir/text.json'
END
cat > "$dir/corpus.yaml" << END
source: {root: '$dir/files', splits: [train, test]}
output: '$dir/corpus'
modalities:
  caption: {tokenizer: '$dir/text.json'}
  rgb: {tokenizer: '$TESSERA_SOURCE/tests/data/golden/rgb.safetensors'}
  rgb@32: {kind: pixels, from: rgb, image_size: 32, patch_size: 16}
END
cat > "$dir/model.yaml" << END
output: '$dir/model'
model: {dim: 64, encoder_depth: 1, decoder_depth: 1, heads: 1, max_tokens: {caption: 40}}
data: {scenes: {corpus: '$dir/corpus'}}
mask: {totals: {inputs: 16, targets: 16}}
train: {steps: 2, batch: 2}
END
"$tessera" train-tokenizer --progress=none "$dir/text.yaml" > /dev/null
"$tessera" tokenize --progress=none "$dir/corpus.yaml" > /dev/null
"$tessera" train --progress=none "$dir/model.yaml" > /dev/null
model=$dir/model/model.safetensors
find "$dir/files/test/rgb" -name '*.png' | sort | head -n 6 > "$dir/pictures"
rgb=$TESSERA_SOURCE/tests/data/golden/rgb.safetensors
tr '\n' '\0' < "$dir/pictures" | xargs -0 "$tessera" encode -t "$rgb" -m rgb > "$dir/tokens"

# --- the commands; $1 is the folder for what they write ---

run_decode()
{
    exec "$tessera" decode -t "$rgb" -m rgb --progress none -o "$1" "$dir/tokens"
}
run_generate()
{
    exec "$tessera" generate "$model" --progress none --from "rgb@32=$(head -n 1 "$dir/pictures")" \
        --to rgb,caption -n 4 --tokenizers "$rgb" --set rgb.steps=4,max_tokens=5 -o "$1"
}
run_eval()
{
    mkdir -p "$1"
    exec "$tessera" eval --progress none -c "$dir/corpus" -f "$dir/files" -n 4 -t rgb@32:caption \
        -o "$1/report.json" -e "$1/examples" "$model"
}
run_report()
{
    mkdir -p "$1"
    exec "$tessera" report --corpus "$dir/corpus" --run "$dir/model" -o "$1/report.html"
}

# whole FOLDER: every file that has its name is complete; prints how many there are.
whole()
{
    [ -d "$1" ] || { echo 0; return; }
    find "$1" -type f ! -name '*.tmp.*' > "$dir/list"
    while read -r f; do
        case $f in
        *.png) [ "$(tail -c 8 "$f" | od -An -tx1 | tr -d ' \n')" = 49454e44ae426082 ] ;;
        *.json) jq -e . "$f" > /dev/null ;;
        *.html) tail -n 1 "$f" | grep -q '</html>$' ;;
        *.txt) [ -e "$f" ] ;;
        *) false ;;
        esac || { echo "$f is not whole" >&2; return 1; }
    done < "$dir/list"
    wc -l < "$dir/list"
}

for what in decode generate eval report; do
    start=$(date +%s%N)
    (run_$what "$dir/calm-$what") > /dev/null
    took=$((($(date +%s%N) - start) / 1000000))
    expected=$(whole "$dir/calm-$what")
    [ "$expected" -ge 1 ]

    # Killed, and asked to stop, at eight moments each, then left alone in the same folder.
    killed=0
    stopped=0
    for i in 1 2 3 4 5 6 7 8; do
        (run_$what "$dir/killed-$what") > /dev/null 2>&1 &
        sleep "$(awk -v t="$took" -v i="$i" 'BEGIN { printf "%.3f", t * i / 9000 }')"
        if kill -9 $! 2> /dev/null; then killed=$((killed + 1)); fi
        wait $! 2> /dev/null || true
        whole "$dir/killed-$what" > /dev/null

        rm -rf "$dir/stopped-$what"
        (run_$what "$dir/stopped-$what") > /dev/null 2>&1 &
        sleep "$(awk -v t="$took" -v i="$i" 'BEGIN { printf "%.3f", t * i / 9000 }')"
        kill -TERM $! 2> /dev/null || true
        code=0
        wait $! || code=$?
        # 143: before there was anything to stop
        case $code in 0 | 143) ;; 130) stopped=$((stopped + 1)) ;; *) echo "$what: exit $code" ; exit 1 ;; esac
        whole "$dir/stopped-$what" > /dev/null
        [ -z "$(find "$dir/stopped-$what" -name '*.tmp.*' 2> /dev/null)" ]
    done
    (run_$what "$dir/killed-$what") > /dev/null
    [ "$(whole "$dir/killed-$what")" = "$expected" ]
    echo "$what: $took ms, $expected files, killed at work $killed times, stopped $stopped"
    [ $killed -ge 4 ]

    # No room for more than 512 bytes a file.
    code=0
    (ulimit -f 1 && run_$what "$dir/full-$what") > /dev/null 2> "$dir/errors" || code=$?
    [ $code = 1 ] || { echo "$what on a full disk: exit $code"; cat "$dir/errors"; exit 1; }
    grep -q "writing failed" "$dir/errors"
    whole "$dir/full-$what" > /dev/null
    [ -z "$(find "$dir/full-$what" -name '*.tmp.*' 2> /dev/null)" ]
done
rm -rf "$dir"
