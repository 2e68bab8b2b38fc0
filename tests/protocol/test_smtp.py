#!/usr/bin/python3
"""SMTP, submission and LMTP against the whole stack: pipelining, limits, smuggling, relaying, logins, policies."""
import base64
import hashlib
import hmac
import os
import re
import smtplib
import socket
import ssl
import tempfile
import time
import unittest

import harness
from harness import PASSWORDS, StackTest, wait_for

MESSAGE = "From: a@example.net\r\nSubject: {0}\r\n\r\n{0}\r\n"
MINE = MESSAGE.replace("a@example.net", "alice@example.org")


class Talk:
    """A connection on which every byte is ours."""

    def __init__(self, stack, protocol="smtp", greeting="220", source="127.0.0.1"):
        self.stack = stack
        self.sock = socket.create_connection(("127.0.0.1", stack.ports[protocol]), 20, (source, 0))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.sock.makefile("rb")
        if greeting:
            self.expect(greeting)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data if isinstance(data, bytes) else data.encode())

    def reply(self):
        """One reply, its lines joined."""
        lines = []
        while True:
            line = self.file.readline()
            if not line:
                return "\n".join(lines + ["closed"])
            assert line.endswith(b"\r\n") and len(line) <= 512, line
            line = line[:-2].decode("ascii")
            lines.append(line)
            if line[3:4] != "-":
                return "\n".join(lines)

    def expect(self, *codes):
        replies = []
        for code in codes:
            replies.append(self.reply())
            if not replies[-1].startswith(code):
                raise AssertionError(f"expected {codes}, got {replies}")
        return replies[-1]

    def say(self, line, code):
        self.send(line + "\r\n")
        return self.expect(code)

    def hello(self, verb="EHLO"):
        return self.say(f"{verb} client.example.net", "250")

    def starttls(self):
        self.say("STARTTLS", "220")
        self.sock = self.stack.tls().wrap_socket(self.sock)
        self.file = self.sock.makefile("rb")
        return self

    def silent(self, seconds=0.3):
        """Whether nothing comes for a while."""
        self.sock.settimeout(seconds)
        try:
            return not self.sock.recv(1)
        except (TimeoutError, ssl.SSLWantReadError):
            return True
        finally:
            self.sock.settimeout(20)


def plain(user, password):
    return base64.b64encode(f"\0{user}\0{password}".encode()).decode()


def inbox(stack, user, marker):
    return [m for m in stack.mailbox(user) if marker.encode() in m]


