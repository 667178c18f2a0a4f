#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What a worker's memory, command line and limits show once it has answered.

    azure_memory.py PROGRAM TOKENS PASSWORD SHARE

Requests come from standard input.  The last token in the file TOKENS must be
found, or the search is worth nothing; the password and the share (hex) must not,
in none of their forms.  The share - is that in the last answer.
"""

import base64
import json
import re
import socket
import subprocess
import sys


def forms(password, share):
    raw = bytes.fromhex(share)
    return {
        "the password": password.encode(),
        "the share": raw,
        "the share in hex": share.encode(),
        "the share in base64url": base64.urlsafe_b64encode(raw).rstrip(b"="),
    }


def memory(pid):
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as mem:
        for line in maps:
            start, end, mode = re.match(r"(\w+)-(\w+) (\S+)", line).groups()
            # Of a sanitizer's shadow only a little is there.
            if not mode.startswith("rw") or int(end, 16) - int(start, 16) > 1 << 30:
                continue
            mem.seek(int(start, 16))
            try:
                yield mem.read(int(end, 16) - int(start, 16))
            except OSError:
                pass


def main(program, tokens, password, share):
    ours, theirs = socket.socketpair()
    process = subprocess.Popen([program], stdin=theirs, stdout=theirs)
    theirs.close()
    stream = ours.makefile("rwb")
    for line in sys.stdin:
        stream.write(line.encode())
        stream.flush()
        reply = stream.readline()
    if share == "-":
        share = json.loads(reply)["secret"]
    assert share.encode() in reply, reply
    with open(tokens) as file:
        token = file.read().split()[-1].encode()
    found, seen = set(), False
    for part in memory(process.pid):
        seen = seen or token in part
        found.update(name for name, form in forms(password, share).items()
                     if form in part)
    for name in "cmdline", "environ":
        with open(f"/proc/{process.pid}/{name}", "rb") as file:
            text = file.read()
            assert token not in text and password.encode() not in text
    with open(f"/proc/{process.pid}/limits") as file:
        assert re.search(r"Max core file size +0 ", file.read())
    with open(f"/proc/{process.pid}/status") as file:
        status = file.read()
        assert re.search(r"Seccomp:\t2", status) and re.search(r"CapEff:\t0+\n", status)
    process.kill()
    assert seen, "the token was not found: nothing was searched"
    assert not found, f"found {found}"


main(*sys.argv[1:])
