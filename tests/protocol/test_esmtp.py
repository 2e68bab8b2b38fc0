#!/usr/bin/python3
"""The service extensions of SMTP, from the client through queue and relay to mail servers written here."""
import base64
import email
import email.policy
import os
import shutil
import smtplib
import stat
import tempfile
import time
import unittest

import harness
from harness import wait_for
from test_relay import Server
from test_smtp import Talk

MESSAGE = "From: alice@example.org\r\nTo: x@far.example\r\nSubject: {0}\r\n\r\nfrom {0}\r\n"


class EsmtpTest(unittest.TestCase):
    CONF = {}

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="dirigo-esmtp-")
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        cls.port = harness.free_ports(1)[0]
        dns = harness.Dns(f"{cls.folder}/dns", "far.example", """@ MX 10 mx2
late MX 10 mx4
xn--bcher-kva MX 10 mx4
mx2 A 127.0.0.2
mx4 A 127.0.0.4
""")
        conf = {"smtp_tcp_port": str(cls.port), "inet_protocols": "ipv4", "resolver_timeout": "2s",
                "minimal_backoff_time": "1s", "maximal_backoff_time": "2s", "smtp_connect_timeout": "2s",
                "smtp_command_timeout": "5s"}
        cls.stack = harness.Stack({**conf, **cls.CONF}, dns=dns)
        try:
            cls.stack.start()
        except BaseException:
            if cls.stack.dirigod:
                print(cls.stack.dirigod.log()[-6000:])
            cls.stack.stop()
            raise

    @classmethod
    def tearDownClass(cls):
        problems = cls.stack.stop()
        if problems:
            raise AssertionError("\n".join(problems))

    def server(self, last, **kwargs):
        s = Server(f"127.0.0.{last}", self.port, **kwargs)
        self.addCleanup(s.close)
        return s

    def talk(self, protocol="smtp", login=None):
        t = Talk(self.stack, protocol)
        t.hello("LHLO" if protocol == "lmtp" else "EHLO")
        self.addCleanup(t.__exit__)
        if login:
            t.starttls()
            t.hello()
            t.say(f"AUTH PLAIN {harness_plain(login)}", "235")
        return t

    def send(self, marker, rcpts, mail=(), sender="alice@example.org", user="alice", text=None):
        """Over submission; rcpts: addresses or (address, parameters)."""
        with self.stack.smtp("submission") as s:
            s.starttls(context=self.stack.tls())
            s.login(user, harness.PASSWORDS[user])
            s.ehlo()
            code, reply = s.mail(sender, mail)
            self.assertEqual(code, 250, reply)
            for r in rcpts:
                address, options = r if isinstance(r, tuple) else (r, [])
                code, reply = s.rcpt(address, options)
                self.assertEqual(code, 250, (address, reply))
            code, reply = s.data(text or MESSAGE.format(marker))
            self.assertEqual(code, 250, reply)

    def report(self, marker, user="alice"):
        """The report that contains marker: its parts, and the fields of the status by recipient."""
        raw = wait_for(f"a report on {marker}",
                       lambda: next((m for m in self.stack.mailbox(user)
                                     if b"report-type=delivery-status" in m and marker.encode() in m), None), 20)
        message = email.message_from_bytes(raw, policy=email.policy.default)
        self.assertEqual(message.get_content_type(), "multipart/report")
        text, status, original = message.iter_parts()
        blocks = status.get_payload()
        return message, text.get_content(), blocks[0], {b["Final-Recipient"].split("; ")[1]: b for b in blocks[1:]}, original


def harness_plain(user):
    return base64.b64encode(f"\0{user}\0{harness.PASSWORDS[user]}".encode()).decode()


