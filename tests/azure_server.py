#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Key Vault, the authority that gives tokens for it, and a cloud machine's own
address, for azure_test.sh.

    azure_server.py FOLDER

FOLDER holds the certificates that the test made, what is registered (secret,
cert.pem, federated) and `fault`: lines of TARGET KIND [COUNT] that say what goes
wrong, COUNT times or always.  TARGET is vault, token, attest or machine.
FOLDER/access names what is not allowed: none (nothing is), list or use.  FOLDER/log
gets a line for each request.

It listens on the addresses below, which a network namespace of the test has.
"""

import copy
import http.server
import json
import os
import socket
import ssl
import sys
import threading
import time
import urllib.parse
import warnings
from email.utils import formatdate

from azure_vault import OauthRefusal, Refusal, Tokens, Vault, attest

TENANT = "11111111-2222-3333-4444-555555555555"
CLIENT = "99999999-8888-7777-6666-555555555555"
# Each with a certificate of its own, but the one that has none.
TLS = {"127.0.0.1": "good", "127.0.0.2": "name", "127.0.0.3": "expired",
       "127.0.0.4": "stranger", "127.0.0.5": "early", "127.0.0.6": "old"}
PLAIN = "127.0.0.7"
MACHINE = "169.254.169.254"
AUTHORITY = "login.microsoftonline.com"
# Of sovereign clouds, by what their vaults are under.
AUTHORITIES = {"vault.azure.cn": "login.chinacloudapi.cn",
               "vault.usgovcloudapi.net": "login.microsoftonline.us"}

folder = sys.argv[1]
lock = threading.Lock()
skew = [0]


def clock():
    return time.time() + skew[0]


tokens = Tokens(folder, TENANT, CLIENT, clock)
vault = Vault(clock, folder)


def read(name, default=""):
    try:
        with open(os.path.join(folder, name)) as file:
            return file.read()
    except FileNotFoundError:
        return default


def log(text):
    with lock, open(os.path.join(folder, "log"), "a") as file:
        file.write(text + "\n")


def take_fault(target):
    """The kind of what is to go wrong now, or None."""
    with lock:
        lines, found = read("fault").splitlines(), None
        for i, line in enumerate(lines):
            where, kind, *count = line.split()
            if where != target or found:
                continue
            found = kind
            if count:
                left = int(count[0]) - 1
                lines[i] = f"{where} {kind} {left}" if left else None
        if found:
            text = "".join(line + "\n" for line in lines if line)
            with open(os.path.join(folder, "fault.new"), "w") as file:
                file.write(text)
            os.rename(os.path.join(folder, "fault.new"),
                      os.path.join(folder, "fault"))
        return found


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30

    def log_message(self, *args):
        pass

    def date_time_string(self, timestamp=None):
        return formatdate(clock(), usegmt=True)

    def reply(self, status, body, headers=()):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def challenge(self, authority=None, resource=None):
        domain = self.host.partition(".")[2]
        authority = authority or f"https://{AUTHORITIES.get(domain, AUTHORITY)}/{tokens.tenant}"
        resource = resource or "https://" + domain
        error = {"error": {"code": "Unauthorized",
                           "message": "AKV10000: Request is missing a Bearer token."}}
        self.reply(401, error, [("WWW-Authenticate", f'Bearer authorization="{authority}",'
                                 f' resource="{resource}"')])

    # --- what goes wrong below JSON ---

    def cut(self, data):
        self.wfile.write(data)
        self.wfile.flush()
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def flood(self, chunked):
        self.send_response(200)
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(10 << 20))
        self.end_headers()
        sent = 0
        try:
            while sent < 10 << 20:
                data = b" " * 8192
                self.wfile.write(b"2000\r\n" + data + b"\r\n" if chunked else data)
                sent += len(data)
        except OSError:
            pass
        log(f"flood ended after {sent}")
        self.close_connection = True

    def drip(self):
        try:
            for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}" * 50:
                self.wfile.write(bytes([byte]))
                self.wfile.flush()
                time.sleep(0.2)
        except OSError:
            pass
        self.close_connection = True

    def low_fault(self, kind):
        """True if that was the answer."""
        name, _, value = kind.partition(":")
        if name.isdigit():
            wish = [("Retry-After", value)] if value else []
            codes = {403: "Forbidden", 404: "KeyNotFound", 409: "Conflict",
                     429: "Throttled", 503: "ServiceUnavailable"}
            code = codes.get(int(name), "InternalServerError")
            self.reply(int(name), {"error": {"code": code, "message": "as told"}}, wish)
        elif name == "code":	# STATUS:CODE
            status, _, code = value.partition(":")
            self.reply(int(status), {"error": {"code": code, "message": "as told"}})
        elif name == "entra":	# STATUS:ERROR:NUMBER
            status, error, number = value.split(":")
            self.reply(int(status), OauthRefusal(int(status), error, int(number),
                                                 "as told").body)
        elif name == "gateway":
            self.reply(int(value), {"error": "blocked"})
        elif name == "html":
            self.reply(int(value), b"<html>no</html>")
        elif name == "redirect":
            self.reply(302, b"", [("Location", value)])
        elif name == "cut-headers":
            self.cut(b"HTTP/1.1 200 OK\r\nContent-Type: appl")
        elif name == "cut-body":
            self.cut(b'HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n{"key":')
        elif name in ("flood", "flood-chunked"):
            self.flood(name == "flood-chunked")
        elif name == "headers":
            self.reply(200, {}, [(f"X-{i}", "x" * 1000) for i in range(60)])
        elif name == "drip":
            self.drip()
        elif name == "hang":
            time.sleep(float(value or 60))
            self.close_connection = True
        elif name == "text":
            self.reply(200, b"not JSON")
        elif name == "array":
            self.reply(200, b"[]")
        elif name == "authority":
            self.challenge(authority=value)
        elif name == "resource":
            self.challenge(resource=value)
        elif name == "challenge":
            self.reply(401, {}, [("WWW-Authenticate", value.replace("_", " "))])
        elif name == "loop":
            self.challenge()
        elif name == "echo-challenge" and self.sent_token():
            self.challenge(resource="https://" + self.sent_token())
        else:
            return False
        return True

    def sent_token(self):
        return self.headers.get("Authorization", "").removeprefix("Bearer ")

    def answer(self, target):
        raise NotImplementedError

    def handle_one(self):
        self.host = self.headers.get("Host", "").partition(":")[0].lower()
        length = int(self.headers.get("Content-Length") or 0)
        self.body = self.rfile.read(length)
        url = urllib.parse.urlsplit(self.path)
        self.url_path = url.path
        self.query = dict(urllib.parse.parse_qsl(url.query))
        target = self.target()
        signed = "token" if "Authorization" in self.headers else "no token"
        log(f"{target} {self.command} {self.host} {self.path} ({signed}) {length}")
        fault = take_fault(target)
        if fault and self.low_fault(fault):
            return
        try:
            status, body = self.answer(fault)
        except (Refusal, OauthRefusal) as refusal:
            status, body = refusal.status, refusal.body
        if status == 401 and target == "vault":
            self.challenge()
            return
        self.reply(status, body if status != 204 else b"")

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_one


def spoil(kind, body):
    """What goes wrong in an answer's JSON."""
    body = copy.deepcopy(body)
    name, _, value = (kind or "").partition(":")
    if name == "duplicate":
        text = json.dumps(body)
        return (text[:-1] + "," + text[1:]).encode()
    if name == "set":	# PATH=JSON
        path, _, value = value.partition("=")
        *path, last = path.split(".")
        inner = body
        for word in path:
            inner = inner[word]
        inner[last] = json.loads(value)
    if name == "drop":
        *path, last = value.split(".")
        inner = body
        for word in path:
            inner = inner[word]
        del inner[last]
    return body


