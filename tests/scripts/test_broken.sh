#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Broken files never stop a corpus: each is named with its reason, nothing else is lost.
set -eu
tool=$TESSERA_BUILD/tokenize_tool
dir=$TESSERA_BUILD/test_broken.d
chmod -R u+rwX "$dir" 2> /dev/null || true
rm -rf "$dir"
mkdir -p "$dir"
"$tool" make "$dir/picture" 1
sh "$TESSERA_SOURCE/tests/scripts/make_broken.sh" "$dir/src" "$dir/picture/rgb/0/s0000.png" \
    > "$dir/broken.txt"
broken=$(wc -l < "$dir/broken.txt")
[ "$broken" -ge 30 ]
recipe()
{
    printf '%s\n' "source: {root: '$dir/src', name: test}" "output: '$dir/$1'" "modalities:" \
        "  rgb: {kind: test-means}" "  depth: {kind: test-depth}" "  sound: {kind: test-sound}" \
        "  caption: {kind: test-bytes}" "  fields: {kind: test-fields}" > "$dir/$1.yaml"
}
recipe all
code=0
timeout 120 "$tool" run "$dir/all.yaml" || code=$?
[ "$code" = 4 ] || { echo "exit code $code, expected 4"; exit 1; }
"$TESSERA_BUILD/tessera" verify "$dir/all"
total=0
for m in rgb depth sound caption fields; do
    failed=$(jq "[.shards[].files.$m.failures[]?] | length" "$dir/all/manifest.json")
    present=$(jq "[.shards[].files.$m.present] | add" "$dir/all/manifest.json")
    [ "$present" = 6 ] || { echo "$m: $present good samples, expected 6"; exit 1; }
    total=$((total + failed))
    grep "^$m " "$dir/broken.txt" | while read -r _ key; do
        reason=$(jq -r --arg key "$key" ".shards[].files.$m.failures[] | select(.key == \$key)
            | .reason" "$dir/all/manifest.json")
        case $reason in
        *"$m/$key".*) echo "$reason" ;;
        *) echo "$m $key: the reason does not name the file: \"$reason\""; exit 1 ;;
        esac
    done
done
[ "$total" = "$broken" ] || { echo "$total failures, expected $broken"; exit 1; }
# Good samples have the tokens that they have without broken ones beside them.
mv "$dir/src" "$dir/both"
mkdir "$dir/src"
for m in rgb depth sound caption fields; do
    mkdir "$dir/src/$m"
    cp -r "$dir/both/$m/good" "$dir/src/$m/"
done
recipe good
"$tool" run "$dir/good.yaml"
[ -z "${PYTHON:-}" ] || "$PYTHON" - "$dir" << 'END'
import sys
import h5py
both, good = (h5py.File("%s/%s/corpus.h5" % (sys.argv[1], name), "r") for name in ("all", "good"))
where = {k: i for i, k in enumerate(both["keys"][:])}
for i, key in enumerate(good["keys"][:]):
    for m in "rgb", "depth", "sound", "fields":
        assert (both[m]["tokens"][where[key]] == good[m]["tokens"][i]).all(), (key, m)
END
chmod -R u+rwX "$dir"
rm -rf "$dir"