class Dsn(EsmtpTest):
    CONF = {"delay_notify_time": "1s", "smtpd_hard_error_limit": "100"}

    def test_parameters(self):
        t = self.talk()
        self.assertIn("DSN", t.hello())
        for bad in ("RET=ALL", "RET", "RET=FULL RET=HDRS", "ENVID=a=b", "ENVID=+1", "ENVID=", "ENVID=" + "x" * 101,
                    "ENVID=a ENVID=b", "ENVID=+0D+0A", "ENVID=+00"):
            t.say(f"MAIL FROM:<a@example.net> {bad}", "501")
        t.say("MAIL FROM:<a@example.net> RET=hdrs ENVID=QQ+2B3", "250")
        for bad in ("NOTIFY", "NOTIFY=", "NOTIFY=NEVER,SUCCESS", "NOTIFY=SUCCESS,SUCCESS", "NOTIFY=SUCCESS,",
                    "NOTIFY=SOMETIMES", "NOTIFY=DELAY NOTIFY=DELAY", "ORCPT=alice", "ORCPT=;a", "ORCPT=rfc822;",
                    "ORCPT=rfc822;a=b", "ORCPT=rfc822;+0A", "ORCPT=rfc822;a ORCPT=rfc822;a"):
            t.say(f"RCPT TO:<alice@example.org> {bad}", "501")
        t.say("RCPT TO:<alice@example.org> NOTIFY=success,DELAY ORCPT=rfc822;al+2Bice", "250")
        t.say("RCPT TO:<bob@example.org> HOWEVER=x", "555")

    def test_success(self):
        self.send("dsn-success", [("bob@example.org", ["NOTIFY=SUCCESS", "ORCPT=rfc822;b+2Bob@example.org"])],
                  ["RET=FULL", "ENVID=My+20id"])
        message, text, head, rcpts, original = self.report("dsn-success")
        self.assertEqual(head["Original-Envelope-Id"], "My id")
        self.assertEqual(rcpts["bob@example.org"]["Action"], "delivered")
        self.assertEqual(rcpts["bob@example.org"]["Original-Recipient"], "rfc822; b+ob@example.org")
        self.assertRegex(rcpts["bob@example.org"]["Status"], r"^2\.")
        self.assertEqual(original.get_content_type(), "text/rfc822-headers")
        self.assertIn("delivered", text)
        self.assertEqual(message["Auto-Submitted"], "auto-replied")
        self.stack.wait_mail("bob", "from dsn-success")

    def test_told_to_the_next_host(self):
        mx = self.server(2, keywords=("PIPELINING", "DSN"))
        self.send("dsn-told", [("x@far.example", ["NOTIFY=SUCCESS,DELAY", "ORCPT=rfc822;X@far.example"]),
                               ("y@far.example", ["NOTIFY=NEVER"]), "z@far.example"], ["RET=HDRS", "ENVID=a+2Bb"])
        wait_for("the message", lambda: mx.messages)
        self.assertEqual([x for x in mx.lines if x.startswith(("MAIL", "RCPT"))],
                         ["MAIL FROM:<alice@example.org> RET=HDRS ENVID=a+2Bb",
                          "RCPT TO:<x@far.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;X@far.example",
                          "RCPT TO:<y@far.example> NOTIFY=NEVER", "RCPT TO:<z@far.example>"])
        wait_for("an empty queue", lambda: self.stack.tool_json("queue") == [])
        self.assertFalse([m for m in self.stack.mailbox("alice") if b"dsn-told" in m])

    def test_relayed(self):
        mx = self.server(2, keywords=("PIPELINING",))
        self.send("dsn-relayed", [("x@far.example", ["NOTIFY=SUCCESS"]), ("y@far.example", ["NOTIFY=FAILURE"])])
        _, _, _, rcpts, _ = self.report("dsn-relayed")
        self.assertEqual(list(rcpts), ["x@far.example"])
        self.assertEqual(rcpts["x@far.example"]["Action"], "relayed")
        self.assertIn("mx2.far.example", rcpts["x@far.example"]["Remote-MTA"])
        self.assertEqual([x for x in mx.lines if "NOTIFY" in x], [])

    def test_failure_and_never(self):
        self.server(2, replies={"RCPT": "550 5.1.1 nobody"}, keywords=("DSN",))
        self.send("dsn-failure", [("gone@far.example", ["NOTIFY=FAILURE"]), ("never@far.example", ["NOTIFY=NEVER"]),
                                  ("success@far.example", ["NOTIFY=SUCCESS"])], ["RET=FULL"])
        _, _, _, rcpts, original = self.report("dsn-failure")
        self.assertEqual(list(rcpts), ["gone@far.example"])
        self.assertEqual(rcpts["gone@far.example"]["Action"], "failed")
        self.assertEqual(rcpts["gone@far.example"]["Status"], "5.1.1")
        self.assertEqual(original.get_content_type(), "message/rfc822")
        self.assertIn("from dsn-failure", original.get_payload(0).get_content())
        wait_for("an empty queue", lambda: self.stack.tool_json("queue") == [])
        self.assertEqual(len([m for m in self.stack.mailbox("alice") if b"Subject: dsn-failure" in m]), 1)

    def test_delay_then_success(self):
        self.send("dsn-delay", [("x@late.far.example", ["NOTIFY=DELAY,SUCCESS"]), "y@late.far.example"])
        _, _, _, rcpts, _ = self.report("Action: delayed")
        self.assertEqual(list(rcpts), ["x@late.far.example"])
        self.assertIn("Will-Retry-Until", rcpts["x@late.far.example"])
        self.assertRegex(rcpts["x@late.far.example"]["Status"], r"^4\.")
        mx = self.server(4)
        wait_for("the message", lambda: mx.messages)
        self.report("Action: relayed")
        wait_for("an empty queue", lambda: self.stack.tool_json("queue") == [])
        self.assertEqual(len([m for m in self.stack.mailbox("alice") if b"Action: delayed" in m]), 1)

    def test_expanded(self):
        self.send("dsn-expanded", [("info@example.org", ["NOTIFY=SUCCESS", "ORCPT=rfc822;info@example.org"])])
        _, _, _, rcpts, _ = self.report("dsn-expanded")
        self.assertEqual(list(rcpts), ["info@example.org"])
        self.assertEqual(rcpts["info@example.org"]["Action"], "expanded")
        self.assertEqual(len([m for m in self.stack.mailbox("alice") if b"report-type" in m and b"dsn-expanded" in m]), 1)

    def test_swaks(self):
        done = harness.run("swaks", "--server", f"127.0.0.1:{self.stack.ports['smtp']}", "--from", "a@example.net", "--to",
                           "alice@example.org", "--body", "swaks-plain", "--helo", "c.example.net")
        self.assertIn("DSN", done.stdout)