class AzureHandler(Handler):
    def target(self):
        if self.host.endswith(".attest.azure.net"):
            return "attest"
        return "token" if self.host.startswith("login.") else "vault"

    def answer(self, fault):
        if self.target() == "token":
            return 200, spoil(fault, self.authority(fault))
        if self.target() == "attest":
            return 200, spoil(fault, attest(self.path, json.loads(self.body)))
        if fault == "echo":
            raise Refusal(403, "Forbidden", "you sent " + self.sent_token())
        resource = "https://" + self.host.partition(".")[2]
        if not tokens.check(self.headers.get("Authorization"), resource):
            if "Authorization" in self.headers:
                log("refused a token")
            return 401, {}
        if self.query.get("api-version") is None:
            raise Refusal(400, "BadParameter", "api-version must be specified")
        taken = read("access").strip()
        if (taken == "none" or taken == "list" and self.url_path.endswith("/versions")
                or taken == "use" and self.command == "POST"):
            raise Refusal(403, "Forbidden", "Caller is not authorized to perform action "
                          "on resource.", "ForbiddenByRbac")
        if fault == "firewall":
            raise Refusal(403, "Forbidden", "Client address is not authorized.",
                          "ForbiddenByFirewall")
        parts = self.url_path.strip("/").split("/")
        body = json.loads(self.body) if self.body else {}
        how = fault.removeprefix("release:") if fault else None
        answer = vault.route(self.command, parts, self.query, body, self.host, how)
        if fault and fault.startswith("echo:"):	# PATH
            fault = f"set:{fault[5:]}=" + json.dumps("https://x/" + self.sent_token())
        return (204, None) if answer is None else (200, spoil(fault, answer))

    def authority(self, fault):
        tenant, *rest = self.url_path.strip("/").split("/")
        base = f"https://{self.host}/{tenant}"
        if rest[-1] == "openid-configuration":
            return {"token_endpoint": base + "/oauth2/v2.0/token",
                    "authorization_endpoint": base + "/oauth2/v2.0/authorize",
                    "issuer": base + "/v2.0"}
        form = dict(urllib.parse.parse_qsl(self.body.decode()))
        if fault == "echo":
            raise OauthRefusal(401, "invalid_client", 7000215, "not " +
                               form.get("client_secret", form.get("client_assertion")))
        return tokens.request(tenant, form)


