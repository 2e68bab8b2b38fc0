#!/usr/bin/python3
"""dirigo-relay with a real resolver and zone, mail servers written here, and the test as its queue."""
import os
import shutil
import socket
import ssl
import tempfile
import threading
import time
import unittest

import alone
import harness

READY, JOB, DONE = 8, 9, 10
SENT, DEFERRED, BOUNCED = range(3)
KEY = b"relay key of the test, 32 bytes."
TRACE = b"Return-Path: <s@example.net>\r\n"
TEXT = b"Received: by mx.example.org\r\nSubject: x\r\n\r\n.one dot\r\n..two\r\n\r\nend\r\n"


class Server:
    """A mail server on one address. `replies` maps a command's beginning to what is answered instead of 250."""

    def __init__(self, address, port, keywords=(), replies=None, tls=None, greeting="220 test ESMTP"):
        self.keywords, self.replies, self.tls, self.greeting = keywords, replies or {}, tls, greeting
        self.lines, self.messages, self.connections, self.secured, self.open = [], [], 0, 0, []
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind((address, port))
        self.socket.listen(32)
        self.thread = threading.Thread(target=self.accept, daemon=True)
        self.thread.start()

    def accept(self):
        while True:
            try:
                s, _ = self.socket.accept()
            except OSError:
                return
            self.connections += 1
            self.open.append(s)
            threading.Thread(target=self.serve, args=(s,), daemon=True).start()

    def serve(self, s):
        try:
            with s:
                self.session(s)
        except (OSError, UnicodeDecodeError):
            pass  # closed under its hands: what was left of TLS may be read as text

    def reply_to(self, line):
        for start, reply in self.replies.items():
            if line.upper().startswith(start):
                return reply
        return "354 go" if line == "DATA" else "250 2.0.0 ok"

    def session(self, s):
        f = s.makefile("rb")

        def say(text):
            s.sendall(text.encode() + b"\r\n")

        say(self.greeting)
        secured = False
        for raw in f:
            line = raw.decode().rstrip("\r\n")
            self.lines.append(line)
            if line.upper().startswith("EHLO") and "EHLO" not in self.replies:
                words = ["test"] + [k for k in self.keywords if k != "STARTTLS" or not secured]
                say("\r\n".join(f"250{'-' if i + 1 < len(words) else ' '}{w}" for i, w in enumerate(words)))
            elif line == "STARTTLS":
                say("220 go")
                s = self.tls.wrap_socket(s, server_side=True)
                self.open.append(s)
                f = s.makefile("rb")
                return self.secure_session(s, f)
            elif line == "QUIT":
                say("221 bye")
                return None
            elif line == "DATA" and self.reply_to(line).startswith("354"):
                say("354 go")
                if not self.take_message(f):
                    return None
                say(self.replies.get(".", "250 2.0.0 queued"))
            else:
                say(self.reply_to(line))
        return None

    def secure_session(self, s, f):
        self.secured += 1
        for raw in f:
            line = raw.decode().rstrip("\r\n")
            self.lines.append(line)
            if line == "QUIT":
                s.sendall(b"221 bye\r\n")
                return
            if line == "DATA":
                s.sendall(b"354 go\r\n")
                if not self.take_message(f):
                    return
                s.sendall(b"250 2.0.0 queued\r\n")
            elif line.upper().startswith("EHLO"):
                s.sendall(b"250-test\r\n250 PIPELINING\r\n")
            else:
                s.sendall(self.reply_to(line).encode() + b"\r\n")

    def take_message(self, f):
        body = b""
        for raw in f:
            if raw == b".\r\n":
                self.messages.append(body)
                return True
            body += raw[1:] if raw.startswith(b".") else raw
        return False

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        for s in self.open:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.thread.join(5)