class Chunking(EsmtpTest):
    CONF = {"message_size_limit": "100k", "smtpd_hard_error_limit": "100"}

    def begin(self, t, *rcpts, mail=""):
        t.say(f"MAIL FROM:<a@example.net>{mail}", "250")
        for r in rcpts or ("alice@example.org",):
            t.say(f"RCPT TO:<{r}>", "250")

    def chunk(self, t, data, code, last=False):
        t.send(f"BDAT {len(data)}{' LAST' if last else ''}\r\n".encode() + data)
        return t.expect(code)

    def test_chunks(self):
        t = self.talk()
        self.assertIn("CHUNKING", t.hello())
        self.begin(t)
        self.chunk(t, b"Subject: bdat\r", "250")
        self.chunk(t, b"", "250")
        self.chunk(t, b"\n\r\n.\r\n..dots stay\r\nRCPT TO:<bob@example.org>\r\n", "250")
        t.say("DATA", "503")
        t.say("RCPT TO:<bob@example.org>", "503")
        self.chunk(t, b"bdat-end\r\n", "250 2.0.0 Ok: queued", last=True)
        mail = self.stack.wait_mail("alice", "bdat-end")
        self.assertTrue(mail.endswith(b"\r\n\r\n.\r\n..dots stay\r\nRCPT TO:<bob@example.org>\r\nbdat-end\r\n"), mail)

    def test_pipelined_with_everything(self):
        text = b"Subject: x\r\n\r\nbdat-pipelined\r\n"
        t = self.talk()
        t.send(b"MAIL FROM:<a@example.net>\r\nRCPT TO:<alice@example.org>\r\nRCPT TO:<nobody-x@example.org>\r\n" +
               b"BDAT 5\r\n" + text[:5] + b"BDAT %d LAST\r\n" % (len(text) - 5) + text[5:] + b"BDAT 0 LAST\r\nNOOP\r\n")
        for code in ("250", "250", "550", "250", "250 2.0.0 Ok: queued", "503", "250"):
            t.expect(code)
        self.stack.wait_mail("alice", "bdat-pipelined")

    def test_byte_by_byte(self):
        text = b"Subject: x\r\n\r\nbdat-bytes\r\n"
        t = self.talk()
        self.begin(t)
        for b in b"BDAT 20\r\n" + text[:20] + b"BDAT %d LAST\r\n" % (len(text) - 20) + text[20:]:
            t.send(bytes([b]))
        t.expect("250")
        t.expect("250 2.0.0 Ok: queued")
        self.assertTrue(self.stack.wait_mail("alice", "bdat-bytes").endswith(text))

    def test_refused_octets_are_no_commands(self):
        t = self.talk()
        poison = b"RSET\r\nMAIL FROM:<evil@example.net>\r\n"
        self.chunk(t, poison, "503")
        t.say("MAIL FROM:<a@example.net>", "250")
        t.say("RCPT TO:<nobody-x@example.org>", "550")
        self.chunk(t, poison, "554", last=True)
        self.begin(t)
        self.chunk(t, b"Subject: x\r\n\r\n\0" + poison, "550")
        self.chunk(t, poison, "503", last=True)
        self.begin(t)
        self.chunk(t, b"Subject: x\n\n" + poison, "550", last=True)
        self.begin(t)
        self.chunk(t, b"Subject: x\r\n\r\nx\r", "550", last=True)
        self.begin(t)
        self.chunk(t, b"x" * 60000 + b"\r\n", "250")
        self.chunk(t, b"x" * 60000 + b"\r\n", "552")
        t.say("NOOP", "250")
        self.assertNotIn("evil@example.net", self.stack.dirigod.log())

    def test_octets_before_a_greeting_are_no_commands(self):
        t = Talk(self.stack, "smtp")
        self.addCleanup(t.__exit__)
        self.chunk(t, b"HELO x\r\nMAIL FROM:<early@example.net>\r\n", "503")
        t.say("NOOP", "250")
        self.assertNotIn("early@example.net", self.stack.dirigod.log())
        t.say("RSET", "250")

    def test_bad_size_ends_the_session(self):
        for bad in ("", "x", "-1", "5 FIRST", "5 LAST LAST", "99999999999999999999", "1x"):
            t = self.talk()
            self.begin(t)
            t.say(f"BDAT {bad}".strip(), "501")
            self.assertEqual(t.reply(), "closed")

    def test_lmtp(self):
        t = self.talk("lmtp")
        self.begin(t, "alice@example.org", "bob@example.org")
        self.chunk(t, b"Subject: x\r\n\r\n", "250")
        self.chunk(t, b"bdat-lmtp\r\n", "250", last=True)
        t.expect("250")
        t.say("NOOP", "250")
        self.stack.wait_mail("alice", "bdat-lmtp")
        self.stack.wait_mail("bob", "bdat-lmtp")


