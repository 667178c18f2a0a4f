#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Send one command to QEMU's QMP socket: qmp.py SOCKET COMMAND [JSON-ARGUMENTS].

Prints what the command returns; exits 1 when QEMU refuses it.
"""
import json
import socket
import sys


def answer(stream):
    """The next message that is neither an event nor the greeting."""
    for line in stream:
        message = json.loads(line)
        if "return" in message or "error" in message:
            return message
    sys.exit("qmp.py: QEMU closed the connection")


def main():
    if len(sys.argv) not in (3, 4):
        sys.exit("usage: qmp.py SOCKET COMMAND [JSON-ARGUMENTS]")
    request = {"execute": sys.argv[2]}
    if len(sys.argv) == 4:
        request["arguments"] = json.loads(sys.argv[3])
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(sys.argv[1])
        stream = sock.makefile("rw")
        for message in ({"execute": "qmp_capabilities"}, request):
            stream.write(json.dumps(message) + "\n")
            stream.flush()
            reply = answer(stream)
            if "error" in reply:
                sys.exit(f"qmp.py: {reply['error']['desc']}")
    print(json.dumps(reply["return"]))


if __name__ == "__main__":
    main()