class SmtpTest(StackTest):
    CONF = {"mynetworks": "192.0.2.0/24", "smtpd_recipient_limit": "5", "smtpd_hard_error_limit": "8",
            "message_size_limit": "200k", "smtpd_junk_command_limit": "10"}

    def talk(self, protocol="smtp", hello=True):
        t = Talk(self.stack, protocol)
        if hello:
            t.hello("LHLO" if protocol == "lmtp" else "EHLO")
        self.addCleanup(t.__exit__)
        return t

    def deliver(self, t, marker, body=None, recipients=("alice@example.org",), end="250"):
        t.say("MAIL FROM:<a@example.net>", "250")
        for r in recipients:
            t.say(f"RCPT TO:<{r}>", "250")
        t.say("DATA", "354")
        t.send((body or MESSAGE.format(marker)) + ".\r\n")
        return t.expect(end)

    def log(self):
        return self.stack.dirigod.log()

    # ---- commands ----

    def test_ehlo(self):
        t = self.talk(hello=False)
        lines = t.hello().split("\n")
        self.assertEqual(lines[0], "250-mx.example.org")
        for word in ("PIPELINING", "SIZE 204800", "8BITMIME", "ENHANCEDSTATUSCODES", "STARTTLS"):
            self.assertTrue(any(line[4:] == word for line in lines), word)
        self.assertFalse(any("AUTH" in line for line in lines), "passwords in clear text are offered")
        self.assertEqual(t.say("HELO client.example.net", "250"), "250 mx.example.org")
        t.starttls()
        self.assertIn("AUTH", t.hello())
        t.say("STARTTLS", "503")

    def test_order_and_syntax(self):
        t = self.talk(hello=False)
        t.say("MAIL FROM:<a@example.net>", "503")
        t.hello()
        t.say("RCPT TO:<alice@example.org>", "503")
        t.say("DATA", "503")
        t.say("MAIL FROM:<a b>", "501 5.1.7")
        t.say("MAIL FROM:<a@example.net> FOO=bar", "555 5.5.4")
        t.say("MAIL FROM:<a@example.net> SIZE=300000", "552 5.3.4")
        t.say("MAIL FROM:<a@example.net> SIZE=100 BODY=8BITMIME AUTH=<>", "250")
        t.send("QUIT\r\n")
        self.assertTrue(t.reply()[:3] in ("221", "421"))

    def test_order_of_recipients(self):
        t = self.talk()
        t.say("MAIL FROM:<>", "250")
        t.say("MAIL FROM:<>", "503")
        t.say("DATA", "554 5.5.1")
        t.say("RCPT TO:<>", "501 5.1.3")
        t.say("RCPT TO:<alice@example.org> HOWEVER=NEVER", "555")
        t.say("RSET", "250")
        t.say("RCPT TO:<alice@example.org>", "503")
        t.say("NOOP", "250")
        t.say("VRFY alice", "252")
        t.say("HELP", "214")
        t.say("BOGUS", "500")
        t.say("QUIT", "221")
        self.assertEqual(t.reply(), "closed")

    def test_pipelining(self):
        t = self.talk()
        t.send("MAIL FROM:<a@example.net>\r\nRCPT TO:<alice@example.org>\r\nRCPT TO:<nobody@example.org>\r\n"
               "RCPT TO:<bob@example.org>\r\nDATA\r\n")
        t.expect("250 2.1.0", "250 2.1.5", "550 5.1.1", "250 2.1.5", "354")
        t.send(MESSAGE.format("pipelined-1") + ".\r\nMAIL FROM:<a@example.net>\r\nRCPT TO:<bob@example.org>\r\nRSET\r\nQUIT\r\n")
        t.expect("250 2.0.0", "250", "250", "250", "221")
        self.stack.wait_mail("bob", "pipelined-1")
        self.assertEqual(len(inbox(self.stack, "alice", "pipelined-1")), 1)

    def test_byte_by_byte(self):
        t = self.talk()
        for c in "MAIL FROM:<a@example.net>\r\nRCPT TO:<bob@example.org>\r\n":
            t.send(c)
        t.expect("250", "250")
        t.say("DATA", "354")
        for c in MESSAGE.format("trickle-1") + "..\r\n.x\r\n.\r\n":
            t.send(c)
        t.expect("250")
        m = self.stack.wait_mail("bob", "trickle-1")
        self.assertTrue(m.endswith(b"trickle-1\r\n.\r\nx\r\n"), m)

    # ---- limits ----

    def test_long_line(self):
        t = self.talk()
        t.say("NOOP " + "x" * 5000, "500 5.5.2")
        t.send("NOOP " + "x" * 200000 + "\r\nNOOP\r\n")
        t.expect("500", "250")

    def test_too_many_errors(self):
        t = self.talk()
        for _ in range(7):
            t.say("BOGUS", "500")
        t.say("BOGUS", "500")
        t.expect("421 4.7.0")
        self.assertEqual(t.reply(), "closed")

    def test_junk(self):
        t = self.talk()
        for _ in range(17):
            t.say("NOOP", "250")
        t.say("NOOP", "250")
        t.expect("421")

    def test_too_many_recipients(self):
        t = self.talk()
        t.say("MAIL FROM:<a@example.net>", "250")
        for _ in range(5):
            t.say("RCPT TO:<alice@example.org>", "250")
        t.say("RCPT TO:<alice@example.org>", "452 4.5.3")

    def test_too_big(self):
        t = self.talk()
        self.deliver(t, "", "Subject: big\r\n\r\n" + ("x" * 70 + "\r\n") * 4000, end="552 5.3.4")
        self.deliver(t, "after-too-big-1")
        self.stack.wait_mail("alice", "after-too-big-1")

    def test_large(self):
        t = self.talk()
        body = "Subject: large\r\n\r\n" + "".join(f".{i:06d}{'y' * 60}\r\n" for i in range(2500))
        self.deliver(t, "", body.replace("\n.", "\n..") + "large-1\r\n")
        m = self.stack.wait_mail("alice", "large-1")
        self.assertTrue(m.endswith((body + "large-1\r\n").encode()))

    def test_loop(self):
        t = self.talk()
        self.deliver(t, "", "Received: x\r\n" * 51 + MESSAGE.format("loop"), end="554 5.4.6")
        self.deliver(t, "", "Received: x\r\n" * 50 + MESSAGE.format("not-a-loop-1"))

    # ---- smuggling ----

    def test_smuggling(self):
        inner = "MAIL FROM:<smuggler@example.net>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\n" \
                "Subject: smuggled-mail\r\n\r\nsmuggled-mail\r\n"
        for end in ("\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r.\r\n", "\r\n.\r", "\n\r.\r\n", "\r\n.\r\r\n", "\r\n\x00.\r\n"):
            t = self.talk()
            t.say("MAIL FROM:<a@example.net>", "250")
            t.say("RCPT TO:<bob@example.org>", "250")
            t.say("DATA", "354")
            t.send("Subject: outer\r\n\r\nsmuggled-mail" + end + inner + ".\r\nQUIT\r\n")
            replies = [t.reply(), t.reply(), t.reply()]
            if end.endswith("\x00.\r\n"):
                self.assertTrue(replies[0].startswith("550 5.6.0"), (end, replies))
            else:
                self.assertRegex(replies[0], "^550 5.6.0 Message has a bare", repr(end))
            self.assertTrue(replies[1].startswith("221"), (end, replies))
            self.assertEqual(replies[2], "closed")
        t = self.talk()
        self.deliver(t, "after-smuggling-1", recipients=["bob@example.org"])
        self.stack.wait_mail("bob", "after-smuggling-1")
        self.assertEqual(inbox(self.stack, "bob", "smuggled-mail"), [])

    def test_bare_line_ends_in_commands(self):
        t = self.talk()
        t.send("NOOP\nNOOP\r\nNOOP\r\n")
        t.expect("500 5.5.2", "250")
        t.send("NOOP\rNOOP\r\nNOOP\r\n")
        t.expect("500 5.5.2", "250")
        t.send(b"NO\0OP\r\nNOOP\r\n")
        t.expect("500 5.5.2", "250")
        self.assertTrue(t.silent())

    def test_browser(self):
        t = self.talk(hello=False)
        t.send("POST / HTTP/1.1\r\nHost: x\r\n\r\nMAIL FROM:<a@b>\r\n")
        t.expect("521")
        self.assertEqual(t.reply(), "closed")

    def test_starttls_injection(self):
        t = self.talk()
        t.send("STARTTLS\r\nMAIL FROM:<injected@example.net>\r\n")
        t.expect("220")
        t.sock = self.stack.tls().wrap_socket(t.sock)
        t.file = t.sock.makefile("rb")
        self.assertTrue(t.silent())
        t.say("RCPT TO:<alice@example.org>", "503")
        t.say("MAIL FROM:<a@example.net>", "503")  # EHLO is forgotten, too

    # ---- recipients ----

    def test_answers(self):
        t = self.talk()
        t.say("MAIL FROM:<a@example.net>", "250")
        t.say("RCPT TO:<alice+detail@example.org>", "250")
        t.say("RCPT TO:<ALICE@EXAMPLE.ORG>", "250")
        t.say("RCPT TO:<nobody@example.org>", "550 5.1.1")
        t.say("RCPT TO:<dave@example.org>", "550 5.2.1")
        t.say("RCPT TO:<\"alice\"@example.org>", "250")
        t.say("RCPT TO:<@relay.example.com:alice@example.org>", "250")
        t.say("RCPT TO:<Postmaster>", "250")

    def test_no_relay(self):
        forms = ["x@elsewhere.example", "x@[192.0.2.77]", "x%elsewhere.example@example.org",
                 "elsewhere.example!x@example.org", "\"x@elsewhere.example\"@example.org",
                 "@example.org:x@elsewhere.example", "\"x%elsewhere.example\"@example.org",
                 "x@elsewhere.example@example.org"]
        for form in forms:
            t = self.talk()
            t.say("MAIL FROM:<alice@example.org>", "250")
            t.send(f"RCPT TO:<{form}>\r\n")
            self.assertRegex(t.reply(), "^(554 5.7.1|550 5.1.1|501 5.1.3)", form)
        self.assertRegex(self.log(), r'recipient refused .*to=x@elsewhere.example code=554 .*'
                                     r'restriction=reject_unauth_destination policy="cn=default policy')

    def test_one_copy(self):
        t = self.talk()
        self.deliver(t, "one-copy-1", recipients=["staff@example.org", "alice@example.org", "everybody@example.org",
                                                  "alice@example.net", "alice+x@example.org"])
        self.stack.wait_mail("bob", "one-copy-1")
        self.assertEqual(len(inbox(self.stack, "alice", "one-copy-1")), 1)
        self.assertEqual(len(inbox(self.stack, "bob", "one-copy-1")), 1)

    def test_trace(self):
        t = self.talk()
        self.deliver(t, "trace-1")
        m = self.stack.wait_mail("alice", "trace-1").decode()
        self.assertRegex(m, r"\AReturn-Path: <a@example.net>\r\nReceived: from client.example.net \(\[127.0.0.1\]\)\r\n"
                            r"\tby mx.example.org \(Dirigo\) with ESMTP id [0-9a-z]{16}\r\n\tfor <alice@example.org>;\r\n"
                            r"\t\w{3}, \d+ \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4}\r\nFrom: ")
        self.assertNotIn("Message-ID", m)
        self.deliver(t, "trace-2", recipients=["alice@example.org", "bob@example.org"])
        m = self.stack.wait_mail("alice", "trace-2").decode()
        self.assertNotIn("for <", m.split("\r\n\r\n")[0])
        t.say("HELO client.example.net", "250")
        self.deliver(t, "trace-3")
        self.assertIn("with SMTP id", self.stack.wait_mail("alice", "trace-3").decode())
        t.starttls().hello()
        self.deliver(t, "trace-4")
        m = self.stack.wait_mail("alice", "trace-4").decode()
        self.assertRegex(m, r"\(using TLSv1.3 with cipher TLS_\w+ \(\d+ bits\)\)\r\n\tby .* with ESMTPS id")

    # ---- submission ----

    def test_submission_needs_login(self):
        t = self.talk("submission")
        t.say("MAIL FROM:<alice@example.org>", "530 5.7.0 Must issue")
        t.say("AUTH PLAIN " + plain("alice", PASSWORDS["alice"]), "530")
        t.starttls().hello()
        t.say("MAIL FROM:<alice@example.org>", "530 5.7.0 Authentication")
        t.say("AUTH PLAIN " + plain("alice", "wrong"), "535 5.7.8")
        t.say("AUTH PLAIN " + plain("nobody", "wrong"), "535 5.7.8")
        t.say("AUTH NONSENSE", "504")
        t = self.talk("submission").starttls()
        t.hello()
        t.say("AUTH PLAIN =====", "501")
        t.say("AUTH PLAIN " + plain("alice", PASSWORDS["alice"]), "235 2.7.0")
        t.say("AUTH PLAIN " + plain("alice", PASSWORDS["alice"]), "503")
        t.say("MAIL FROM:<alice@example.org>", "250")
        t.say("RCPT TO:<x@elsewhere.example>", "250")
        t.say("RCPT TO:<nobody@example.org>", "550 5.1.1")

    def test_submission_message(self):
        self.stack.submit("alice", "alice@example.org", ["bob@example.org"], MINE.format("submitted-1"))
        m = self.stack.wait_mail("bob", "submitted-1").decode()
        self.assertRegex(m, r"with ESMTPSA id (\w+)\r\n\tfor <bob@example.org>;[^:]+:[^:]+:[^:]+\r\n"
                            r"Date: [^\r]+\r\nMessage-ID: <\1@mx.example.org>\r\nFrom: alice@example.org\r\n")
        self.stack.submit("alice", "alice@example.org", ["bob@example.org"],
                          "Date: x\r\nmessage-id: <y@z>\r\n" + MINE.format("submitted-2"))
        m = self.stack.wait_mail("bob", "submitted-2").decode()
        self.assertEqual(len(re.findall("(?mi)^(Date|Message-ID):", m)), 2)

    def test_submissions(self):
        with self.stack.smtp("submissions") as s:
            s.login("bob", PASSWORDS["bob"])
            s.sendmail("bob@example.org", ["alice@example.org"], MINE.format("submissions-1").replace("alice", "bob"))
        self.stack.wait_mail("alice", "submissions-1")

    def test_login_dialogues(self):
        t = self.talk("submission").starttls()
        t.hello()
        t.say("AUTH PLAIN", "334")
        t.say("*", "501 5.7.0")
        t.say("AUTH LOGIN", "334")
        t.say(base64.b64encode(b"alice").decode(), "334")
        t.say("not base64!", "501")
        t.say("AUTH LOGIN", "334")
        t.send("x\nEHLO smuggled\r\n")
        t.expect("500 5.5.2")
        t.say("NOOP", "250")
        t.say("AUTH LOGIN", "334")
        t.say(base64.b64encode(b"alice").decode(), "334")
        t.say(base64.b64encode(PASSWORDS["alice"].encode()).decode(), "235")

    def scram(self, password):
        """A SCRAM-SHA-256 exchange (RFC 7677); returns the reply to its end."""
        t = self.talk("submission").starttls()
        t.hello()
        nonce = base64.b64encode(os.urandom(12)).decode()
        bare = f"n=alice,r={nonce}"
        reply = t.say("AUTH SCRAM-SHA-256 " + base64.b64encode(f"n,,{bare}".encode()).decode(), "334")
        first = base64.b64decode(reply[4:]).decode()
        fields = dict(f.split("=", 1) for f in first.split(","))
        self.assertTrue(fields["r"].startswith(nonce))
        salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(fields["s"]), int(fields["i"]))
        key = hmac.digest(salted, b"Client Key", "sha256")
        final = f"c=biws,r={fields['r']}"
        signed = f"{bare},{first},{final}".encode()
        proof = bytes(a ^ b for a, b in zip(key, hmac.digest(hashlib.sha256(key).digest(), signed, "sha256")))
        t.send(base64.b64encode(f"{final},p={base64.b64encode(proof).decode()}".encode()) + b"\r\n")
        reply = t.reply()
        if not reply.startswith("334 "):
            return reply
        server = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), signed, "sha256")
        self.assertEqual(base64.b64decode(reply[4:]).decode(), "v=" + base64.b64encode(server).decode())
        t.send("\r\n")
        return t.reply()

    def test_scram(self):
        self.assertTrue(self.scram(PASSWORDS["alice"]).startswith("235"))
        self.assertTrue(self.scram("wrong").startswith("535"))

    def test_swaks(self):
        done = harness.run("swaks", "--server", f"127.0.0.1:{self.stack.ports['smtp']}", "--pipeline", "--from",
                           "a@example.net", "--to", "bob@example.org,alice@example.org", "--header",
                           "Subject: swaks-1", "--ehlo", "client.example.net")
        self.assertIn("queued as", done.stdout)
        self.stack.wait_mail("bob", "swaks-1")

    def test_curl(self):
        with tempfile.NamedTemporaryFile("w", suffix=".eml", newline="") as f:
            f.write(MINE.format("curl-1").replace("alice", "bob"))
            f.flush()
            harness.run("curl", "-sS", f"smtps://127.0.0.1:{self.stack.ports['submissions']}/client.example.net",
                        "--cacert", self.stack.cert, "--user", f"bob:{PASSWORDS['bob']}", "--mail-from",
                        "bob@example.org", "--mail-rcpt", "alice@example.org", "--upload-file", f.name)
        self.stack.wait_mail("alice", "curl-1")

    # ---- LMTP ----

    def test_lmtp(self):
        t = self.talk("lmtp", hello=False)
        t.say("EHLO client.example.net", "500")
        t.say("MAIL FROM:<a@example.net>", "503")
        t.hello("LHLO")
        t.say("MAIL FROM:<a@example.net>", "250")
        t.say("DATA", "503")
        t.say("RCPT TO:<alice@example.org>", "250")
        t.say("RCPT TO:<nobody@example.org>", "550")
        t.say("RCPT TO:<bob@example.org>", "250")
        t.say("DATA", "354")
        t.send(MESSAGE.format("lmtp-1") + ".\r\n")
        self.assertIn("<alice@example.org>", t.expect("250 2.0.0"))
        self.assertIn("<bob@example.org>", t.expect("250 2.0.0"))
        self.assertTrue(t.silent())
        self.assertIn(b"with LMTP id", self.stack.wait_mail("bob", "lmtp-1"))
        self.assertEqual(len(inbox(self.stack, "alice", "lmtp-1")), 1)

    def test_lmtp_refusal(self):
        t = self.talk("lmtp")
        t.say("MAIL FROM:<a@example.net>", "250")
        t.say("RCPT TO:<alice@example.org>", "250")
        t.say("RCPT TO:<bob@example.org>", "250")
        t.say("DATA", "354")
        t.send("a\nb\r\n.\r\n")
        t.expect("550 5.6.0", "550 5.6.0")
        t.say("NOOP", "250")

    # ---- policies ----

    def set_policy(self, attribute, value):
        dn = "cn=default policy,ou=mail,dc=example,dc=org"
        if value is None:
            self.stack.slapd.modify(f"dn: {dn}\nchangetype: modify\ndelete: {attribute}\n")
        else:
            self.stack.slapd.modify(f"dn: {dn}\nchangetype: modify\nreplace: {attribute}\n{attribute}: {value}\n")

    def rcpt(self, address="alice@example.org", sender="a@example.net"):
        with Talk(self.stack) as t:
            t.hello()
            t.say(f"MAIL FROM:<{sender}>", "250")
            t.send(f"RCPT TO:<{address}>\r\n")
            return t.reply()

    def test_policy_changes_at_once(self):
        name = "dirigoSmtpdSenderRestrictions"
        self.addCleanup(self.set_policy, name, None)
        self.set_policy(name, "reject_non_fqdn_sender")
        wait_for("refused sender", lambda: self.rcpt(sender="a@b").startswith("504 5.5.2 <a@b>: Sender address"), 5)
        self.assertTrue(self.rcpt().startswith("250"))
        self.assertRegex(self.log(), 'recipient refused .* restriction=reject_non_fqdn_sender '
                                     'policy="cn=default policy,ou=mail,dc=example,dc=org"')
        self.set_policy(name, "warn_if_reject reject")
        wait_for("warned", lambda: self.rcpt(sender="a@b").startswith("250"), 5)

    def test_wrong_policy_is_temporary(self):
        name = "dirigoSmtpdHeloRestrictions"
        self.addCleanup(self.set_policy, name, None)
        self.set_policy(name, "permit_mynetworks, reject_everything_bad")
        wait_for("451", lambda: self.rcpt().startswith("451 4.3.5"), 5)
        self.assertRegex(self.log(), r'restriction list is wrong policy="cn=default policy,.*reject_everything_bad')

    def test_data_restrictions(self):
        name = "dirigoSmtpdDataRestrictions"
        self.addCleanup(self.set_policy, name, None)
        self.set_policy(name, "reject_multi_recipient_bounce, reject_unauth_pipelining")

        def refused():
            with Talk(self.stack) as t:
                t.hello()
                t.say("MAIL FROM:<>", "250")
                t.say("RCPT TO:<alice@example.org>", "250")
                t.say("RCPT TO:<bob@example.org>", "250")
                t.send("DATA\r\n")
                return t.reply().startswith("550 5.5.3")
        wait_for("multi-recipient bounce refused", refused, 5)
        t = self.talk()
        t.say("MAIL FROM:<a@example.net>", "250")
        t.say("RCPT TO:<alice@example.org>", "250")
        t.send("DATA\r\nSubject: early\r\n")
        t.expect("503 5.5.0")

    def test_never_an_open_relay(self):
        """An administrator who leaves the rule out opens nothing; one who says permit does."""
        name = "dirigoSmtpdRelayRestrictions"
        before = "permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination"
        self.addCleanup(self.set_policy, name, before)
        self.set_policy(name, "permit_auth_destination")
        wait_for("the safety net", lambda: self.rcpt("x@elsewhere.example").startswith("554 5.7.1"), 5)
        wait_for("the log", lambda: "no restriction permits relaying" in self.log(), 5)
        self.set_policy(name, "permit")
        wait_for("permitted relay", lambda: self.rcpt("x@elsewhere.example").startswith("250"), 5)