class Time(EsmtpTest):
    CONF = {"future_release_limit": "1h", "mt_priority_limit": "4", "smtpd_hard_error_limit": "100"}

    def test_offered(self):
        words = self.talk("submission", "alice").hello()
        self.assertRegex(words, r"FUTURERELEASE 3600 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\n")
        self.assertRegex(words, r"LIMITS RCPTMAX=1000")
        self.assertIn("MT-PRIORITY", words)
        self.assertIn("DELIVERBY", words)
        words = self.talk().hello()
        self.assertNotIn("FUTURERELEASE", words)
        self.assertNotIn("MT-PRIORITY", words)

    def test_syntax(self):
        t = self.talk("submission", "alice")
        for bad in ("HOLDFOR=3601", "HOLDFOR=x", "HOLDFOR=-1", "HOLDFOR=1 HOLDFOR=1", "HOLDUNTIL=tomorrow",
                    "HOLDUNTIL=2099-01-01T00:00:00Z", "HOLDUNTIL=2026-02-31T00:00:00Z", "BY=1", "BY=1;X", "BY=;R", "BY=0;R",
                    "BY=-1;R", "BY=1;RTT", "BY=1;R BY=1;R", "MT-PRIORITY=10", "MT-PRIORITY=", "MT-PRIORITY=--1"):
            t.say(f"MAIL FROM:<alice@example.org> {bad}", "501")
        for good in ("HOLDFOR=3600", "HOLDUNTIL=2020-01-01T00:00:00.5+01:00", "BY=-5;n", "BY=120;RT", "MT-PRIORITY=-9"):
            t.say(f"MAIL FROM:<alice@example.org> {good}", "250")
            t.say("RSET", "250")
        self.talk().say("MAIL FROM:<a@example.net> HOLDFOR=5", "555")

    def test_held_until_then(self):
        begun = time.time()
        self.send("held-here", ["bob@example.org"], ["HOLDFOR=3"])
        self.stack.tool("queue", "flush")
        self.stack.wait_mail("bob", "from held-here", 20)
        self.assertGreaterEqual(time.time() - begun, 2)

    def test_time_and_priority_are_told(self):
        mx = self.server(2, keywords=("DELIVERBY", "MT-PRIORITY"))
        self.send("by-told", ["x@far.example"], ["BY=900;R", "MT-PRIORITY=9"])
        wait_for("the message", lambda: mx.messages)
        self.assertRegex("\n".join(mx.lines), r"MAIL FROM:<alice@example.org> BY=(8\d\d|900);R MT-PRIORITY=4")

    def test_returned_by_hosts_without_it(self):
        self.server(2)
        self.send("by-refused", ["x@far.example"], ["BY=900;R"])
        _, _, _, rcpts, _ = self.report("by-refused")
        self.assertEqual(rcpts["x@far.example"]["Status"], "5.3.3")

    def test_returned_in_time(self):
        self.send("by-return", ["x@late.far.example"], ["BY=2;R"])
        _, _, _, rcpts, _ = self.report("Subject: by-return")
        self.assertEqual(rcpts["x@late.far.example"]["Action"], "failed")

    def test_told_in_time(self):
        self.send("by-notice", ["y@late.far.example"], ["BY=1;N"])
        _, _, _, rcpts, _ = self.report("Subject: by-notice")
        self.assertEqual(rcpts["y@late.far.example"]["Action"], "delayed")
        self.stack.tool("queue", "delete", "ALL")


