# SPDX-License-Identifier: GPL-2.0-or-later
"""What is measured, against whom, and what has to be reached: all of it is here.

A row compares the samples of two sides round by round and has one figure a round:

    speed    peer's time / ours: how many times as fast we are, at least LIMIT
    flat     our time / the other's: LIMIT at most
    sum      our time / the sum of the others': LIMIT at most
    more     ours - peer's: less than LIMIT
    value    ours alone: LIMIT at most, or below it with `below`
    exactly  ours alone: LIMIT in each round

The median of the rounds counts, or with `worst` each of them.  Without a limit a
row is there to be read.
"""

from typing import NamedTuple, Optional, Tuple


class Row(NamedTuple):
    part: str
    what: str
    metric: str
    ours: str
    peers: Tuple[str, ...]
    how: str
    limit: Optional[float]
    unit: str
    worst: bool = False
    below: bool = False


PATTERNS = (("randread", "random reads of 4 KiB"),
            ("randwrite", "random writes of 4 KiB"),
            ("read", "reads of 128 KiB in order"),
            ("write", "writes of 128 KiB in order"))


def io_rows():
    for pattern, words in PATTERNS:
        for depth in (1, 32):
            yield Row("io", f"RAM disk: {words}, depth {depth}, to xts(aes)",
                      f"io.{pattern}.{depth}", "paes", ("aes",), "speed", 0.99,
                      "us")
    yield Row("io", "the same on both sides, which tells the noise",
              "io.control", "one", ("other",), "speed", None, "us")
    yield Row("io", "random reads of 4 KiB, depth 32, sectors of 512 bytes",
              "io.512", "paes", ("aes",), "speed", None, "us")


def request_rows():
    for size in (512, 4096):
        yield Row("count", f"instructions on top of a request of {size} bytes",
                  f"count.request.{size}", "paes", ("aes",), "more", 200, "insns")
    for size in (512, 4096):
        yield Row("requests", f"a request of {size} bytes, to xts(aes)",
                  f"request.{size}", "paes", ("aes",), "speed", None, "ticks")


def blob_rows():
    gcm = "gcm(aes) of its size"
    yield Row("blobs", f"a blob opened in the kernel, to {gcm}", "blob", "open",
              ("gcm",), "speed", 0.5, "ticks")
    yield Row("blobs", f"... to {gcm} whose key is set for it", "blob", "open",
              ("gcm-fresh",), "speed", None, "ticks")
    yield Row("count", f"the same, in instructions: to {gcm}", "count.blob",
              "open", ("gcm",), "speed", None, "insns")
    yield Row("count", "... whose key is set for it", "count.blob", "open",
              ("gcm-fresh",), "speed", None, "insns")
    yield Row("blobs", "a blob loaded by add_key, to an encrypted key", "load",
              "vault-dek", ("encrypted",), "speed", 3, "us")
    yield Row("blobs", "... to C_UnwrapKey of SoftHSM", "load", "vault-dek",
              ("softhsm",), "speed", None, "us")
    yield Row("blobs", "... to OpenSSL's AES key wrap", "load", "vault-dek",
              ("openssl",), "speed", None, "us")


def open_rows():
    for peer, words, limit in (
            ("pbkdf2", "cryptsetup, key file, least pbkdf2", 1),
            ("argon2id", "cryptsetup, key file, argon2id", None),
            ("tang", "clevis with tang", 10),
            ("tpm2", "systemd-cryptenroll with a TPM", 10)):
        yield Row("open", f"a volume opened, to {words}", "open", "vaultring",
                  (peer,), "speed", limit, "ms")
    for vault, words in (("hsm", "SoftHSM"), ("loop", "a TPM on loopback")):
        yield Row("first", f"KEK sealed, {words}: to its bare call and the above",
                  f"first.{vault}", "first", ("call", "held"), "sum", 1.5, "ms")
        yield Row("first", "... calls of the vault", f"first.{vault}.trips",
                  "calls", (), "exactly", 1, "calls")


def scale_rows():
    yield Row("scale", "1,000 volumes under one KEK: unseals", "volumes.unseals",
              "paes", (), "exactly", 1, "unseals")
    yield Row("scale", "... one more at 1,000, to one at 10", "volumes.paes",
              "many", ("few",), "flat", 1.3, "us")
    yield Row("scale", "... the same with xts(aes)", "volumes.aes", "many",
              ("few",), "flat", None, "us")
    yield Row("scale", "KEKs held, most to 10: a blob opened", "keks.blob", "many",
              ("few",), "flat", 1.3, "us")
    yield Row("scale", "... a KEK found", "keks.lookup", "many", ("few",), "flat",
              1.3, "us")
    yield Row("revoke", "1,000 transforms: from a revoke's call, all refused",
              "revoke.refused", "ms", (), "value", 10, "ms", worst=True)
    yield Row("revoke", "... all wiped", "revoke.wiped", "ms", (), "value", 100,
              "ms", worst=True)


def daemon_rows():
    # In time, an emulated machine says something about ratios alone.
    yield Row("native", "daemon: start to ready, not emulated", "native.start",
              "ms", (), "value", 50, "ms", below=True)
    yield Row("daemon", "... emulated, with the kernel", "daemon.start", "ms", (),
              "value", None, "ms")
    yield Row("daemon", "... memory while idle", "daemon.rss", "KiB", (), "value",
              8 * 1024, "KiB", worst=True, below=True)
    yield Row("daemon", "... wake-ups between polls", "daemon.wakeups", "daemon",
              (), "exactly", 0, "times")
    yield Row("daemon", "... and of its workers", "daemon.wakeups", "workers", (),
              "value", None, "times")
    # Less than a byte for each of 100,000 unseals.
    yield Row("daemon", "... growth over many unseals", "daemon.growth", "KiB", (),
              "value", 64, "KiB", worst=True)


ROWS = (*io_rows(), *request_rows(), *blob_rows(), *open_rows(), *scale_rows(),
        *daemon_rows())
# In the order in which they run; native is for the host, count for a guest of
# its own.
PARTS = tuple(dict.fromkeys(row.part for row in ROWS))
