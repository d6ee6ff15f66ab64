#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# check_checks.sh: the other checks can fail: each is given a small tree with one mistake, and an
# empty one.
source=${TESSERA_SOURCE:-.}
scripts=$source/tests/scripts
tree=${TESSERA_BUILD:-.}/tests/scratch/checks
bad=0
runs=0

fresh() { rm -rf "$tree"; mkdir -p "$tree/src/base" "$tree/src/nn" "$tree/src/dsp" "$tree/tests" "$tree/datasets"; }
put() { printf '%b' "$2" >"$tree/$1"; }
refuses() {
    runs=$((runs + 1))
    if sh "$scripts/$1" "$tree" >"$tree/log" 2>&1; then echo "$1 accepts: $2"; bad=1; fi
}
accepts() {
    runs=$((runs + 1))
    sh "$scripts/$1" "$tree" >"$tree/log" 2>&1 || { echo "$1 refuses: $2"; cat "$tree/log"; bad=1; }
}

for check in check_layers.sh check_prototypes.sh check_functions.sh check_spdx.sh; do
    fresh
    refuses $check "an empty tree"
done

fresh
put src/base/a.h '#include <stdio.h>\n'
put src/nn/b.c '#include "base/a.h"\n'
accepts check_layers.sh "a lower layer"
put src/base/a.h '#include "nn/b.h"\n'
refuses check_layers.sh "an upward include"
put src/base/a.h '#include <hdf5.h>\n'
refuses check_layers.sh "a library of another layer"
put src/base/a.h '#include <gsl/gsl.h>\n'
refuses check_layers.sh "an unknown library"
put src/base/a.h '#include "b.h"\n'
refuses check_layers.sh "an include without its layer"
put src/base/a.h '#include <stdio.h>\n'
put src/dsp/b.c '#include "base/a.h"\n'
refuses check_layers.sh "a file name that appears twice"

fresh
put src/base/a.h '/* Does x. */\nint tsr_x(int a,\n          int b);\n'
accepts check_prototypes.sh "a documented prototype"
put src/base/a.h '/* Does x. */\nint tsr_x(int a);\n\nTSR_USE tsr_status tsr_y(int a);\n'
refuses check_prototypes.sh "an undocumented prototype"
put src/base/a.h '/* Does x. */\nint tsr_x(int a);\n\nconst char *tsr_z(int a,\n     int b);\n'
refuses check_prototypes.sh "an undocumented prototype of two lines"

fresh
put src/base/a.c "int f(void)\n{\n    return 0;\n}\n"
accepts check_functions.sh "a short function"
put src/base/a.c "int f(void)\n{\n$(printf '    x();\\n%.0s' $(seq 130))}\n"
refuses check_functions.sh "a long function"

fresh
put src/base/a.c '/* SPDX-License-Identifier: Apache-2.0 */\n'
accepts check_spdx.sh "a licence line"
put src/base/a.c 'int x;\n'
refuses check_spdx.sh "a file without a licence"

[ "$runs" -gt 10 ] || { echo "only $runs runs"; bad=1; }
echo "$runs runs"
exit $bad
