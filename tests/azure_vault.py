# SPDX-License-Identifier: GPL-2.0-or-later
"""What azure_server.py serves: keys and tokens, as in Azure's public
specification of Key Vault (api-version 7.4) and Entra's token endpoint.

azure_sdk.py drives the same with the official SDK, so that it cannot be wrong in
our worker's favour.
"""

import base64
import json
import os
import time

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, keywrap, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

OAEP = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
RECOVERABLE_DAYS = 90
OPERATIONS = ["wrapKey", "unwrapKey", "encrypt", "decrypt", "sign", "verify"]


def b64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64url(text):
    return base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)


class Refusal(Exception):
    def __init__(self, status, code, message, inner=None):
        super().__init__(message)
        self.status = status
        error = {"code": code, "message": message}
        if inner:
            error["innererror"] = {"code": inner}
        self.body = {"error": error}


class OauthRefusal(Exception):
    def __init__(self, status, error, number, text):
        super().__init__(text)
        self.status = status
        self.body = {
            "error": error,
            "error_description": f"AADSTS{number}: {text}\r\nTrace ID: 0",
            "error_codes": [number],
        }


def attest(path, body):
    """Azure Attestation, which takes one report for true."""
    if path != "/attest/SevSnpVm?api-version=2022-08-01":
        raise Refusal(404, "NotFound", path)
    if unb64url(body["report"]) != b"a report" or body["runtimeData"]["dataType"] != "JSON":
        raise Refusal(400, "InvalidParameter", "the report is of another host")
    claims = {"x-ms-runtime": json.loads(unb64url(body["runtimeData"]["data"]))}
    return {"token": ".".join(b64url(part) for part in
                              (b"{}", json.dumps(claims).encode(), b"x"))}


class Tokens:
    """Who may have a token, and which have been given; files in `folder` say who
    is who, and may change at any time."""

    def __init__(self, folder, tenant, client, clock):
        self.folder, self.tenant, self.client = folder, tenant, client
        self.clock, self.given, self.lifetime = clock, {}, 3600

    def registered(self, name):
        with open(os.path.join(self.folder, name), "rb") as file:
            return file.read().strip()

    def give(self, resource):
        token = b64url(os.urandom(48))
        self.given[token] = (resource, self.clock() + self.lifetime)
        with open(os.path.join(self.folder, "tokens"), "a") as file:
            file.write(token + "\n")
        return token

    def check(self, header, resource):
        token = (header or "").removeprefix("Bearer ")
        known = self.given.get(token)
        return bool(known) and known[0] == resource and known[1] > self.clock()

    def request(self, tenant, form):
        if tenant != self.tenant:
            raise OauthRefusal(400, "invalid_request", 90002, "Tenant not found.")
        if form.get("client_id") != self.client:
            raise OauthRefusal(400, "unauthorized_client", 700016,
                               "Application was not found in the directory.")
        scope = form.get("scope", "").split()[0]
        if form.get("grant_type") != "client_credentials":
            raise OauthRefusal(400, "unsupported_grant_type", 70003, "No such grant.")
        if not scope.endswith("/.default"):
            raise OauthRefusal(400, "invalid_scope", 70011, "The scope is not valid.")
        if "client_assertion" in form:
            self.check_assertion(form)
        elif form.get("client_secret", "").encode() != self.registered("secret"):
            raise OauthRefusal(401, "invalid_client", 7000215,
                               "Invalid client secret provided.")
        return {"token_type": "Bearer", "expires_in": self.lifetime,
                "access_token": self.give(scope.removesuffix("/.default"))}

    def check_assertion(self, form):
        text = form["client_assertion"]
        if not form.get("client_assertion_type", "").endswith(":jwt-bearer"):
            raise OauthRefusal(400, "invalid_request", 900144, "No assertion type.")
        if text.encode() == self.registered("federated"):
            return
        try:
            header, claims, signature = text.split(".")
            self.check_signature(json.loads(unb64url(header)), unb64url(signature),
                                 f"{header}.{claims}".encode())
            claims = json.loads(unb64url(claims))
        except (ValueError, KeyError, InvalidSignature) as error:
            raise OauthRefusal(401, "invalid_client", 700027,
                               "The certificate is not registered.") from error
        audience = f"/{self.tenant}/oauth2/v2.0/token"
        if (claims["iss"] != self.client or claims["sub"] != self.client
                or not claims["jti"] or not claims["aud"].startswith("https://login.")
                or not claims["aud"].endswith(audience)):
            raise OauthRefusal(401, "invalid_client", 700021, "Not its own assertion.")
        if not claims.get("nbf", 0) <= self.clock() <= claims["exp"]:
            raise OauthRefusal(401, "invalid_client", 700024,
                               "Client assertion is not within its valid time range.")

    def check_signature(self, header, signature, data):
        certificate = x509.load_pem_x509_certificate(self.registered("cert.pem"))
        scheme = padding.PSS(padding.MGF1(hashes.SHA256()), hashes.SHA256().digest_size)
        # The SDK still has the other pair, which Entra takes as well.
        if header["alg"] == "RS256" and "x5t" in header:
            scheme, hashed = padding.PKCS1v15(), hashes.SHA1()
        elif header["alg"] == "PS256":
            hashed = hashes.SHA256()
        name = "x5t" if hashed.name == "sha1" else "x5t#S256"
        if header[name].rstrip("=") != b64url(certificate.fingerprint(hashed)):
            raise KeyError("another certificate")
        certificate.public_key().verify(signature, data, scheme, hashes.SHA256())


