# SPDX-License-Identifier: Apache-2.0
# tessera export: files that ml-4m loads.
load common.bash

reader="$TESSERA_SOURCE/tests/scripts/read_safetensors.py"
expected="$data/export/expected.json"

# A model of three published modalities, narrow, one step old, begun with options of ours.
train_model()
{
    "$TESSERA_BUILD/write_published" "$scratch/corpus"
    cat >"$scratch/any.yaml" <<END
output: '$scratch/run'
model: {dim: 16, encoder_depth: 1, decoder_depth: 1, heads: 1, inputs: [caption, rgb@224, semseg],
  outputs: [caption, semseg], max_tokens: {caption: 256}}
data:
  made-up: {corpus: '$scratch/corpus'}
mask: {totals: {inputs: 32, targets: 32}}
start: {places: true, attention: true, tokens: 1}
train: {steps: 1, batch: 1, lr: 0.01}
END
    "$tessera" train --progress=none "$scratch/any.yaml" >/dev/null
    model="$scratch/run/model.safetensors"
}

# train_tokenizer NAME KIND MODEL: one of a few steps, of the sizes of the reference's instances.
train_tokenizer()
{
    [ -d "$scratch/files" ] || "$TESSERA_BUILD/tessera-scenes" --progress=none -o "$scratch/files" \
        -c 8 --seed 3 --size 32 --split 0.75,0.25,0 -m rgb,depth >/dev/null
    printf '%s\n' "output: '$scratch/$1.safetensors'" "data: {root: '$scratch/files', from: $1}" \
        "tokenizer: {kind: $2, modality: $1, image_size: 16, model: {patch_size: 4, enc_dim: 16," \
        "  enc_depth: 2, enc_heads: 4, dec_dim: 16, dec_depth: 2, dec_heads: 4, codebook_size: 24," \
        "  latent_dim: 8, post_mlp: true$3}}" \
        "train: {steps: 2, batch: 2, warmup: 0, val_every: 2, val_samples: 2}" >"$scratch/$1.yaml"
    "$tessera" train-tokenizer --progress=none "$scratch/$1.yaml" >/dev/null
}

@test "a model: published names and shapes, ml-4m's options and no others, the same values" {
    needs python3
    needs jq
    train_model
    exits 0 "$tessera" export "$model" --rename semseg=tok_semseg@224 -o "$scratch/out"
    contains "$output" "masked model of 49 tensors, for ml-4m's class FM"
    local out="$scratch/out/model.safetensors"
    python3 "$reader" expect "$out" "$expected" model 16 42
    python3 "$reader" same "$out" "$model" tok_semseg@224=semseg
    python3 "$reader" config "$out" "$scratch/out/config.json"
    [ ! -e "$scratch/out/register.py" ]
    # The same bytes again, under a name of its own.
    exits 0 "$tessera" export --json "$model" -r semseg=tok_semseg@224 -o "$scratch/one.safetensors"
    jq -e '.class == "FM" and (.files | length) == 1' <<<"$output"
    cmp "$scratch/one.safetensors" "$out"
    # What was exported is a published model here: the same, and its export does not differ.
    exits 0 "$tessera" info --json "$out"
    jq -e '.modalities["tok_semseg@224"].grid == [14, 14] and .modalities.caption.role ==
        "input and output" and .modalities["rgb@224"].class == "pixels"' <<<"$output"
    exits 0 "$tessera" export "$out" -o "$scratch/again"
    cmp "$scratch/again/model.safetensors" "$out"
}

