#!/usr/bin/python3
"""SASL on submission, IMAP and POP3 alike: bindings, among them tls-exporter (RFC 9266), which Python's ssl cannot
give, and what a mechanism must not take."""
import re
import ssl
import subprocess
import time
import unittest

import harness
from harness import PASSWORDS, StackTest
from saslclient import SERVICES, WORDS, connect, ok
from test_login import Scram, b64


class Exporter(StackTest):
    CONF = {"auth_failure_delay": "10ms"}

    def setUp(self):
        self.child = subprocess.Popen(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{self.stack.ports['imaps']}", "-tls1_3", "-crlf",
             "-nocommands", "-keymatexport", "EXPORTER-Channel-Binding", "-keymatexportlen", "32"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.binding = bytes.fromhex(self.until(r"Keying material: ([0-9A-F]{64})").group(1))
        self.until(r"\* OK")

    def tearDown(self):
        self.child.stdin.close()
        self.child.stdout.close()
        self.child.wait(10)

    def until(self, pattern):
        for line in self.child.stdout:
            if found := re.search(pattern, line.decode("utf-8", "replace")):
                return found
        raise AssertionError(f"{pattern}: not before the end")

    def say(self, text):
        self.child.stdin.write(text.encode() + b"\n")
        self.child.stdin.flush()

    def login(self, binding):
        scram = Scram("alice", PASSWORDS["alice"], binding=binding, flag="p=tls-exporter")
        self.say("a AUTHENTICATE SCRAM-SHA-256-PLUS " + scram.first())
        self.say(scram.final(self.until(r"^\+ (\S+)").group(1)))
        reply = self.until(r"^(\+ |a )(\S*)")
        if reply.group(1) == "+ ":
            self.assertTrue(scram.verify(reply.group(2)))
            self.say("")
            reply = self.until(r"^(a )(\S*)")
        return reply.group(2)

    def test_tls_exporter(self):
        wrong = bytes([self.binding[0] ^ 1]) + self.binding[1:]
        self.assertEqual(self.login(wrong), "NO")
        self.assertEqual(self.login(self.binding), "OK")


class Alike(StackTest):
    CONF = {"auth_failure_delay": "10ms", "auth_failure_delay_limit": "40ms", "login_failure_limit": "100"}

    def each(self, **more):
        for service in SERVICES:
            with self.subTest(service), connect(self.stack, service, **more) as c:
                yield service, c

    def refused(self, service, reply, how="denied"):
        self.assertTrue(reply.startswith(WORDS[how][service]), reply)

    def test_a_name_ends_where_it_ends(self):
        """LOGIN with a NUL in the name is not taken for what stands before it, nor is SCRAM."""
        for service, c in self.each():
            self.refused(service, c.sasl("LOGIN", b64("alice\0x"), b64(PASSWORDS["alice"])), "malformed")
            self.refused(service, c.sasl("LOGIN", b64("alice"), b64(PASSWORDS["alice"] + "\0x")), "malformed")
            self.refused(service, c.sasl_ir("SCRAM-SHA-256", b64("n,,n=alice\0x,r=abcdef")), "malformed")
            self.assertTrue(ok(c.sasl("LOGIN", b64("alice"), b64(PASSWORDS["alice"]))))

    def test_a_binding_of_another_connection(self):
        """Refused as a wrong password is; so is a client that takes a server with bindings for one without."""
        for service, c in self.each(max_version=ssl.TLSVersion.TLSv1_2):
            binding = c.sock.get_channel_binding("tls-unique")
            wrong = bytes([binding[0] ^ 1]) + binding[1:]
            for more in ({"binding": wrong, "flag": "p=tls-unique"}, {"binding": wrong, "flag": "p=tls-exporter"}):
                self.refused(service, c.scram("alice", PASSWORDS["alice"], "SCRAM-SHA-256-PLUS", **more)[0])
            self.refused(service, c.scram("alice", PASSWORDS["alice"], flag="y")[0])
            self.assertTrue(ok(c.scram("alice", PASSWORDS["alice"], "SCRAM-SHA-256-PLUS", binding=binding,
                                       flag="p=tls-unique")[0]))


class Counted(StackTest):
    CONF = {"auth_failure_delay": "300ms", "auth_failure_delay_limit": "1200ms", "login_failure_limit": "100"}

    def test_a_wrong_binding_counts(self):
        with connect(self.stack, "submission", max_version=ssl.TLSVersion.TLSv1_2) as c:
            took = []
            for _ in range(3):
                start = time.monotonic()
                c.scram("alice", PASSWORDS["alice"], "SCRAM-SHA-256-PLUS", binding=b"x" * 12, flag="p=tls-unique")
                took.append(time.monotonic() - start)
            self.assertGreaterEqual(took[1], 0.59)
            self.assertGreaterEqual(took[2], 1.19)


if __name__ == "__main__":
    harness.main()