class TimeoutTest(StackTest):
    CONF = {"smtpd_timeout": "1s", "default_process_limit": "3", "disable_vrfy_command": "no",
            "smtpd_delay_reject": "no", "smtpd_helo_restrictions": "reject_invalid_helo_hostname"}

    def test_timeout(self):
        with Talk(self.stack) as t:
            t.expect("421 4.4.2")
            self.assertEqual(t.reply(), "closed")

    def test_too_many_connections(self):
        talks = [Talk(self.stack) for _ in range(3)]
        with Talk(self.stack, greeting="421 4.3.2") as t:
            self.assertEqual(t.reply(), "closed")
        for t in talks:
            t.__exit__()
        wait_for("room again", self.greeted, 10)

    def greeted(self):
        with Talk(self.stack):
            return True

    def test_early_refusal(self):
        with Talk(self.stack) as t:
            t.say("EHLO 192.0.2.1", "501 5.5.2")
            t.say("MAIL FROM:<a@example.net>", "503")
            t.say("EHLO client.example.net", "250")

    def test_vrfy(self):
        with Talk(self.stack) as t:
            t.hello()
            t.say("VRFY alice@example.org", "252")
            t.say("VRFY <nobody@example.org>", "550")

    def test_own_network_may_relay(self):
        with Talk(self.stack) as t:
            t.hello()
            t.say("MAIL FROM:<a@example.net>", "250")
            t.say("RCPT TO:<x@elsewhere.example>", "250")