class Utf8(EsmtpTest):
    ME = "gr\u00fc\u00dfe@far.example"

    def begin(self, *rcpts, sender="alice@example.org", user="alice"):
        s = self.stack.smtp("submission")
        self.addCleanup(s.close)
        s.starttls(context=self.stack.tls())
        s.login(user, harness.PASSWORDS[user])
        s.ehlo()
        s.command_encoding = "utf-8"
        self.assertEqual(s.mail(sender, ["SMTPUTF8", "BODY=8BITMIME"])[0], 250)
        for r in rcpts:
            got = s.rcpt(r)
            self.assertEqual(got[0], 250, got)
        return s

    def test_syntax(self):
        t = self.talk()
        self.assertIn("SMTPUTF8", t.hello())
        t.say("MAIL FROM:<\u00fc@example.net>", "553 5.6.7")
        t.say("MAIL FROM:<a@\u00fc.example>", "553 5.6.7")
        t.say("MAIL FROM:<a@example.net> SMTPUTF8=1", "501")
        t.send(b"MAIL FROM:<\xff@example.net> SMTPUTF8\r\n")
        t.expect("501")
        t.say("MAIL FROM:<\u00fc@example.net>  SMTPUTF8", "250")
        t.send("RCPT TO:<nobody-\u00fc@example.org>\r\n")
        self.assertIn("nobody-\u00fc@example.org".encode(), t.file.readline())
        t.say("RCPT TO:<alice@example.org>", "250")
        t.say("RSET", "250")
        t.say("MAIL FROM:<a@example.net>", "250")
        t.say("RCPT TO:<alice-\u00fc@example.org>", "553 5.6.7")

    def test_delivered_here(self):
        s = self.begin("bob@example.org")
        self.assertEqual(s.data("From: alice@example.org\r\nSubject: gr\u00fc\u00df\r\n\r\nutf8-here\r\n".encode())[0], 250)
        mail = self.stack.wait_mail("bob", "utf8-here")
        self.assertRegex(mail, rb"with UTF8SMTPSA id")
        self.assertIn("Subject: gr\u00fc\u00df".encode(), mail)

    def test_relayed(self):
        mx = self.server(2, keywords=("8BITMIME", "SMTPUTF8"))
        s = self.begin(self.ME)
        self.assertEqual(s.data(b"From: alice@example.org\r\n\r\nutf8-relayed\r\n")[0], 250)
        wait_for("the message", lambda: mx.messages)
        self.assertEqual([x for x in mx.lines if x.startswith(("MAIL", "RCPT"))],
                         ["MAIL FROM:<alice@example.org> BODY=8BITMIME SMTPUTF8", f"RCPT TO:<{self.ME}>"])

    def test_not_needed_not_asked(self):
        mx = self.server(2, keywords=("8BITMIME",))
        s = self.begin("x@far.example")
        self.assertEqual(s.data(b"From: alice@example.org\r\n\r\nutf8-needless\r\n")[0], 250)
        wait_for("the message", lambda: mx.messages)

    def test_bounced_by_hosts_without_it(self):
        self.server(2, keywords=("8BITMIME",))
        s = self.begin(self.ME)
        self.assertEqual(s.data("From: alice@example.org\r\nSubject: \u00fc-bounced\r\n\r\nx\r\n".encode())[0], 250)
        raw = self.stack.wait_mail("alice", "\u00fc-bounced".encode(), 20)
        self.assertIn(b"report-type=global-delivery-status", raw)
        self.assertIn(f"Final-Recipient: utf-8; {self.ME}\r\n".encode(), raw)
        self.assertIn(b"Status: 5.6.7\r\n", raw)
        self.assertIn(b"Content-Type: message/global-headers", raw)

    def test_u_label_is_looked_up_as_a_label(self):
        mx = self.server(4, keywords=("8BITMIME", "SMTPUTF8"))
        s = self.begin("x@b\u00fccher.far.example")
        self.assertEqual(s.data(b"From: alice@example.org\r\n\r\nutf8-label\r\n")[0], 250)
        wait_for("the message", lambda: mx.messages)
        self.assertIn("RCPT TO:<x@xn--bcher-kva.far.example>", mx.lines)


