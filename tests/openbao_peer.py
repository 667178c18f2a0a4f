#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What openbao_test.sh needs beside the server.

    openbao_peer.py open PEM HEX   unwraps a released key with the private half of
                                   the transport key, and prints it in hex
    openbao_peer.py proxy FOLDER SERVER CA
                                   stands between worker and server, on port 8300 of
                                   several addresses, and falsifies answers as
                                   FOLDER/fault says, see azure_server.py
    openbao_peer.py tunnel PORT HOW
                                   an HTTP proxy
    openbao_peer.py denied SERVER CA TOKEN-FILE REQUEST...
                                   whether the server denies all of them; each is
                                   METHOD PATH [NAME=VALUE]
    openbao_peer.py vanish PROGRAM LINES
                                   a worker that dies of a signal: says whether
                                   it left a core
    openbao_peer.py ends PROGRAM LINES HOW
                                   a worker that is told to end, or whose parent
                                   dies, in the middle of the last line: says how
                                   many seconds it went on
"""

import http.client
import http.server
import json
import os
import re
import resource
import select
import signal
import socket
import ssl
import subprocess
import sys
import time

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


def change(body, pattern, text):
    return re.sub(pattern, text, body)


def no(status, *errors):
    return status, json.dumps({"errors": errors}).encode()


def echo(request, status):
    """The server's words, with what it was sent."""
    shown = request.headers.get("X-Vault-Token") or request.body.decode()
    return no(status, "permission denied to " + shown)


def secret_id():
    with open(os.path.join(sys.argv[1], "secret-id"), encoding="ascii") as file:
        return file.read().strip()


# What becomes of the server's status and body, beside azure_server.py's.
FAULTS = {
    "pass": lambda r, s, b: (s, b),
    "no-body": lambda r, s, b: (204, b""),
    "twice": lambda r, s, b: (s, change(b, rb'"data":', b'"data":{},"data":')),
    "short": lambda r, s, b: (s, change(b, rb'"plaintext":"[^"]*"',
                                        b'"plaintext":"' + b"A" * 40 + b'"')),
    "long": lambda r, s, b: (s, change(b, rb'"plaintext":"[^"]*"',
                                       b'"plaintext":"' + b"A" * 44 + b'"')),
    "bad-base64": lambda r, s, b: (s, change(b, rb'(:"[A-Za-z0-9+/]{10})',
                                             rb"\1-")),
    "plaintext": lambda r, s, b: (s, change(b, rb'"1":"[^"]*"',
                                            b'"1":"' + b"A" * 43 + b'="')),
    "two-keys": lambda r, s, b: (s, change(b, rb'("1":"[^"]*")',
                                           rb'\1,"2":"AAAA"')),
    "other-key": lambda r, s, b: (s, change(b, rb'"plaintext":"[^"]*"',
                                            b'"plaintext":"' + b"A" * 43 + b'="')),
    "versions": lambda r, s, b: (s, change(b, rb'("latest_version":)[0-9]+',
                                           rb"\g<1>2147483647")),
    "no-words": lambda r, s, b: no(403),
    "other-words": lambda r, s, b: no(403, "blocked by the office"),
    "objects": lambda r, s, b: no(403, {"code": "permission denied"}),
    "text-and-object": lambda r, s, b: no(400, "permission denied", {}),
    "no-words-400": lambda r, s, b: no(400),
    "no-words-404": lambda r, s, b: no(404),
    "echo-403": lambda r, s, b: echo(r, 403),
    "echo-400": lambda r, s, b: echo(r, 400),
    "echo-500": lambda r, s, b: echo(r, 500),
    "echo-type": lambda r, s, b: (s, change(
        b, rb'"type":"[^"]*"',
        b'"type":"' + r.headers["X-Vault-Token"].encode() + b'"')),
    # What was sent before, at the login.
    "echo-id": lambda r, s, b: no(403, "permission denied to " + secret_id()),
}
# Where it listens, and with which certificate.
PROXIES = {"127.0.0.1": "good", "127.0.0.3": "expired", "127.0.0.6": "old",
           "127.0.0.7": None}


def proxy(folder, server, ca):
    # It takes its folder from there as soon as it is read.
    sys.argv[1:] = [folder]
    import azure_server  # pylint: disable=import-outside-toplevel

    context = ssl.create_default_context(cafile=ca)

    class Handler(azure_server.Handler):
        def target(self):
            name = self.url_path.rpartition("/")[2]
            return name if name.endswith("-self") or name == "login" else "server"

        def answer(self, fault):
            upstream = http.client.HTTPSConnection(server, context=context)
            upstream.request(self.command, self.path, self.body,
                             {n: v for n, v in self.headers.items()
                              if n.startswith("X-Vault")})
            reply = upstream.getresponse()
            status, body = reply.status, reply.read()
            return FAULTS[fault](self, status, body) if fault else (status, body)

    for address, certificate in PROXIES.items():
        azure_server.serve(address, 8300, Handler, certificate)
    azure_server.log("ready")
    signal.pause()


def tunnel(port, how):
    """A proxy in the usual sense, which says a lot before it lets through, or no."""
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_CONNECT(self):
            if how == "no":
                status, body = no(403, "permission denied")
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                return
            host, port = self.path.split(":")
            upstream = socket.create_connection((host, int(port)))
            self.send_response(200)
            self.send_header("Retry-After", "3000")
            for i in range(60):
                self.send_header(f"X-{i}", "x" * 1000)
            self.end_headers()
            self.pump(upstream)

        def pump(self, upstream):
            pairs = {self.connection: upstream, upstream: self.connection}
            while True:
                for sock in select.select(list(pairs), [], [])[0]:
                    try:
                        data = sock.recv(65536)
                        pairs[sock].sendall(data)
                    except OSError:
                        return
                    if not data:
                        return

        def log_message(self, *_):
            pass

    http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), Handler).serve_forever()


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


def start(program, env=None):
    ours, theirs = socket.socketpair()
    ours.settimeout(15)
    # pylint: disable-next=consider-using-with
    worker = subprocess.Popen([program], stdin=theirs, stdout=theirs, env=env)
    theirs.close()
    return worker, ours.makefile("rwb")


def vanish(program, lines):
    resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY,) * 2)
    worker, stream = start(program,
                           os.environ | {"ASAN_OPTIONS": "disable_coredump=0"})
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


def is_gone(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def ends(program, lines, how):
    out, into = os.pipe()
    parent = os.fork()
    if not parent:
        worker, stream = start(program)
        *lines, last = lines.splitlines()
        for line in lines:
            stream.write(line.encode() + b"\n")
            stream.flush()
            stream.readline()
        stream.write(last.encode() + b"\n")
        stream.flush()
        time.sleep(1)
        os.write(into, str(worker.pid).encode())
        if how == "term":
            worker.terminate()
            worker.wait()
        os.kill(os.getpid(), signal.SIGKILL)
    pid, begin = int(os.read(out, 20)), time.monotonic()
    while not is_gone(pid) and time.monotonic() < begin + 20:
        time.sleep(0.05)
    if not is_gone(pid):
        os.kill(pid, signal.SIGKILL)
    print(f"ended after {time.monotonic() - begin:.0f} s")
    os.waitpid(parent, 0)


if __name__ == "__main__":
    verbs = {"open": open_released, "proxy": proxy, "tunnel": tunnel,
             "denied": denied, "vanish": vanish, "ends": ends}
    sys.exit(verbs[sys.argv[1]](*sys.argv[2:]))
