# SPDX-License-Identifier: Apache-2.0
# Reads TensorBoard event files without TensorFlow, checking every checksum, and prints one JSON object
# for each event: {"step", "tag": value, ...}, {"version"} or {"start": step}. Written from the format's
# description, not from our writer:
#   read_events.py FILE...
import json
import struct
import sys


def crc32c(data):
    """Castagnoli's polynomial, by a table of bytes."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def make_table():
    table = []
    for n in range(256):
        for _ in range(8):
            n = (n >> 1) ^ 0x82F63B78 if n & 1 else n >> 1
        table.append(n)
    return table


TABLE = make_table()
assert crc32c(b"123456789") == 0xE3069283  # RFC 3720, check value of CRC-32C


def unmask(masked):
    rot = (masked - 0xA282EAD8) & 0xFFFFFFFF
    return ((rot >> 17) | (rot << 15)) & 0xFFFFFFFF


def records(data):
    at = 0
    while at < len(data):
        head = data[at : at + 8]
        (n,) = struct.unpack("<Q", head)
        (crc,) = struct.unpack("<I", data[at + 8 : at + 12])
        assert unmask(crc) == crc32c(head), "checksum of a length"
        body = data[at + 12 : at + 12 + n]
        (crc,) = struct.unpack("<I", data[at + 12 + n : at + 16 + n])
        assert len(body) == n and unmask(crc) == crc32c(body), "checksum of a record"
        yield body
        at += 16 + n


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def fields(data):
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        if key & 7 == 0:
            value, at = varint(data, at)
        elif key & 7 == 1:
            (value,) = struct.unpack("<d", data[at : at + 8])
            at += 8
        elif key & 7 == 5:
            (value,) = struct.unpack("<f", data[at : at + 4])
            at += 4
        else:
            assert key & 7 == 2, "wire type"
            n, at = varint(data, at)
            value = data[at : at + n]
            at += n
        yield key >> 3, value


def event(body):
    out = {}
    found = dict(fields(body))
    assert 1.6e9 < found[1] < 1e11, "wall time"
    if 3 in found:
        return {"version": found[3].decode()}
    if 7 in found:
        assert dict(fields(found[7]))[1] == 1
        return {"start": found.get(2, 0)}
    out["step"] = found[2]
    for number, value in fields(found[5]):
        assert number == 1
        one = dict(fields(value))
        out[one[1].decode()] = one[2]
    return out


for name in sys.argv[1:]:
    with open(name, "rb") as f:
        for record in records(f.read()):
            print(json.dumps(event(record)))
