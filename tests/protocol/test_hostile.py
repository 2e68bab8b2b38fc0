#!/usr/bin/python3
"""Clients that mean harm: each is refused, bounded or put up with, and no process dies of it."""
import os
import socket
import time
import unittest

import harness
from harness import PASSWORDS, StackTest
from test_smtp import Talk

# Memory that was freed is to count as free: the sanitizer keeps 256 MB of it otherwise.
os.environ["DIRIGO_ASAN"] = ":quarantine_size_mb=1"

FRONTS = ("dirigo-smtpd", "dirigo-queue", "dirigo-directory", "dirigo-auth", "dirigo-resolver", "dirigo-relay",
          "dirigo-mailbox", "dirigo-imapd", "dirigo-pop3d")


def rss_kib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))


class HostileTest(StackTest):
    CONF = {"mynetworks": "192.0.2.0/24", "auth_failure_delay": "0", "auth_failure_delay_limit": "0",
            "smtpd_hard_error_limit": "1000"}

    def setUp(self):
        self.before = {name: self.stack.pids(name) for name in FRONTS}

    def tearDown(self):
        self.assertEqual({name: self.stack.pids(name) for name in FRONTS}, self.before, "a process died")

    def flood(self, sock, data, limit):
        """Sends data over and over until it is taken no more; the number of bytes that were taken."""
        sock.settimeout(2)
        sent = 0
        try:
            while sent < limit:
                sock.sendall(data)
                sent += len(data)
        except TimeoutError:
            pass
        return sent

    # ---- SMTP ----

    def test_replies_that_nobody_reads_are_bounded(self):
        pid = self.before["dirigo-smtpd"][0]
        t = Talk(self.stack)
        self.addCleanup(t.__exit__)
        t.hello()
        size = rss_kib(pid)
        sent = self.flood(t.sock, b"EHLO client.example.net\r\n" * 1000, 40_000_000)
        self.assertLess(sent, 40_000_000, "input is read while replies pile up")
        self.assertLess(rss_kib(pid) - size, 30_000)

    def test_replies_that_are_read_late_all_come(self):
        count = 20000
        t = Talk(self.stack)
        self.addCleanup(t.__exit__)
        t.hello()
        # What is asked fits the buffers of both ends; what is answered does not.
        t.send("EHLO x.example.net\r\n" * count + "QUIT\r\n")
        time.sleep(0.5)
        got = t.file.read()
        self.assertEqual(got.count(b"\r\n250 "), count)  # the last line of each
        self.assertTrue(got.endswith(b"221 2.0.0 Bye\r\n"))

    def test_no_form_of_address_relays(self):
        t = Talk(self.stack)
        self.addCleanup(t.__exit__)
        t.hello()
        forms = ("victim@remote.test", "victim%remote.test@example.org", "victim%remote.test", "remote.test!victim",
                 "remote.test!victim@example.org", "@example.org:victim@remote.test", '"victim@remote.test"',
                 "@example.org,@mx.example.org:victim@remote.test", '"victim@remote.test"@example.org',
                 '"victim%remote.test"@example.org', '"victim@remote.test"@[127.0.0.1]', "victim@[127.0.0.1]",
                 "victim@[IPv6:::1]", "victim%remote.test@[127.0.0.1]", "victim@remote.test@example.org",
                 "victim@example.org@remote.test", "victim@remote.test.", "victim@remote.test:25",
                 "victim@remote.test%example.org", "*)(mail=*@example.org", "\\2a@example.org", "a@" + "b" * 60000)
        for sender in ("spam@remote.test", "", "bob@example.org", "postmaster", "spam@[127.0.0.1]"):
            for form in forms:
                t.say(f"MAIL FROM:<{sender}>", "250")
                t.send(f"RCPT TO:<{form}>\r\n")
                reply = t.reply()
                self.assertEqual(reply[:1], "5", (sender, form, reply))
                t.say("RSET", "250")

    # ---- IMAP ----

    def imap(self):
        s = self.stack.tls().wrap_socket(socket.create_connection(("127.0.0.1", self.stack.ports["imaps"]), 20))
        self.addCleanup(s.close)
        f = s.makefile("rb")
        self.addCleanup(f.close)
        f.readline()
        s.sendall(f"a LOGIN bob {PASSWORDS['bob']}\r\n".encode())
        self.assertIn(b"a OK", f.readline())
        return s, f

    def test_who_sends_too_long_a_literal_is_not_told_to_go_on(self):
        s, f = self.imap()
        # What a client sent after a wrong "+" would be read as commands.
        for size in (4294967295, 2 << 20):
            s.sendall(f"b SELECT {{{size}}}\r\n".encode())
            self.assertEqual(f.readline()[:5], b"b BAD")
        s.sendall(b"c SELECT {5}\r\n")
        self.assertEqual(f.readline()[:1], b"+")
        s.sendall(b"INBOX\r\n")
        while not (line := f.readline()).startswith(b"c "):
            self.assertTrue(line.startswith(b"* "), line)
        self.assertIn(b"c OK", line)

    def test_folders_stay_in_the_mailbox(self):
        s, f = self.imap()
        for name in ("../x", "..", "/etc/passwd", ".x", "a..b", "&AC8-", "&AAA-", "&AC4ALg-", "a" * 300, ".".join("d" * 1000)):
            s.sendall(f'n CREATE "{name}"\r\n'.encode())
            self.assertIn(b"n NO", f.readline(), name)

    def test_answers_that_nobody_reads_are_bounded(self):
        pid = self.before["dirigo-mailbox"][0]
        s, _ = self.imap()
        size = rss_kib(pid)
        sent = self.flood(s, b'n LIST "" "*"\r\n' * 1000, 40_000_000)
        self.assertLess(sent, 40_000_000, "input is read while answers pile up")
        self.assertLess(rss_kib(pid) - size, 30_000)


if __name__ == "__main__":
    os.umask(0o022)
    harness.main()
