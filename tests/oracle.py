#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""An independent reading of the stored formats.

Given the private key of a vault, an envelope and a blob, recompute every
secret from uapi/linux/vaultring_format.h alone, and raise Mismatch where the
files do not hold what the format says.  Shares no code with the module.

    oracle.py verify ENVELOPE KEY
    oracle.py open ENVELOPE KEY BLOB
    oracle.py sector ENVELOPE KEY BLOB DEVICE OFFSET NUMBER [SIZE]
    oracle.py authentic ENVELOPE KEY DEVICE NUMBER BLOB...
    oracle.py transport ENVELOPE KEY KEPT

KEY is a file, or several with commas between them: as many as the threshold
says are needed, of any of the vaults.  A vault's private key is in PEM, a sealed
share's key in hex, a symmetric vault key in hex behind its identity.  `verify` and `open` print name=hex lines; BLOB may hold
several blobs, one after the other, of which `open` prints each one's DEK.
`sector` writes the plaintext of the sector at byte OFFSET + NUMBER * SIZE of
DEVICE; `authentic` that of a sector whose tag dm-integrity keeps on DEVICE, if
the tag holds.  Its keys: one for gcm, one for xts and one for hmac, or one for
hmac.  `transport` prints the primes of a kept transport key.
"""

import hashlib
import hmac
import struct
import sys
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap

USES = {"xts": 1, "cbc": 2, "ctr": 3, "gcm": 4, "fscrypt": 5,
        "hmac": 6}
OBLIVIOUS, SEALED, CLEAR = 1, 2, 3
HEADER = struct.Struct("<4s4BIIQQI2B2s8I8I64s32s16s32s")
SHARE = struct.Struct("<BBH4s64s32s32s")
BLOB = struct.Struct("<4s4B16s16s12s4s64s16s")
TRANSPORT = struct.Struct("<4s2B2s16s12s384s384s16s")
HMAC_AT = 216
MAX_SHARES = 8


class Mismatch(Exception):
    """What was read is not what the format says."""


def require(truth, text):
    if not truth:
        raise Mismatch(text)


def hkdf(secret, info, length):
    return HKDF(algorithm=hashes.SHA256(), length=length, salt=None,
                info=info).derive(secret)


def padded_string(raw, what):
    text, _, rest = raw.partition(b"\0")
    require(len(text) < len(raw), f"{what} has no zero at its end")
    require(not rest.strip(b"\0"), f"{what} has bytes after its zero")
    require(text, f"{what} is empty")
    return text.decode("ascii", "strict")


@dataclass
class Share:
    index: int
    method: int
    vault: str
    fingerprint: bytes
    masked: bytes
    data: bytes

    @classmethod
    def parse(cls, raw):
        """Returns the share and how many bytes it took."""
        require(len(raw) >= SHARE.size, "a share is truncated")
        (index, method, length, reserved, vault, fingerprint,
         masked) = SHARE.unpack_from(raw)
        require(reserved == bytes(4), "a share's reserved bytes are not zero")
        end = SHARE.size + length
        require(len(raw) >= end, "a share's data are truncated")
        return cls(index, method, padded_string(vault, "a share's vault"),
                   fingerprint, masked, raw[SHARE.size:end]), end


@dataclass
class Envelope:
    raw: bytes
    threshold: int
    lease_end: int
    version: int
    uses: int
    not_before: int
    not_after: int
    lease: int
    uids: list
    gids: list
    name: str
    salt: bytes
    id: bytes
    hmac: bytes
    shares: list = field(default_factory=list)

    @classmethod
    def parse(cls, raw):
        require(len(raw) >= HEADER.size, "the envelope is truncated")
        head = HEADER.unpack_from(raw)
        magic, fmt, threshold, shares, lease_end, version, uses = head[:7]
        not_before, not_after, lease, n_uids, n_gids, reserved = head[7:13]
        uid, gid = list(head[13:21]), list(head[21:29])
        name, salt, ident, mac = head[29:]
        require(magic == b"VRE1", "not an envelope")
        require(fmt == 1, f"envelope format {fmt} is unknown")
        require(reserved == bytes(2), "reserved bytes are not zero")
        require(n_uids <= 8 and n_gids <= 8, "too many uids or gids")
        require(not any(uid[n_uids:]) and not any(gid[n_gids:]),
                "an unused uid or gid is not zero")
        require(1 <= threshold <= shares <= MAX_SHARES,
                f"threshold {threshold} of {shares} makes no sense")
        env = cls(bytes(raw), threshold, lease_end, version, uses, not_before,
                  not_after, lease, uid[:n_uids], gid[:n_gids],
                  padded_string(name, "the name"), salt, ident, mac)
        at = HEADER.size
        for i in range(1, shares + 1):
            share, used = Share.parse(raw[at:])
            require(share.index == i, f"share {i} says it is {share.index}")
            env.shares.append(share)
            at += used
        require(at == len(raw), "bytes after the last share")
        return env


@dataclass
class Secrets:
    """Everything that nobody outside the kernel may hold."""
    shares: dict
    parts: dict
    master: bytes
    kek: bytes
    id: bytes
    mac: bytes


@dataclass(frozen=True)
class Symmetric:
    """A vault key without a public half: known by a name."""
    identity: str
    key: bytes


def spki(key):
    return key.public_key().public_bytes(
        serialization.Encoding.DER,
        serialization.PublicFormat.SubjectPublicKeyInfo)


def fingerprint(key):
    """key: a vault's private key, or Symmetric, or the 32 bytes of a sealed one."""
    if isinstance(key, bytes):
        return hkdf(key, b"vaultring sealed fingerprint v1", 32)
    if isinstance(key, Symmetric):
        return hashlib.sha256(key.identity.encode("ascii")).digest()
    return hashlib.sha256(spki(key)).digest()


