#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The oracle against envelopes and blobs built here; TAP, runs anywhere."""

import hashlib
import hmac
import itertools
import os
import re
import struct
import sys
import types

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import oracle  # noqa: E402

CASES = []


def case(function):
    CASES.append(function)
    return function


def refused(call, *args):
    """Whether the call raises Mismatch; any other exception is a bug."""
    try:
        call(*args)
    except oracle.Mismatch:
        return True
    return False


def make_envelope(keys, threshold=1, name=b"prod", version=1, master=None):
    master = master or os.urandom(32)
    salt = os.urandom(32)
    kek, ident, mac = oracle.derive(master, name.decode(), version)
    if threshold == 1:
        parts = {i: master for i in range(1, len(keys) + 1)}
    else:
        parts = oracle.shamir_split(
            master, [os.urandom(32) for _ in range(threshold - 1)],
            range(1, len(keys) + 1))
    raw = oracle.HEADER.pack(
        b"VRE1", 1, threshold, len(keys), 0, version, 0x7e, 0, 0, 0, 0, 0,
        bytes(2), *([0] * 16), name.ljust(64, b"\0"), salt, ident, bytes(32))
    for i, key in enumerate(keys, 1):
        once = ec.generate_private_key(ec.SECP256R1())
        numbers = once.public_key().public_numbers()
        point = numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")
        secret = once.exchange(ec.ECDH(), key.public_key())
        mask = oracle.hkdf(secret, b"vaultring share v1" + bytes([i]) + salt, 32)
        masked = bytes(a ^ b for a, b in zip(parts[i], mask))
        raw += oracle.SHARE.pack(
            i, oracle.OBLIVIOUS, 64, bytes(4), b"known".ljust(64, b"\0"),
            hashlib.sha256(oracle.spki(key)).digest(), masked) + point
    digest = oracle.envelope_hmac(mac, raw)
    return raw[:216] + digest + raw[248:], master, kek


def make_blob(kek, ident, dek, use="xts"):
    head = struct.pack("<4s4B16s16s12s4s", b"VRK1", 1, 1, oracle.USES[use],
                       len(dek), ident, os.urandom(16), os.urandom(12), bytes(4))
    return head + AESGCM(kek).encrypt(head[40:52], dek.ljust(64, b"\0"), head)


def verify_raw(raw, keys):
    return oracle.verify(oracle.Envelope.parse(raw), keys)


def verify_text(raw, keys):
    """A name that is not ASCII is as refused as any other damage."""
    try:
        return verify_raw(raw, keys)
    except UnicodeDecodeError as err:
        raise oracle.Mismatch("not ASCII") from err


KEY = ec.generate_private_key(ec.SECP256R1())
OTHER = ec.generate_private_key(ec.SECP256R1())
ENVELOPE, MASTER, KEK = make_envelope([KEY])
SECRETS = verify_raw(ENVELOPE, {1: KEY})
DEK = os.urandom(64)
BLOB = make_blob(KEK, SECRETS.id, DEK)


@case
def the_structures_have_the_documented_sizes():
    return (oracle.HEADER.size, oracle.SHARE.size, oracle.BLOB.size) == \
        (248, 136, 136)


@case
def hkdf_gives_the_first_vector_of_rfc_5869_without_salt():
    # RFC 5869, appendix A.3: no salt, no info.
    return oracle.hkdf(b"\x0b" * 22, b"", 42).hex() == (
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"
        "9d201395faa4b61a96c8")


@case
def a_symmetric_vault_keys_share_opens_and_no_other_does():
    # RFC 3394, 4.6: 256 bits of key data with a key of 256 bits.
    vault = oracle.Symmetric("https://hsm/keys/wraps/1", bytes(range(32)))
    data = bytes.fromhex("28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326"
                         "cbc7f0e71a99f43bfb988b9b7a02dd21")
    share = types.SimpleNamespace(index=1, method=oracle.CLEAR, data=data,
                                  fingerprint=oracle.fingerprint(vault))
    other = oracle.Symmetric(vault.identity, bytes(32))
    named = oracle.Symmetric(vault.identity + "0", vault.key)
    short = types.SimpleNamespace(**dict(vars(share), data=data[:-8]))
    return oracle.share_secret(share, vault).hex() == (
        "00112233445566778899aabbccddeeff000102030405060708090a0b0c0d0e0f") \
        and refused(oracle.share_secret, share, other) \
        and refused(oracle.share_secret, share, named) \
        and refused(oracle.share_secret, short, vault)