@test "what ml-4m's tables lack: all of it is named, or told as Python" {
    needs python3
    train_model
    exits 1 "$tessera" export "$model" --rename rgb@224=tok_depth@224 --rename depth=x -o "$scratch/out"
    contains "$errors" "modality tok_depth@224 is of class pixels, ml-4m's of class image"
    contains "$errors" "modality semseg is none of ml-4m's"
    contains "$errors" "there is no modality depth to be renamed"
    contains "$errors" "for 3 reasons"
    [ ! -e "$scratch/out/model.safetensors" ]
    exits 1 "$tessera" export "$model" --rename semseg=tok_rgb@448 -o "$scratch/out"
    contains "$errors" "modality tok_rgb@448 has 4096 ids, ml-4m's 16384"
    contains "$errors" "modality tok_rgb@448 has 196 places, ml-4m's 784"
    exits 1 "$tessera" export "$model" --rename semseg=caption -o "$scratch/out"
    contains "$errors" "would both be called caption"
    # --register: an entry for the one that is not there, in Python that can be read.
    exits 0 "$tessera" export "$model" --register -o "$scratch/out"
    python3 -c 'import ast, sys; ast.parse(open(sys.argv[1]).read())' "$scratch/out/register.py"
    grep -q "MODALITY_INFO\['semseg'\] = {" "$scratch/out/register.py"
    grep -q "partial(ImageTokenEncoderEmbedding, vocab_size=4096)" "$scratch/out/register.py"
    [ "$(grep -c MODALITY_INFO "$scratch/out/register.py")" = 2 ]
    python3 "$reader" same "$scratch/out/model.safetensors" "$model"
    # One table for all ids has no counterpart, registered or not.
    exits 0 "$tessera" train --progress=none -s "output=$scratch/shared" -s start=null \
        -s model.shared_vocabulary=true "$scratch/any.yaml"
    exits 1 "$tessera" export --register "$scratch/shared/model.safetensors" -o "$scratch/out"
    contains "$errors" "shared_vocabulary"
}

@test "parity of an exported tokenizer is that of the original" {
    needs jq
    needs python3
    for name in rgb dinov2-global; do
        exits 0 "$tessera" export --register "$data/golden/$name.safetensors" -o "$scratch/$name"
        python3 "$reader" same "$scratch/$name/model.safetensors" "$data/golden/$name.safetensors"
        exits 0 "$tessera" parity --json "$data/golden/$name.safetensors" "$data/golden/$name.io.safetensors"
        jq -S .outputs <<<"$output" >"$scratch/before"
        exits 0 "$tessera" parity --json "$scratch/$name/model.safetensors" \
            "$data/golden/$name.io.safetensors"
        jq -S .outputs <<<"$output" | diff "$scratch/before" -
    done
    # These need nothing registered: their networks have names that tell their sizes.
    [ ! -e "$scratch/dinov2-global/register.py" ]
}

@test "an exported model generates what the original does" {
    needs jq
    "$TESSERA_BUILD/tokenize_tool" make "$scratch/src" 1
    "$TESSERA_BUILD/tokenize_tool" words "$scratch/words.json"
    "$TESSERA_BUILD/write_model" "$scratch/model.safetensors" "caption=$scratch/words.json" \
        "rgb=$data/golden/rgb.safetensors"
    exits 0 "$tessera" export --register "$scratch/model.safetensors" -o "$scratch/out"
    for of in "$scratch/model.safetensors" "$scratch/out/model.safetensors"; do
        exits 0 "$tessera" generate "$of" --progress none --from "caption:=a red ball" --to rgb \
            --tokenizers "$scratch/words.json" --tokenizers "$data/golden/rgb.safetensors" --set rgb.steps=3 --json --seed 4
        jq -c '.results[0].targets.rgb.tokens' <<<"$output" >>"$scratch/tokens"
    done
    [ "$(wc -l <"$scratch/tokens")" = 2 ]
    [ "$(sort -u "$scratch/tokens" | wc -l)" = 1 ]
    jq -e 'length == 196' "$scratch/tokens" >/dev/null
}

