# SPDX-License-Identifier: GPL-2.0-or-later
"""What AES makes of a key: the round keys (FIPS 197), as they lie in memory.

Both the generic code and the processor's instructions keep them as bytes in
the standard's order, 16 to a round, and those for decryption as the equivalent
inverse cipher has them (FIPS 197, 5.3.5).  Only their order differs; whoever looks
for each of them alone finds them in any.
"""

from oracle import gf_inv, gf_mul


def rotate(byte, by):
    return (byte << by | byte >> 8 - by) & 255


def substitute(byte):
    byte = gf_inv(byte) if byte else 0
    return byte ^ rotate(byte, 1) ^ rotate(byte, 2) ^ rotate(byte, 3) ^ \
        rotate(byte, 4) ^ 0x63


SBOX = bytes(substitute(byte) for byte in range(256))
INVERSE_MIX = (14, 11, 13, 9)


def round_keys(key):
    """Those for encryption; the first of them are the key itself."""
    size = len(key) // 4
    words = [key[i:i + 4] for i in range(0, len(key), 4)]
    constant = 1
    for i in range(size, 4 * (size + 7)):
        word = words[-1]
        if i % size == 0:
            word = bytes(SBOX[byte] for byte in word[1:] + word[:1])
            word = bytes([word[0] ^ constant]) + word[1:]
            constant = gf_mul(constant, 2)
        elif size == 8 and i % size == 4:
            word = bytes(SBOX[byte] for byte in word)
        words.append(bytes(a ^ b for a, b in zip(words[i - size], word)))
    return [b"".join(words[i:i + 4]) for i in range(0, len(words), 4)]


def inverse_mix(column):
    mixed = []
    for row in range(4):
        value = 0
        for i, byte in enumerate(column):
            value ^= gf_mul(byte, INVERSE_MIX[(i - row) % 4])
        mixed.append(value)
    return bytes(mixed)


def inverse_round_keys(key):
    """Those for decryption that are not among the others."""
    return [b"".join(inverse_mix(keys[i:i + 4]) for i in range(0, 16, 4))
            for keys in round_keys(key)[1:-1]]
