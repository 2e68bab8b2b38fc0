#!/usr/bin/python3
"""SASL with what Python's ssl cannot give: the tls-exporter binding of TLS 1.3 (RFC 9266)."""
import re
import subprocess
import unittest

import harness
from harness import PASSWORDS, StackTest
from test_login import Scram


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
        self.assertIn(self.login(wrong), ("NO", "BAD"))
        self.assertEqual(self.login(self.binding), "OK")


if __name__ == "__main__":
    harness.main()