class Key:
    """One version of a key."""

    def __init__(self, name, body, clock, private=None):
        now = int(clock())
        self.name, self.version = name, os.urandom(16).hex()
        self.kty = body.get("kty", "RSA")
        self.secret = None	# of a symmetric one
        self.private = private
        if isinstance(private, bytes):
            self.secret, self.private = private, None
        elif self.kty.startswith("oct"):
            self.secret = os.urandom((body.get("key_size") or 256) // 8)
        elif not private:
            self.private = rsa.generate_private_key(
                public_exponent=65537, key_size=body.get("key_size") or 2048)
        self.ops = body.get("key_ops") or OPERATIONS
        self.attributes = {"enabled": True, "created": now, "updated": now,
                           "recoveryLevel": "Recoverable+Purgeable",
                           "recoverableDays": RECOVERABLE_DAYS, "exportable": False}
        self.update(body, clock)

    def update(self, body, clock):
        self.attributes.update({k: v for k, v in (body.get("attributes") or {}).items()
                                if k in ("enabled", "nbf", "exp")})
        self.attributes["updated"] = int(clock())
        self.ops = body.get("key_ops") or self.ops

    def kid(self, host):
        return f"https://{host}/keys/{self.name}/{self.version}"

    def bundle(self, host):
        key = {"kid": self.kid(host), "kty": self.kty, "key_ops": self.ops}
        if self.private and self.kty.startswith("RSA"):
            numbers = self.private.public_key().public_numbers()
            size = self.private.key_size // 8
            key.update(n=b64url(numbers.n.to_bytes(size, "big")),
                       e=b64url(numbers.e.to_bytes(3, "big")))
        return {"key": key, "attributes": self.attributes, "tags": {}}

    def item(self, host):
        return {"kid": self.kid(host), "attributes": self.attributes}

    def use(self, operation, body):
        if not self.attributes["enabled"]:
            raise Refusal(403, "Forbidden", f"Operation {operation} is not allowed "
                          "on a disabled key.", "KeyDisabled")
        if operation not in self.ops:
            raise Refusal(403, "Forbidden", f"Operation {operation} is not permitted "
                          "on this key.", "KeyOperationForbidden")
        if body.get("alg") != self.algorithm():
            raise Refusal(400, "BadParameter", "Key and algorithm do not match.")
        try:
            value = unb64url(body["value"])
            if self.secret:
                return (keywrap.aes_key_wrap if operation == "wrapKey" else
                        keywrap.aes_key_unwrap)(self.secret, value)
            if operation == "wrapKey":
                return self.private.public_key().encrypt(value, OAEP)
            return self.private.decrypt(value, OAEP)
        except (ValueError, KeyError, keywrap.InvalidUnwrap) as error:
            raise Refusal(400, "BadParameter", "The parameter is incorrect.") from error

    def algorithm(self):
        return f"A{8 * len(self.secret)}KW" if self.secret else "RSA-OAEP-256"


class Release:
    """Secure key release: statements that hold a key wrapped for whom an attestation
    names.  `how` says what is wrong with one."""

    def __init__(self, folder):
        self.folder = folder

    def signer(self, name):
        """Its private key, and its chain as a JWS has it."""
        def load(kind):
            with open(os.path.join(self.folder, "tls", name + kind), "rb") as file:
                return file.read()
        return serialization.load_pem_private_key(load(".key"), None), [
            base64.b64encode(c.public_bytes(serialization.Encoding.DER)).decode()
            for c in x509.load_pem_x509_certificates(load(".pem"))]

    def make(self, key, kid, body, how):
        if "release" not in key.ops or not key.secret:
            raise Refusal(403, "Forbidden", "Operation release is not permitted on "
                          "this key.", "KeyOperationForbidden")
        if body.get("enc") != "RSA_AES_KEY_WRAP_256":
            raise Refusal(400, "BadParameter", "enc is not supported")
        try:
            claims = json.loads(unb64url(body["target"].split(".")[1]))
            jwk = claims["x-ms-runtime"]["keys"][0]
            to = rsa.RSAPublicNumbers(*(int.from_bytes(unb64url(jwk[m]), "big")
                                        for m in "en")).public_key()
        except (ValueError, KeyError, IndexError) as error:
            raise Refusal(403, "Forbidden", "Target environment attestation statement "
                          "cannot be verified.") from error
        weak, other = "CKM_RSA_AES_KEY_WRAP", kid[:-4] + "beef"
        aes = os.urandom(32)
        wrapped = to.encrypt(aes, OAEP) + keywrap.aes_key_wrap_with_padding(
            aes, key.secret)
        inner = {"schema_version": "1.0", "header": {
            "kid": other if how == "kid-inner" else kid,
            "alg": "RSA" if how == "inner-alg" else "dir",
            "enc": weak if how == "enc-inner" else "CKM_RSA_AES_KEY_WRAP_256"},
            "ciphertext": b64url(wrapped[:-8] if how == "short" else wrapped)}
        released = {"kid": other if how == "kid-key" else kid, "kty": key.kty,
                    "key_ops": key.ops, "key_hsm": b64url(json.dumps(inner).encode())}
        if how == "plain":
            released["k"] = b64url(key.secret)
        payload = {"request": {"api-version": "7.4",
                               "enc": weak if how == "enc-request" else body["enc"],
                               "kid": other if how == "kid-request" else kid,
                               "nonce": "AAAA" if how == "nonce" else body["nonce"]},
                   "response": {"key": {"key": released}}}
        return {"value": self.sign(payload, how)}

    def sign(self, payload, how):
        signer = "forged" if how in ("stranger", "wrong-key") else "release"
        signer = "weak" if how == "weak" else signer
        private, chain = self.signer(signer)
        if how == "wrong-key":
            chain = self.signer("release")[1]
        header = {"alg": {"none": "none", "hs256": "HS256"}.get(how, "RS256"),
                  "typ": "JWT", "x5c": [] if how == "no-chain" else chain}
        if how == "crit":
            header["crit"] = ["b64"]
        parts = [b64url(json.dumps(part).encode()) for part in (header, payload)]
        text = ".".join(parts)
        signature = private.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
        if how == "tampered":
            parts[1] = b64url(json.dumps(dict(payload, more=1)).encode())
        if how in ("none", "unsigned"):
            signature = b""
        return ".".join(parts) + "." + b64url(signature)


class Vault:
    """Keys by name; each is a list of versions, the newest last."""

    PAGE = 3	# Azure has 25

    def __init__(self, clock, folder):
        self.clock, self.keys, self.deleted = clock, {}, {}
        self.release = Release(folder)

    def versions(self, name):
        if name not in self.keys:
            raise Refusal(404, "KeyNotFound", "A key with (name/id) "
                          f"{name} was not found in this key vault.")
        return self.keys[name]

    def version(self, name, version):
        for key in reversed(self.versions(name)):
            if version in ("", key.version):
                return key
        raise Refusal(404, "KeyNotFound", f"A key with (name/id) {name}/{version} "
                      "was not found in this key vault.")

    def create(self, name, body):
        if name in self.deleted:
            raise Refusal(409, "Conflict", f"Key {name} is currently in a deleted "
                          "but recoverable state.", "ObjectIsDeletedButRecoverable")
        key = Key(name, body, self.clock)
        self.keys.setdefault(name, []).append(key)
        return key

    def import_key(self, name, body):
        """Symmetric ones only."""
        jwk = body["key"]
        body = dict(body, kty=jwk["kty"], key_ops=jwk.get("key_ops"))
        key = Key(name, body, self.clock, unb64url(jwk["k"]))
        self.keys.setdefault(name, []).append(key)
        return key

    def list_versions(self, name, host, skip):
        items = [key.item(host) for key in self.versions(name)]
        page = {"value": items[skip:skip + self.PAGE], "nextLink": None}
        if skip + self.PAGE < len(items):
            page["nextLink"] = (f"https://{host}:443/keys/{name}/versions?api-version"
                                f"=7.4&$skiptoken={skip + self.PAGE}")
        return page

    def deleted_bundle(self, name, host):
        if name not in self.deleted:
            raise Refusal(404, "KeyNotFound", f"Deleted Key not found: {name}")
        versions, date = self.deleted[name]
        return dict(versions[-1].bundle(host), deletedDate=date,
                    recoveryId=f"https://{host}/deletedkeys/{name}",
                    scheduledPurgeDate=date + RECOVERABLE_DAYS * 86400)

    def delete(self, name, host):
        self.deleted[name] = (self.versions(name), int(time.time()))
        del self.keys[name]
        return self.deleted_bundle(name, host)

    def recover(self, name, host):
        self.deleted_bundle(name, host)
        self.keys[name] = self.deleted.pop(name)[0]
        return self.keys[name][-1].bundle(host)

    def purge(self, name, host):
        self.deleted_bundle(name, host)
        del self.deleted[name]

    def route(self, method, parts, query, body, host, how=None):
        """The body of the answer; None is 204."""
        kind, name, *rest = parts
        name = name.lower()
        if kind == "deletedkeys":
            if rest == ["recover"] and method == "POST":
                return self.recover(name, host)
            if method == "DELETE":
                return self.purge(name, host)
            return self.deleted_bundle(name, host)
        if method == "POST" and rest in (["create"], ["rotate"]):
            return self.create(name, body).bundle(host)
        if method == "PUT":
            return self.import_key(name, body).bundle(host)
        if method == "DELETE":
            return self.delete(name, host)
        if rest == ["versions"]:
            return self.list_versions(name, host, int(query.get("$skiptoken", 0)))
        key = self.version(name, rest[0] if rest else "")
        if method == "PATCH":
            key.update(body, self.clock)
        if method == "POST" and rest[1:] == ["release"]:
            return self.release.make(key, key.kid(host), body, how)
        if method == "POST" and rest[1:] in (["unwrapkey"], ["wrapkey"]):
            operation = rest[1].replace("key", "Key")
            value = key.use(operation, body)
            if how == "plain":
                value = bytes(4) + unb64url(body["value"]) + bytes(4)
            return {"kid": key.kid(host), "value": b64url(value)}
        return key.bundle(host)
