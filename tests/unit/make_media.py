#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the pictures and sounds that the codec tests read, and beside each the array an independent
reader (Pillow, or this script by construction) sees in it: NAME and NAME.npy.

usage: make_media.py FOLDER        exit 77: a module or program is missing"""
import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path

try:
    import numpy as np
    from PIL import Image
except ImportError as missing:
    print(missing, file=sys.stderr)
    sys.exit(77)


def picture(height, width, channels, top=255, seed=0):
    """Smooth waves with some noise: JPEG keeps it close, and every row and column differs."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(float)
    planes = []
    for c in range(channels):
        v = 0.5 + 0.3 * np.sin(x / (5 + c) + c) + 0.2 * np.cos(y / (4 + 2 * c) - c)
        planes.append(v + rng.normal(0, 0.02, v.shape))
    a = np.clip(np.stack(planes, -1), 0, 1) * top
    return np.round(a).astype(np.uint8 if top < 256 else np.uint16)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(a, colour, depth, extra=b"", after=b""):
    """PNG of an [H, W, C] array; depth below 8 packs one channel."""
    h, w = a.shape[:2]
    rows = b""
    for row in a:
        if depth == 16:
            line = row.astype(">u2").tobytes()
        elif depth == 8:
            line = row.astype(np.uint8).tobytes()
        else:
            bits = "".join(format(int(v), f"0{depth}b") for v in row.ravel())
            bits += "0" * (-len(bits) % 8)
            line = bytes(int(bits[i:i + 8], 2) for i in range(0, len(bits), 8))
        rows += b"\0" + line
    head = struct.pack(">IIBBBBB", w, h, depth, colour, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + extra + chunk(b"IDAT", zlib.compress(rows))
            + after + chunk(b"IEND", b""))


def exif(orientation):
    return b"MM\0*\0\0\0\x08" + struct.pack(">HHHIHHI", 1, 0x112, 3, 1, orientation, 0, 0)


def upright(a, orientation):
    """What EXIF orientation means, as NumPy axes."""
    turn = {1: lambda v: v, 2: lambda v: v[:, ::-1], 3: lambda v: v[::-1, ::-1],
            4: lambda v: v[::-1], 5: lambda v: v.swapaxes(0, 1),
            6: lambda v: np.rot90(v, -1), 7: lambda v: v[::-1, ::-1].swapaxes(0, 1),
            8: lambda v: np.rot90(v, 1)}
    return np.ascontiguousarray(turn[orientation](a))


class Folder:
    def __init__(self, path):
        self.path = Path(path)
        self.path.mkdir(parents=True, exist_ok=True)

    def put(self, name, data, expected=None):
        (self.path / name).write_bytes(data)
        if expected is not None:
            e = np.asarray(expected)
            np.save(self.path / (name + ".npy"), e[..., 0] if e.ndim == 3 and e.shape[2] == 1 else e)

    def pillow(self, name, image, mode=None, **options):
        """Saved by Pillow, expected as Pillow reads it back."""
        b = io.BytesIO()
        kinds = {"jpg": "jpeg", "tif": "tiff", "pgm": "ppm", "pbm": "ppm"}
        kind = Path(name).suffix[1:]
        image.save(b, kinds.get(kind, kind), **options)
        back = Image.open(io.BytesIO(b.getvalue()))
        self.put(name, b.getvalue(), np.array(back.convert(mode) if mode else back))


