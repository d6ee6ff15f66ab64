#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# check_layers.sh [ROOT]: who includes whom. Includes name their layer from src/; a layer includes
# itself and those the table allows; an outside library belongs to one layer; file names are unique.
root=${1:-${TESSERA_SOURCE:-.}}
cd "$root" || exit 99

find src -name '*.[ch]' | sort | xargs awk '
function fail(text) { printf "%s:%d: %s\n", FILENAME, FNR, text; bad = 1 }
BEGIN {
    allowed["base"] = ""
    allowed["types"] = "base"
    allowed["dsp"] = allowed["codecs"] = allowed["nn"] = allowed["shards"] = "types base"
    allowed["vqvae"] = "nn dsp types base"
    allowed["tokenizers"] = "vqvae dsp types base"
    allowed["trainer"] = "nn shards types base"
    allowed["pipeline"] = "codecs tokenizers vqvae shards types base"
    allowed["tasks"] = "pipeline trainer codecs tokenizers vqvae shards nn dsp types base"
    allowed["cli"] = "tasks pipeline trainer codecs tokenizers vqvae shards nn dsp types base"
    for (layer in allowed) {
        may[layer, layer] = 1
        n = split(allowed[layer], names, " ")
        for (i = 1; i <= n; i++) may[layer, names[i]] = 1
    }
    # First part of an outside header -> the layer that owns the library (OpenMP: loops in base,
    # the thread count oneDNN must see in nn).
    owner["omp.h"] = "base nn"
    owner["jansson.h"] = owner["yaml.h"] = owner["xxhash.h"] = "base"
    owner["fftw3.h"] = "dsp"
    owner["libavformat"] = owner["libavcodec"] = owner["libavutil"] = owner["libswscale"] = "codecs"
    owner["libswresample"] = owner["sndfile.h"] = owner["archive.h"] = owner["archive_entry.h"] = "codecs"
    owner["oneapi"] = owner["dnnl.h"] = owner["dnnl_version.h"] = "nn"
    owner["hdf5.h"] = "shards"
    owner["utf8proc.h"] = "tokenizers"
    owner["mpi.h"] = "trainer"
    owner["chafa.h"] = "cli"
    n = split("assert complex cpuid ctype dirent errno fcntl fenv float ftw immintrin inttypes limits locale math poll " \
              "pthread sched setjmp signal stdalign stdarg stdatomic stdbool stddef stdint stdio " \
              "stdlib string strings time unistd", names, " ")
    for (i = 1; i <= n; i++) system_header[names[i] ".h"] = 1
}
FNR == 1 { split(FILENAME, path, "/"); layer = path[2]; files++ }
/^[ \t]*#[ \t]*include/ {
    if (match($0, /"[^"]+"/)) {
        name = substr($0, RSTART + 1, RLENGTH - 2)
        includes++
        if (name == "config.h") next
        # The public header and its one implementation stand above all layers.
        if (path[3] == "") next
        if (!index(name, "/")) { fail("\"" name "\": name the layer from src/"); next }
        split(name, parts, "/")
        if (!((layer, parts[1]) in may)) fail(layer " may not include " parts[1] " (" name ")")
    } else if (match($0, /<[^>]+>/)) {
        name = substr($0, RSTART + 1, RLENGTH - 2)
        split(name, parts, "/")
        includes++
        if (parts[1] == "sys" || (name in system_header)) next
        if (!(parts[1] in owner)) fail("<" name "> belongs to no layer; add it to the table")
        else if (!index(" " owner[parts[1]] " ", " " layer " "))
            fail("<" name "> belongs to " owner[parts[1]] ", not " layer)
    }
}
END {
    if (!files || !includes) { print "no source files or includes were found"; exit 1 }
    printf "%d files, %d includes\n", files, includes
    exit bad
}' || exit 1

twice=$(find src tests datasets -type f \( -name '*.[ch]' -o -name '*.sh' -o -name '*.py' -o -name '*.bats' \) \
    2>/dev/null | sed 's|.*/||' | sort | uniq -d)
if [ -n "$twice" ]; then
    echo "file names that appear twice:" $twice
    exit 1
fi
