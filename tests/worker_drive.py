#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Speak with a vault worker, or with vaultringd, as worker_test.sh says.

    worker_drive.py worker PROGRAM [ARGUMENT...]
                                     requests are JSON lines; a line that begins
                                     with ! is run by the shell in between
    worker_drive.py call SOCKET METHOD [PARAMETERS]
    worker_drive.py raw SOCKET TEXT  sends the text as it is, and no NUL byte

Replies are printed, one a line; with DRIVE_TIMES in the environment a worker's are
followed by how long each took.
"""

import json
import os
import socket
import subprocess
import sys
import time

TIMEOUT = 15


def worker(*argv):
    ours, theirs = socket.socketpair()
    ours.settimeout(TIMEOUT)
    process = subprocess.Popen(argv, stdin=theirs, stdout=theirs)
    theirs.close()
    stream = ours.makefile("rwb")
    for line in sys.stdin:
        if line.startswith("!"):
            subprocess.run(line[1:], shell=True, check=True)
            continue
        start = time.monotonic()
        stream.write(line.encode())
        stream.flush()
        reply = stream.readline()
        if not reply:
            print("(ended)")
            break
        print(reply.decode().strip(), flush=True)
        if "DRIVE_TIMES" in os.environ:
            print(f"(answered in {(time.monotonic() - start) * 1000:.0f} ms)",
                  flush=True)
    stream.close()
    ours.close()
    return process.wait(TIMEOUT)


def connect(path):
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(TIMEOUT)
    sock.connect(path)
    return sock


def replies(sock):
    data = b""
    while True:
        while b"\0" in data:
            message, data = data.split(b"\0", 1)
            message = json.loads(message)
            print(json.dumps(message), flush=True)
            if not message.get("continues"):
                return 1 if "error" in message else 0
        chunk = sock.recv(65536)
        if not chunk:
            print("(closed)")
            return 1
        data += chunk


def call(path, method, params="{}"):
    sock = connect(path)
    message = {"method": "vaultring." + method, "parameters": json.loads(params)}
    sock.sendall(json.dumps(message).encode() + b"\0")
    return replies(sock)


def raw(path, text):
    sock = connect(path)
    try:
        sock.sendall(text.encode())
    except BrokenPipeError:
        pass
    return replies(sock)


if __name__ == "__main__":
    verbs = {"worker": worker, "call": call, "raw": raw}
    sys.exit(verbs[sys.argv[1]](*sys.argv[2:]))