def method_of(key):
    if isinstance(key, bytes):
        return SEALED
    return CLEAR if isinstance(key, (rsa.RSAPrivateKey, Symmetric)) else OBLIVIOUS


def unwrapped(share, key):
    require(len(share.data) == 40,
            "a symmetric vault key's share has not 40 bytes of data")
    try:
        return aes_key_unwrap(key.key, share.data)
    except InvalidUnwrap as err:
        raise Mismatch(f"share {share.index} does not unwrap") from err


def clear_secret(share, key):
    if isinstance(key, Symmetric):
        return unwrapped(share, key)
    require(len(share.data) == key.key_size // 8,
            "a clear share's data are not as long as the modulus")
    oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
    try:
        secret = key.decrypt(share.data, oaep)
    except ValueError as err:
        raise Mismatch(f"share {share.index} does not decrypt") from err
    require(len(secret) == 32, "a clear share's secret is not 32 bytes")
    return secret


def share_secret(share, key):
    """secret_i; of an oblivious share, x of s * C."""
    require(share.method == method_of(key),
            f"share {share.index} has method {share.method}, not its key's")
    require(share.fingerprint == fingerprint(key),
            f"share {share.index} is for another vault key")
    if share.method == CLEAR:
        return clear_secret(share, key)
    if share.method == SEALED:
        require(not share.data, "a sealed share has data")
        return key
    require(len(share.data) == 64, "an oblivious share's data are not 64 bytes")
    try:
        point = ec.EllipticCurvePublicKey.from_encoded_point(
            ec.SECP256R1(), b"\4" + share.data)
    except ValueError as err:
        raise Mismatch(f"share {share.index}: C is not on the curve") from err
    return key.exchange(ec.ECDH(), point)


def unmask(share, secret, salt):
    info = b"vaultring share v1" + bytes([share.index]) + salt
    mask = hkdf(secret, info, 32)
    return bytes(a ^ b for a, b in zip(share.masked, mask))