class RelayTest(unittest.TestCase):
    CONF = {}

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="dirigo-relay-")
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        cls.port = harness.free_ports(1)[0]
        cls.dead = harness.free_ports(1)[0]
        cls.dns = harness.Dns(f"{cls.folder}/dns", "mail.example", """one MX 10 mx2
two MX 20 mx3
two MX 10 mx2
null MX 0 .
bare A 127.0.0.2
empty TXT "x"
nohost MX 10 nowhere
half MX 10 nowhere
half MX 20 mx4
best MX 10 mx.example.org.
best MX 20 mx2
backup MX 10 mx.example.org.
backup MX 5 mx2
mx2 A 127.0.0.2
mx3 A 127.0.0.3
mx4 A 127.0.0.4
""")
        cls.dns.start()
        resolver = {"resolver_query_localhost": "yes", "resolver_trust_anchor_file": cls.dns.anchor,
                    "resolver_stub_zones": f"mail.example=127.0.0.1@{cls.dns.port} dead.example=127.0.0.1@{cls.dead}",
                    "resolver_timeout": "2s", "inet_protocols": "ipv4"}
        cls.resolver = alone.Alone("dirigo-resolver", resolver, ipc="resolver", folder=cls.folder)
        cls.resolver.start()
        cls.relay = alone.Alone("dirigo-relay", {
            **resolver, "smtp_tcp_port": str(cls.port), "smtp_connect_timeout": "2s", "smtp_command_timeout": "3s",
            "smtp_data_done_timeout": "3s", "smtp_helo_name": "client.example.org", **cls.CONF}, folder=cls.folder)
        cls.listener = alone.listen(f"{cls.relay.run}/queue.sock")
        cls.relay.role_key = KEY
        cls.relay.start()
        cls.accept()
        cls.cert, cls.key = harness.certificate(cls.folder)

    @classmethod
    def accept(cls):
        cls.listener.settimeout(10)
        cls.queue = alone.Channel(cls.listener.accept()[0]).hello("queue")
        m = cls.queue.read()
        assert m.kind == READY, m.kind
        cls.slots = m.u32()
        assert m.bytes() == alone.relay_proof(KEY, cls.relay.child.pid)
        m.end()

    @classmethod
    def tearDownClass(cls):
        cls.queue.close()
        cls.listener.close()
        try:
            cls.relay.stop()
            cls.resolver.stop()
        finally:
            cls.dns.stop()

    def setUp(self):
        self.servers = []

    def tearDown(self):
        for s in self.servers:
            s.close()

    def server(self, last, **kwargs):
        s = Server(f"127.0.0.{last}", self.port, **kwargs)
        self.servers.append(s)
        return s

    def tls(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.cert, self.key)
        return context

    def post(self, hop, *rcpts, text=TEXT, job="j1", eightbit=0, flags=0, ret=0, priority=0, by=0, envid=None):
        fd = os.memfd_create("message")
        os.write(fd, TRACE + text)
        body = alone.Body().str(job).str("id1").str("s@example.net").u64(len(TRACE + text)).u32(len(TRACE)).u8(eightbit)
        body.u8(flags).u8(ret).u8(priority).u64(0).u64(by).u64(0).str(envid)
        body.str(hop).u32(len(rcpts))
        for r in rcpts:
            address, notify, orcpt = r if isinstance(r, tuple) else (r, 0, None)
            body.str(address).u8(notify).str(orcpt)
        self.queue.send(JOB, body, fds=[fd])
        os.close(fd)

    def result(self):
        m = self.queue.read()
        self.assertEqual(m.kind, DONE)
        job = m.str()
        outcomes = [(m.u8(), m.str(), m.str(), m.u8()) for _ in range(m.u32())]
        m.end()
        return job, outcomes

    def send(self, hop, *rcpts, **asked):
        self.post(hop, *rcpts, **asked)
        return self.result()[1]

    def expect(self, outcome, status, host, text):
        self.assertEqual(outcome[0], status, outcome)
        self.assertIn(host, outcome[1]) if host else self.assertEqual(outcome[1], "")
        self.assertRegex(outcome[2], text)


