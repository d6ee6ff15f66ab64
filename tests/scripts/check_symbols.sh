#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# check_symbols.sh [HEADER LIBRARY]: the library exports exactly what its public header declares.
header=${1:-${TESSERA_SOURCE:-.}/src/tessera.h}
library=${2:-${TESSERA_BUILD:-.}/.libs/libtessera.so}
[ -e "$library" ] || { echo "no shared library was built"; exit 77; }

# Coverage builds export the counters' own names.
exported=$(nm -D --defined-only "$library" | awk '{ print $3 }' |
    grep -vE '^(_init|_fini|_edata|_end|__bss_start|__gcov_.*|__asan.*|__ubsan.*|mangle_path)$' | sort)
declared=$(grep -v '^#' "$header" | tr '\n' ' ' | grep -oE 'TSR_API [^;(]*\(' | sed 's/($//; s/.*[ *]//' | sort)
[ -n "$declared" ] || { echo "$header declares nothing"; exit 1; }
[ -n "$exported" ] || { echo "$library exports nothing"; exit 1; }
[ "$exported" = "$declared" ] && { echo "$(echo "$declared" | wc -l) symbols"; exit 0; }
echo "$exported" >"${TESSERA_BUILD:-.}/exported.tmp"
echo "$declared" | diff "${TESSERA_BUILD:-.}/exported.tmp" - | sed -n 's/^</exported, not declared:/p; s/^>/declared, not exported:/p'
rm -f "${TESSERA_BUILD:-.}/exported.tmp"
exit 1
