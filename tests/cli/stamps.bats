# SPDX-License-Identifier: Apache-2.0
# datasets/stamps/prepare on a little folder of stamps made here; the package itself is not needed.
load common.bash

prepare="$TESSERA_SOURCE/datasets/stamps/prepare"

stamps()
{
    needs rsvg-convert
    /usr/bin/python3 -c 'import PIL' 2>/dev/null || skip "Pillow is not installed"
    mkdir -p "$scratch/in/animals/birds"
    /usr/bin/python3 - "$scratch/in/animals" <<'PYTHON'
import sys
from PIL import Image
image = Image.new("RGBA", (300, 150), (0, 0, 0, 0))
image.paste((200, 30, 40, 255), (0, 0, 150, 150))
image.save(sys.argv[1] + "/fish.png")
Image.new("RGB", (100, 60), (1, 2, 3)).save(sys.argv[1] + "/birds/flat.tile.png")
with open(sys.argv[1] + "/birds/wren.svg", "w") as f:
    f.write('<svg xmlns="http://www.w3.org/2000/svg" width="10" height="20">'
            '<rect width="10" height="10" fill="#00f"/></svg>')
PYTHON
    printf 'A fish.\nfr.utf8=Un poisson.\nde.utf8=Ein Fisch.\n' >"$scratch/in/animals/fish.txt"
    printf 'nomirror\n' >"$scratch/in/animals/fish.dat"
    printf 'OggS speech' >"$scratch/in/animals/fish_desc_fr.ogg"
    printf 'OggS splash' >"$scratch/in/animals/fish.ogg"
    printf 'Flat.\n' >"$scratch/in/animals/birds/flat.tile.txt"
    printf 'A wren.\n' >"$scratch/in/animals/birds/wren.txt"
    printf 'No picture.\n' >"$scratch/in/animals/birds/ghost.txt"
}

size_of()
{
    /usr/bin/python3 -c 'import sys; from PIL import Image; i = Image.open(sys.argv[1])
print(*i.size, i.mode, i.getpixel((0, 0)), i.getpixel((i.width // 4, i.height // 2)))' "$1"
}

@test "every modality that a stamp has, and no other" {
    stamps
    exits 0 "$prepare" --from "$scratch/in" --out "$scratch/out" --size 200 --split 1,0,0
    contains "$errors" 'animals-birds/ghost: has a caption but no picture'
    contains "$output" 'train 3  val 0  test 0'
    cd "$scratch/out/train"
    [ "$(find . -type f | LC_ALL=C sort | tr '\n' ' ')" = "./caption/animals-birds/flat_tile.txt \
./caption/animals-birds/wren.txt ./caption/animals/fish.txt ./caption_fr/animals/fish.txt \
./label/animals-birds/wren.png ./label/animals/fish.png ./metadata/animals-birds/flat_tile.json \
./metadata/animals-birds/wren.json ./metadata/animals/fish.json ./rgb/animals-birds/flat_tile.png \
./rgb/animals-birds/wren.png ./rgb/animals/fish.png ./sound/animals/fish.ogg \
./speech/animals/fish.ogg " ]
    [ "$(cat caption_fr/animals/fish.txt)" = 'Un poisson.' ]
    cmp speech/animals/fish.ogg "$scratch/in/animals/fish_desc_fr.ogg"
    [ "$(size_of rgb/animals/fish.png)" = '200 200 RGB (255, 255, 255) (200, 30, 40)' ]
    [ "$(size_of label/animals/fish.png)" = '200 200 L 0 1' ]
    [ "$(size_of rgb/animals-birds/flat_tile.png)" = '128 128 RGB (255, 255, 255) (1, 2, 3)' ]
    contains "$(cat metadata/animals/fish.json)" '"may_mirror": false'
    contains "$(cat metadata/animals/fish.json)" '"covered": 0.25'
    contains "$(cat metadata/animals/fish.json)" '"width": 300'
}

@test "the same bytes for any number of processes, and for another language only its words differ" {
    stamps
    exits 0 "$prepare" --from "$scratch/in" --out "$scratch/a" --jobs 1
    exits 0 "$prepare" --from "$scratch/in" --out "$scratch/b" --jobs 3
    diff -r "$scratch/a" "$scratch/b"
    exits 0 "$prepare" --from "$scratch/in" --out "$scratch/c" --language de
    [ -n "$(find "$scratch/c" -path '*caption_de/animals/fish.txt')" ]
    [ -z "$(find "$scratch/c" -path '*speech*' -type f)" ]
}

@test "what cannot be done is refused" {
    stamps
    mkdir "$scratch/full"
    touch "$scratch/full/something"
    exits 1 "$prepare" --from "$scratch/in" --out "$scratch/full"
    contains "$errors" 'not empty'
    exits 1 "$prepare" --from "$scratch/full" --out "$scratch/out"
    contains "$errors" 'no stamps'
    exits 2 "$prepare" --from "$scratch/in" --out "$scratch/out" --size 9
    exits 2 "$prepare" --from "$scratch/in" --out "$scratch/out" --split 1,2,3
}
