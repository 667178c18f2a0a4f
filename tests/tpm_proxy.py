#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Stand between a worker and a software TPM, as a chip on the bus could.

    tpm_proxy.py PORT TARGET MODE-FILE LOG

Listens on PORT and PORT + 1 and passes on to TARGET and TARGET + 1.  All that
passes on the first of them is appended to LOG.  What MODE-FILE says is done to
each TPM2_ECDH_ZGen:

    retry, yielded, testing  the TPM says so, for ever; retry-once: the first time
    flip                     one bit of the answer is another one
    short, garbage           the answer is not one
    cut                      the connection ends instead of an answer
    hang                     there is no answer, until the client gives up
"""

import os
import socket
import struct
import sys
import threading

ZGEN = 0x154
CODES = {"retry": 0x922, "retry-once": 0x922, "yielded": 0x908, "testing": 0x90a}


def read_exactly(sock, size):
    data = b""
    while len(data) < size:
        chunk = sock.recv(size - len(data))
        if not chunk:
            return None
        data += chunk
    return data


def read_message(sock):
    """A TPM's command or response: tag, size, code, the rest."""
    header = read_exactly(sock, 10)
    if header is None:
        return None
    rest = read_exactly(sock, struct.unpack(">I", header[2:6])[0] - 10)
    return None if rest is None else header + rest


class Proxy:
    def __init__(self, target, mode_file, log):
        self.target = target
        self.mode_file = mode_file
        self.log = open(log, "ab", buffering=0)

    def mode(self):
        with open(self.mode_file, encoding="ascii") as file:
            return file.read().strip()

    def answer(self, command, client, tpm):
        """None ends the connection."""
        mode = self.mode()
        if struct.unpack(">I", command[6:10])[0] != ZGEN:
            mode = ""
        if mode == "retry-once":
            with open(self.mode_file, "w", encoding="ascii"):
                pass
        if mode in CODES:
            return struct.pack(">HII", 0x8001, 10, CODES[mode])
        if mode == "cut":
            return None
        if mode == "hang":
            client.recv(1)
            return None
        tpm.sendall(command)
        response = read_message(tpm)
        if response is None:
            return None
        if mode == "flip":
            changed = bytearray(response)
            changed[24] ^= 1
            return bytes(changed)
        if mode == "short":
            return struct.pack(">HII", 0x8001, 10, 0)
        if mode == "garbage":
            return response[:10] + os.urandom(len(response) - 10)
        return response

    def commands(self, client):
        with client, socket.create_connection(("127.0.0.1", self.target)) as tpm:
            while (command := read_message(client)) is not None:
                self.log.write(command)
                response = self.answer(command, client, tpm)
                if response is None:
                    break
                self.log.write(response)
                client.sendall(response)

    def control(self, client):
        with client, socket.create_connection(("127.0.0.1", self.target + 1)) as tpm:
            while data := client.recv(4096):
                tpm.sendall(data)
                client.sendall(tpm.recv(4096))


def serve(listener, handle):
    while True:
        client, _ = listener.accept()
        threading.Thread(target=handle, args=(client,), daemon=True).start()


def main():
    port, target = int(sys.argv[1]), int(sys.argv[2])
    proxy = Proxy(target, sys.argv[3], sys.argv[4])
    for number, handle in ((port + 1, proxy.control), (port, proxy.commands)):
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", number))
        listener.listen()
        thread = threading.Thread(target=serve, args=(listener, handle))
        thread.start()
    print("listens", flush=True)
    thread.join()


if __name__ == "__main__":
    main()