class DnsTest(unittest.TestCase):
    """reject_unknown_sender_domain: found, absent, unknown, and a domain that takes no mail."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="dirigo-smtp-dns-")
        cls.dns = harness.Dns(f"{cls.folder}/dns", "senders.example",
                              "good MX 10 mx\nmx A 127.0.0.1\naonly A 127.0.0.1\nnull MX 0 .\nempty TXT \"x\"\n")
        cls.stack = harness.Stack({"smtpd_sender_restrictions": "reject_unknown_sender_domain",
                                   "unknown_address_reject_code": "550", "resolver_timeout": "3s",
                                   "mynetworks": "192.0.2.0/24"}, dns=cls.dns)
        cls.stack.conf["resolver_stub_zones"] += f" lost.example=127.0.0.1@{harness.free_ports(1)[0]}"
        try:
            cls.dns.start()
            cls.stack.start(ready=False)
            wait_for("dirigod", cls.stack.is_up, 40)
            wait_for("the replica in sync", lambda: cls.answer("good", "nobody@example.org").startswith("550 5.1.1"), 40)
        except BaseException:
            print(cls.stack.dirigod.log()[-6000:])
            cls.stack.stop()
            raise

    @classmethod
    def tearDownClass(cls):
        problems = cls.stack.stop()
        if problems:
            raise AssertionError("\n".join(problems))

    @classmethod
    def answer(cls, name, recipient="alice@example.org"):
        domain = name if "." in name else f"{name}.senders.example"
        with Talk(cls.stack) as t:
            t.hello()
            t.send(f"MAIL FROM:<a@{domain}>\r\nRCPT TO:<{recipient}>\r\nNOOP\r\n")
            t.expect("250")
            reply = t.reply()
            t.expect("250")
            return reply

    def test_domains(self):
        self.assertRegex(self.answer("good"), "^250")
        self.assertRegex(self.answer("aonly"), "^250")
        self.assertRegex(self.answer("null"), "^550 5.7.27")
        self.assertRegex(self.answer("absent"), "^550 5.1.8")
        self.assertRegex(self.answer("empty"), "^550 5.1.8")
        self.assertRegex(self.answer("nowhere.lost.example"), "^450 4.1.8")
        self.assertRegex(self.answer("example.org"), "^250")  # ours, whatever DNS says

    def test_client_leaves_while_we_ask(self):
        with Talk(self.stack) as t:
            t.hello()
            t.send("MAIL FROM:<a@gone.lost.example>\r\nRCPT TO:<alice@example.org>\r\n")
            t.expect("250")
        time.sleep(0.2)
        self.assertRegex(self.answer("good"), "^250")


if __name__ == "__main__":
    harness.main()