@case
def gf_multiplication_gives_the_examples_of_fips_197():
    return oracle.gf_mul(0x57, 0x83) == 0xc1 and \
        oracle.gf_mul(0x57, 0x13) == 0xfe


@case
def gf_inverses_multiply_to_one():
    return all(oracle.gf_mul(a, oracle.gf_inv(a)) == 1 for a in range(1, 256))


@case
def any_k_of_n_parts_give_the_secret_and_fewer_do_not():
    secret = os.urandom(32)
    for n in range(1, 9):
        for k in range(1, n + 1):
            parts = oracle.shamir_split(
                secret, [os.urandom(32) for _ in range(k - 1)],
                range(1, n + 1))
            for xs in itertools.combinations(parts, k):
                if oracle.shamir_combine({x: parts[x] for x in xs}) != secret:
                    return False
            for xs in itertools.combinations(parts, k - 1):
                if xs and oracle.shamir_combine(
                        {x: parts[x] for x in xs}) == secret:
                    return False
    return True


@case
def the_parts_of_the_modules_self_test_are_the_oracles():
    with open(os.path.join(HERE, "../kmod/selftest/shamir.c"),
              encoding="ascii") as file:
        text = file.read()
    found = re.findall(r'"([0-9a-f]{64})"', text)
    thresholds = [int(k) for k in re.findall(r"\t\{ ([1-8]), \{", text)]
    inputs = [hashlib.sha256(name.encode()).digest() for name in
              ["secret"] + [f"x{i}" for i in range(1, 8)]]
    wanted = [data.hex() for data in inputs]
    for k in thresholds:
        parts = oracle.shamir_split(inputs[0], inputs[1:k], range(1, 9))
        wanted += [parts[x].hex() for x in range(1, 9)]
    return thresholds and found == wanted


@case
def a_good_envelope_gives_back_m_and_kek():
    return SECRETS.master == MASTER and SECRETS.kek == KEK


