#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Key Vault by the official SDK, for azure_test.sh: sets up keys, and shows that
azure_server.py is a vault to a client that others wrote.

    azure_sdk.py FOLDER VERB [ARGUMENT...]

VAULT_URL in the environment names another vault, and VAULT_CREDENTIAL another of
the credentials below than a secret: lowkey_test.sh asks a server of others'.
"""

import datetime
import os
import sys

from azure.identity import (CertificateCredential, ClientSecretCredential,
                            ManagedIdentityCredential, WorkloadIdentityCredential)
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.keyvault.keys import (JsonWebKey, KeyClient, KeyExportEncryptionAlgorithm,
                                 KeyReleasePolicy)
from azure.keyvault.keys.crypto import CryptographyClient, KeyWrapAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

TENANT = "11111111-2222-3333-4444-555555555555"
CLIENT = "99999999-8888-7777-6666-555555555555"
VAULT = os.environ.get("VAULT_URL", "https://main.vault.azure.net")
HSM = os.environ.get("VAULT_URL", "https://hsm.managedhsm.azure.net")
CREDENTIAL = os.environ.get("VAULT_CREDENTIAL", "secret")
folder = sys.argv[1]


def credential(kind):
    ids = {"tenant_id": TENANT, "client_id": CLIENT, "disable_instance_discovery": True}
    path = os.path.join(folder, kind)
    if kind == "secret":
        with open(path) as file:
            return ClientSecretCredential(client_secret=file.read().strip(), **ids)
    if kind == "certificate":
        return CertificateCredential(certificate_path=os.path.join(
            folder, "client.pem"), **ids)
    if kind == "managed":
        return ManagedIdentityCredential()
    return WorkloadIdentityCredential(token_file_path=os.path.join(folder, "federated"),
                                      **ids)


def client(kind=CREDENTIAL, vault=VAULT):
    return KeyClient(vault, credential(kind))


def spki(key):
    numbers = rsa.RSAPublicNumbers(int.from_bytes(key.key.e, "big"),
                                   int.from_bytes(key.key.n, "big"))
    return numbers.public_key().public_bytes(Encoding.DER,
                                             PublicFormat.SubjectPublicKeyInfo)


def describe(key, secret):
    """A line: its version, its public key, and the secret (hex) as wrapped for it by
    the SDK's own cryptography, if it may."""
    wrapped = b""
    if "wrapKey" in key.key_operations:
        wrapped = CryptographyClient.from_jwk(key.key).wrap_key(
            KeyWrapAlgorithm.rsa_oaep_256, bytes.fromhex(secret)).encrypted_key
    print(key.properties.version, spki(key).hex(), wrapped.hex())


def create(name, secret, *options):
    """Each version is described."""
    options = dict(option.split("=") for option in options)
    kwargs = {"size": int(options.get("size", 2048))}
    if "ops" in options:
        kwargs["key_operations"] = options["ops"].split(",")
    for name_of, member in ("nbf", "not_before"), ("exp", "expires_on"):
        if name_of in options:
            kwargs[member] = (datetime.datetime.now(datetime.timezone.utc) +
                              datetime.timedelta(seconds=int(options[name_of])))
    vault = client()
    for _ in range(int(options.get("versions", 1))):
        describe(vault.create_rsa_key(name, **kwargs), secret)


def rotate(name, secret):
    describe(client().rotate_key(name), secret)


def versions(name):
    """Their names, in the vault's order."""
    for properties in client().list_properties_of_key_versions(name):
        print(properties.version)