@test "a tokenizer: published names and shapes, and the same tokens and pictures here" {
    needs python3
    needs jq
    train_tokenizer rgb image ""
    train_tokenizer depth depth ", norm_codes: false"
    for name in rgb depth; do
        local of="$scratch/$name.safetensors" entry=$name
        [ $name = depth ] || entry=image
        exits 1 "$tessera" export "$of" -o "$scratch/no"
        contains "$errors" "the encoder is a ViT of width 16, depth 2 and 4 heads"
        contains "$errors" "the decoder is a ViT of width 16, depth 2 and 4 heads"
        [ ! -e "$scratch/no/model.safetensors" ]
        exits 0 "$tessera" export --register "$of" -o "$scratch/$name"
        contains "$output" "class VQVAE"
        local out="$scratch/$name/model.safetensors"
        python3 "$reader" expect "$out" "$expected" $entry
        python3 "$reader" same "$out" "$of"
        python3 "$reader" config "$out" "$scratch/$name/config.json"
        python3 -c 'import ast, sys; ast.parse(open(sys.argv[1]).read())' "$scratch/$name/register.py"
        grep -q 'dim_tokens=16, depth=2, num_heads=4' "$scratch/$name/register.py"
        jq -e '.enc_type == "vit_d16_l2_h4_enc" and .sync_codebook == false' "$scratch/$name/config.json"
        # Preprocessing and heads travel in keys that ml-4m passes over.
        local file
        file=$(find "$scratch/files" -path "*/$name/*" -type f | sort | head -n 1)
        "$tessera" roundtrip --json -t "$of" "$file" | jq -S '{tokens, quality}' >"$scratch/before"
        "$tessera" roundtrip --json -t "$out" "$file" | jq -S '{tokens, quality}' |
            diff "$scratch/before" -
        exits 0 "$tessera" encode -t "$of" "$file"
        jq -S .ids <<<"$output" >"$scratch/before"
        exits 0 "$tessera" encode -t "$out" "$file"
        jq -S .ids <<<"$output" | diff "$scratch/before" -
    done
    # FSQ has no counterpart.
    printf '%s\n' "output: '$scratch/fsq.safetensors'" "data: {root: '$scratch/files', from: rgb}" \
        "tokenizer: {kind: image, modality: rgb, image_size: 16, model: {patch_size: 4, enc_dim: 16," \
        "  enc_depth: 1, dec_dim: 16, dec_depth: 1, quant_type: fsq, levels: 4x4x4}}" \
        "train: {steps: 1, batch: 1, warmup: 0, val_samples: 1}" >"$scratch/fsq.yaml"
    "$tessera" train-tokenizer --progress=none "$scratch/fsq.yaml" >/dev/null
    exits 1 "$tessera" export --register "$scratch/fsq.safetensors" -o "$scratch/no"
    contains "$errors" 'its quantizer is "fsq"'
}

@test "a tokenizer without decoder is ml-4m's VQ" {
    needs python3
    # Leave the decoder out of a file, as who only tokenizes keeps it.
    python3 - "$data/golden/dinov2-global.safetensors" "$scratch/half.safetensors" <<'PY'
import json, struct, sys
b = open(sys.argv[1], 'rb').read()
n = struct.unpack('<Q', b[:8])[0]
h, data, out = json.loads(b[8:8 + n]), b[8 + n:], b''
for name in list(h):
    if name == '__metadata__':
        continue
    t = h.pop(name)
    if name.startswith(('decoder.', 'post_quant_proj.')) != (len(sys.argv) > 3):
        continue
    begin, end = t['data_offsets']
    h[name] = dict(t, data_offsets=[len(out), len(out) + end - begin])
    out += data[begin:end]
head = json.dumps(h).encode()
open(sys.argv[2], 'wb').write(struct.pack('<Q', len(head)) + head + out)
PY
    exits 0 "$tessera" export "$scratch/half.safetensors" -o "$scratch/vq"
    contains "$output" "for ml-4m's class VQ"
    python3 "$reader" same "$scratch/vq/model.safetensors" "$scratch/half.safetensors"
}

