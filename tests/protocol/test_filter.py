#!/usr/bin/python3
"""SPF, DKIM, DMARC, ARC and SRS through the whole stack, with a real name server; signatures are made and verified by
another implementation (python3-dkim), too."""
import base64
import os
import re
import smtplib
import subprocess
import unittest

import dkim

import harness
from harness import wait_for
from test_relay import Server

ZONE = "mailtest"


def openssl(*args, data=None):
    return subprocess.run(["openssl", *args], input=data, capture_output=True, check=True).stdout


class Key:
    """A private key, and how the DNS and python3-dkim have it."""

    def __init__(self, algorithm):
        self.algorithm = algorithm
        options = ["-pkeyopt", "rsa_keygen_bits:2048"] if algorithm == "rsa" else []
        self.pem = openssl("genpkey", "-algorithm", algorithm.upper(), *options)
        public = openssl("pkey", "-pubout", "-outform", "DER", data=self.pem)
        if algorithm == "ed25519":
            public = public[-32:]
            private = openssl("pkey", "-outform", "DER", data=self.pem)
            self.for_dkim = base64.b64encode(private[-32:])
        else:
            self.for_dkim = openssl("rsa", "-traditional", data=self.pem)
        self.record = f"v=DKIM1; k={algorithm}; p={base64.b64encode(public).decode()}"

    def txt(self):
        return " ".join(f'"{self.record[i:i + 200]}"' for i in range(0, len(self.record), 200))


RSA, ED = Key("rsa"), Key("ed25519")
RECORDS = f"""pass TXT "v=spf1 ip4:127.0.0.1 -all"
fail TXT "v=spf1 -all"
soft TXT "v=spf1 ~all"
temporary TXT "v=spf1 include:gone.away.{ZONE}. -all"
away NS ns.away
ns.away A 127.0.0.1
rsa._domainkey.pass TXT {RSA.txt()}
ed._domainkey.pass TXT {ED.txt()}
rsa._domainkey.reject TXT {RSA.txt()}
reject TXT "v=spf1 -all"
_dmarc.reject TXT "v=DMARC1; p=reject"
_dmarc.quarantine TXT "v=DMARC1; p=quarantine"
_dmarc.watch TXT "v=DMARC1; p=none"
_dmarc.pass TXT "v=DMARC1; p=reject; adkim=s"
"""


def message(author, marker, more=""):
    return (f"{more}From: Someone <{author}>\r\nTo: alice@example.org\r\nSubject: {marker}\r\n"
            f"Message-ID: <{marker}@client.example>\r\nDate: Tue, 24 Nov 2026 12:00:00 +0000\r\n\r\n"
            f"Text of  {marker}\r\n\r\n").encode()


def lookup(keys):
    return lambda name, timeout=5: keys.get(name.decode().rstrip("."), "").encode()


