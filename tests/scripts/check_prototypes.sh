#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# check_prototypes.sh [ROOT]: every function declared in a header of src/ is documented: a comment
# stands directly above it, above the block of lines it belongs to, or (headings, "/* ---") one empty
# line further up. Releasing functions (clear,
# destroy, close) whose names say all may go without.
root=${1:-${TESSERA_SOURCE:-.}}
cd "$root" || exit 99

find src -name '*.h' ! -name '*_priv.h' | sort | xargs awk '
FNR == 1 { documented = 0; inside = 0; text = "" }
inside { if (index($0, "*/")) inside = 0; next }
/^[ \t]*\/\*/ { documented = 1; heading = /^\/\* ---/; if (!index($0, "*/")) inside = 1; next }
/^[ \t]*$/ { documented = heading; heading = 0; text = ""; next }
/^#/ || /^[ \t}{]/ && text == "" { next }
{
    text = text " " $0
    if (!/[;{]/) next
    whole = text
    text = ""
    if (whole !~ /^ *(TSR_API +|TSR_USE +)*(const +)?[a-z_]+[a-z0-9_ *]*\(.*\).*;/ || whole ~ /^ *(typedef|static|extern)/) next
    count++
    name = whole
    sub(/\(.*/, "", name)
    sub(/.*[ *]/, "", name)
    if (documented || name ~ /_(clear|destroy|close)$/) next
    printf "%s:%d: %s() has no comment\n", FILENAME, FNR, name
    bad = 1
}
END {
    if (!count) { print "no prototypes were found"; exit 1 }
    printf "%d prototypes\n", count
    exit bad
}'