def make_png(out):
    for name, colour, depth, n in (("grey8", 0, 8, 1), ("ga8", 4, 8, 2), ("rgb8", 2, 8, 3),
                                   ("rgba8", 6, 8, 4), ("grey16", 0, 16, 1), ("ga16", 4, 16, 2),
                                   ("rgb16", 2, 16, 3), ("rgba16", 6, 16, 4)):
        a = picture(19, 23, n, 2 ** depth - 1)
        out.put(name + ".png", png(a, colour, depth), a)
    for depth in (1, 2, 4):
        a = picture(11, 13, 1, 2 ** depth - 1)
        out.put(f"grey{depth}.png", png(a, 0, depth), a * (255 // (2 ** depth - 1)))
    index = picture(19, 23, 1, 9)
    colours = np.random.default_rng(1).integers(0, 256, (10, 3), np.uint8)
    plte = chunk(b"PLTE", colours.tobytes())
    out.put("palette.png", png(index, 3, 8, plte), colours[index[..., 0]])
    out.put("index.png", png(index, 3, 8, plte), index)
    out.put("index4.png", png(index, 3, 4, plte), index)
    alpha = np.array([0, 128] + [255] * 8, np.uint8)
    out.put("palette-alpha.png", png(index, 3, 8, plte + chunk(b"tRNS", alpha[:2].tobytes())),
            np.dstack([colours[index[..., 0]], alpha[index[..., 0]]]))
    key = picture(9, 9, 3, 3)
    seen = np.where((key == key[0, 0]).all(-1), 0, 255)
    out.put("key.png", png(key, 2, 8, chunk(b"tRNS", key[0, 0].astype(">u2").tobytes())),
            np.dstack([key, seen]).astype(np.uint8))
    flat = picture(19, 23, 4).astype(float)
    white = np.floor((flat[..., :3] * flat[..., 3:] + 255 * (255 - flat[..., 3:])) / 255 + 0.5)
    out.put("flat.png", png(flat, 6, 8), white.astype(np.uint8))
    for o in range(1, 9):
        a = picture(7, 12, 3)
        out.put(f"turned{o}.png", png(a, 2, 8, chunk(b"eXIf", exif(o))), upright(a, o))
    bomb = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"a" * 50_000_000, 9))
    out.put("textbomb.png", png(picture(5, 5, 3), 2, 8, bomb), picture(5, 5, 3))
    # whole chunks with right sums, but pixels of a quarter of the rows
    rows = zlib.compress(b"".join(b"\0" + bytes([200] * 60) for _ in range(5)))
    head = struct.pack(">IIBBBBB", 20, 20, 8, 2, 0, 0, 0)
    out.put("few-rows.png", b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows)
            + chunk(b"IEND", b""))
    for v in (0xa5, 0x5a):
        a = np.full((6, 3, 1), v)
        out.put(f"all-{v:x}.png", png(a, 0, 8), a.astype(np.uint8))
    b = io.BytesIO()
    Image.fromarray(picture(19, 23, 3)).save(b, "png", compress_level=9)
    out.put("pillow.png", b.getvalue(), picture(19, 23, 3))


def strip_segment(jpeg, marker):
    at = 2
    while jpeg[at + 1] != marker:
        at += 2 + struct.unpack(">H", jpeg[at + 2:at + 4])[0]
    return jpeg[:at] + jpeg[at + 2 + struct.unpack(">H", jpeg[at + 2:at + 4])[0]:]


def b_ycck(cmyk):
    b = io.BytesIO()
    cmyk.save(b, "jpeg", quality=95)
    data = bytearray(b.getvalue())
    data[data.index(b"Adobe") + 11] = 2
    return data


