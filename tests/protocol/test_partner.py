#!/usr/bin/python3
"""Client certificates and partners in the restrictions of mail that comes in."""
import os
import re
import smtplib
import ssl
import unittest

import harness
from harness import StackTest, run, wait_for
from test_external import self_signed
from test_tls import issue, make_ca

BASE = "ou=mail,dc=example,dc=org"
POLICY = "cn=default policy,ou=mail,dc=example,dc=org"


def fingerprints(pem):
    """Of the certificate and of its public key."""
    text = run("openssl", "x509", "-in", pem, "-noout", "-fingerprint", "-sha256").stdout.strip().split("=")[1]
    key = run("sh", "-c", f"openssl x509 -in '{pem}' -noout -pubkey | openssl pkey -pubin -outform DER | sha256sum")
    digits = key.stdout.split()[0].upper()
    return text, ":".join(digits[i:i + 2] for i in range(0, 64, 2))


class CertificateTest(StackTest):
    CONF = {"smtpd_tls_ask_ccert": "yes", "mynetworks": "192.0.2.0/24"}

    @classmethod
    def prepare(cls, stack):
        cls.ca = make_ca(stack.folder)
        stack.conf["smtpd_tls_CAfile"] = cls.ca[0]
        cls.known = issue(stack.folder, cls.ca, "partner", "/O=Example/CN=Partner", "DNS:mx.partner.example")
        other = os.path.join(stack.folder, "other")
        os.mkdir(other)
        cls.stranger = issue(other, make_ca(other), "eve", "/O=Example/CN=Partner", "DNS:mx.partner.example")
        cls.self_signed = self_signed(stack.folder, "lone")
        cls.more(stack)

    @classmethod
    def more(cls, stack):
        pass

    def rcpt(self, cert=None, tls=True, sender="a@example.com", recipient="alice@example.org"):
        with smtplib.SMTP("127.0.0.1", self.stack.ports["smtp"], local_hostname="client.example.net", timeout=30) as s:
            if tls or cert:
                context = ssl.create_default_context()
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
                if cert:
                    context.load_cert_chain(cert)
                s.starttls(context=context)
            s.ehlo()
            self.assertEqual(s.docmd(f"MAIL FROM:<{sender}>")[0], 250)
            code, text = s.docmd(f"RCPT TO:<{recipient}>")
            return f"{code} {text.decode()}"

    def policy(self, stage, value):
        name = f"dirigoSmtpd{stage}Restrictions"

        def put(text):
            what = f"replace: {name}\n{name}: {text}\n" if text else f"replace: {name}\n"
            self.stack.slapd.modify(f"dn: {POLICY}\nchangetype: modify\n{what}")
        self.addCleanup(put, None)
        put(value)

    def entry(self, name, text):
        self.stack.slapd.add(f"dn: cn={name},{BASE}\ncn: {name}\n{text}\n")
        self.addCleanup(self.stack.slapd.modify, f"dn: cn={name},{BASE}\nchangetype: delete\n")

    def becomes(self, expect, **what):
        wait_for(expect, lambda: re.match(expect, self.rcpt(**what)), 20)


class ClientCertificates(CertificateTest):
    @classmethod
    def more(cls, stack):
        stack.conf["relay_clientcerts"] = f"relays {fingerprints(cls.self_signed)[1].lower()}"

    def test_relaying(self):
        self.policy("Relay", "permit_tls_clientcerts, reject_unauth_destination")
        out = {"recipient": "x@elsewhere.example"}
        self.becomes("250", cert=self.self_signed, **out)  # by its key, in dirigo.conf
        for cert in (None, self.known, self.stranger):
            self.assertRegex(self.rcpt(cert=cert, **out), "^554 5.7.1")
        self.entry("relays", "objectClass: dirigoAccess\ndirigoAccessTable: relays\ndirigoAccessAction: OK\n"
                   f"dirigoAccessKey: {fingerprints(self.known)[0].lower()}")
        self.becomes("250", cert=self.known, **out)
        self.assertRegex(self.rcpt(cert=self.stranger, **out), "^554 5.7.1")
        self.policy("Relay", "permit_tls_all_clientcerts, reject_unauth_destination")
        self.becomes("554", cert=self.self_signed, **out)
        self.assertRegex(self.rcpt(cert=self.known, **out), "^250")
        self.assertRegex(self.rcpt(cert=self.stranger, **out), "^554")

    def test_access(self):
        self.policy("Client", "check_ccert_access certs")
        entry = "objectClass: dirigoAccess\ndirigoAccessTable: certs\ndirigoAccessAction: {}\ndirigoAccessKey: {}"
        self.entry("stranger", entry.format("REJECT 5.7.9 we know you", fingerprints(self.stranger)[1]))
        self.entry("lone", entry.format("WARN seen", fingerprints(self.self_signed)[0]))
        self.becomes(r"554 5.7.9 \S+: Client host rejected: we know you", cert=self.stranger)
        for cert in (None, self.known, self.self_signed):
            self.assertRegex(self.rcpt(cert=cert), "^250")
        wait_for("the warning", lambda: "text=seen" in self.stack.dirigod.log(), 20)


if __name__ == "__main__":
    harness.main()
