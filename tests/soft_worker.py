#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A vault worker for tests: clear and sealed shares with keys in files.

The uri is soft:FILE, an RSA private key in PEM for clear shares or 32 bytes in
hex for a sealed one; behind an identity these are an AES key for clear shares.  While FILE.mode is there it says how the vault behaves:

    away, refuse    as it says
    wrong           another secret, or another key
    other           wraps with another AES key than it unwraps with
    plain           a sealed key is not wrapped
    sha384          a sealed key is wrapped with SHA-384
    own             a sealed key is wrapped for a key of somebody else's

FILE.seen gets the nonce and the transport key of each release.
"""

import hashlib
import json
import os
import socket
import sys

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.keywrap import (
    InvalidUnwrap, aes_key_unwrap, aes_key_wrap, aes_key_wrap_with_padding)


class Refusal(Exception):
    """The vault's answer is an error: its word, and why."""


def oaep(hash_class):
    return padding.OAEP(padding.MGF1(hash_class()), hash_class(), None)


class Vault:
    def __init__(self):
        self.path = self.key = self.identity = None

    def configure(self, request):
        self.path = request["settings"]["uri"].partition(":")[2]
        with open(self.path, "rb") as file:
            data = file.read()
        self.identity, *rest = data.decode().split() if data[:4] == b"soft" \
            else (None, data.decode())
        self.key = bytes.fromhex(rest[0]) if len(rest[0].strip()) == 64 \
            else serialization.load_pem_private_key(data, None)
        return {}

    def mode(self):
        try:
            with open(self.path + ".mode", encoding="ascii") as file:
                return file.read().strip()
        except FileNotFoundError:
            return ""

    def spki(self):
        return self.key.public_key().public_bytes(
            serialization.Encoding.DER,
            serialization.PublicFormat.SubjectPublicKeyInfo)

    def public_key(self, _request):
        if self.identity:
            return {"method": "clear", "identity": self.identity}
        if isinstance(self.key, bytes):
            return {"method": "sealed"}
        return {"method": "clear", "spki": self.spki().hex()}

    def check(self, request):
        known = self.identity.encode() if self.identity else self.spki()
        if request["spki-fingerprint"] != hashlib.sha256(known).hexdigest():
            raise Refusal("refused", "its key is another one")

    def wrap(self, request):
        self.check(request)
        secret, key = os.urandom(32), self.key
        if self.mode() == "other":
            key = key[1:] + key[:1]
        return {"secret": secret.hex(), "ciphertext": aes_key_wrap(key, secret).hex()}

    def unwrap(self, request):
        self.check(request)
        ciphertext = bytes.fromhex(request["ciphertext"])
        try:
            secret = aes_key_unwrap(self.key, ciphertext) if self.identity \
                else self.key.decrypt(ciphertext, oaep(hashes.SHA256))
        except (ValueError, InvalidUnwrap) as err:
            raise Refusal("invalid", str(err)) from err
        if self.mode() == "wrong":
            secret = secret[1:] + secret[:1]
        return {"secret": secret.hex()}

    def release(self, request):
        with open(self.path + ".seen", "a", encoding="ascii") as file:
            print(request["nonce"], request["transport"], file=file)
        mode = self.mode()
        recipient = serialization.load_der_public_key(
            bytes.fromhex(request["transport"]))
        if mode == "own":
            recipient = rsa.generate_private_key(65537, 3072).public_key()
        key, name, kek = self.key, "sha256", os.urandom(32)
        if mode == "wrong":
            key = key[1:] + key[:1]
        if mode == "sha384":
            name = mode
        if mode == "plain":
            return {"wrapped": key.hex(), "hash": name}
        wrapped = recipient.encrypt(kek, oaep(
            hashes.SHA384 if name == "sha384" else hashes.SHA256))
        return {"wrapped": (wrapped + aes_key_wrap_with_padding(
            kek, key)).hex(), "hash": name}

    def run(self, request):
        op = {"configure": self.configure, "public-key": self.public_key,
              "unwrap": self.unwrap, "wrap": self.wrap,
              "release": self.release}[request["op"]]
        if self.path and self.mode() == "away":
            raise Refusal("away", "its mode is away")
        if self.path and self.mode() == "refuse":
            raise Refusal("refused", "its mode is refuse")
        return op(request)


def main():
    sock = socket.socket(fileno=os.dup(0))
    stream, vault = sock.makefile("rwb"), Vault()
    for line in stream:
        request = json.loads(line)
        try:
            reply = vault.run(request)
        except Refusal as err:
            reply = {"error": err.args[0], "message": err.args[1]}
        except OSError as err:
            reply = {"error": "refused", "here": True, "message": str(err)}
        stream.write(json.dumps({**reply, "id": request["id"]}).encode() + b"\n")
        stream.flush()
    return 0


sys.exit(main())
