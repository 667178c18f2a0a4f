#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What openbao_test.sh needs beside the server.

    openbao_peer.py open PEM HEX   unwraps a released key with the private half of
                                   the transport key, and prints it in hex
    openbao_peer.py proxy PORT CERT KEY SERVER CA MODE-FILE
                                   stands between worker and server, and falsifies
                                   answers in the way that the file says
    openbao_peer.py denied SERVER CA TOKEN-FILE REQUEST...
                                   whether the server denies all of them; each is
                                   METHOD PATH [NAME=VALUE]
    openbao_peer.py vanish PROGRAM LINES
                                   a worker that dies of a signal: says whether
                                   it left a core
"""

import http.client
import http.server
import json
import os
import re
import resource
import signal
import socket
import ssl
import subprocess
import sys

from cryptography.hazmat.primitives import hashes, keywrap, serialization
from cryptography.hazmat.primitives.asymmetric import padding


def open_released(pem, wrapped):
    with open(pem, "rb") as file:
        key = serialization.load_pem_private_key(file.read(), None)
    wrapped = bytes.fromhex(wrapped)
    size = key.key_size // 8
    oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
    aes = key.decrypt(wrapped[:size], oaep)
    assert len(aes) == 32
    print(keywrap.aes_key_unwrap_with_padding(aes, wrapped[size:]).hex())


HTML = b"<html><body>no</body></html>"


def change(body, pattern, text):
    return re.sub(pattern, text, body)


# What becomes of status and body; the true ones otherwise.
FAULTS = {
    "html-403": lambda s, b: (403, HTML),
    "html-404": lambda s, b: (404, HTML),
    "redirect": lambda s, b: (307, b""),
    "not-json": lambda s, b: (200, b"hello"),
    "no-body": lambda s, b: (204, b""),
    "twice": lambda s, b: (s, change(b, rb'"data":', b'"data":{},"data":')),
    "short": lambda s, b: (s, change(b, rb'"plaintext":"[^"]*"',
                                     b'"plaintext":"' + b"A" * 40 + b'"')),
    "long": lambda s, b: (s, change(b, rb'"plaintext":"[^"]*"',
                                    b'"plaintext":"' + b"A" * 44 + b'"')),
    "bad-base64": lambda s, b: (s, change(b, rb'(:"[A-Za-z0-9+/]{10})',
                                          rb"\1-")),
    "plaintext": lambda s, b: (s, change(b, rb'"1":"[^"]*"',
                                         b'"1":"' + b"A" * 43 + b'="')),
    "two-keys": lambda s, b: (s, change(b, rb'("1":"[^"]*")',
                                        rb'\1,"2":"AAAA"')),
    "other-key": lambda s, b: (s, change(b, rb'"plaintext":"[^"]*"',
                                         b'"plaintext":"' + b"A" * 43 + b'="')),
}


def proxy(port, cert, key, server, ca, mode_file):
    context = ssl.create_default_context(cafile=ca)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def forward(self):
            length = int(self.headers.get("Content-Length", 0))
            body = self.rfile.read(length)
            upstream = http.client.HTTPSConnection(server, context=context)
            upstream.request(self.command, self.path, body,
                             {n: v for n, v in self.headers.items()
                              if n.startswith("X-Vault")})
            reply = upstream.getresponse()
            with open(mode_file, encoding="ascii") as file:
                mode = file.read().strip()
            status, body = FAULTS.get(mode, lambda s, b: (s, b))(
                reply.status, reply.read())
            self.send_response(status)
            if status == 307:
                self.send_header("Location", f"https://{server}{self.path}")
            if status != 204:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = forward

        def log_message(self, *_):
            pass

    listener = http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), Handler)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(cert, key)
    listener.socket = tls.wrap_socket(listener.socket, server_side=True)
    listener.serve_forever()


def denied(server, ca, token_file, *requests):
    context = ssl.create_default_context(cafile=ca)
    with open(token_file, encoding="ascii") as file:
        headers = {"X-Vault-Token": file.read().strip()}
    permitted = 0
    for request in requests:
        method, path, *pairs = request.split()
        body = json.dumps(dict(pair.split("=", 1) for pair in pairs))
        connection = http.client.HTTPSConnection(server, context=context)
        connection.request(method, "/v1/" + path, body, headers)
        reply = connection.getresponse()
        text = reply.read().decode()
        if reply.status != 403 or "permission denied" not in text:
            print("not denied:", request, reply.status, text)
            permitted += 1
    print(len(requests), "requests")
    return permitted


def vanish(program, lines):
    ours, theirs = socket.socketpair()
    ours.settimeout(15)
    # pylint: disable-next=consider-using-with
    resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY,) * 2)
    worker = subprocess.Popen([program], stdin=theirs, stdout=theirs,
                              env=os.environ | {"ASAN_OPTIONS": "disable_coredump=0"})
    stream = ours.makefile("rwb")
    for line in lines.splitlines():
        stream.write(line.encode() + b"\n")
        stream.flush()
        print(json.loads(stream.readline()))
    with open(f"/proc/{worker.pid}/cmdline", "rb") as file:
        print("argv:", file.read())
    with open(f"/proc/{worker.pid}/environ", "rb") as file:
        print("environ:", file.read())
    os.kill(worker.pid, signal.SIGABRT)
    status = os.waitpid(worker.pid, 0)[1]
    print("core" if os.WCOREDUMP(status) else "no core",
          "signal", os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0)


if __name__ == "__main__":
    verbs = {"open": open_released, "proxy": proxy, "denied": denied,
             "vanish": vanish}
    sys.exit(verbs[sys.argv[1]](*sys.argv[2:]))
