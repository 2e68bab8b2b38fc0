#!/usr/bin/python3
"""OAUTHBEARER (RFC 7628) and XOAUTH2: tokens that are JWTs, and tokens that an authorisation server is asked about."""
import base64
import http.server
import json
import os
import subprocess
import threading
import time
import unittest
import urllib.parse

import harness
from harness import PASSWORDS, StackTest, run, wait_for
from saslclient import SERVICES, WORDS, connect, ok
from test_login import b64, plain

PEOPLE = "ou=people,dc=example,dc=org"
ISSUER, AUDIENCE = "https://id.example.org", "mail"


def url64(data):
    return base64.urlsafe_b64encode(data if isinstance(data, bytes) else data.encode()).rstrip(b"=").decode()


class Key:
    """An issuer's key: RSA, or EC on P-256; made and used by openssl."""

    def __init__(self, folder, name, kind="RSA"):
        self.name, self.kind, self.file = name, kind, f"{folder}/{name}.pem"
        more = ["-pkeyopt", "rsa_keygen_bits:2048"] if kind == "RSA" else ["-pkeyopt", "ec_paramgen_curve:P-256"]
        run("openssl", "genpkey", "-algorithm", kind, *more, "-out", self.file)

    def jwk(self, **more):
        text = run("openssl", "pkey", "-in", self.file, "-noout", "-text").stdout
        if self.kind == "RSA":
            hexa = text.split("modulus:")[1].split("publicExponent")[0]
            n = bytes.fromhex("".join(hexa.split()).replace(":", "")).lstrip(b"\0")
            return {"kty": "RSA", "kid": self.name, "n": url64(n), "e": "AQAB", **more}
        hexa = text.split("pub:")[1].split("ASN1")[0]
        point = bytes.fromhex("".join(hexa.split()).replace(":", ""))
        return {"kty": "EC", "crv": "P-256", "kid": self.name, "x": url64(point[1:33]), "y": url64(point[33:]), **more}

    def sign(self, text):
        done = subprocess.run(["openssl", "dgst", "-sha256", "-sign", self.file], input=text, capture_output=True,
                              check=True, timeout=60)
        if self.kind == "RSA":
            return done.stdout
        return b"".join(part.rjust(32, b"\0")[-32:] for part in der_integers(done.stdout))

    def token(self, header=None, signature=None, **claims):
        now = int(time.time())
        body = {"iss": ISSUER, "aud": AUDIENCE, "exp": now + 3600, "iat": now, "scope": "openid mail.all",
                "email": "alice@example.org", **claims}
        body = {k: v for k, v in body.items() if v is not None}
        head = {"alg": "RS256" if self.kind == "RSA" else "ES256", "kid": self.name, "typ": "JWT", **(header or {})}
        text = f"{url64(json.dumps(head))}.{url64(json.dumps(body))}"
        return f"{text}.{url64(self.sign(text.encode()) if signature is None else signature)}"


def der_integers(data):
    """The two numbers of an ECDSA signature."""
    at = 2
    for _ in range(2):
        size = data[at + 1]
        yield data[at + 2:at + 2 + size]
        at += 2 + size


def bearer(token, user="", host="mx.example.org"):
    name = f"a={user}" if user else ""
    return b64(f"n,{name},\1host={host}\1port=993\1auth=Bearer {token}\1\1")


def xoauth2(token, user="alice"):
    return b64(f"user={user}\1auth=Bearer {token}\1\1")


class OauthTest(StackTest):
    def each(self):
        for service in SERVICES:
            with self.subTest(service), connect(self.stack, service) as c:
                yield service, c

    def good(self, token, user="", name="alice"):
        for service, c in self.each():
            self.assertTrue(ok(c.sasl_ir("OAUTHBEARER", bearer(token, user))))
        for service, c in self.each():
            self.assertTrue(ok(c.sasl_ir("XOAUTH2", xoauth2(token, user or name))))

    def bad(self, token, user="alice", status="invalid_token"):
        for service, c in self.each():
            reply = c.sasl_ir("OAUTHBEARER", bearer(token, user))
            self.assertTrue(reply.startswith("+ "), reply)
            said = json.loads(base64.b64decode(reply[2:]))
            self.assertEqual(said["status"], status)
            self.assertEqual(said["openid-configuration"], ISSUER + "/.well-known/openid-configuration")
            reply = c.answer(b64("\1"))
            self.assertTrue(reply.startswith(WORDS["denied"][service]), reply)
            reply = c.sasl_ir("XOAUTH2", xoauth2(token, user))
            said = json.loads(base64.b64decode(reply[2:]))
            self.assertEqual((said["status"], said["schemes"]),
                             ("401" if status == "invalid_token" else "403", "bearer"))
            reply = c.answer("")
            self.assertTrue(reply.startswith(WORDS["denied"][service]), reply)
            self.assertTrue(ok(c.sasl_ir("PLAIN", plain("alice", PASSWORDS["alice"]))))


