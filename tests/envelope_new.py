#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Write an envelope that the daemon takes for one, and the kernel never would.

    envelope_new.py FILE NAME THRESHOLD VAULT[:KEY]=FINGERPRINT[/METHOD]...
"""

import os
import sys

from oracle import HEADER, OBLIVIOUS, SHARE


def share(index, text):
    vault, fingerprint = text.split("=")
    fingerprint, _, method = fingerprint.partition("/")
    data = os.urandom(64)
    return SHARE.pack(index, int(method or OBLIVIOUS), len(data), bytes(4),
                      vault.encode(),
                      bytes.fromhex(fingerprint), os.urandom(32)) + data


def main(path, name, threshold, *shares):
    head = HEADER.pack(b"VRE1", 1, int(threshold), len(shares), 0, 1, 2, 0, 0,
                       0, 0, 0, bytes(2), *[0] * 16, name.encode(),
                       os.urandom(32), os.urandom(16), os.urandom(32))
    # As the daemon does it: nobody sees half a file.
    with open(path + ".new", "wb") as file:
        file.write(head)
        for index, text in enumerate(shares, 1):
            file.write(share(index, text))
    os.rename(path + ".new", path)


main(*sys.argv[1:])