@test "what is no tokenizer or model is refused, with what to do" {
    export="$scratch/out.safetensors"
    "$TESSERA_BUILD/tokenize_tool" words "$scratch/words.json"
    "$TESSERA_BUILD/tokenize_tool" make "$scratch/src" 1
    "$TESSERA_BUILD/write_published" "$scratch/corpus"
    train_model
    refuse()
    {
        exits "${3:-1}" "$tessera" export "$1" -o "$export"
        contains "$errors" "$2"
        [ ! -e "$export" ]
    }
    refuse "$scratch/words.json" "is a text tokenizer, which ml-4m reads as it is"
    refuse "$scratch/corpus/rgb-00000.h5" "is one file of a corpus; export the corpus"
    refuse "$(find "$scratch/src" -name '*.png' | head -n 1)" "is neither a tokenizer or model"
    refuse "$scratch/none" "no such file"
    refuse "$scratch/src" "is a folder without manifest.json"
    refuse "$scratch/run" "export RUN/model.safetensors"
    refuse "$scratch/run/checkpoints/step-000000001.safetensors" "is a checkpoint of training"
    head -c 5000 "$model" >"$scratch/cut.safetensors"
    refuse "$scratch/cut.safetensors" "cut.safetensors"
    head -c 3000 /dev/zero >"$scratch/zero.safetensors"
    refuse "$scratch/zero.safetensors" "zero.safetensors"
    echo '{"a": 1}' >"$scratch/some.json"
    refuse "$scratch/some.json" "not a tokenizer or a model"
    exits 2 "$tessera" export "$model"
    contains "$errors" "--out"
    exits 2 "$tessera" export "$model" --rename rgb -o "$export"
    exits 2 "$tessera" export "$model" -o "$model"
    contains "$errors" "would be replaced by its export"
    exits 0 "$tessera" info "$model"
    exits 0 "$tessera" export --dry-run "$model" -r semseg=tok_semseg@224 -o "$scratch/dry"
    contains "$output" "would write"
    [ ! -e "$scratch/dry" ]
}

# A corpus of pictures cut three times, texts and records.
parts=0.8,0.2,0 splits="[train, val]"
make_corpus()
{
    "$TESSERA_BUILD/tokenize_tool" words "$scratch/words.json"
    "$TESSERA_BUILD/tessera-scenes" --progress=none -o "$scratch/src" -c 15 --seed 3 --size 64 \
        --split "$parts" -m rgb,caption,det,metadata >/dev/null
    cat >"$scratch/recipe.yaml" <<END
source: {root: '$scratch/src', splits: $splits}
output: '$scratch/corpus'
shard_samples: 8
crops: {count: 3, seed: 5}
modalities:
  rgb: {tokenizer: '$data/golden/rgb.safetensors'}
  caption: {tokenizer: '$scratch/words.json'}
  palette: {kind: palette, text: '$scratch/words.json', from: rgb}
  metadata: {kind: metadata, text: '$scratch/words.json', from: [rgb, metadata]}
  det: {kind: boxes, text: '$scratch/words.json'}
  rgb@32: {kind: pixels, from: rgb, image_size: 32, patch_size: 8}
END
    "$tessera" tokenize --progress none "$@" "$scratch/recipe.yaml" >/dev/null
}

# import_recipe ROOT OUTPUT FOLDER: a recipe that reads the export again.
import_recipe()
{
    cat >"$scratch/import.yaml" <<END
source: {root: '$scratch/$1', splits: $splits}
output: '$scratch/$2'
shard_samples: 8
crops: {count: 3}
modalities:
  tok_rgb@224: {tokenizer: '$data/golden/rgb.safetensors', tokens: '$3'}
  caption: {tokenizer: '$scratch/words.json'}
  palette: {kind: palette, text: '$scratch/words.json'}
  metadata: {kind: metadata, text: '$scratch/words.json'}
  det: {kind: boxes, text: '$scratch/words.json'}
END
}