class Jwt(OauthTest):
    CONF = {"auth_mechanisms": "plain oauthbearer xoauth2", "auth_failure_delay": "10ms", "login_failure_limit": "100",
            "auth_failure_delay_limit": "20ms", "oauth2_issuers": ISSUER, "oauth2_audience": f"other {AUDIENCE}",
            "oauth2_scope": "mail.all",
            "oauth2_openid_configuration_url": ISSUER + "/.well-known/openid-configuration"}

    @classmethod
    def prepare(cls, stack):
        cls.rsa, cls.ec = Key(stack.folder, "one"), Key(stack.folder, "two", "EC")
        cls.jwks = f"{stack.folder}/jwks.json"
        cls.write(cls.rsa.jwk(use="sig", alg="RS256"), cls.ec.jwk())
        stack.conf["oauth2_jwks_file"] = cls.jwks

    @classmethod
    def write(cls, *keys, text=None):
        with open(cls.jwks + ".new", "w", encoding="ascii") as f:
            f.write(text or json.dumps({"keys": keys}))
        os.chmod(cls.jwks + ".new", 0o644)
        os.replace(cls.jwks + ".new", cls.jwks)

    def test_good(self):
        self.good(self.rsa.token())
        self.good(self.ec.token(), "alice@example.org")
        self.good(self.rsa.token(header={"kid": None}, aud=["x", AUDIENCE], email_verified=True))
        self.good(self.rsa.token(scope=None, scp=["mail.all"], email="Bob@example.org"), "bob", "bob")

    def test_bad(self):
        now = int(time.time())
        stranger = Key(self.stack.folder, "one-too")
        stranger.name = "one"
        whole = self.rsa.token()
        for token in (
                self.rsa.token(exp=now - 600), self.rsa.token(exp=None), self.rsa.token(exp="soon"),
                self.rsa.token(nbf=now + 600), self.rsa.token(iss="https://evil.example"), self.rsa.token(aud="shop"),
                self.rsa.token(aud=None), self.rsa.token(email=None), self.rsa.token(email=7),
                self.rsa.token(email_verified=False), self.rsa.token(email="nobody@example.org"),
                self.rsa.token(email="dave@example.org"), stranger.token(), whole[:-8] + "AAAAAAAA",
                self.rsa.token(header={"alg": "none"}, signature=b""), self.rsa.token(header={"alg": "HS256"}),
                self.rsa.token(header={"alg": "PS256"}), self.ec.token(header={"alg": "RS256"}),
                self.rsa.token(header={"crit": ["exp"]}), "a.b.c", "opaque", "=" * 100):
            self.bad(token)
        self.bad(self.rsa.token(scope="openid"), status="insufficient_scope")
        for service, c in self.each():  # somebody else, for whom alice may not act
            reply = c.sasl_ir("OAUTHBEARER", bearer(self.rsa.token(), "bob"))
            self.assertTrue(reply.startswith(WORDS["denied"][service]), reply)

    def test_malformed(self):
        token = self.rsa.token()
        for service, c in self.each():
            for text in ("", "n,,", f"n,,\1auth=Bearer {token}\1", f"p=tls-unique,,\1auth=Bearer {token}\1\1",
                         f"n,,\1auth=Basic {token}\1\1", f"n,,\1auth=Bearer a b\1\1", "n,,\1host=x\1\1",
                         f"n,a=x=2D,\1auth=Bearer {token}\1\1", f"n,,\1auth=Bearer {token}\1\1more",
                         f"n,,\1auth=Bearer {token}\0\1\1", f"n,,\1auth=Bearer {token}\1auth=Bearer {token}\1\1"):
                reply = c.sasl_ir("OAUTHBEARER", b64(text) or "=")
                self.assertTrue(reply.startswith(WORDS["malformed"][service]), (text, reply))
            self.assertTrue(ok(c.sasl("OAUTHBEARER", bearer(token))))

    def test_long_tokens(self):
        token = self.rsa.token(groups=["x" * 60] * 60)
        self.assertGreater(len(token), 4000)
        self.good(token)

    def test_client_gives_up_or_leaves(self):
        for service, c in self.each():
            self.assertTrue(c.sasl_ir("OAUTHBEARER", bearer("junk")).startswith("+ "))
            self.assertFalse(ok(c.answer("*")))
            self.assertTrue(c.sasl_ir("OAUTHBEARER", bearer("junk")).startswith("+ "))
        with connect(self.stack, "imap") as c:
            self.assertTrue(ok(c.sasl_ir("OAUTHBEARER", bearer(self.rsa.token()))))

    def test_new_keys(self):
        fresh = Key(self.stack.folder, "three")
        self.write(fresh.jwk(), self.rsa.jwk())
        try:
            self.good(fresh.token())
            self.bad(self.ec.token())
            self.write(text="{ this is no JSON")
            self.good(fresh.token())  # what cannot be read replaces nothing
            self.write({"kty": "oct", "kid": "s", "k": url64("secret")}, {"kty": "RSA"}, self.rsa.jwk(use="enc"))
            with connect(self.stack, "imap") as c:  # no key at all: nobody can tell
                self.assertTrue(c.sasl_ir("OAUTHBEARER", bearer(fresh.token())).startswith(WORDS["temporary"]["imap"]))
        finally:
            self.write(self.rsa.jwk(use="sig", alg="RS256"), self.ec.jwk())
        self.good(self.ec.token())

    def test_curl(self):
        token = self.rsa.token()
        for scheme, service in (("imap", "imap"), ("pop3", "pop3"), ("smtp", "submission")):
            for mechanism in ("OAUTHBEARER", "XOAUTH2"):
                run("curl", "-sS", "--ssl-reqd", "--cacert", self.stack.cert, "--url",
                    f"{scheme}://127.0.0.1:{self.stack.ports[service]}/", "--login-options", f"AUTH={mechanism}",
                    "--user", "alice:", "--oauth2-bearer", token, *(["-X", "NOOP"] if scheme == "smtp" else []))

    def test_the_log_has_no_token(self):
        token = self.rsa.token()
        with connect(self.stack, "imap") as c:
            self.assertTrue(ok(c.sasl_ir("OAUTHBEARER", bearer(token))))
        log = wait_for("the log", lambda: (t := self.stack.dirigod.log()) and "mechanism=OAUTHBEARER" in t and t)
        self.assertNotIn(token[:60], log)
        self.assertNotIn(bearer(token)[40:100], log)


