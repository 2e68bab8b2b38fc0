#!/usr/bin/python3
"""SASL EXTERNAL: a client's certificate and the entry that it belongs to; and who may act for whom."""
import os
import unittest

import harness
from harness import PASSWORDS, StackTest, run, wait_for
from saslclient import SASL_NAME, SERVICES, WORDS, connect, ok
from test_login import b64, plain
from test_tls import der, issue, make_ca

PEOPLE = "ou=people,dc=example,dc=org"


def self_signed(folder, name):
    """A certificate that no CA vouches for; one file with its key."""
    path = f"{folder}/{name}-self.pem"
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
        "-subj", f"/CN={name} of no CA", "-out", path, "-keyout", f"{path}.key")
    with open(path, "a", encoding="ascii") as out, open(f"{path}.key", encoding="ascii") as key:
        out.write(key.read())
    return path


def change(stack, uid, text, dn=None):
    stack.slapd.modify(f"dn: {dn or f'uid={uid},{PEOPLE}'}\nchangetype: modify\n{text}\n")


class External(StackTest):
    MAP = {}
    CERTS = {}

    @classmethod
    def prepare(cls, stack):
        cls.ca = make_ca(stack.folder)
        stack.conf.update({
            "ssl_ca": cls.ca[0], "ssl_verify_client_cert": "yes", "smtpd_tls_ask_ccert": "yes",
            "auth_mechanisms": "plain scram-sha-256 external", "auth_failure_delay": "10ms",
            "auth_failure_delay_limit": "40ms", "login_failure_limit": "100", **cls.MAP})
        cls.certs = {name: issue(stack.folder, cls.ca, name, *what) for name, what in cls.CERTS.items()}

    def each(self, pem, services=SERVICES, **more):
        for service in services:
            with self.subTest(service, cert=os.path.basename(pem)), \
                    connect(self.stack, service, cert=(pem,), **more) as c:
                yield service, c

    def denied(self, service, reply):
        self.assertTrue(reply.startswith(WORDS["denied"][service]), reply)

    def login(self, pem, name, authzid=""):
        """The certificate logs in as name, everywhere; by the log."""
        for service, c in self.each(pem):
            self.assertIn("EXTERNAL", c.capabilities())
            self.assertTrue(ok(c.sasl_ir("EXTERNAL", b64(authzid) or "=")))

            def told(service=service):
                return [li for li in self.stack.dirigod.log().splitlines()
                        if f"service={SASL_NAME[service]} mechanism=EXTERNAL login={name} " in li and "result=ok" in li]
            wait_for("the log", told)


class Ways(External):
    MAP = {"ssl_cert_dn_rule": "CN=%u,OU=Nobody,O=Example | CN=%u,OU=Staff,O=Example",
           "auth_ssl_cert_map": "certificate san rule"}
    CERTS = {
        "bob": ("/O=Elsewhere/CN=Who ever", "email:strange@example.net,email:Bob@Example.org"),
        "carol": ("/O=Example/OU=Staff/CN=carol", "DNS:laptop.example.org"),
        "dave": ("/O=Example/OU=Staff/CN=dave", "email:dave@example.org"),
        "nobody": ("/O=Example/OU=Guests/CN=alice", "email:nobody-here@example.org"),
        "both": ("/O=Example/OU=Staff/CN=carol", "email:bob@example.org"),
    }

    def test_a_certificate_in_the_directory(self):
        """No CA vouches for it; it works as soon as the entry has it, and no longer than that."""
        pem = self_signed(self.stack.folder, "alice")
        for service, c in self.each(pem):
            self.assertFalse(ok(c.sasl_ir("EXTERNAL", "=")))
        change(self.stack, "alice", f"add: userCertificate;binary\nuserCertificate;binary:: {b64(der(pem))}")
        wait_for("the certificate", lambda: self.try_once(pem))
        self.login(pem, "alice")
        for service, c in self.each(pem):
            # Without an initial response it is asked for, and an empty one is right.
            self.assertTrue(ok(c.sasl("EXTERNAL", "")))
        change(self.stack, "alice", "delete: userCertificate;binary")
        wait_for("the end", lambda: not self.try_once(pem))
        for service, c in self.each(pem):
            self.denied(service, c.sasl_ir("EXTERNAL", "="))

    def try_once(self, pem):
        with connect(self.stack, "imap", cert=(pem,)) as c:
            return ok(c.sasl_ir("EXTERNAL", "="))

    def test_san_and_rule(self):
        self.login(self.certs["bob"], "bob")
        self.login(self.certs["carol"], "carol")
        self.login(self.certs["both"], "bob")  # san stands before rule

    def test_refused(self):
        for who in ("dave", "nobody"):
            for service, c in self.each(self.certs[who]):
                self.denied(service, c.sasl_ir("EXTERNAL", "="))
                self.assertTrue(ok(c.sasl_ir("PLAIN", plain("alice", PASSWORDS["alice"]))))

    def test_a_strangers_certificate(self):
        folder = os.path.join(self.stack.folder, "other")
        os.mkdir(folder)
        pem = issue(folder, make_ca(folder), "eve", "/O=Example/OU=Staff/CN=carol", "email:alice@example.org")
        for service, c in self.each(pem):
            self.denied(service, c.sasl_ir("EXTERNAL", "="))

    def test_offered_to_whom_it_serves(self):
        for service in SERVICES:
            with connect(self.stack, service) as c:
                self.assertIn("PLAIN", c.capabilities())
                self.assertNotIn("EXTERNAL", c.capabilities())
                self.assertTrue(c.sasl_ir("EXTERNAL", "=").startswith(WORDS["unknown mechanism"][service]))

    def test_malformed(self):
        for service, c in self.each(self.certs["bob"]):
            self.assertFalse(ok(c.sasl_ir("EXTERNAL", b64("bob\0alice"))))
            self.assertFalse(ok(c.sasl_ir("EXTERNAL", b64("x" * 3000))))
            self.assertTrue(ok(c.sasl_ir("EXTERNAL", "=")))