@case
def every_flipped_bit_of_an_envelope_is_refused():
    for bit in range(len(ENVELOPE) * 8):
        bad = bytearray(ENVELOPE)
        bad[bit // 8] ^= 1 << (bit % 8)
        if not refused(verify_text, bytes(bad), {1: KEY}):
            print(f"# bit {bit} was accepted")
            return False
    return True


@case
def a_truncated_or_longer_envelope_is_refused():
    return all(refused(verify_raw, ENVELOPE[:n], {1: KEY})
               for n in range(len(ENVELOPE))) and \
        refused(verify_raw, ENVELOPE + b"\0", {1: KEY})


@case
def an_envelope_for_another_vault_key_is_refused():
    return refused(verify_raw, ENVELOPE, {1: OTHER})


@case
def a_good_blob_gives_back_the_dek():
    return oracle.open_blob(BLOB, SECRETS, "xts") == DEK


@case
def every_flipped_bit_of_a_blob_is_refused():
    for bit in range(1088):
        bad = bytearray(BLOB)
        bad[bit // 8] ^= 1 << (bit % 8)
        if not refused(oracle.open_blob, bytes(bad), SECRETS):
            print(f"# bit {bit} was accepted")
            return False
    return True


def make_kept(kek, ident, p, q, n):
    head = struct.pack("<4s2B2s16s12s", b"VRT1", 1, 1, bytes(2), ident,
                       os.urandom(12)) + n.to_bytes(384, "big")
    primes = p.to_bytes(192, "big") + q.to_bytes(192, "big")
    return head + AESGCM(kek).encrypt(head[24:36], primes, head)


NUMBERS = rsa.generate_private_key(65537, 3072).private_numbers()
P, Q = NUMBERS.p, NUMBERS.q
KEPT = make_kept(KEK, SECRETS.id, P, Q, P * Q)


@case
def a_kept_transport_key_gives_back_its_primes():
    return oracle.open_transport(KEPT, SECRETS) == (P * Q, P, Q)


@case
def every_changed_byte_of_a_kept_transport_key_is_refused():
    for at in range(len(KEPT)):
        bad = bytearray(KEPT)
        bad[at] ^= 1 << at % 8
        if not refused(oracle.open_transport, bytes(bad), SECRETS):
            print(f"# byte {at} was accepted")
            return False
    return refused(oracle.open_transport, KEPT[:-1], SECRETS) and \
        refused(oracle.open_transport, KEPT + b"\0", SECRETS)


@case
def what_makes_no_rsa_key_is_no_kept_transport_key():
    return refused(oracle.open_transport, make_kept(
        KEK, SECRETS.id, P, Q, P * Q + 2), SECRETS) and \
        refused(oracle.open_transport, make_kept(
            KEK, SECRETS.id, P, Q + 6, P * (Q + 6)), SECRETS)


@case
def a_blob_for_another_use_is_refused():
    return refused(oracle.open_blob, BLOB, SECRETS, "ctr")


@case
def a_truncated_or_longer_blob_is_refused():
    return refused(oracle.open_blob, BLOB[:-1], SECRETS) and \
        refused(oracle.open_blob, BLOB + b"\0", SECRETS) and \
        refused(oracle.open_blob, b"", SECRETS)


@case
def any_two_of_three_shares_give_m_and_one_does_not():
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(3)]
    raw, master, _ = make_envelope(keys, threshold=2)
    for pair in ((1, 2), (1, 3), (2, 3)):
        if verify_raw(raw, {i: keys[i - 1] for i in pair}).master != master:
            return False
    return refused(verify_raw, raw, {2: keys[1]})


@case
def one_of_two_shares_is_m_itself():
    raw, master, _ = make_envelope([KEY, OTHER])
    return verify_raw(raw, {1: KEY}).master == master and \
        verify_raw(raw, {2: OTHER}).master == master


@case
def a_sector_of_each_mode_and_size_comes_back():
    for mode, length in (("xts", 64), ("xts", 32), ("cbc", 32), ("ctr", 16)):
        for size in (512, 1024, 2048, 4096):
            data = os.urandom(size)
            there = oracle.encrypt_sector(mode, DEK[:length], 7, data)
            if there == data or \
                    oracle.decrypt_sector(mode, DEK[:length], 7, there) != data \
                    or oracle.decrypt_sector(mode, DEK[:length], 8, there) == data:
                return False
    return True


def authentic_samples():
    """(keys, data, tag, salt) of sector 7, one of each form."""
    plain, sector, iv = bytes(range(256)) * 2, struct.pack("<Q", 7), bytes(12)
    sealed = AESGCM(DEK[:32]).encrypt(iv, plain, sector + iv)
    xts = oracle.encrypt_sector("xts", DEK, 7, plain)
    both = hmac.digest(DEK[:32], sector + struct.pack("<QQ", 7, 0) + xts,
                       "sha256")
    alone = hmac.digest(DEK[:32], b"salt" + sector + plain, "sha256")
    return plain, [
        ({"gcm": DEK[:32]}, sealed[:512], sealed[512:] + iv, b""),
        ({"xts": DEK, "hmac": DEK[:32]}, xts, both, b""),
        ({"hmac": DEK[:32]}, plain, alone, b"salt"),
    ]


@case
def an_authenticated_sector_of_each_form_comes_back():
    plain, samples = authentic_samples()
    return all(oracle.authentic_sector(keys, 7, *rest) == plain
               for keys, *rest in samples)


@case
def a_changed_or_moved_authenticated_sector_is_refused():
    for keys, data, tag, salt in authentic_samples()[1]:
        bad_data = data[:99] + bytes([data[99] ^ 1]) + data[100:]
        bad_tag = bytes([tag[0] ^ 1]) + tag[1:]
        if not refused(oracle.authentic_sector, keys, 7, bad_data, tag, salt) or \
                not refused(oracle.authentic_sector, keys, 7, data, bad_tag,
                            salt) or \
                not refused(oracle.authentic_sector, keys, 8, data, tag, salt):
            return False
    return True


def main():
    print(f"1..{len(CASES)}")
    failed = 0
    for number, function in enumerate(CASES, 1):
        try:
            good = function()
        except Exception as err:  # a case that breaks is a case that failed
            print(f"# {type(err).__name__}: {err}")
            good = False
        failed += not good
        name = function.__name__.replace("_", " ")
        print(f"{'ok' if good else 'not ok'} {number} - {name}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
