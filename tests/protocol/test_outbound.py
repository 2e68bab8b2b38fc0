#!/usr/bin/python3
"""Mail that leaves: from authenticated submission through queue and relay to mail servers written here, with the
names from a signed zone."""
import os
import shutil
import signal
import tempfile
import unittest

import harness
from harness import wait_for
from test_relay import Server

MESSAGE = "From: alice@example.org\r\nTo: x@far.example\r\nSubject: {0}\r\n\r\n.dot\r\nfrom {0}\r\n"


class Outbound(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="dirigo-outbound-")
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        cls.port = harness.free_ports(1)[0]
        dns = harness.Dns(f"{cls.folder}/dns", "far.example", """@ MX 10 mx2
@ MX 20 mx3
late MX 10 mx4
null MX 0 .
mx2 A 127.0.0.2
mx3 A 127.0.0.3
mx4 A 127.0.0.4
""")
        cls.stack = harness.Stack({"smtp_tcp_port": str(cls.port), "inet_protocols": "ipv4", "resolver_timeout": "2s",
                                   "minimal_backoff_time": "1s", "maximal_backoff_time": "2s",
                                   "smtp_connect_timeout": "2s", "smtp_command_timeout": "5s"}, dns=dns)
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

    def setUp(self):
        self.servers = []

    def tearDown(self):
        for s in self.servers:
            s.close()

    def server(self, last, **kwargs):
        s = Server(f"127.0.0.{last}", self.port, **kwargs)
        self.servers.append(s)
        return s

    def submit(self, rcpts, marker):
        return self.stack.submit("alice", "alice@example.org", rcpts, MESSAGE.format(marker))

    def test_sent(self):
        mx2 = self.server(2, keywords=("PIPELINING", "8BITMIME", "SIZE 1000000"))
        self.assertEqual(self.submit(["x@far.example"], "first"), {})
        wait_for("the message", lambda: mx2.messages)
        [message] = mx2.messages
        self.assertTrue(message.startswith(b"Received: "), message)
        self.assertNotIn(b"Return-Path", message)
        self.assertTrue(message.endswith(b"\r\n\r\n.dot\r\nfrom first\r\n"), message)
        self.assertTrue([x for x in mx2.lines if x.startswith("MAIL FROM:<alice@example.org> SIZE=")])

    def test_here_and_there(self):
        mx2 = self.server(2, keywords=("PIPELINING",))
        self.submit(["x@far.example", "bob@example.org", "y@far.example"], "both-ways")
        wait_for("the message", lambda: mx2.messages)
        self.assertEqual([x for x in mx2.lines if x.startswith("RCPT")],
                         ["RCPT TO:<x@far.example>", "RCPT TO:<y@far.example>"])
        self.stack.wait_mail("bob", "from both-ways")

    def test_deferred_and_tried_again(self):
        self.submit(["x@late.far.example"], "again")
        wait_for("the deferral", lambda: "Connection refused" in self.stack.dirigod.log())
        mx4 = self.server(4)
        wait_for("the second try", lambda: mx4.messages)
        self.assertEqual(len(mx4.messages), 1)

    def test_refused_comes_back(self):
        self.server(2, replies={"RCPT": "550 5.1.1 nobody of that name"})
        self.submit(["gone@far.example"], "refused")
        bounce = self.stack.wait_mail("alice", "gone@far.example", 20)
        self.assertIn(b"5.1.1", bounce)
        self.assertIn(b"nobody of that name", bounce)

    def test_null_mx_comes_back(self):
        self.submit(["x@null.far.example"], "null")
        bounce = self.stack.wait_mail("alice", "x@null.far.example", 20)
        self.assertIn(b"5.1.10", bounce)

    def test_relay_and_resolver_are_killed(self):
        mx2 = self.server(2, keywords=("PIPELINING",))
        for name in ("dirigo-resolver", "dirigo-relay"):
            for pid in self.stack.pids(name):
                os.kill(pid, signal.SIGKILL)
        self.submit(["x@far.example"], "killed")
        wait_for("the message", lambda: any(b"from killed" in m for m in mx2.messages), 30)
        self.assertEqual(sum(b"from killed" in m for m in mx2.messages), 1)


if __name__ == "__main__":
    harness.main()