class Subject(External):
    MAP = {"auth_ssl_cert_map": "dn", "auth_ssl_username_from_cert": "yes", "auth_ssl_trust_directory": "no"}
    CERTS = {
        "bob": ("/DC=org/DC=example/OU=people/UID=bob", "DNS:x.example.org"),
        "carol": ("/O=Example/CN=carol", "email:bob@example.org"),
        "group": ("/DC=org/DC=example/OU=groups/CN=staff", "DNS:x.example.org"),
    }

    def test_subject(self):
        self.login(self.certs["bob"], "bob")
        self.login(self.certs["carol"], "carol")
        for service, c in self.each(self.certs["group"]):
            self.denied(service, c.sasl_ir("EXTERNAL", "="))

    def test_the_directory_alone_is_not_enough(self):
        pem = self_signed(self.stack.folder, "alice")
        change(self.stack, "alice", f"add: userCertificate;binary\nuserCertificate;binary:: {b64(der(pem))}")
        for service, c in self.each(pem):
            self.assertNotIn("EXTERNAL", c.capabilities())
            self.assertFalse(ok(c.sasl_ir("EXTERNAL", "=")))


class Acting(External):
    """bob has a delegate; carol is an administrator through a group in a group."""
    MAP = {"auth_admin_group": "cn=Admins, ou=groups,dc=example,dc=org"}
    CERTS = {"alice": ("/CN=Alice", "email:alice@example.org"), "carol": ("/CN=Carol", "email:carol@example.org")}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        groups = "ou=groups,dc=example,dc=org"
        cls.stack.slapd.add(f"dn: {groups}\nobjectClass: organizationalUnit\nou: groups\n\n"
                            f"dn: cn=inner,{groups}\nobjectClass: groupOfNames\ncn: inner\nmember: uid=carol,{PEOPLE}\n\n"
                            f"dn: cn=admins,{groups}\nobjectClass: groupOfNames\ncn: admins\nmember: cn=inner,{groups}\n\n"
                            f"dn: cn=desk,{groups}\nobjectClass: groupOfNames\ncn: desk\nmember: uid=carol,{PEOPLE}\n")

    def attempts(self, who, other):
        """Each mechanism's answer on each service."""
        for service in SERVICES:
            with connect(self.stack, service, cert=(self.certs[who],)) as c:
                yield service, "PLAIN", c.sasl_ir("PLAIN", plain(who, PASSWORDS[who], other))
            with connect(self.stack, service, cert=(self.certs[who],)) as c:
                yield service, "EXTERNAL", c.sasl_ir("EXTERNAL", b64(other))
            with connect(self.stack, service) as c:
                yield service, "SCRAM", c.scram(who, PASSWORDS[who], other=other)[0]

    def allowed(self, who, other, name):
        for service, mechanism, reply in self.attempts(who, other):
            self.assertTrue(ok(reply), (service, mechanism, reply))

        def told():
            lines = [li for li in self.stack.dirigod.log().splitlines()
                     if f" login={name} " in li and f" actor={who}" in li and "result=ok" in li]
            return len(lines) >= 9
        wait_for("who acted for whom", told)

    def refused(self, who, other):
        for service, mechanism, reply in self.attempts(who, other):
            self.assertTrue(reply.startswith(WORDS["denied"][service]), (service, mechanism, reply))

    def test_delegates_and_administrators(self):
        self.refused("alice", "bob")
        wait_for("the group", lambda: ok(next(self.attempts("carol", "alice"))[2]))
        self.allowed("carol", "Bob@example.org", "bob")
        self.refused("carol", "dave")  # disabled
        self.refused("carol", "not-a-user")
        change(self.stack, "bob", f"add: dirigoDelegate\ndirigoDelegate: UID=alice, {PEOPLE}")
        wait_for("the delegate", lambda: ok(next(self.attempts("alice", "bob"))[2]))
        self.allowed("alice", "bob", "bob")
        self.refused("alice", "carol")

    def test_the_mailbox_is_the_others(self):
        with connect(self.stack, "imap") as c:
            self.assertTrue(ok(c.password("alice", PASSWORDS["alice"])))
            self.assertTrue(ok(c.command("CREATE OfAlice")))
        wait_for("the group", lambda: ok(next(self.attempts("carol", "alice"))[2]))
        with connect(self.stack, "imap") as c:
            self.assertTrue(ok(c.sasl_ir("PLAIN", plain("carol", PASSWORDS["carol"], "alice"))))
            self.assertTrue(ok(c.command("SELECT OfAlice")))

    def test_a_wrong_password_tells_nothing(self):
        for service in SERVICES:
            with connect(self.stack, service) as c:
                replies = {c.sasl_ir("PLAIN", plain(*what)) for what in (
                    ("carol", "wrong", "alice"), ("carol", "wrong", "nobody"), ("alice", "wrong", "carol"),
                    ("alice", PASSWORDS["alice"], "carol"), ("nobody", "wrong", "alice"))}
                self.assertEqual(len(replies), 1, replies)


if __name__ == "__main__":
    harness.main()