class Submission(EsmtpTest):
    CONF = {"smtpd_hard_error_limit": "100", "header_size_limit": "20k"}

    def submit(self, header, sender="alice@example.org", code=250, text="", rcpt="bob@example.org", user="alice"):
        with self.stack.smtp("submission") as s:
            s.starttls(context=self.stack.tls())
            s.login(user, harness.PASSWORDS[user])
            s.ehlo()
            self.assertEqual(s.mail(sender)[0], 250)
            got = s.rcpt(rcpt)
            if got[0] != 250:
                return got[1].decode()
            got = s.data(header + "\r\n\r\n" + text)
            self.assertEqual(got[0], code, got)
            return got[1].decode()

    def test_sender_is_ones_own(self):
        for own in ("alice@example.org", "alice.example@example.org", "alice+x@example.org", "alice@example.net"):
            self.submit(f"From: \"A, B\" <{own}> (x)", own, text="own")
        self.assertIn("not owned by user alice", self.submit("From: alice@example.org", "bob@example.org"))
        self.assertIn("not owned", self.submit("From: alice@example.org", "x@elsewhere.example"))
        for alien in ("From: bob@example.org", "From: x@elsewhere.example", "From: alice@example.org, bob@example.org",
                      "From: Bob <bob@example.org>\r\nSender: alice@example.org", "From: nobody here <>",
                      "From: alice@example.org\r\nSender: bob@example.org", "From:", "From: @",
                      "from : =?utf-8?q?alice=40example.org?= <bob@example.org>",
                      "From: alice@example.org <bob@example.org>",
                      "Subject: x\r\nTo: y@elsewhere.example\r\nFrom: bob@example.org\r\nX-Y: " + "z" * 9000,
                      "From: x: alice@example.org,\r\n bob@example.org;"):
            self.assertIn("sender is not yours", self.submit(alien, code=550), alien)
        self.submit("From: alice@example.org\r\nFROM: alice@example.org", code=550)
        self.submit("From: alice@example.org\r\nX: " + "x\r\n " * 10000, code=552)

    def test_missing_fields(self):
        self.submit("Subject: bare", text="missing-1")
        mail = email.message_from_bytes(self.stack.wait_mail("bob", "missing-1"))
        self.assertEqual(mail["From"], "<alice@example.org>")
        self.assertRegex(mail["Message-ID"], "^<.*@mx.example.org>$")
        self.assertTrue(mail["Date"])
        self.assertIsNone(mail["Sender"])
        self.submit("From: alice@example.org, alice@example.net", text="missing-2")
        mail = email.message_from_bytes(self.stack.wait_mail("bob", "missing-2"))
        self.assertEqual(mail["Sender"], "<alice@example.org>")

    def test_delegate(self):
        def answers():
            with self.stack.smtp("submission") as s:
                s.starttls(context=self.stack.tls())
                s.login("alice", harness.PASSWORDS["alice"])
                s.ehlo()
                s.mail("bob@example.org")
                return s.rcpt("bob@example.org")[0]

        dn = "dn: uid=bob,ou=people,dc=example,dc=org\nchangetype: modify\n"
        self.stack.slapd.modify(dn + "add: dirigoSendAs\ndirigoSendAs: uid=alice,ou=people,dc=example,dc=org\n")
        wait_for("the right", lambda: answers() == 250)
        self.submit("From: bob@example.org", "bob@example.org", text="for bob")
        self.submit("From: bob@example.org\r\nSender: alice@example.org", text="for bob")
        self.stack.slapd.modify(dn + "delete: dirigoSendAs\n")
        wait_for("the end of the right", lambda: answers() == 553)
        self.submit("From: bob@example.org", code=550)

    def test_policy_lists_apply(self):
        self.assertIn("fully-qualified", self.submit("From: alice@example.org", rcpt="x@elsewhere"))

    def test_received(self):
        self.submit("From: alice@example.org", text="received-1")
        self.assertRegex(self.stack.wait_mail("bob", "received-1").decode(),
                         r"Received: from .*\r\n.*\r\n\tby mx.example.org \(Dirigo\) with ESMTPSA id")


