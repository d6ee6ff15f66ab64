#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Pages of `tessera report`: well formed, self-contained, escaped, and of what there is.
set -eu
[ -n "${PYTHON:-}" ] || { echo "no Python: skipped"; exit 77; }
dir=$TESSERA_BUILD/test_report.d
rm -rf "$dir"
mkdir -p "$dir"
"$PYTHON" "$TESSERA_SOURCE/tests/scripts/check_report.py" "$TESSERA_BUILD/tessera" "$dir" \
    "$TESSERA_BUILD/write_corpus"
rm -rf "$dir"