class Asked(http.server.BaseHTTPRequestHandler):
    """An authorisation server's introspection endpoint."""
    answers = {}

    def do_POST(self):
        form = urllib.parse.parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        known = self.headers.get("Authorization") == "Basic " + b64("mail%20gate:s%26cret")
        answer = self.answers.get(form.get("token", [""])[0], {"active": False})
        if answer == "hang":
            time.sleep(3)
        body = json.dumps(answer).encode() if isinstance(answer, dict) else b"junk"
        self.send_response(200 if known and answer != "broken" else 401)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Introspection(OauthTest):
    CONF = {"auth_mechanisms": "plain oauthbearer xoauth2", "auth_failure_delay": "10ms", "login_failure_limit": "100",
            "auth_failure_delay_limit": "20ms", "oauth2_username_attribute": "username", "oauth2_scope": "mail",
            "oauth2_timeout": "1s", "oauth2_client_id": "mail gate",
            "oauth2_openid_configuration_url": ISSUER + "/.well-known/openid-configuration"}

    @classmethod
    def prepare(cls, stack):
        now = int(time.time())
        base = {"active": True, "username": "alice", "scope": "mail x"}
        Asked.answers = {"right": base, "a.b.c": base, "plus+slash/~": base, "late": {**base, "exp": now - 600},
                         "narrow": {**base, "scope": "x"}, "nobody": {**base, "username": "nobody"},
                         "odd": "junk", "slow": "hang", "broken": "broken"}
        cls.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Asked)
        cls.server.daemon_threads = True
        cls.context = harness.ssl.SSLContext(harness.ssl.PROTOCOL_TLS_SERVER)
        cls.context.load_cert_chain(stack.cert, stack.key)
        cls.server.socket = cls.context.wrap_socket(cls.server.socket, server_side=True)
        threading.Thread(target=cls.server.serve_forever, daemon=True).start()
        secret = f"{stack.folder}/client-secret"
        with open(secret, "w", encoding="ascii") as f:
            f.write("s&cret\n")
        os.chmod(secret, 0o644)
        stack.conf.update({"oauth2_introspection_url": f"https://127.0.0.1:{cls.server.server_address[1]}/ask",
                           "oauth2_client_secret_file": secret, "oauth2_tls_ca_cert_file": stack.cert})

    @classmethod
    def tearDownClass(cls):
        cls.server.shutdown()
        cls.server.server_close()
        super().tearDownClass()

    def test_good(self):
        self.good("right")
        self.good("plus+slash/~", "alice@example.org")
        self.good("a.b.c")  # looks like a JWT, and there are no keys for those

    def test_bad(self):
        for token in ("unheard", "late", "nobody"):
            self.bad(token)
        self.bad("narrow", status="insufficient_scope")

    def test_no_answer_is_temporary(self):
        for token in ("odd", "slow", "broken"):
            for service, c in self.each():
                reply = c.sasl_ir("OAUTHBEARER", bearer(token))
                self.assertTrue(reply.startswith(WORDS["temporary"][service]), (token, reply))
                # Others are served meanwhile, and afterwards.
                self.assertTrue(ok(c.sasl_ir("XOAUTH2", xoauth2("right"))))

    def test_nothing_waits_for_it(self):
        with connect(self.stack, "imap") as slow, connect(self.stack, "imap") as quick:
            slow.count += 1
            slow.send(f"t{slow.count} AUTHENTICATE OAUTHBEARER {bearer('slow')}\r\n")
            start = time.monotonic()
            self.assertTrue(ok(quick.sasl_ir("PLAIN", plain("alice", PASSWORDS["alice"]))))
            self.assertTrue(slow.end().startswith(WORDS["temporary"]["imap"]))
            self.assertGreater(time.monotonic() - start, 0.5)


if __name__ == "__main__":
    harness.main()