@test "a corpus as folders and as tars, and back: the same tokens and crops" {
    needs jq
    needs python3
    make_corpus
    exits 0 "$tessera" export "$scratch/corpus" -r rgb=tok_rgb@224 -o "$scratch/out" --progress none --json
    jq -e '.samples == 15 and .units_done == .units and .incomplete == 0 and .failed == 0 and
        (.modalities | keys == ["caption", "det", "metadata", "palette", "rgb"]) and
        .modalities.rgb == (.modalities.rgb + {folder: "tok_rgb@224", holds: "npy of 16 bits"}) and
        (.left_out["rgb@32"] | contains("pixels"))' <<<"$output"
    for split in train val; do
        python3 "$TESSERA_SOURCE/tests/scripts/read_4m.py" "$scratch/out/$split" \
            "$(ls "$scratch/src/$split/rgb/0000" | wc -l)" 3 196 1024
    done
    [ ! -e "$scratch/out/.tmp" ]
    exits 0 "$tessera" export "$scratch/corpus" -r rgb=tok_rgb@224 -o "$scratch/tars" --tar \
        --tar-samples 5 --progress none -j 3
    [ "$(ls "$scratch/tars/train/tok_rgb@224" | tr '\n' ' ')" = \
        "shard-00000.tar shard-00001.tar shard-00002.tar " ]
    # What the tars hold is what the folders hold.
    for m in tok_rgb@224 caption palette metadata det crop_settings; do
        mkdir -p "$scratch/flat/$m"
        for t in "$scratch/tars/train/$m"/*.tar; do tar xf "$t" -C "$scratch/flat/$m"; done
    done
    diff -r "$scratch/flat" "$scratch/out/train"
    exits 0 "$tessera" export "$scratch/corpus" --layout webdataset -m rgb -m caption \
        -o "$scratch/wds" --progress none
    [ "$(tar tf "$scratch/wds/val/shard-00000.tar" | head -n 3 | sed 's/^[^.]*//' | tr '\n' ' ')" = \
        ".caption.txt .rgb.npy .crop_settings.npy " ]
    for from in out tars; do
        import_recipe $from "again-$from" tok_rgb@224
        exits 0 "$tessera" tokenize --progress none "$scratch/import.yaml"
        exits 0 "$tessera" verify "$scratch/again-$from"
    done
    # A run over what is there finds all of it sealed.
    import_recipe out again-out tok_rgb@224
    exits 0 "$tessera" tokenize --progress none "$scratch/import.yaml"
    contains "$output" "0 files written"
    # Boxes come back through the picture's coordinates: exactly only for the crop they are written from.
    [ -n "$PYTHON" ] || skip "no Python with h5py"
    "$PYTHON" "$TESSERA_SOURCE/tests/scripts/same_tokens.py" "$scratch/corpus" "$scratch/again-out" \
        rgb=tok_rgb@224 crops caption palette metadata det:first
    # Tars put their own name in front of the keys; the tokens are the same.
    "$PYTHON" "$TESSERA_SOURCE/tests/scripts/same_tokens.py" "$scratch/corpus" "$scratch/again-tars" \
        --by-name rgb=tok_rgb@224 crops caption palette metadata det:first
}