def make_jpeg(out):
    for h, w in ((37, 53), (16, 16), (64, 48), (5, 3), (1, 1), (8, 4), (9, 2)):
        rgb = Image.fromarray(picture(h, w, 3))
        for s in (0, 1, 2):
            out.pillow(f"s{s}-{w}x{h}.jpg", rgb, subsampling=s, quality=90)
    rgb = Image.fromarray(picture(37, 53, 3))
    out.pillow("progressive.jpg", rgb, progressive=True, quality=85)
    out.pillow("grey.jpg", Image.fromarray(picture(37, 53, 1)[..., 0]), quality=90)
    cmyk = Image.fromarray(picture(37, 53, 4), "CMYK")
    out.pillow("cmyk.jpg", cmyk, "RGB", quality=95)
    b = io.BytesIO()
    cmyk.save(b, "jpeg", quality=95)
    plain = strip_segment(b.getvalue(), 0xee)
    out.put("cmyk-plain.jpg", plain,
            np.array(Image.open(io.BytesIO(plain)).convert("RGB")))
    for o in range(1, 9):
        b = io.BytesIO()
        Image.fromarray(picture(16, 40, 3)).save(b, "jpeg", quality=95, subsampling=0)
        body = b"Exif\0\0" + exif(o)
        data = b.getvalue()
        data = data[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + data[2:]
        out.put(f"turned{o}.jpg", data,
                upright(np.array(Image.open(io.BytesIO(b.getvalue()))), o))
    # YCCK: what Pillow stores as inverted CMYK, its three colours declared luma and chroma
    ycck = bytearray(b_ycck(cmyk))
    out.put("ycck.jpg", bytes(ycck), np.array(Image.open(io.BytesIO(ycck)).convert("RGB")))
    b = io.BytesIO()
    rgb.save(b, "jpeg", quality=95)
    out.put("trailing.jpg", b.getvalue() + b"after the picture" * 9,
            np.array(Image.open(io.BytesIO(b.getvalue()))))


def make_other(out):
    rgb, rgba = (Image.fromarray(picture(37, 53, n)) for n in (3, 4))
    grey = Image.fromarray(picture(37, 53, 1)[..., 0])
    out.pillow("lossless.webp", rgb, lossless=True)
    out.pillow("alpha.webp", rgba, lossless=True, exact=True)
    out.pillow("lossy.webp", rgb, quality=90)
    out.pillow("lossy-alpha.webp", rgba, quality=90)
    out.pillow("first.gif", rgb.quantize(64), "RGB", save_all=True,
               append_images=[rgba.convert("RGB").quantize(32)])
    out.pillow("rgb.bmp", rgb)
    out.pillow("palette.bmp", rgb.quantize(64), "RGB")
    out.pillow("grey.bmp", grey)
    out.pillow("rgb.tif", rgb)
    out.pillow("alpha.tif", rgba)
    out.pillow("lzw.tif", rgb, compression="tiff_lzw")
    out.pillow("deflate.tif", grey, compression="tiff_adobe_deflate")
    out.pillow("grey16.tif", Image.fromarray(picture(9, 11, 1, 65535)[..., 0]))
    out.pillow("rgb.ppm", rgb)
    out.pillow("grey.pgm", grey)
    out.pillow("bits.pbm", grey.convert("1"), "L")
    a = picture(9, 11, 1, 65535)
    out.put("grey16.pgm", b"P5\n11 9\n65535\n" + a.astype(">u2").tobytes(), a)
    text = "P3\n# a comment\n2 1\n255\n1 2 3\n250 251 252\n"
    out.put("ascii.ppm", text.encode(), np.array([[[1, 2, 3], [250, 251, 252]]], np.uint8))


def make_arrays(out):
    depth = (picture(6, 5, 1, 1000)[..., 0] / 100).astype("<f4")
    pfm = b"Pf\n5 6\n-1.0\n" + depth[::-1].tobytes()
    out.put("depth.pfm", pfm, depth)
    out.put("big.pfm", b"Pf\n5 6\n1.0\n" + depth[::-1].astype(">f4").tobytes(), depth)
    rgb = picture(6, 5, 3).astype("<f4")
    out.put("colour.pfm", b"PF\n5 6\n-2.5\n" + rgb[::-1].tobytes(), rgb)
    base = picture(6, 5, 1, 200)[..., 0]
    for kind in ("u1", "<u2", ">u2", "<i2", "<i4", ">i4", "<u4", "<i8", "<f2", ">f2", "<f4",
                 ">f4", "<f8", ">f8"):
        for order in "CF":
            name = f"{kind.replace('<', 'le-').replace('>', 'be-')}-{order}.npy"
            np.save(out.path / name, np.asarray(base.astype(kind), order=order))
    np.save(out.path / "expected-array.npy", base)
    np.save(out.path / "hwc.npy", picture(6, 5, 3))
    np.save(out.path / "chw.npy", np.ascontiguousarray(np.moveaxis(picture(6, 5, 3), -1, 0)))
    np.save(out.path / "chw-f.npy", np.asfortranarray(np.moveaxis(picture(6, 5, 3), -1, 0)))
    halves = np.arange(65536, dtype=np.uint16).view("<f2")
    np.save(out.path / "half.npy", halves)
    np.save(out.path / "half-expected.npy", halves.astype("<f4"))
    np.save(out.path / "cube.npy", np.arange(24, dtype="<f4").reshape(2, 3, 4))
    np.save(out.path / "vector.npy", np.arange(7, dtype="<f8") / 4)
    np.save(out.path / "matrix-f.npy", np.asfortranarray(np.arange(6.).reshape(2, 3)))
    with open(out.path / "v2.npy", "wb") as f:
        np.lib.format.write_array(f, base, version=(2, 0))


def make_sounds(out):
    """A sine that FFmpeg writes in each format; 0.5 s of 440 Hz at half scale, 22,050 Hz."""
    t = np.arange(11025) / 22050
    wave = 0.5 * np.sin(2 * np.pi * 440 * t)
    out.put("tone.raw", wave.astype("<f4").tobytes())
    made = (("tone.wav", "pcm_s16le", []), ("tone24.wav", "pcm_s24le", []),
            ("tone32f.wav", "pcm_f32le", []), ("tone.flac", "flac", []),
            ("tone.ogg", "libvorbis", []), ("tone.mp3", "libmp3lame", []),
            ("tone.m4a", "aac", []), ("tone.opus", "libopus", ["-ar", "48000"]),
            ("tone.mkv", "ac3", ["-f", "matroska"]), ("tone.aiff", "pcm_s16be", []),
            ("adpcm-odd.wav", "adpcm_swf", []))
    for name, codec, more in made:
        rate = more if "-ar" in more else ["-ar", "22050"]
        if codec == "ac3":
            rate = ["-ar", "32000"]
        command = ["ffmpeg", "-nostdin", "-v", "error", "-y", "-f", "f32le", "-ar", "22050", "-ac",
                   "1", "-i", out.path / "tone.raw", "-ac", "1", "-c:a", codec, *rate, *more,
                   "-bitexact", out.path / name]
        try:
            subprocess.run(command, check=True)
        except FileNotFoundError:
            print("ffmpeg is missing", file=sys.stderr)
            sys.exit(77)
    # a video with a sound track
    subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i",
                    "testsrc=size=64x48:rate=10:duration=0.5", "-f", "f32le", "-ar", "22050", "-ac",
                    "1", "-i", out.path / "tone.raw", "-c:v", "mpeg4", "-c:a", "aac", "-ar", "22050",
                    "-bitexact", out.path / "video.mp4"], check=True)


def second_opinion(out):
    """ImageMagick's view of some pictures, as NAME.magick.npy, where it is installed."""
    for name in ("s0-53x37.jpg", "s2-53x37.jpg", "progressive.jpg", "grey.jpg", "rgb8.png",
                 "rgb16.png", "palette.png", "rgb.bmp", "lzw.tif", "lossless.webp"):
        grey = name.startswith("grey")
        a = np.load(out.path / (name + ".npy"))
        depth = 16 if a.dtype == np.uint16 else 8
        command = ["convert", str(out.path / name), "-depth", str(depth), "-endian", "LSB",
                   "gray:-" if grey else "rgb:-"]
        try:
            raw = subprocess.run(command, check=True, capture_output=True).stdout
        except (FileNotFoundError, subprocess.CalledProcessError):
            return
        np.save(out.path / (name + ".magick.npy"),
                np.frombuffer(raw, f"<u{depth // 8}").reshape(a.shape))


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    out = Folder(sys.argv[1])
    make_png(out)
    make_jpeg(out)
    make_other(out)
    make_arrays(out)
    make_sounds(out)
    second_opinion(out)


main()
