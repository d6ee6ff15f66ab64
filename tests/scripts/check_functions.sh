#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# check_functions.sh [ROOT]: no function over 120 lines, no file over 1,000.
root=${1:-${TESSERA_SOURCE:-.}}
cd "$root" || exit 99

find src datasets -name '*.[ch]' | sort | xargs awk '
function end_of_file() {
    if (lines > 1000) { printf "%s: %d lines, at most 1000\n", file, lines; bad = 1 }
}
FNR == 1 { end_of_file(); start = 0; head = "" }
{ file = FILENAME; lines = FNR }
/^[a-z].*\(/ { head = $0 }
/^{/ { start = FNR }
/^}/ && start {
    count++
    if (FNR - start + 1 > 120) {
        printf "%s:%d: %d lines, at most 120: %s\n", FILENAME, start, FNR - start + 1, head
        bad = 1
    }
    start = 0
}
END {
    end_of_file()
    if (!count) { print "no functions were found"; exit 1 }
    printf "%d functions\n", count
    exit bad
}'