@test "an export that is interrupted goes on, to the same bytes" {
    needs jq
    needs flock
    make_corpus
    exits 0 "$tessera" export "$scratch/corpus" -o "$scratch/whole" --tar-samples 1 --progress none
    for signal in INT KILL KILL KILL; do
        code=0
        "$tessera" export "$scratch/corpus" -o "$scratch/parts" --tar-samples 1 --progress none \
            >/dev/null 2>"$scratch/err" &
        pid=$!
        while [ ! -e "$scratch/parts/export.json" ]; do sleep 0.01; done
        sleep 0.03
        kill "-$signal" "$pid" 2>/dev/null || true
        wait "$pid" || code=$?
        [ "$signal" = KILL ] || [ "$code" = 130 ] || [ "$code" = 0 ]
    done
    exits 0 "$tessera" export "$scratch/corpus" -o "$scratch/parts" --tar-samples 1 --progress none
    diff -r "$scratch/whole" "$scratch/parts"
    # Two do not write to one folder, and of a tar that was begun nothing stays.
    exec 8>"$scratch/parts/.export.lock"
    flock 8
    exits 1 "$tessera" export "$scratch/corpus" -o "$scratch/parts" --tar-samples 1 --progress none
    contains "$errors" "another export is writing there"
    exec 8>&-
    exits 0 "$tessera" export "$scratch/corpus" -o "$scratch/tars" --tar --progress none
    local tar
    tar=$(find "$scratch/tars" -name 'shard-00000.tar' | head -n 1)
    [ -n "$tar" ]
    touch "$tar.tmp.1"
    exits 0 "$tessera" export "$scratch/corpus" -o "$scratch/tars" --tar --progress none
    [ ! -e "$tar.tmp.1" ]
    # Another export does not go there, nor into a folder of something else.
    exits 3 "$tessera" export "$scratch/corpus" -o "$scratch/parts" -m rgb --progress none
    contains "$errors" "holds the export of another corpus, of other modalities"
    exits 3 "$tessera" export "$scratch/corpus" -o "$scratch/src" --progress none
    contains "$errors" "is not empty and holds no export"
    exits 0 "$tessera" export "$scratch/corpus" -o "$scratch/new" --dry-run --progress none
    [ ! -e "$scratch/new" ]
    exits 2 "$tessera" export "$scratch/corpus" -o "$scratch/new" -m none
    contains "$errors" 'has no modality "none"'
    exits 2 "$tessera" export "$scratch/corpus" -o "$scratch/new" -r rgb=caption
    contains "$errors" "two modalities would be called caption"
    exits 1 "$tessera" export "$scratch/corpus" -o "$scratch/new" -m rgb@32
    contains "$errors" "ml-4m reads them from the pictures"
}

@test "samples that lack something, and names that lead out of the folder" {
    needs jq
    needs python3
    "$TESSERA_BUILD/tokenize_tool" words "$scratch/words.json"
    mkdir -p "$scratch/src/caption" "$scratch/src/title"
    python3 - "$scratch/src" <<'PY'
import io, sys, tarfile
for folder, names in (('caption', ('../../../evil', 'a.b', 'a_b', 'c')), ('title', ('a.b', 'a_b', '../../../evil'))):
    with tarfile.open('%s/%s/00.tar' % (sys.argv[1], folder), 'w') as t:
        for name in names:
            info = tarfile.TarInfo(name.replace('a.b', 'ab') + '.txt')
            info.size = 5
            t.addfile(info, io.BytesIO(b'a cat'))
PY
    echo "a dog" >"$scratch/src/caption/a.b.txt"
    echo "a dog" >"$scratch/src/title/a.b.txt"
    echo "a dog" >"$scratch/src/caption/lonely.txt"
    printf '%s\n' "source: {root: '$scratch/src'}" "output: '$scratch/corpus'" "modalities:" \
        "  caption: {tokenizer: '$scratch/words.json'}" "  title: {tokenizer: '$scratch/words.json'}" \
        >"$scratch/recipe.yaml"
    exits 0 "$tessera" tokenize --progress none "$scratch/recipe.yaml"
    exits 4 "$tessera" export "$scratch/corpus" -o "$scratch/deep/er/out" --json --progress none
    jq -e '.incomplete == 2 and .failed == 1 and .failures[0].key == "00/../../../evil" and
        (.failures[0].reason | contains("not a path"))' <<<"$output"
    [ "$(find "$scratch/deep" -name '*.txt' | sed "s|$scratch/deep/er/out/||" | sort | tr '\n' ' ')" = \
        "caption/00/a_b.txt caption/00/ab.txt caption/all/a.b.txt title/00/a_b.txt title/00/ab.txt title/all/a.b.txt " ]
    exits 4 "$tessera" export "$scratch/corpus" -o "$scratch/all" --partial --json --progress none
    jq -e '.incomplete == 0 and .samples == 6' <<<"$output"
    [ -f "$scratch/all/caption/all/lonely.txt" ]
    [ ! -e "$scratch/all/title/all/lonely.txt" ]
    # In a tar what follows a dot would be an extension.
    exits 4 "$tessera" export "$scratch/corpus" -o "$scratch/tar" --tar --progress none
    tar tf "$scratch/tar/caption/shard-00000.tar" | grep -q '^all/a_b-[0-9a-f]\{8\}\.txt$'
    [ -z "$(find "$scratch/.." -maxdepth 2 -name 'evil*')" ]
}

