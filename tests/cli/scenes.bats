# SPDX-License-Identifier: Apache-2.0
# tessera-scenes: its page, its report, its refusals, and runs that are killed.
load common.bash

scenes="$TESSERA_BUILD/tessera-scenes"

# Of all finished files: a killed run may leave hidden parts and a temporary scenes.json.
digest()
{
    (cd "$1" && find . -type f ! -name '.*' ! -name '*.tmp.*' | LC_ALL=C sort | xargs sha256sum | sha256sum)
}

@test "the page and the help list the same options" {
    exits 0 "$scenes" --help
    help=$(grep -oE -- '--[a-z-]+' <<<"$output" | sort -u | grep -v '^--version$')
    page=$(sed -e 's/\\-/-/g' "$TESSERA_SOURCE/man/tessera-scenes.1" |
        awk '/^\.SH/ { on = /OPTIONS/ } on' | grep -oE 'fB--[a-z-]+' | sed 's/^fB//' | sort -u |
        grep -v '^--version$')
    [ -n "$help" ]
    diff <(echo "$help") <(echo "$page")
}

@test "a run writes every modality of every sample and reports it" {
    exits 0 "$scenes" -o "$scratch/c" --count 40 --size 32 --json
    contains "$output" '"written": 40'
    contains "$output" '"files": 360'
    contains "$errors" '40/40'
    for m in rgb depth normal semseg instance det caption audio metadata; do
        [ "$(find "$scratch/c" -path "*/$m/0000/*" -type f | wc -l)" = 40 ]
    done
    exits 0 "$scenes" -o "$scratch/c" --count 40 --size 32 --progress none
    contains "$output" '0 scenes written'
    contains "$output" '40 were there'
    [ -z "$errors" ]
}

@test "usage mistakes are told without an empty name" {
    exits 2 "$scenes" -q
    contains "$errors" 'unknown option -q; --help'
    exits 2 "$scenes" somewhere
    contains "$errors" 'tessera: too many operands'
}

@test "JPEG, chosen modalities and splits" {
    exits 0 "$scenes" -o "$scratch/c" --count 6 --size 32 --jpeg 90 -m rgb,caption --split 0,0,1
    [ "$(find "$scratch/c" -name '*.jpg' | wc -l)" = 6 ]
    [ "$(ls "$scratch/c")" = "$(printf 'scenes.json\ntest')" ]
    [ "$(ls "$scratch/c/test")" = "$(printf 'caption\nrgb')" ]
}

@test "a dry run writes nothing" {
    exits 0 "$scenes" -o "$scratch/c" --count 4000 --dry-run
    contains "$output" 'would render 4000 scenes'
    [ ! -e "$scratch/c" ]
}

@test "wrong usage is told" {
    exits 2 "$scenes"
    contains "$errors" '--out'
    exits 2 "$scenes" -o "$scratch/c" --size 8
    exits 2 "$scenes" -o "$scratch/c" --split 1,1,1
    exits 2 "$scenes" -o "$scratch/c" -m smell
    contains "$errors" 'smell'
    exits 2 "$scenes" -o "$scratch/c" --sede 3
    contains "$errors" 'seed'
    exits 2 "$scenes" -o "$scratch/c" operand
    [ ! -e "$scratch/c" ]
}

@test "another seed is refused unless forced" {
    exits 0 "$scenes" -o "$scratch/c" --count 3 --size 32 --seed 1
    exits 3 "$scenes" -o "$scratch/c" --count 3 --size 32 --seed 2
    contains "$errors" 'made with seed 1'
    exits 0 "$scenes" -o "$scratch/c" --count 3 --size 32 --seed 2 --force
    exits 0 "$scenes" -o "$scratch/d" --count 3 --size 32 --seed 2
    [ "$(digest "$scratch/c")" = "$(digest "$scratch/d")" ]
}

@test "a folder that cannot be written is told" {
    touch "$scratch/file"
    exits 1 "$scenes" -o "$scratch/file/c" --count 1 --size 32
    contains "$errors" 'file'
}

@test "an interrupted run ends cleanly and is resumed to the same bytes" {
    exits 0 "$scenes" -o "$scratch/whole" --count 300 --size 48 -j 2
    "$scenes" -o "$scratch/c" --count 300 --size 48 -j 2 >"$scratch/out" 2>&1 &
    until [ -n "$(find "$scratch/c/train/metadata" -name '*.json' 2>/dev/null | head -n 1)" ]; do
        sleep 0.01
    done
    kill -TERM $!
    code=0
    wait $! || code=$?
    [ "$code" = 130 ]
    exits 0 "$scenes" -o "$scratch/c" --count 300 --size 48 -j 2
    [ "$(digest "$scratch/c")" = "$(digest "$scratch/whole")" ]
}

@test "a killed run is resumed to the same bytes" {
    exits 0 "$scenes" -o "$scratch/whole" --count 200 --size 48 -j 2
    for delay in 0.03 0.11 0.23; do
        "$scenes" -o "$scratch/c" --count 200 --size 48 -j 1 >/dev/null 2>&1 &
        sleep "$delay"
        kill -KILL $! 2>/dev/null || true
        wait $! 2>/dev/null || true
    done
    exits 0 "$scenes" -o "$scratch/c" --count 200 --size 48 -j 2
    [ "$(digest "$scratch/c")" = "$(digest "$scratch/whole")" ]
}