class Privacy(EsmtpTest):
    CONF = {"submission_hide_client": "yes", "smtpd_expn_for_logins": "yes", "submission_header_sender": "tell", "always_add_missing_headers": "yes"}

    def test_hidden(self):
        self.send("hidden-1", ["bob@example.org"])
        head = self.stack.wait_mail("bob", "from hidden-1").decode().split("\r\n\r\n")[0]
        self.assertRegex(head, r"\r\nReceived: by mx.example.org \(Dirigo\) with ESMTPSA id \w+\r\n\tfor <bob@example.org>;")
        self.assertNotIn("127.0.0.1", head)

    def test_expn_and_help(self):
        self.talk().say("EXPN info@example.org", "502")
        t = self.talk("submission", "alice")
        t.say("EXPN nobody-x@example.org", "550")
        t.say("EXPN", "501")
        self.assertEqual(sorted(t.say("EXPN <info@example.org>", "250").replace("250-", "250 ").split("\n")),
                         [f"250 <{who}@example.org>" for who in ("alice", "bob", "carol")])
        self.assertIn("BDAT", t.say("HELP", "214"))

    def test_told(self):
        self.send("told-1", ["bob@example.org"], text="From: x@elsewhere.example\r\n\r\ntold-1\r\n")
        mail = email.message_from_bytes(self.stack.wait_mail("bob", "told-1"))
        self.assertEqual(mail["Sender"], "<alice@example.org>")

    def test_a_lie_is_not_telling(self):
        def data(header, sender):
            with self.stack.smtp("submission") as s:
                s.starttls(context=self.stack.tls())
                s.login("alice", harness.PASSWORDS["alice"])
                s.ehlo()
                self.assertEqual(s.mail(sender)[0], 250)
                self.assertEqual(s.rcpt("bob@example.org")[0], 250)
                return s.data(header + "\r\n\r\n" + header[-6:])[0]

        for lie in ("From: x@elsewhere.example\r\nSender: x@elsewhere.example",
                    "Sender: bob@example.org\r\nFrom: alice@example.org", "From: alice@example.org\r\nSender:"):
            self.assertEqual(data(lie, "alice@example.org"), 550, lie)
        self.assertEqual(data("From: x@elsewhere.example\r\nSender: alice@example.org", "alice@example.org"), 250)
        # MAIL FROM:<> hides nobody.
        self.assertEqual(data("From: x@elsewhere.example\r\nSubject: told-2", ""), 250)
        mail = email.message_from_bytes(self.stack.wait_mail("bob", "told-2"))
        self.assertEqual(mail["Sender"], "<alice@example.org>")

    def test_added_on_port_25(self):
        t = self.talk()
        t.say("MAIL FROM:<a@example.net>", "250")
        t.say("RCPT TO:<bob@example.org>", "250")
        t.say("DATA", "354")
        t.send("Subject: x\r\n\r\nadded-25\r\n.\r\n")
        t.expect("250")
        mail = email.message_from_bytes(self.stack.wait_mail("bob", "added-25"))
        self.assertEqual(mail["From"], "<a@example.net>")
        self.assertTrue(mail["Date"] and mail["Message-ID"])