@test "ready tokens that cannot be used are recorded, each with its reason" {
    needs jq
    needs python3
    parts=1,0,0 splits="[train]"
    make_corpus
    "$tessera" export "$scratch/corpus" -r rgb=tok_rgb@224 -o "$scratch/out" --progress none >/dev/null
    import_recipe out again tok_rgb@224
    python3 "$TESSERA_SOURCE/tests/scripts/break_4m.py" "$scratch/out/train"
    exits 4 "$tessera" tokenize --progress none --json "$scratch/import.yaml"
    printf '%s' "$output" >"$scratch/summary.json"
    said()
    {
        jq -re --arg k "0000/$1" '[.failures[] | select(.key == $k and .modality == "tok_rgb@224") | .reason][0]' \
            "$scratch/summary.json" >"$scratch/reason" || { echo "$1 did not fail"; return 1; }
        contains "$(<"$scratch/reason")" "$2"
    }
    said 000000 "is 1024, expected 0 to 1023"
    said 000001 "is -1, expected 0 to 1023"
    said 000002 "has 100 tokens of a crop, its tokenizer makes 196"
    said 000003 "has tokens of 2 crops, expected 3"
    said 000004 ".npy of type f4 where whole numbers are expected"
    said 000005 "the sample has no crop settings"
    said 000006 "crop_settings/0000/000006.npy: has 2 crops, the corpus has 3"
    said 000007 "expected top, left, height and width above 0"
    said 000008 "000008.npy"
    said 000009 "crop 1 is not inside its picture"
    jq -e '.modalities["tok_rgb@224"] | .failed == 10 and .present == 5' "$scratch/summary.json"
    jq -e '.modalities.caption.present == 15' "$scratch/summary.json"
    exits 0 "$tessera" verify "$scratch/again"
    # Repaired files are taken, and nothing else changes.
    cp "$scratch/out/train/tok_rgb@224/0000/000010.npy" "$scratch/out/train/tok_rgb@224/0000/000000.npy"
    exits 4 "$tessera" tokenize --progress none --json "$scratch/import.yaml"
    jq -e '.modalities["tok_rgb@224"].present == 6' <<<"$output"
    # Mistakes of the recipe.
    exits 2 "$tessera" tokenize --progress none -s "output=$scratch/o" -s crops.count=2 \
        -s modalities.caption.tokens=caption "$scratch/import.yaml"
    contains "$errors" '"tokens" are those of a grid'
    exits 2 "$tessera" tokenize --progress none -s "output=$scratch/o" \
        -s 'modalities.tok_rgb@224.from=rgb' "$scratch/import.yaml"
    contains "$errors" 'give either "tokens" or "from"'
    rm -rf "$scratch/out/train/crop_settings"
    exits 1 "$tessera" tokenize --progress none -s "output=$scratch/o" "$scratch/import.yaml"
    contains "$errors" 'has no folder "crop_settings"'
    rm -rf "$scratch/o"
}
