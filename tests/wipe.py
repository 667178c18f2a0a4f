#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Count the secrets in a memory dump of a guest.

    wipe.py DUMP WHAT

WHAT holds an envelope, the vault's private key and a blob, a line of base64
each.  Prints "NAME: COUNT" for the DEK, the KEK, M and the share's secret: how
often a piece of 16 bytes of it is in DUMP.
"""

import base64
import mmap
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


def secrets_of(what):
    with open(what, "rb") as f:
        envelope, key, blob = (base64.b64decode(x) for x in f.read().split())
    envelope = oracle.Envelope.parse(envelope)
    secrets = oracle.verify(
        envelope, {1: serialization.load_pem_private_key(key, None)})
    return {"DEK": oracle.open_blob(blob, secrets), "KEK": secrets.kek,
            "M": secrets.master, "share secret": secrets.shares[1]}


def main():
    dump, what = sys.argv[1:]
    with open(dump, "rb") as f:
        memory = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)
        for name, secret in secrets_of(what).items():
            print(f"{name}: {sum(count(memory, p) for p in pieces(secret))}")


main()
