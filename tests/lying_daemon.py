#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Stand between vaultring(1) and vaultringd, and lie as a hostile one could.

    lying_daemon.py SOCKET REAL KEK LIES

Listens on SOCKET and passes all on to the daemon at REAL, but in its list of
KEKs that KEK has the members of the JSON object LIES.
"""

import json
import socket
import sys
import threading


def messages(sock):
    """Each ends with a zero."""
    data = b""
    while True:
        chunk = sock.recv(65536)
        if not chunk:
            return
        data += chunk
        while b"\0" in data:
            message, data = data.split(b"\0", 1)
            yield message


def lie(message, name, lies):
    reply = json.loads(message)
    for kek in reply.get("parameters", {}).get("keks", []):
        if kek["name"] == name:
            kek.update(lies)
    return json.dumps(reply).encode()


def pass_on(client, daemon):
    for message in messages(client):
        daemon.sendall(message + b"\0")
    daemon.shutdown(socket.SHUT_WR)


def serve(client, real, name, lies):
    with client, socket.socket(socket.AF_UNIX) as daemon:
        daemon.connect(real)
        threading.Thread(target=pass_on, args=(client, daemon),
                         daemon=True).start()
        for message in messages(daemon):
            client.sendall(lie(message, name, lies) + b"\0")


def main():
    path, real, name, lies = sys.argv[1:]
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        while True:
            client = listener.accept()[0]
            threading.Thread(target=serve, daemon=True,
                             args=(client, real, name, json.loads(lies))).start()


main()