class Delivery(RelayTest):
    def test_first_mx(self):
        mx2, mx3 = self.server(2, keywords=("PIPELINING", "SIZE 10000")), self.server(3)
        [out] = self.send("two.mail.example", "a@two.mail.example")
        self.expect(out, SENT, f"mx2.mail.example[127.0.0.2]:{self.port}", r"^250 2\.0\.0 queued$")
        self.assertEqual(mx2.messages, [TEXT])
        self.assertEqual(mx3.connections, 0)
        self.assertIn("EHLO client.example.org", mx2.lines)
        self.assertIn(f"MAIL FROM:<s@example.net> SIZE={len(TEXT)}", mx2.lines)

    def test_second_mx_where_the_first_is_down(self):
        mx3 = self.server(3)
        [out] = self.send("two.mail.example", "a@two.mail.example")
        self.expect(out, SENT, "mx3.mail.example", "^250 ")
        self.assertEqual(mx3.messages, [TEXT])

    def test_second_mx_for_what_the_first_deferred(self):
        mx2 = self.server(2, keywords=("PIPELINING",),
                          replies={"RCPT TO:<B": "450 4.2.1 later", "RCPT TO:<C": "550 5.1.1 no"})
        mx3 = self.server(3)
        a, b, c = self.send("two.mail.example", "a@x", "b@x", "c@x")
        self.expect(a, SENT, "mx2", "^250 ")
        self.expect(b, SENT, "mx3", "^250 ")
        self.expect(c, BOUNCED, "mx2", r"^550 5\.1\.1 no$")
        self.assertEqual([len(mx2.messages), len(mx3.messages)], [1, 1])
        self.assertEqual([x for x in mx3.lines if x.startswith("RCPT")], ["RCPT TO:<b@x>"])

    def test_nobody_there_is_deferred(self):
        [out] = self.send("two.mail.example", "a@x")
        self.expect(out, DEFERRED, "mx3", r"^4\.4\.1 no connection: Connection refused")

    def test_busy_servers_are_deferred(self):
        self.server(2, greeting="421 4.3.2 busy")
        self.server(3, greeting="554 go away")
        [out] = self.send("two.mail.example", "a@x")
        self.expect(out, DEFERRED, "mx3", r"^554 4\.0\.0 go away")

    def test_implicit_mx(self):
        mx2 = self.server(2)
        self.expect(self.send("bare.mail.example", "a@x")[0], SENT, "bare.mail.example[127.0.0.2]", "^250")
        self.assertEqual(len(mx2.messages), 1)

    def test_null_mx(self):
        self.expect(self.send("null.mail.example", "a@x")[0], BOUNCED, "", r"^5\.1\.10 ")

    def test_no_such_domain(self):
        self.expect(self.send("no.mail.example", "a@x")[0], BOUNCED, "", r"^5\.1\.2 ")

    def test_domain_without_host(self):
        self.expect(self.send("empty.mail.example", "a@x")[0], BOUNCED, "", r"^5\.4\.4 ")
        self.expect(self.send("nohost.mail.example", "a@x")[0], BOUNCED, "", r"^5\.4\.4 ")

    def test_one_mx_without_address_and_one_down(self):
        self.expect(self.send("half.mail.example", "a@x")[0], DEFERRED, "mx4", r"^4\.4\.1 ")

    def test_unknown_is_deferred(self):
        self.expect(self.send("x.dead.example", "a@x")[0], DEFERRED, "", r"^4\.4\.3 ")

    def test_a_named_host_that_does_not_exist_is_deferred(self):
        self.expect(self.send("[no.mail.example]", "a@x")[0], DEFERRED, "", r"^4\.4\.4 ")

    def test_loop(self):
        self.expect(self.send("best.mail.example", "a@x")[0], BOUNCED, "", r"^5\.4\.6 ")
        self.server(2)
        self.expect(self.send("backup.mail.example", "a@x")[0], SENT, "mx2", "^250")

    def test_named_host(self):
        mx3 = self.server(3)
        self.expect(self.send("[mx3.mail.example]", "a@x")[0], SENT, "mx3", "^250")
        self.expect(self.send("[127.0.0.3]", "a@x")[0], SENT, "[127.0.0.3]", "^250")
        self.assertEqual(len(mx3.messages), 2)

    def test_kept_connection(self):
        mx2 = self.server(2, keywords=("PIPELINING",))
        for _ in range(5):
            self.expect(self.send("one.mail.example", "a@x")[0], SENT, "mx2", "^250")
        self.assertEqual((mx2.connections, len(mx2.messages)), (1, 5))
        time.sleep(2.5)
        self.assertEqual(mx2.lines[-1], "QUIT")
        self.expect(self.send("one.mail.example", "a@x")[0], SENT, "mx2", "^250")
        self.assertEqual(mx2.connections, 2)

    def test_kept_connection_that_ended(self):
        self.server(2)
        self.expect(self.send("one.mail.example", "a@x")[0], SENT, "mx2", "^250")
        self.servers.pop().close()
        second = self.server(2)
        self.expect(self.send("one.mail.example", "a@x")[0], SENT, "mx2", "^250")
        self.assertEqual((second.connections, len(second.messages)), (1, 1))

    def test_server_that_shuts_down(self):
        self.server(2, keywords=("PIPELINING",), replies={"MAIL": "421 4.3.2 going"})
        mx3 = self.server(3)
        self.expect(self.send("two.mail.example", "a@x")[0], SENT, "mx3", "^250")
        self.assertEqual(mx3.messages, [TEXT])

    def test_opportunistic_tls(self):
        mx2 = self.server(2, keywords=("STARTTLS",), tls=self.tls())
        self.expect(self.send("one.mail.example", "a@x")[0], SENT, "mx2", "^250")
        self.assertEqual((mx2.secured, mx2.messages), (1, [TEXT]))
        self.assertIn("tls=TLSv1.3", self.relay.log())

    def test_broken_tls_goes_in_clear(self):
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)  # without a certificate no handshake succeeds
        mx3 = self.server(3, keywords=("STARTTLS",), tls=old)
        self.expect(self.send("[mx3.mail.example]", "a@x")[0], SENT, "mx3", "^250")
        self.assertEqual((mx3.secured, mx3.connections, mx3.messages), (0, 2, [TEXT]))

    def test_silent_server(self):
        s = socket.socket()
        s.bind(("127.0.0.4", self.port))
        s.listen(5)
        [out] = self.send("[mx4.mail.example]", "a@x")
        self.expect(out, DEFERRED, "mx4", r"^4\.4\.2 timed out \(waiting for the greeting\)")
        s.close()

    def test_addresses_that_cannot_be_sent(self):
        mx2 = self.server(2)
        bad, good, control = self.send("[mx2.mail.example]", "ä@x", "a@x", "a\r\nRSET@x")
        self.expect(bad, BOUNCED, "mx2", r"^5\.6\.7 ")
        self.expect(control, BOUNCED, "", r"^5\.1\.3 ")
        self.expect(good, SENT, "mx2", "^250")
        self.assertEqual([x for x in mx2.lines if x.startswith("RCPT")], ["RCPT TO:<a@x>"])

    def test_many_jobs_at_once(self):
        mx2 = self.server(2, keywords=("PIPELINING",))
        count = 60
        for i in range(count):
            self.post("one.mail.example", "a@x", job=f"m{i}", text=TEXT * 50)
        jobs = set()
        for _ in range(count):
            job, [out] = self.result()
            self.expect(out, SENT, "mx2", "^250")
            jobs.add(job)
        self.assertEqual((len(jobs), len(mx2.messages)), (count, count))
        self.assertEqual(set(mx2.messages), {TEXT * 50})

    def test_queue_goes_and_comes_back(self):
        s = socket.socket()
        s.bind(("127.0.0.4", self.port))
        s.listen(5)
        self.post("[mx4.mail.example]", "a@x")  # hangs
        time.sleep(0.3)
        self.queue.close()
        self.accept()
        s.close()
        self.assertGreaterEqual(self.slots, 1)
        self.server(2)
        self.expect(self.send("[mx2.mail.example]", "a@x")[0], SENT, "mx2", "^250")


