#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Files of many gigabytes are described from their headers.
set -eu
[ -n "${PYTHON:-}" ] || { echo "no Python: skipped"; exit 77; }
dir=$TESSERA_BUILD/test_large.d
rm -rf "$dir"
mkdir -p "$dir"
status=0
"$PYTHON" "$TESSERA_SOURCE/tests/scripts/check_large.py" "$TESSERA_BUILD/tessera" "$dir" || status=$?
rm -rf "$dir"
exit $status
