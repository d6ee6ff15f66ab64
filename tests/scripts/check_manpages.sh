#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# check_manpages.sh [PROGRAM PAGES]: the installed pages and the option tables say the same: one page
# for each command, the same options in both, and pages that roff reads without a warning.
program=${1:-${TESSERA_BUILD:-.}/tessera}
pages=${2:-${TESSERA_BUILD:-.}/man}

commands=$("$program" help | sed -n '/^Commands:/,/^$/s/^  \([a-z][a-z0-9-]*\) .*/\1/p')
[ -n "$commands" ] || { echo "no commands were listed"; exit 1; }
bad=0
count=0
complain() { echo "$@"; bad=1; }

table_options() { "$program" help "$1" | sed -n 's/^  \(-., \|    \)--\([a-z0-9-]*\).*/\2/p' | sort; }
page_options() {
    sed -e 's/\\-/-/g' "$1" | awk '/^\.SH/ { on = /OPTIONS/ } on && tag { print } { tag = /^\.TP/ }' |
        sed -n 's/.*\\fB--\([a-z0-9-]*\).*/\1/p' | sort
}

for c in $commands; do
    page=$pages/tessera-$c.1
    [ -s "$page" ] || { complain "$c: no page $page"; continue; }
    count=$((count + 1))
    table=$(table_options "$c")
    [ -n "$table" ] || complain "$c: its help lists no options"
    [ "$table" = "$(page_options "$page")" ] || complain "$c: page and help list different options"
    # Options that examples and descriptions use must exist.
    for o in $(sed -e 's/\\-/-/g' "$page" | grep -oE '(^|[^a-z-])--[a-z][a-z0-9-]+' | sed 's/.*--//' | sort -u); do
        echo "$table" | grep -qx -- "$o" || case $o in version) ;; *) complain "$c: its page speaks of --$o" ;; esac
    done
    sed 's/\\-/-/g' "$pages/tessera.1" | grep -q "tessera-$c\\\\fR" || complain "tessera.1 does not list $c"
done
for page in "$pages"/tessera-*.1; do
    c=${page##*/tessera-}
    [ "$c" = scenes.1 ] && continue # a program of its own: tests/cli/scenes.bats
    "$program" help "${c%.1}" >/dev/null 2>&1 || complain "$page: no such command"
done
if command -v groff >/dev/null; then
    for page in "$pages"/*.1; do
        warnings=$(groff -man -Tutf8 -ww -z "$page" 2>&1)
        [ -z "$warnings" ] || complain "$page: $warnings"
    done
fi
echo "$count pages"
exit $bad