class FilterTest(harness.StackTest):
    CONF = {"authentication_checks": "spf, dkim, dmarc, arc", "mynetworks": "192.0.2.0/24", "resolver_timeout": "3s",
            "arc_seal_domain": "example.org", "smtp_tcp_port": "1"}

    @classmethod
    def prepare(cls, stack):
        stack.dns = harness.Dns(f"{stack.folder}/dns", ZONE, RECORDS)
        stack.conf["resolver_stub_zones"] = f"{ZONE}=127.0.0.1@{stack.dns.port}"
        stack.conf["resolver_trust_anchor_file"] = stack.dns.anchor
        keys = f"{stack.folder}/keys"
        os.mkdir(keys)
        stack.conf["dkim_key_directory"] = keys
        for name, key in (("example.org.s1", RSA), ("second", ED)):
            with open(f"{keys}/{name}.pem", "wb") as f:
                f.write(key.pem)

    def send(self, sender, data, to="alice@example.org"):
        with self.stack.smtp() as s:
            s.ehlo("client.mailtest")
            s.sendmail(sender, [to], data)

    def results(self, marker, user="alice"):
        """The field that we have put in front, unfolded."""
        got = self.stack.wait_mail(user, marker, 20)
        field = re.search(rb"^Authentication-Results: (mx\.example\.org;(?:.*\r\n[ \t])*.*)\r\n", got, re.M)
        return got, re.sub(r"\s+", " ", field.group(1).decode())

    def refused(self, sender, data):
        with self.assertRaises(smtplib.SMTPDataError) as caught:
            self.send(sender, data)
        return caught.exception.smtp_code, caught.exception.smtp_error.decode()

    def test_spf(self):
        for name, result in (("pass", "pass"), ("fail", "fail"), ("soft", "softfail"), ("nothing", "none")):
            self.send(f"a@{name}.{ZONE}", message(f"a@watch.{ZONE}", f"spf-{name}"))
            self.assertIn(f"spf={result} smtp.mailfrom=a@{name}.{ZONE}", self.results(f"spf-{name}")[1])

    def test_spf_temporary(self):
        self.send(f"a@temporary.{ZONE}", message(f"a@watch.{ZONE}", "spf-temporary"))
        self.assertIn("spf=temperror", self.results("spf-temporary")[1])

    def test_spf_of_helo(self):
        with self.stack.smtp() as s:
            s.ehlo(f"pass.{ZONE}")
            s.sendmail("", ["alice@example.org"], message(f"a@watch.{ZONE}", "spf-helo"))
        self.assertIn(f"spf=pass smtp.helo=pass.{ZONE}", self.results("spf-helo")[1])

    def sign(self, data, selector, key, canon=(b"relaxed", b"relaxed"), domain=f"pass.{ZONE}"):
        return dkim.sign(data, selector, domain.encode(), key.for_dkim, canonicalize=canon,
                         signature_algorithm=f"{key.algorithm}-sha256".encode()) + data

    def test_dkim_of_others(self):
        for key, selector in ((RSA, b"rsa"), (ED, b"ed")):
            for header in (b"simple", b"relaxed"):
                for body in (b"simple", b"relaxed"):
                    marker = f"dkim-{key.algorithm}-{header.decode()}-{body.decode()}"
                    data = self.sign(message(f"a@pass.{ZONE}", marker), selector, key, (header, body))
                    self.send(f"a@fail.{ZONE}", data)
                    results = self.results(marker)[1]
                    self.assertIn("dkim=pass (", results)
                    self.assertIn(f"dmarc=pass (p=reject dis=none) header.from=pass.{ZONE}", results)

    def test_dkim_changed(self):
        data = self.sign(message(f"a@watch.{ZONE}", "dkim-changed"), b"rsa", RSA)
        self.send(f"a@soft.{ZONE}", data.replace(b"Text of", b"text of"))
        self.assertIn('dkim=fail (2048-bit rsa key) reason="the body was changed"', self.results("dkim-changed")[1])

    def test_dkim_without_key(self):
        data = self.sign(message(f"a@watch.{ZONE}", "dkim-no-key"), b"other", RSA)
        self.send(f"a@soft.{ZONE}", data)
        self.assertIn('dkim=permerror reason="no key"', self.results("dkim-no-key")[1])

    def test_dmarc_reject(self):
        code, text = self.refused(f"a@pass.{ZONE}", message(f"ceo@reject.{ZONE}", "dmarc-reject"))
        self.assertEqual(code, 550)
        self.assertIn(f"5.7.1 Rejected by the DMARC policy of reject.{ZONE}", text)
        data = self.sign(message(f"ceo@reject.{ZONE}", "dmarc-signed"), b"rsa", RSA, domain=f"reject.{ZONE}")
        self.send(f"a@pass.{ZONE}", data)
        self.assertIn("dmarc=pass", self.results("dmarc-signed")[1])

    def test_dmarc_quarantine(self):
        self.send(f"a@pass.{ZONE}", message(f"a@quarantine.{ZONE}", "dmarc-quarantine"))
        held = wait_for("the message on hold", lambda: f"DMARC policy of quarantine.{ZONE}" in
                        self.stack.tool("queue", "list", "--json").stdout)
        self.assertTrue(held)

    def test_dmarc_two_authors(self):
        code, text = self.refused(f"a@pass.{ZONE}", message(f"a@watch.{ZONE}", "dmarc-two", f"From: b@pass.{ZONE}\r\n"))
        self.assertEqual(code, 550)
        self.assertIn("5.7.1", text)

    def test_forged_results_are_removed(self):
        forged = ("Authentication-Results: MX.example.org; dkim=pass header.d=bank.example\r\n"
                  "Authentication-Results: other.example; spf=pass\r\n")
        self.send(f"a@pass.{ZONE}", message(f"a@watch.{ZONE}", "forged", forged))
        got, results = self.results("forged")
        self.assertNotIn(b"bank.example", got)
        self.assertIn(b"other.example", got)
        self.assertIn("dkim=none", results)
        self.assertTrue(got.startswith(b"Return-Path: <a@pass.mailtest>\r\nAuthentication-Results: "))

    def test_large_message(self):
        body = b"0123456789 abcdef  \r\n" * 100000
        data = self.sign(message(f"a@pass.{ZONE}", "large") + body, b"ed", ED)
        self.send(f"a@pass.{ZONE}", data)
        got, results = self.results("large")
        self.assertIn("dkim=pass", results)
        self.assertTrue(got.endswith(body))

    def domain(self, name, attribute, *values):
        lines = "".join(f"{attribute}: {v}\n" for v in values)
        self.stack.slapd.modify(f"dn: dirigoDomainName={name},ou=mail,{harness.SUFFIX}\nchangetype: modify\n"
                                f"replace: {attribute}\n{lines}")

    def submit(self, marker):
        self.stack.submit("bob", "bob@example.org", ["alice@example.org"], message("bob@example.org", marker))

    def test_signing(self):
        self.domain("example.org", "dirigoDkimKey", "s1", "s2 second")
        self.addCleanup(self.domain, "example.org", "dirigoDkimKey")
        keys = {"s1._domainkey.example.org": RSA.record, "s2._domainkey.example.org": ED.record}

        def signed():
            marker = f"signed-{os.urandom(4).hex()}"
            self.submit(marker)
            got = self.stack.wait_mail("alice", marker, 20)
            return got if got.count(b"DKIM-Signature:") == 2 else None

        got = wait_for("a message with two signatures", signed, 40)
        for i in range(2):
            self.assertTrue(dkim.DKIM(got).verify(i, dnsfunc=lookup(keys)))
        self.assertFalse(dkim.DKIM(got.replace(b"Subject:", b"Subject: x")).verify(0, dnsfunc=lookup(keys)))
        # A field of a kind that is signed once more than it occurs.
        self.assertFalse(dkim.DKIM(b"Subject: other\r\n" + got).verify(0, dnsfunc=lookup(keys)))

    def test_missing_key_defers(self):
        self.domain("example.org", "dirigoDkimKey", "s9 missing")
        self.addCleanup(self.domain, "example.org", "dirigoDkimKey")

        def refused():
            try:
                self.submit("missing-key")
            except smtplib.SMTPDataError as e:
                return e.smtp_code
            return None

        self.assertEqual(wait_for("the key to be missed", refused, 40), 451)

    def test_dmarc_action_of_the_domain(self):
        self.domain("example.net", "dirigoDmarcAction", "none")
        marker = "mild-domain"

        def sent():
            try:
                self.send(f"a@pass.{ZONE}", message(f"a@reject.{ZONE}", marker), "anybody@example.net")
            except smtplib.SMTPDataError:
                return False
            return True

        wait_for("the domain's own action", sent, 40)
        self.assertIn("dmarc=fail (p=reject dis=none) (local policy)", self.results(marker, "bob")[1])


