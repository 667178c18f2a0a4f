#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A host that keys are released to, for azure_test.sh.

    azure_release.py new FOLDER      makes a transport key, an attestation of it, and
                                     evidence for one; prints its
                                     SubjectPublicKeyInfo in hex
    azure_release.py open FOLDER WRAPPED   unwraps a released key; all in hex
    azure_release.py attest FOLDER PEM   an attestation of somebody else's public key
"""

import base64
import json
import os
import sys

from cryptography.hazmat.primitives import hashes, keywrap, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa


def b64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def attest(folder, public):
    """What names that key to a vault; returns it as JWK."""
    numbers = public.public_numbers()
    jwk = {"kty": "RSA", "n": b64url(numbers.n.to_bytes(384, "big")),
           "e": b64url(numbers.e.to_bytes(3, "big"))}
    claims = json.dumps({"x-ms-runtime": {"keys": [jwk]}}).encode()
    with open(os.path.join(folder, "attestation"), "w") as file:
        file.write(f"{b64url(b'{}')}.{b64url(claims)}.{b64url(b'x')}\n")
    os.chmod(file.name, 0o600)
    return jwk


def attest_pem(folder, pem):
    with open(pem, "rb") as file:
        attest(folder, serialization.load_pem_public_key(file.read()))


def new(folder):
    key = rsa.generate_private_key(public_exponent=65537, key_size=3072)
    jwk = attest(folder, key.public_key())
    runtime = json.dumps({"keys": [jwk]}).encode()
    with open(os.path.join(folder, "evidence"), "w") as file:
        json.dump({"report": b64url(b"a report"), "runtimeData": {
            "data": b64url(runtime), "dataType": "JSON"}}, file)
    os.chmod(file.name, 0o600)
    with open(os.path.join(folder, "transport.pem"), "wb") as file:
        file.write(key.private_bytes(serialization.Encoding.PEM,
                                     serialization.PrivateFormat.PKCS8,
                                     serialization.NoEncryption()))
    print(key.public_key().public_bytes(
        serialization.Encoding.DER,
        serialization.PublicFormat.SubjectPublicKeyInfo).hex())


def open_wrapped(folder, wrapped):
    with open(os.path.join(folder, "transport.pem"), "rb") as file:
        key = serialization.load_pem_private_key(file.read(), None)
    wrapped = bytes.fromhex(wrapped)
    aes = key.decrypt(wrapped[:384], padding.OAEP(
        padding.MGF1(hashes.SHA256()), hashes.SHA256(), None))
    print(keywrap.aes_key_unwrap_with_padding(aes, wrapped[384:]).hex())


{"new": new, "open": open_wrapped, "attest": attest_pem}[sys.argv[1]](*sys.argv[2:])
