#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# make_broken.sh FOLDER PICTURE: a small tree of good samples ("good/") beside broken files
# ("broken/"), one for each way to be broken. PICTURE is any good PNG. Prints "MODALITY KEY" for each
# broken file.
set -eu
root=$1
picture=$2
for m in rgb depth sound caption fields; do mkdir -p "$root/$m/good" "$root/$m/broken"; done

# A WAV of 16-bit mono: header of 44 bytes, then 64 bytes of data.
wav()
{
    printf 'RIFF\144\000\000\000WAVEfmt \020\000\000\000\001\000\001\000\200\076\000\000'
    printf '\000\175\000\000\002\000\020\000data\100\000\000\000'
    head -c 64 /dev/zero
}
# A PFM of 2 x 2 pixels, each of the four bytes given.
pfm() { printf 'Pf\n2 2\n-1.0\n'; for _ in 1 2 3 4; do printf "$1"; done; }

for i in 1 2 3 4 5 6; do
    cp "$picture" "$root/rgb/good/$i.png"
    pfm '\000\000\200\077' > "$root/depth/good/$i.pfm"
    wav > "$root/sound/good/$i.wav"
    printf 'a good caption' > "$root/caption/good/$i.txt"
    printf '{"n": %d, "more": true}' $i > "$root/fields/good/$i.json"
done

# broken MODALITY NAME.EXT: its path is $f, and its key is announced.
broken()
{
    f=$root/$1/broken/$2
    printf '%s broken/%s\n' "$1" "${2%.*}"
}
bytes=$(wc -c < "$picture")

broken rgb empty.png;          : > "$f"
broken rgb truncated.png;      head -c $((bytes / 2)) "$picture" > "$f"
broken rgb signature.png;      head -c 8 "$picture" > "$f"
broken rgb cut-header.png;     head -c 20 "$picture" > "$f"
broken rgb last-bytes.png;     head -c $((bytes - 40)) "$picture" > "$f"
broken rgb damaged.png;        { head -c 60 "$picture"; printf 'damaged'; tail -c +68 "$picture"; } > "$f"
broken rgb text.png;           printf 'this is a text' > "$f"
broken rgb sound.png;          wav > "$f"
broken rgb zero.ppm;           printf 'P6\n0 0\n255\n' > "$f"
broken rgb wide.ppm;           { printf 'P6\n40000 1\n255\n'; head -c 120000 /dev/zero; } > "$f"
broken rgb claims.ppm;         printf 'P6\n30000 30000\n255\nabc' > "$f"
broken rgb overflow.ppm;       printf 'P6\n4294967295 4294967295\n255\nabc' > "$f"
broken rgb folder.png;         mkdir "$f"
broken rgb loop.png;           ln -s loop.png "$f"
broken rgb nowhere.png;        ln -s /nonexistent/x.png "$f"
broken rgb pipe.png;           mkfifo "$f"
broken rgb noise.jpg;          head -c 500 "$0" > "$f"
broken rgb start.jpg;          printf '\377\330\377\340' > "$f"
broken rgb header.gif;         printf 'GIF89a\020\000\020\000' > "$f"
broken rgb cut.bmp;            printf 'BM\066\000\000\000' > "$f"
broken rgb riff.webp;          printf 'RIFF\100\000\000\000WEBPVP8 ' > "$f"
broken depth nan.pfm;          pfm '\000\000\300\177' > "$f"
broken depth cut.pfm;          pfm '\000\000\200\077' | head -c 20 > "$f"
broken depth colour.png;       cp "$picture" "$f"
broken depth objects.npy;      printf "\223NUMPY\001\000\106\000{'descr': '|O', 'fortran_order': False, 'shape': (2, 2), }            \n" > "$f"
broken depth begun.npy;         printf '\223NUMPY\001\000\377' > "$f"
broken sound header.wav;       wav | head -c 20 > "$f"
broken sound nothing.wav;      wav | head -c 44 > "$f"
broken sound text.wav;         printf 'this is a text' > "$f"
broken sound start.flac;       printf 'fLaC' > "$f"
broken caption latin1.txt;     printf 'caf\351' > "$f"
broken caption nul.txt;        printf 'a\000b' > "$f"
broken caption rejected.txt;   printf 'a bad text' > "$f"
broken fields missing.json;    printf '{"more": true}' > "$f"
broken fields kind.json;       printf '{"n": "seven"}' > "$f"
broken fields range.json;      printf '{"n": 256}' > "$f"
broken fields cut.json;        printf '{"n": ' > "$f"
broken fields deep.json;       head -c 100000 /dev/zero | tr '\000' '[' > "$f"
broken fields nothing.json;    : > "$f"
if [ "$(id -u)" != 0 ]; then
    broken rgb forbidden.png
    cp "$picture" "$f"
    chmod 000 "$f"
fi