def gf_tables():
    """Powers of 3, which generates all of GF(2^8) but 0, and logarithms."""
    powers, logarithms, value = [], {}, 1
    for exponent in range(255):
        powers.append(value)
        logarithms[value] = exponent
        value ^= value << 1
        if value > 255:
            value ^= 0x11b
    return powers, logarithms


POWERS, LOGARITHMS = gf_tables()


def gf_mul(a, b):
    if not a or not b:
        return 0
    return POWERS[(LOGARITHMS[a] + LOGARITHMS[b]) % 255]


def gf_inv(a):
    require(a, "division by zero in GF(2^8)")
    return POWERS[-LOGARITHMS[a] % 255]


def shamir_split(secret, coefficients, xs):
    """coefficients: threshold - 1 byte strings as long as the secret."""
    parts = {}
    for x in xs:
        value, power = bytearray(secret), 1
        for coefficient in coefficients:
            power = gf_mul(power, x)
            for i, byte in enumerate(coefficient):
                value[i] ^= gf_mul(byte, power)
        parts[x] = bytes(value)
    return parts


def shamir_combine(parts):
    """The polynomial's value at 0 from {x: share}."""
    length = len(next(iter(parts.values())))
    secret = bytearray(length)
    for x, part in parts.items():
        weight = 1
        for other in parts:
            if other != x:
                weight = gf_mul(weight, gf_mul(other, gf_inv(other ^ x)))
        for i in range(length):
            secret[i] ^= gf_mul(part[i], weight)
    return bytes(secret)


def derive(master, name, version):
    kek = hkdf(master, b"vaultring kek v1" + name.encode() +
               struct.pack("<I", version), 32)
    return (kek, hkdf(master, b"vaultring id v1", 16),
            hkdf(master, b"vaultring envelope v1", 32))


def envelope_hmac(mac, raw):
    zeroed = raw[:HMAC_AT] + bytes(32) + raw[HMAC_AT + 32:]
    return hmac.new(mac, zeroed, hashlib.sha256).digest()


def verify(env, keys):
    """keys: {index: private key}; needs as many as the threshold says."""
    secrets, parts = {}, {}
    for share in env.shares:
        if share.index in keys and len(parts) < env.threshold:
            secret = share_secret(share, keys[share.index])
            secrets[share.index] = secret
            parts[share.index] = unmask(share, secret, env.salt)
    require(len(parts) == env.threshold,
            f"{env.threshold} keys needed, {len(parts)} fit")
    master = shamir_combine(parts)
    kek, ident, mac = derive(master, env.name, env.version)
    require(ident == env.id, "the id is not what M gives")
    require(hmac.compare_digest(envelope_hmac(mac, env.raw), env.hmac),
            "the HMAC over the envelope does not hold")
    return Secrets(secrets, parts, master, kek, ident, mac)


def open_blob(raw, secrets, use=None):
    """Returns the DEK."""
    require(len(raw) == BLOB.size, f"a blob has 136 bytes, not {len(raw)}")
    (magic, version, wrap, blob_use, length, kek_id, _, nonce, reserved,
     ciphertext, tag) = BLOB.unpack(raw)
    require(magic == b"VRK1", "not a blob")
    require((version, wrap) == (1, 1), "unknown blob version or wrapping")
    require(reserved == bytes(4), "the blob's reserved bytes are not zero")
    require(blob_use in USES.values(), f"unknown use {blob_use}")
    require(use is None or USES[use] == blob_use, f"the blob is not for {use}")
    require(16 <= length <= 64, f"a DEK cannot have {length} bytes")
    require(kek_id == secrets.id, "the blob is under another KEK")
    try:
        plain = AESGCM(secrets.kek).decrypt(nonce, ciphertext + tag, raw[:56])
    except InvalidTag as err:
        raise Mismatch("the blob's tag does not hold") from err
    require(not any(plain[length:]), "the DEK's padding is not zero")
    return plain[:length]


