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

    def rcpt(self, cert=None, tls=True, sender="a@example.com", recipient="alice@example.org", speaks_for=None):
        with smtplib.SMTP("127.0.0.1", self.stack.ports["smtp"], local_hostname="client.example.net", timeout=30) as s:
            if tls or cert:
                context = ssl.create_default_context()
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
                if cert:
                    context.load_cert_chain(cert)
                s.starttls(context=context)
            s.ehlo()
            if speaks_for:
                self.assertEqual(s.docmd("XCLIENT", speaks_for)[0], 220)
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
        stack.conf["smtpd_authorized_xclient_hosts"] = "127.0.0.1/32"
        stack.conf["relay_clientcerts"] = f"relays {fingerprints(cls.self_signed)[1].lower()}"

    def test_relaying(self):
        self.policy("Relay", "permit_tls_clientcerts, reject_unauth_destination")
        out = {"recipient": "x@elsewhere.example"}
        self.becomes("250", cert=self.self_signed, **out)  # by its key, in dirigo.conf
        for cert in (None, self.known, self.stranger):
            self.assertRegex(self.rcpt(cert=cert, **out), "^554 5.7.1")
        # A filter's certificate is not its client's.
        for attributes in ("ADDR=198.51.100.7", "ADDR=[UNAVAILABLE]", "NAME=mx.example.net"):
            self.assertRegex(self.rcpt(cert=self.self_signed, speaks_for=attributes, **out), "^554 5.7.1")
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


class Partners(CertificateTest):
    def partner(self, name, level, *lines, key=None):
        text = "".join(f"\n{line}" for line in lines)
        self.entry(name, f"objectClass: dirigoPartner\ndirigoPartnerKey: {key or name}\ndirigoPartnerTLS: {level}{text}")

    def says(self, expect, **what):
        self.assertRegex(self.rcpt(**what), expect)

    def test_encrypt_and_exceptions(self):
        self.partner("secure.example", "encrypt")
        self.partner("open.secure.example", "may")
        self.becomes(r"550 5.7.10 <a@secure.example>: Sender address rejected: this partner's mail is taken over TLS",
                     sender="a@secure.example", tls=False)
        self.says("^550 5.7.10", sender="a@sub.secure.example", tls=False)
        self.says("^250", sender="a@sub.secure.example")
        self.becomes("250", sender="a@open.secure.example", tls=False)
        self.says("^250", sender="a@elsewhere.example", tls=False)
        self.assertIn("restriction=reject_partner_mismatch", self.stack.dirigod.log())

    def test_verify(self):
        self.partner("partner.example", "verify")
        one = {"sender": "a@partner.example"}
        self.becomes("550 5.7.1 .*a client certificate is needed", **one)
        self.says("^550 5.7.10", tls=False, **one)
        self.says("^550 5.7.1 .*no CA that is known here", cert=self.stranger, **one)
        self.says("^250", cert=self.known, **one)
        self.partner("other.example", "verify")
        self.becomes("550 5.7.1 .*does not name the sender's domain", cert=self.known, sender="a@other.example")

    def test_ca(self):
        issuer = run("openssl", "x509", "-in", self.known, "-noout", "-issuer", "-nameopt", "RFC2253").stdout
        issuer = issuer.strip().split("=", 1)[1]
        self.partner("right.example", "verify", f"dirigoPartnerCA: {issuer.replace(',', ', ')}")
        self.partner("wrong.example", "verify", "dirigoPartnerCA: CN=Another CA")
        self.becomes("550 5.7.1 .*is not of the CA that was agreed on", cert=self.known, sender="a@wrong.example")
        self.becomes("550 5.7.1 .*no CA that is known", cert=self.stranger, sender="a@right.example")
        self.says("^250", cert=self.known, sender="a@right.example")

    def test_fingerprint(self):
        self.partner("print.example", "fingerprint", f"dirigoPartnerCertificate: {fingerprints(self.self_signed)[0]}",
                     f"dirigoPartnerCertificate: {fingerprints(self.stranger)[1].lower()}")
        one = {"sender": "a@print.example"}
        self.becomes("550 5.7.1 .*is not the one that was agreed on", cert=self.known, **one)
        self.says("^250", cert=self.self_signed, **one)
        self.says("^250", cert=self.stranger, **one)
        self.says("^550 5.7.1 .*a client certificate is needed", **one)

    def test_network(self):
        self.partner("local", "encrypt", key="127.0.0.0/8")
        self.becomes("550 5.7.10", tls=False)
        self.says("^250")

    def test_wrong_entries(self):
        self.partner("level.example", "sometimes")
        self.partner("noprint.example", "fingerprint")
        self.partner("twice.example", "encrypt")
        self.entry("twice again", "objectClass: dirigoPartner\ndirigoPartnerKey: twice.example\ndirigoPartnerTLS: may")
        self.becomes("451 4.3.5", sender="a@level.example")
        self.becomes("451 4.3.5", sender="a@noprint.example", cert=self.known)
        self.becomes("451 4.4.3", sender="a@twice.example")

    def test_explained(self):
        self.partner("secure.example", "encrypt")
        self.becomes("550 5.7.10", sender="a@secure.example", tls=False)
        text = self.stack.tool("explain", "--client", "198.51.100.1", "--from", "a@secure.example", "--to",
                               "alice@example.org", check=False).stdout
        self.assertIn("reject_partner_mismatch", text)
        self.assertIn(f"cn=secure.example,{BASE}", text)
        self.assertIn("5.7.10", text)


class NotAsked(CertificateTest):
    CONF = {"smtpd_tls_ask_ccert": "no", "mynetworks": "192.0.2.0/24"}

    def test_cannot_be_checked(self):
        self.entry("x", "objectClass: dirigoPartner\ndirigoPartnerKey: x.example\ndirigoPartnerTLS: verify")
        self.becomes("451 4.3.5", sender="a@x.example")
        self.assertIn("set smtpd_tls_ask_ccert = yes", self.stack.dirigod.log())


if __name__ == "__main__":
    harness.main()