class ForwardingTest(harness.StackTest):
    """Mail that is forwarded to another host: a sender that passes SPF there, a seal, and the way back."""

    CONF = {"authentication_checks": "spf, dkim, dmarc, arc", "mynetworks": "192.0.2.0/24", "resolver_timeout": "3s",
            "arc_seal_domain": "example.org", "srs_domain": "srs.example.org", "smtp_tls_security_level": "none"}

    @classmethod
    def prepare(cls, stack):
        FilterTest.prepare.__func__(cls, stack)
        port = harness.free_ports(1)[0]
        cls.remote = Server("127.0.0.1", port)
        stack.conf["relayhost"] = f"[127.0.0.1]:{port}"
        stack.conf["srs_secrets_file"] = f"{stack.folder}/srs"
        with open(f"{stack.folder}/srs", "w", encoding="ascii") as f:
            f.write("the newest secret of all\nthe one before it\n")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.stack.slapd.add(f"dn: cn=away,ou=mail,{harness.SUFFIX}\nobjectClass: nisMailAlias\n"
                            "objectClass: inetLocalMailRecipient\ncn: away\nmailLocalAddress: away@example.org\n"
                            f"rfc822MailMember: friend@far.{ZONE}\n\n")
        cls.stack.slapd.modify(f"dn: dirigoDomainName=example.org,ou=mail,{harness.SUFFIX}\nchangetype: modify\n"
                               "replace: dirigoDkimKey\ndirigoDkimKey: s2 second\ndirigoDkimKey: s1\n")
        wait_for("the alias", lambda: cls.rcpt("away@example.org")[0] == 250, 40)

    @classmethod
    def tearDownClass(cls):
        cls.remote.socket.close()
        super().tearDownClass()

    @classmethod
    def rcpt(cls, address, sender=""):
        with cls.stack.smtp() as s:
            s.ehlo(f"client.{ZONE}")
            s.mail(sender)
            return s.rcpt(address)

    def sent(self, marker):
        """The message that the other host has got."""
        def found():
            got = [m for m in self.remote.messages if marker.encode() in m]
            return got[0] if got else None

        return wait_for(f"{marker} at the other host", found, 40)

    def forward(self, sender, marker, to="away@example.org"):
        with self.stack.smtp() as s:
            s.ehlo(f"client.{ZONE}")
            s.sendmail(sender, [to], message(f"a@watch.{ZONE}", marker))

    def test_there_and_back(self):
        self.forward(f"a@pass.{ZONE}", "srs-forward")
        got = self.sent("srs-forward")
        self.assertIn(b"ARC-Seal: i=1;", got)
        line = next(x for x in self.remote.lines if "=a@srs." in x)
        address = re.search(r"<(SRS0=.*=pass\.mailtest=a@srs\.example\.org)>", line).group(1)
        self.forward("", "srs-bounce", address)
        self.sent("srs-bounce")
        self.assertTrue(any(f"RCPT TO:<a@pass.{ZONE}>" in x for x in self.remote.lines))
        forged = address.replace("=a@", "=b@")
        self.assertEqual(self.rcpt(forged)[0], 550)
        self.assertEqual(self.rcpt("SRS0=nonsense@srs.example.org")[0], 550)
        # Who sends there is judged as elsewhere.
        with self.stack.smtp("submission") as s:
            s.starttls(context=self.stack.tls())
            s.login("alice", harness.PASSWORDS["alice"])
            for sender, code in (("bob@example.org", 553), ("alice@example.org", 250)):
                s.ehlo()
                s.mail(sender)
                self.assertEqual(s.rcpt(address)[0], code)

    def test_both_at_once(self):
        """One that stays and one that leaves: only the second gets the other sender."""
        with self.stack.smtp() as s:
            s.ehlo(f"client.{ZONE}")
            s.sendmail(f"two@pass.{ZONE}", ["away@example.org", "alice@example.org"],
                       message(f"a@watch.{ZONE}", "srs-both"))
        self.sent("srs-both")
        self.assertTrue(any(f"=pass.{ZONE}=two@srs.example.org" in x for x in self.remote.lines))
        self.assertTrue(self.stack.wait_mail("alice", "srs-both", 20).startswith(
            f"Return-Path: <two@pass.{ZONE}>\r\n".encode()))

    def test_seal(self):
        def sealed():
            marker = f"seal-{os.urandom(4).hex()}"
            self.forward(f"a@pass.{ZONE}", marker)
            got = self.sent(marker)
            return got if b"ARC-Seal:" in got else None

        got = wait_for("a sealed message", sealed, 60)
        got = got[got.index(b"ARC-Seal:"):]
        cv, _, why = dkim.ARC(got).verify(dnsfunc=lookup({"s1._domainkey.example.org": RSA.record}))
        self.assertEqual((cv, why), (dkim.CV_Pass, "success"))
        changed = got.replace(b"Text of", b"text of")
        self.assertEqual(dkim.ARC(changed).verify(dnsfunc=lookup({"s1._domainkey.example.org": RSA.record}))[0],
                         dkim.CV_Fail)


class NothingConfiguredTest(harness.StackTest):
    CONF = {"mynetworks": "192.0.2.0/24"}

    def test_no_filter_runs(self):
        self.assertEqual(self.stack.pids("dirigo-filter"), [])
        with self.stack.smtp() as s:
            s.sendmail("a@pass.mailtest", ["alice@example.org"], message("a@pass.mailtest", "plain-mail"))
        self.assertNotIn(b"Authentication-Results", self.stack.wait_mail("alice", "plain-mail", 20))


if __name__ == "__main__":
    harness.main()