def import_rsa(name, secret, size):
    """A key that others have made."""
    numbers = rsa.generate_private_key(65537, int(size)).private_numbers()
    members = {"n": numbers.public_numbers.n, "e": numbers.public_numbers.e,
               "d": numbers.d, "p": numbers.p, "q": numbers.q, "dp": numbers.dmp1,
               "dq": numbers.dmq1, "qi": numbers.iqmp}
    key = JsonWebKey(kty="RSA", key_ops=["encrypt", "decrypt", "wrapKey", "unwrapKey"],
                     **{name: number.to_bytes((number.bit_length() + 7) // 8, "big")
                        for name, number in members.items()})
    describe(client().import_key(name, key), secret)


def import_oct(name, secret):
    """A key that may be released, whose bytes are known (hex)."""
    key = JsonWebKey(kty="oct-HSM", k=bytes.fromhex(secret), key_ops=["release"])
    policy = KeyReleasePolicy(b'{"version": "1.0.0", "anyOf": []}')
    print(client().import_key(name, key, hardware_protected=True, exportable=True,
                              release_policy=policy).properties.version)


def by_the_vault(key):
    """Without having looked at the key: a symmetric one, which the vault keeps to
    itself, the SDK would replace by one that it makes up."""
    crypto = CryptographyClient(key.id, credential("secret"))
    crypto._keys_get_forbidden = True
    return crypto


def symmetric(name, secret, known, *options):
    """A version of a symmetric key of Managed HSM: a line with its name and the secret
    (hex) as wrapped by the vault.  Its bytes are `known` (hex), or the vault's own."""
    options = dict(option.split("=") for option in options)
    ops = options.get("ops", "wrapKey,unwrapKey").split(",")
    vault = client(vault=HSM)
    if known == "-":
        key = vault.create_oct_key(name, size=int(options.get("size", 256)),
                                   key_operations=ops, hardware_protected=True)
    else:
        key = vault.import_key(name, JsonWebKey(
            kty="oct-HSM", k=bytes.fromhex(known), key_ops=ops), hardware_protected=True)
    assert key.key.kty == "oct-HSM" and not key.key.k
    wrapped = b""
    if "wrapKey" in ops and "size" not in options:
        wrapped = by_the_vault(key).wrap_key(KeyWrapAlgorithm.aes_256,
                                             bytes.fromhex(secret)).encrypted_key
    print(key.properties.version, wrapped.hex())


def unwrap_here(known, wrapped):
    """By the SDK's own AES key wrap, without the vault."""
    jwk = JsonWebKey(kty="oct-HSM", k=bytes.fromhex(known), key_ops=["unwrapKey"])
    print(CryptographyClient.from_jwk(jwk).unwrap_key(
        KeyWrapAlgorithm.aes_256, bytes.fromhex(wrapped)).key.hex())


def enable_symmetric(name, version, enabled):
    client(vault=HSM).update_key_properties(name, version, enabled=enabled == "yes")


def other_kinds():
    """Keys that are of no use for shares."""
    client(vault=HSM).create_ec_key("curve", hardware_protected=True)
    client(vault=HSM).create_oct_key("soft")


def curve(name, count=1):
    """So many versions that are of no use for shares."""
    vault = client()
    for _ in range(int(count)):
        vault.create_ec_key(name)


def release(name, nonce):
    """Prints the vault's statement."""
    with open(os.path.join(folder, "attestation")) as file:
        token = file.read().strip()
    print(client().release_key(
        name, token, nonce=nonce,
        algorithm=KeyExportEncryptionAlgorithm.rsa_aes_key_wrap_256).value)


def enable(name, version, enabled):
    client().update_key_properties(name, version, enabled=enabled == "yes")


def extend(name, version, seconds):
    """It expires so long from now."""
    at = datetime.datetime.now(datetime.timezone.utc)
    client().update_key_properties(name, version, expires_on=at + datetime.timedelta(
        seconds=int(seconds)))


def delete(name):
    client().begin_delete_key(name).wait()


def recover(name):
    client().begin_recover_deleted_key(name).wait()


def purge(name):
    client().purge_deleted_key(name)


def replace_oct(name, secret):
    delete(name)
    purge(name)
    import_oct(name, secret)


def tour():
    """Every operation that the worker or the test relies on."""
    for kind in "secret", "certificate", "managed", "workload":
        vault = KeyClient(VAULT, credential(kind))
        vault.create_rsa_key("tour", size=2048)
    vault = client()
    versions = list(vault.list_properties_of_key_versions("tour"))
    assert len(versions) == 4 and len({v.version for v in versions}) == 4
    newest = vault.get_key("tour")
    crypto = CryptographyClient(newest, credential("secret"))
    wrapped = crypto.wrap_key(KeyWrapAlgorithm.rsa_oaep_256, b"k" * 32)
    assert crypto.unwrap_key(KeyWrapAlgorithm.rsa_oaep_256,
                             wrapped.encrypted_key).key == b"k" * 32
    expect(HttpResponseError, crypto.unwrap_key, KeyWrapAlgorithm.rsa_oaep_256,
           b"\1" * 256)
    vault.update_key_properties("tour", newest.properties.version, enabled=False)
    assert not vault.get_key("tour").properties.enabled
    expect(HttpResponseError, crypto.unwrap_key, KeyWrapAlgorithm.rsa_oaep_256,
           wrapped.encrypted_key)
    deleted = vault.begin_delete_key("tour").result()
    assert deleted.scheduled_purge_date > deleted.deleted_date
    expect(ResourceNotFoundError, vault.get_key, "tour")
    expect(HttpResponseError, vault.create_rsa_key, "tour")
    vault.begin_recover_deleted_key("tour").wait()
    assert vault.get_key("tour").properties.version == newest.properties.version
    vault.begin_delete_key("tour").wait()
    vault.purge_deleted_key("tour")
    expect(ResourceNotFoundError, vault.get_deleted_key, "tour")
    assert vault.rotate_key("tour2").name == "tour2"
    tour_symmetric()


def tour_symmetric():
    vault = client(vault=HSM)
    key = vault.create_oct_key("tour", size=256, hardware_protected=True,
                               key_operations=["wrapKey", "unwrapKey"])
    crypto = by_the_vault(key)
    result = crypto.wrap_key(KeyWrapAlgorithm.aes_256, b"k" * 32)
    assert len(result.encrypted_key) == 40 and result.key_id == key.id
    assert crypto.unwrap_key(KeyWrapAlgorithm.aes_256,
                             result.encrypted_key).key == b"k" * 32
    expect(HttpResponseError, crypto.unwrap_key, KeyWrapAlgorithm.aes_256,
           bytes(40))


def expect(error, call, *args):
    try:
        call(*args)
    except error:
        return
    raise AssertionError(f"{call} was not refused")


if __name__ == "__main__":
    globals()[sys.argv[2]](*sys.argv[3:])
