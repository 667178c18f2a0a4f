#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A vault worker for tests that says what it is told to.

The uri is said:FILE; FILE is JSON, read for each request:

    {"KEY": {"method": "clear", "spki": ["...", ...]}, ...}

The last of several public keys is the newest version; with "newest" that has a
reply of its own.  A member "say" is the whole reply, after "sleep" seconds.  What
is asked goes to FILE.seen, one JSON object a line.
"""

import hashlib
import json
import os
import socket
import sys
import time


def find(entry, wanted):
    if "sleep" in entry:
        time.sleep(entry["sleep"])
    if "say" in entry:
        return entry["say"]
    if not wanted and "newest" in entry:
        return entry["newest"]
    for spki in reversed(entry["spki"]):
        if wanted in (None, hashlib.sha256(bytes.fromhex(spki)).hexdigest()):
            return {"method": entry["method"], "spki": spki}
    return {"error": "refused", "message": "it has no such version"}


def answer(path, request):
    with open(path + ".seen", "a", encoding="ascii") as file:
        print(json.dumps({**request, "at": time.monotonic(),
                          "pid": os.getpid()}), file=file)
    if request["op"] == "configure":
        return {}
    with open(path, encoding="ascii") as file:
        entry = json.load(file)[request["key"]]
    if request["op"] != "public-key":
        return {"error": "invalid", "message": "it only says what it is"}
    return find(entry, request.get("spki-fingerprint"))


def main():
    path = None
    stream = socket.socket(fileno=os.dup(0)).makefile("rwb")
    for line in stream:
        request = json.loads(line)
        if request["op"] == "configure":
            path = request["settings"]["uri"].partition(":")[2]
        reply = answer(path, request)
        stream.write(json.dumps({**reply, "id": request["id"]}).encode() + b"\n")
        try:
            stream.flush()
        except BrokenPipeError:
            return 0
    return 0


sys.exit(main())
