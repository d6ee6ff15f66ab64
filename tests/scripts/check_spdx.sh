#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# check_spdx.sh [ROOT]: every file people write names its licence in the first three lines.
root=${1:-${TESSERA_SOURCE:-.}}
cd "$root" || exit 99

files=$(find src tests datasets man recipes doc build-aux configure.ac Makefile.am bootstrap -type f \( -name '*.[chS]' \
    -o -name '*.def' -o -name '*.sh' -o -name '*.bash' -o -name '*.bats' -o -name '*.py' -o -name '*.inc' \
    -o -name '*.yaml' -o -name '*.ac' -o -name '*.am' -o -name bootstrap -o -name prepare -o -name 'make-*' \
    -o -name '*.[1-8]' \) ! -path '*/data/*' 2>/dev/null | sort)
[ -n "$files" ] || { echo "no files were found"; exit 1; }
bad=0
count=0
for f in $files; do
    case $f in build-aux/*) case $f in build-aux/check-*) ;; *) continue ;; esac ;; esac
    count=$((count + 1))
    head -n 3 "$f" | grep -q 'SPDX-License-Identifier: Apache-2.0' || { echo "$f: no SPDX line"; bad=1; }
done
echo "$count files"
exit $bad