class MachineHandler(Handler):
    def target(self):
        return "machine"

    def answer(self, fault):
        no = {"error": "invalid_request", "error_description": "Identity not found"}
        if self.headers.get("Metadata") != "true" or "X-Forwarded-For" in self.headers:
            return 400, dict(no, error_description="Required metadata header missing")
        if self.query.get("client_id", CLIENT) != CLIENT:
            return 400, no
        resource = self.query["resource"].rstrip("/")
        body = {"access_token": tokens.give(resource), "expires_in": "3599",
                "expires_on": str(int(clock()) + 3599), "resource": resource,
                "token_type": "Bearer"}
        return 200, spoil(fault, body)


class Server(http.server.ThreadingHTTPServer):
    context = None

    def finish_request(self, request, client_address):
        try:
            if self.context:
                request.settimeout(30)
                request = self.context.wrap_socket(request, server_side=True)
            super().finish_request(request, client_address)
        except OSError as error:
            log(f"{self.server_address[0]} lost a client: {error}")

    def handle_error(self, request, client_address):
        log(f"{self.server_address[0]} failed: {sys.exc_info()[1]!r}")
        if isinstance(sys.exc_info()[1], (KeyError, TypeError, AttributeError)):
            raise

    def shutdown_request(self, request):
        self.close_request(request)


def serve(address, port, handler, certificate=None):
    server = Server((address, port), handler)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if certificate == "old":
            warnings.simplefilter("ignore")
            context.minimum_version = ssl.TLSVersion.TLSv1_1
            context.maximum_version = ssl.TLSVersion.TLSv1_1
            context.set_ciphers("ALL:@SECLEVEL=0")
        path = os.path.join(folder, "tls", certificate)
        context.load_cert_chain(path + ".pem", path + ".key")
        server.context = context
    threading.Thread(target=server.serve_forever, daemon=True).start()


def main():
    for address, certificate in TLS.items():
        serve(address, 443, AzureHandler, certificate)
    serve(PLAIN, 443, AzureHandler)
    serve(MACHINE, 80, MachineHandler)
    # A name server that never says anything.
    silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    silent.bind(("127.0.0.53", 53))
    # A host that is up, and nothing else.
    mute = socket.socket()
    mute.bind(("127.0.0.8", 443))
    mute.listen(64)
    log("ready")
    for line in sys.stdin:	# KEY VALUE
        key, value = line.split()
        if key == "skew":
            skew[0] = int(value)
        elif key == "lifetime":
            tokens.lifetime = int(value)
        elif key == "tenant":
            tokens.tenant = value
            tokens.given.clear()
        elif key == "forget":
            tokens.given.clear()
        log(f"set {key} {value}")


if __name__ == "__main__":
    main()