def open_transport(raw, secrets):
    """Returns the modulus and the two primes."""
    require(len(raw) == TRANSPORT.size,
            f"a kept transport key has 820 bytes, not {len(raw)}")
    (magic, version, wrap, reserved, kek_id, nonce, modulus, primes,
     tag) = TRANSPORT.unpack(raw)
    require(magic == b"VRT1", "not a kept transport key")
    require((version, wrap) == (1, 1), "unknown version or wrapping")
    require(reserved == bytes(2), "its reserved bytes are not zero")
    require(kek_id == secrets.id, "it is under another KEK")
    try:
        plain = AESGCM(secrets.kek).decrypt(nonce, primes + tag, raw[:420])
    except InvalidTag as err:
        raise Mismatch("its tag does not hold") from err
    n, p, q = (int.from_bytes(part, "big")
               for part in (modulus, plain[:192], plain[192:]))
    require(p * q == n, "its primes are not those of its modulus")
    require(all(pow(2, prime - 1, prime) == 1 for prime in (p, q)),
            "one of its primes is none")
    return n, p, q


def cipher(mode, dek, number):
    """The AES cipher of one sector with plain64 IVs."""
    iv = struct.pack("<QQ", number, 0)
    if mode == "xts":
        return Cipher(algorithms.AES(dek), modes.XTS(iv))
    if mode == "cbc":
        return Cipher(algorithms.AES(dek), modes.CBC(iv))
    return Cipher(algorithms.AES(dek), modes.CTR(iv))


def decrypt_sector(mode, dek, number, data):
    """number: the IV, in 512-byte sectors unless the volume counts larger."""
    require(len(data) in (512, 1024, 2048, 4096), "not a sector")
    dec = cipher(mode, dek, number).decryptor()
    return dec.update(data) + dec.finalize()


def encrypt_sector(mode, dek, number, data):
    require(len(data) in (512, 1024, 2048, 4096), "not a sector")
    enc = cipher(mode, dek, number).encryptor()
    return enc.update(data) + enc.finalize()


# dm-integrity's superblock.
INTEGRITY = struct.Struct("<8sBBHIQIB19x16s")
INTEGRITY_FIXED_PADDING = 8
INTEGRITY_FIXED_HMAC = 16


def integrity_places(head):
    """Where on dm-integrity's device the tags and the data begin, in bytes.

    A journal section has 8 sectors of entries, 504 bytes usable in each, and
    one sector of data for each entry; a run of tags is padded.
    """
    (magic, _, log2_interleave, tag_size, sections, _, flags, log2_block,
     _) = INTEGRITY.unpack_from(head)
    require(magic == b"integrt\0", "not a device of dm-integrity")
    require(log2_block == 0, "sectors of dm-integrity larger than 512 bytes")
    entry = (8 + 8 + tag_size + 7) // 8 * 8
    section = 504 // entry * 8 + 8
    padding = 4096 if flags & INTEGRITY_FIXED_PADDING else 131072
    tags = 512 * (8 + section * sections)
    run = ((tag_size << log2_interleave) + padding - 1) // padding * padding
    return tags, tags + run, tag_size


def integrity_sector(device, number):
    """Returns the sector, its tag and what dm-integrity's own hash begins with.

    number: in the first run of sectors.
    """
    with open(device, "rb") as file:
        head = file.read(512)
        tags, data, size = integrity_places(head)
        *_, flags, _, salt = INTEGRITY.unpack_from(head)
        file.seek(tags + number * size)
        tag = file.read(size)
        file.seek(data + number * 512)
        return file.read(512), tag, \
            salt if flags & INTEGRITY_FIXED_HMAC else b""


