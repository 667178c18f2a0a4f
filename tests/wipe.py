#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Count the secrets in a memory dump of a guest.

    wipe.py DUMP WHAT

WHAT holds an envelope, the vault's private key, blobs for xts, gcm, hmac and
cbc, and another envelope, a line of base64 each.  Prints "NAME: COUNT" for the
DEKs, the KEKs, M and the share's secret: how often a piece of 16 bytes of it is
in DUMP.

Of a key for HMAC the kernel keeps what SHA-256 makes of it: its state behind
the block of the inner and of the outer hash.
"""

import base64
import mmap
import struct
import sys

from cryptography.hazmat.primitives import serialization

import oracle


def pieces(secret):
    return [secret[i:i + 16] for i in range(0, len(secret), 16)]


def count(memory, piece):
    found, at = 0, memory.find(piece)
    while at >= 0:
        found, at = found + 1, memory.find(piece, at + 1)
    return found


def roots(power, count):
    """The first bits of the fractional parts of primes' roots (FIPS 180-4)."""
    found, number = [], 2
    while len(found) < count:
        if all(number % n for n in range(2, number)):
            high = number << 32 * power
            low, top = 0, 1 << 40
            while top - low > 1:
                middle = (low + top) // 2
                low, top = (middle, top) if middle ** power <= high else \
                    (low, middle)
            found.append(low & 0xffffffff)
        number += 1
    return found


def rotate(x, n):
    return (x >> n | x << 32 - n) & 0xffffffff


def sha256_state(block):
    """The eight words behind a first block of 64 bytes, as they lie in memory."""
    first, constants = roots(2, 8), roots(3, 64)
    w = list(struct.unpack(">16I", block))
    for i in range(16, 64):
        x, y = w[i - 15], w[i - 2]
        w.append((w[i - 16] + w[i - 7] +
                  (rotate(x, 7) ^ rotate(x, 18) ^ x >> 3) +
                  (rotate(y, 17) ^ rotate(y, 19) ^ y >> 10)) & 0xffffffff)
    a, b, c, d, e, f, g, h = first
    for i in range(64):
        one = h + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + \
            (e & f ^ ~e & g) + constants[i] + w[i]
        two = (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + \
            (a & b ^ a & c ^ b & c)
        a, b, c, d, e, f, g, h = (one + two) & 0xffffffff, a, b, c, \
            (d + one) & 0xffffffff, e, f, g
    return struct.pack("<8I", *((x + y) & 0xffffffff for x, y in
                                zip(first, (a, b, c, d, e, f, g, h))))


def hmac_states(key):
    key = key.ljust(64, b"\0")
    return b"".join(sha256_state(bytes(x ^ pad for x in key))
                    for pad in (0x36, 0x5c))


def secrets_of(what):
    with open(what, "rb") as f:
        envelope, key, xts, gcm, mac, lone, ends = (
            base64.b64decode(x) for x in f.read().split())
    keys = {1: serialization.load_pem_private_key(key, None)}
    secrets = oracle.verify(oracle.Envelope.parse(envelope), keys)
    ended = oracle.verify(oracle.Envelope.parse(ends), keys)
    return {"DEK": oracle.open_blob(xts, secrets, "xts"),
            "GCM key": oracle.open_blob(gcm, secrets, "gcm"),
            "HMAC key": hmac_states(oracle.open_blob(mac, secrets, "hmac")),
            "lone DEK": oracle.open_blob(lone, secrets, "cbc"),
            "KEK": secrets.kek,
            "other KEK": ended.kek,
            "M": secrets.master, "share secret": secrets.shares[1]}


def main():
    dump, what = sys.argv[1:]
    with open(dump, "rb") as f:
        memory = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)
        for name, secret in secrets_of(what).items():
            print(f"{name}: {sum(count(memory, p) for p in pieces(secret))}")


if __name__ == "__main__":
    main()