class UnixSocket(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="dirigo-lmtp-")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.path = f"{self.folder}/lmtp"
        self.stack = harness.Stack({"lmtp_socket": self.path, "lmtp_socket_mode": "0666", "service_processes": "2"})
        self.addCleanup(self.end)
        self.stack.start()

    def end(self):
        problems = self.stack.stop()
        self.assertFalse(problems, problems)
        self.assertFalse(os.path.exists(self.path))

    def test_delivers(self):
        self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o666)
        for i in range(4):
            with smtplib.LMTP(self.path) as s:
                refused = s.sendmail("a@example.net", ["alice@example.org", "nobody-x@example.org", "bob@example.org"],
                                     f"Subject: x\r\n\r\nunix-{i}\r\n")
                self.assertEqual(list(refused), ["nobody-x@example.org"])
                code, text = s.getreply()  # smtplib reads one; there is one for each recipient
                self.assertEqual(code, 250)
                self.assertIn(b"<bob@example.org>", text)
        for i in range(4):
            self.assertIn(b"with LMTP id", self.stack.wait_mail("alice", f"unix-{i}"))
        with smtplib.LMTP(self.path) as s:
            s.ehlo("here")
            s.mail("a@example.net")
            self.assertIn(s.rcpt("x@elsewhere.example")[0], (554, 550))


class Withheld(EsmtpTest):
    CONF = {"smtpd_discard_ehlo_keywords": "dsn, etrn, nonsense"}

    def test_withheld(self):
        t = self.talk()
        words = t.hello()
        self.assertNotIn("DSN", words)
        self.assertNotIn("ETRN", words)
        self.assertIn("8BITMIME", words)
        t.say("MAIL FROM:<a@example.net> RET=FULL", "555")
        self.assertIn("nonsense", self.stack.dirigod.log())


if __name__ == "__main__":
    harness.main()