def authentic_sector(keys, number, data, tag, salt):
    """Decrypt what dm-crypt, or dm-integrity alone, authenticated.

    keys: {use: DEK}.  A GCM tag of 12 bytes or more has its random IV behind
    it; HMAC covers the ciphertext.
    """
    sector = struct.pack("<Q", number)
    if "gcm" in keys:
        iv, tag = tag[-12:], tag[:-12]
        dec = Cipher(algorithms.AES(keys["gcm"]),
                     modes.GCM(iv, tag, min_tag_length=12)).decryptor()
        dec.authenticate_additional_data(sector + iv)
        try:
            return dec.update(data) + dec.finalize()
        except InvalidTag as err:
            raise Mismatch("the sector's tag does not hold") from err
    covered = sector + struct.pack("<QQ", number, 0) if "xts" in keys else \
        salt + sector
    mac = hmac.new(keys["hmac"], covered + data, hashlib.sha256).digest()
    require(hmac.compare_digest(mac, tag), "the sector's MAC does not hold")
    return decrypt_sector("xts", keys["xts"], number, data) \
        if "xts" in keys else data


def use_of(blob):
    return {number: use for use, number in USES.items()}[blob[6]]


def load_key(path):
    with open(path, "rb") as file:
        data = file.read()
    if len(data.strip()) == 64:
        return bytes.fromhex(data.decode())
    if len(data.split()) == 2:
        identity, key = data.decode().split()
        return Symmetric(identity, bytes.fromhex(key))
    return serialization.load_pem_private_key(data, None)


def load_envelope(path):
    with open(path, "rb") as file:
        return Envelope.parse(file.read())


def load_secrets(envelope, paths):
    env = load_envelope(envelope)
    keys = [load_key(path) for path in paths.split(",")]
    prints = {fingerprint(key): key for key in keys}
    return verify(env, {share.index: prints[share.fingerprint]
                        for share in env.shares if share.fingerprint in prints})


def load_dek(path, secrets):
    """Returns the blob's use and its DEK."""
    with open(path, "rb") as file:
        blob = file.read()
    dek = open_blob(blob, secrets)
    return use_of(blob), dek


def do_verify(secrets):
    for index, secret in secrets.shares.items():
        print(f"secret{index}={secret.hex()}")
    for index, part in secrets.parts.items():
        print(f"part{index}={part.hex()}")
    print(f"master={secrets.master.hex()}\nkek={secrets.kek.hex()}\n"
          f"id={secrets.id.hex()}\nmac={secrets.mac.hex()}")


def do_open(secrets, blob):
    with open(blob, "rb") as file:
        blobs = file.read()
    for at in range(0, max(len(blobs), 1), BLOB.size):
        print(f"dek={open_blob(blobs[at:at + BLOB.size], secrets).hex()}")


def do_transport(secrets, path):
    with open(path, "rb") as file:
        n, p, q = open_transport(file.read(), secrets)
    print(f"p={p:0384x}\nq={q:0384x}\nn={n:0768x}")


def do_sector(secrets, blob, device, offset, number, size="512"):
    mode, dek = load_dek(blob, secrets)
    number, size = int(number), int(size)
    with open(device, "rb") as file:
        file.seek(int(offset) + number * size)
        data = file.read(size)
    sys.stdout.buffer.write(
        decrypt_sector(mode, dek, number * (size // 512), data))


def do_authentic(secrets, device, number, *blobs):
    keys = dict(load_dek(blob, secrets) for blob in blobs)
    number = int(number)
    sys.stdout.buffer.write(
        authentic_sector(keys, number, *integrity_sector(device, number)))


# Each with the fewest and the most words after ENVELOPE and KEY.
COMMANDS = {"verify": (do_verify, 0, 0), "open": (do_open, 1, 1),
            "transport": (do_transport, 1, 1), "sector": (do_sector, 4, 5), "authentic": (do_authentic, 3, 4)}


def main(argv):
    command, least, most = COMMANDS.get(argv[1] if argv[1:] else "",
                                        (None, 0, 0))
    if not command or not least <= len(argv) - 4 <= most:
        print(__doc__, file=sys.stderr)
        return 2
    command(load_secrets(argv[2], argv[3]), *argv[4:])
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv))
    except (Mismatch, OSError, ValueError) as error:
        print(f"oracle: {error}", file=sys.stderr)
        sys.exit(1)