class Relayhost(RelayTest):
    CONF = {"relayhost": "[mx3.mail.example]", "smtp_tls_security_level": "encrypt",
            "smtp_connection_cache_time_limit": "0"}

    def test_relayhost_and_required_tls(self):
        mx3 = self.server(3, keywords=("STARTTLS", "PIPELINING"), tls=self.tls())
        self.expect(self.send("no.mail.example", "a@no.mail.example")[0], SENT, "mx3", "^250")
        self.assertEqual((mx3.secured, mx3.messages), (1, [TEXT]))

    def test_no_tls_no_delivery(self):
        mx3 = self.server(3)
        self.expect(self.send("x.example", "a@x.example")[0], DEFERRED, "mx3", r"^4\.7\.4 ")
        self.assertEqual(mx3.messages, [])

    def test_broken_tls_no_delivery(self):
        mx3 = self.server(3, keywords=("STARTTLS",), tls=ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
        self.expect(self.send("x.example", "a@x.example")[0], DEFERRED, "mx3", r"^4\.7\.5 ")
        self.assertEqual(mx3.messages, [])


class Draining(RelayTest):
    def test_a_job_under_way_is_finished(self):
        class Slow(Server):
            def session(self, s):
                time.sleep(1)
                super().session(s)

        mx2 = Slow("127.0.0.2", self.port)
        self.servers.append(mx2)
        self.post("[mx2.mail.example]", "a@x")
        harness.wait_for("the connection", lambda: mx2.connections)
        self.relay.control.send(alone.DRAIN, alone.Body().u8(1))
        m = self.queue.read()
        self.assertEqual((m.kind, m.u32()), (READY, 0))
        self.expect(self.result()[1][0], SENT, "mx2", "^250")
        self.assertEqual(self.relay.child.wait(10), 0)


del RelayTest  # it has no tests of its own

if __name__ == "__main__":
    harness.main()
