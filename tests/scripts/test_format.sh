#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The corpus format is what its manual says: an independent reader finds what was written.
set -eu
[ -n "${PYTHON:-}" ] || { echo "no Python with h5py: skipped"; exit 77; }
dir=$TESSERA_BUILD/test_format.d
rm -rf "$dir"
mkdir -p "$dir"
"$TESSERA_BUILD/write_corpus" "$dir/corpus" > "$dir/expected.jsonl"
cd /
"$PYTHON" "$TESSERA_SOURCE/tests/scripts/read_shards.py" "$dir/corpus" "$dir/expected.jsonl"
# The test can fail: one wrong id in the expectation is noticed.
sed '1s/"present": [0-9]/"present": 7/' "$dir/expected.jsonl" > "$dir/wrong.jsonl"
if "$PYTHON" "$TESSERA_SOURCE/tests/scripts/read_shards.py" "$dir/corpus" "$dir/wrong.jsonl" \
    2> /dev/null; then
    echo "a wrong expectation was not noticed"
    exit 1
fi
# The same contents give the same bytes.
"$TESSERA_BUILD/write_corpus" "$dir/again" > /dev/null
diff -r "$dir/corpus" "$dir/again"
rm -rf "$dir"
