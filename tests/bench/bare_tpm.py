#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A software TPM asked without any library, and what others have asked it.

    bare_tpm.py call PORT HANDLE   the median time, in microseconds, of one
                                   TPM2_ECDH_ZGen with that key, connecting included
    bare_tpm.py count LOG          how many commands of each kind tpm_proxy.py saw
"""

import collections
import socket
import statistics
import struct
import sys
import time

from cryptography.hazmat.primitives.asymmetric import ec

SESSIONS, NO_SESSIONS = 0x8002, 0x8001
ZGEN, PASSWORD = 0x154, 0x40000009
NAMES = {ZGEN: "ECDH_ZGen", 0x176: "StartAuthSession", 0x165: "FlushContext",
         0x173: "ReadPublic", 0x17A: "GetCapability", 0x144: "Startup",
         0x17B: "GetRandom", 0x17F: "PolicyPCR", 0x18C: "PolicyAuthValue"}
CALLS = 9


def zgen(handle):
    """For a fresh point, with an empty password."""
    numbers = ec.generate_private_key(ec.SECP256R1()).public_key().public_numbers()
    point = b"".join(struct.pack(">H", 32) + n.to_bytes(32, "big")
                     for n in (numbers.x, numbers.y))
    auth = struct.pack(">IHBH", PASSWORD, 0, 1, 0)
    body = struct.pack(">II", handle, len(auth)) + auth + \
        struct.pack(">H", len(point)) + point
    return struct.pack(">HII", SESSIONS, 10 + len(body), ZGEN) + body


def receive(sock):
    data = b""
    while len(data) < 10 or len(data) < struct.unpack(">I", data[2:6])[0]:
        chunk = sock.recv(4096)
        if not chunk:
            sys.exit("the TPM has gone")
        data += chunk
    return data


def call(port, handle):
    times = []
    for _ in range(CALLS + 1):
        command = zgen(handle)
        start = time.monotonic()
        with socket.create_connection(("127.0.0.1", port)) as sock:
            sock.sendall(command)
            answer = receive(sock)
        times.append(time.monotonic() - start)
        code = struct.unpack(">I", answer[6:10])[0]
        if code:
            sys.exit(f"the TPM says {code:#x}")
    print(int(statistics.median(times[1:]) * 1e6))


def count(log):
    """Commands and answers follow each other; an answer's code is an error."""
    seen, at, is_command = collections.Counter(), 0, True
    while at + 10 <= len(log):
        _tag, size, code = struct.unpack(">HII", log[at:at + 10])
        if is_command:
            seen[NAMES.get(code, f"{code:#x}")] += 1
        is_command, at = not is_command, at + size
    for name, number in seen.most_common():
        print(name, number)


def main():
    if sys.argv[1:2] == ["call"] and len(sys.argv) == 4:
        call(int(sys.argv[2]), int(sys.argv[3], 0))
    elif sys.argv[1:2] == ["count"] and len(sys.argv) == 3:
        with open(sys.argv[2], "rb") as file:
            count(file.read())
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
