#!/usr/bin/python3
"""Clients that come through somebody else: the PROXY protocol on every front end, and XCLIENT."""
import imaplib
import poplib
import smtplib
import socket
import struct
import unittest

import harness
from harness import StackTest, wait_for

PROXY = "127.0.0.9"  # the harness itself, from 127.0.0.1, is its own client
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
V1 = b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 25\r\n"


def v2(command, family=0x11, body=None):
    if body is None:
        body = socket.inet_aton("192.0.2.8") + socket.inet_aton("192.0.2.1") + struct.pack(">HH", 4712, 25)
    return SIGNATURE + bytes([0x20 | command, family]) + struct.pack(">H", len(body)) + body


class Behind:
    """Makes a client class of the standard library send a header before anything else."""

    def __init__(self, header, source=PROXY):
        self.header, self.source = header, source

    def connect(self, port):
        s = socket.create_connection(("127.0.0.1", port), 20, (self.source, 0))
        s.sendall(self.header)
        return s

    def smtp(self, stack):
        behind = self

        class Client(smtplib.SMTP):
            def _get_socket(self, host, port, timeout):
                return behind.connect(port)
        return Client("127.0.0.1", stack.ports["smtp"], local_hostname="client.example.net")

    def imaps(self, stack):
        behind = self

        class Client(imaplib.IMAP4_SSL):
            def _create_socket(self, timeout):
                return stack.tls().wrap_socket(behind.connect(self.port), server_hostname="localhost")
        return Client("127.0.0.1", stack.ports["imaps"], ssl_context=stack.tls())

    def pop3(self, stack):
        behind = self

        class Client(poplib.POP3):
            def _create_socket(self, timeout):
                return behind.connect(self.port)
        return Client("127.0.0.1", stack.ports["pop3"])


class ProxyTest(StackTest):
    CONF = {"haproxy_protocols": "smtp imaps pop3", "haproxy_trusted_networks": f"{PROXY}/32",
            "haproxy_timeout": "1s"}

    def peer_is(self, address, count=1):
        wait_for(f"a connection of {address}", lambda: self.stack.dirigod.log().count(f"peer={address}") >= count)

    def test_smtp(self):
        for header, address in ((V1, "192.0.2.7"), (v2(1), "192.0.2.8")):
            with Behind(header).smtp(self.stack) as c:
                c.ehlo()
                c.mail("x@example.net")
                # A stranger by what the header says, though the proxy is in mynetworks.
                self.assertEqual(c.rcpt("somebody@elsewhere.example")[0], 554)
                self.assertEqual(c.rcpt("alice@example.org")[0], 250)
                self.assertEqual(c.data(b"Subject: through a proxy\r\n\r\nx\r\n")[0], 250)
            message = wait_for("the message", lambda: [m for m in self.mail("alice") if address.encode() in m])[0]
            self.assertIn(f"[{address}]".encode(), message)

    def mail(self, user):
        with Behind(V1).imaps(self.stack) as c:
            c.login(user, harness.PASSWORDS[user])
            c.select()
            uids = c.uid("SEARCH", "ALL")[1][0].split()
            return [c.uid("FETCH", uid, "(BODY.PEEK[])")[1][0][1] for uid in uids]

    def test_tls_behind_the_header(self):
        with Behind(v2(1)).imaps(self.stack) as c:
            c.login("bob", harness.PASSWORDS["bob"])
            self.assertEqual(c.select()[0], "OK")
        self.peer_is("192.0.2.8")

    def test_pop3(self):
        c = Behind(V1).pop3(self.stack)
        self.assertTrue(c.getwelcome().startswith(b"+OK"))
        c.quit()

    def test_in_pieces(self):
        s = Behind(b"").connect(self.stack.ports["smtp"])
        for byte in v2(1, body=v2(1)[16:] + b"\x04\0\x02xy"):
            s.sendall(bytes([byte]))
        self.assertTrue(s.recv(100).startswith(b"220 "))
        s.close()

    def test_the_proxy_for_itself(self):
        for header in (v2(0, 0, b""), b"PROXY UNKNOWN\r\n"):
            with Behind(header).smtp(self.stack) as c:
                c.ehlo()
                c.mail("x@example.net")
                self.assertEqual(c.rcpt("somebody@elsewhere.example")[0], 250)  # of mynetworks

    def test_no_header(self):
        for first in (b"EHLO client.example.net\r\n", SIGNATURE[:8] + b"wrong", b""):
            s = Behind(b"").connect(self.stack.ports["smtp"])
            s.sendall(first)
            try:
                self.assertEqual(s.recv(100), b"")
            except ConnectionResetError:
                pass  # closed with bytes of ours unread
            s.close()
        wait_for("the reason", lambda: "none came within haproxy_timeout" in self.stack.dirigod.log())

    def test_others_are_their_own_clients(self):
        with Behind(b"", "127.0.0.1").smtp(self.stack) as c:
            self.assertEqual(c.ehlo()[0], 250)
        s = Behind(V1, "127.0.0.1").connect(self.stack.ports["smtp"])  # a lie is only a bad command
        replies = s.makefile("rb")
        self.assertEqual([replies.readline()[:3] for _ in range(2)], [b"220", b"500"])
        s.close()

    def test_other_protocols_have_none(self):
        with self.stack.imap(tls=False) as c:
            self.assertEqual(c.noop()[0], "OK")


class XclientTest(StackTest):
    CONF = {"smtpd_authorized_xclient_hosts": "127.0.0.1/32"}

    def client(self, source="127.0.0.1"):
        c = smtplib.SMTP("127.0.0.1", self.stack.ports["smtp"], local_hostname="filter.example.net",
                         source_address=(source, 0), timeout=20)
        self.addCleanup(c.close)
        c.ehlo()
        return c

    def test_named_client(self):
        c = self.client()
        self.assertIn("ADDR", c.esmtp_features["xclient"])
        self.assertEqual(c.docmd("XCLIENT", "NAME=mail.example.net ADDR=192.0.2.9 PORT=99 HELO=mail+2Eexample.net "
                                 "PROTO=ESMTP")[0], 220)
        self.assertEqual(c.mail("x@example.net")[0], 250)  # HELO was said for it
        self.assertEqual(c.rcpt("somebody@elsewhere.example")[0], 554)
        self.assertEqual(c.rcpt("carol@example.org")[0], 250)
        self.assertEqual(c.data(b"Subject: xclient\r\n\r\nx\r\n")[0], 250)
        message = self.stack.wait_mail("carol", "Subject: xclient")
        self.assertIn(b"from mail.example.net ", message)
        self.assertIn(b"[192.0.2.9]", message)

    def test_ipv6_and_unavailable(self):
        c = self.client()
        self.assertEqual(c.docmd("XCLIENT", "ADDR=IPV6:2001:db8::9 NAME=[UNAVAILABLE]")[0], 220)
        self.assertEqual(c.ehlo()[0], 250)
        self.assertIn("xclient", c.esmtp_features)  # it is the filter that may, whoever it speaks for
        c.mail("x@example.net")
        self.assertEqual(c.rcpt("somebody@elsewhere.example")[0], 554)

    def test_no_address_is_trusted_no_more(self):
        for word in ("[UNAVAILABLE]", "[TEMPUNAVAIL]"):
            c = self.client()
            self.assertEqual(c.docmd("XCLIENT", "ADDR=" + word)[0], 220)
            c.ehlo()
            c.mail("x@example.net")
            self.assertEqual(c.rcpt("somebody@elsewhere.example")[0], 554)
            self.assertEqual(c.rcpt("carol@example.org")[0], 250)

    def test_what_was_said_before_is_void(self):
        c = self.client()
        self.assertEqual(c.docmd("XCLIENT", "ADDR=192.0.2.9")[0], 220)
        self.assertEqual(c.docmd("MAIL FROM:<x@example.net>")[0], 503)
        c.ehlo()
        self.assertEqual(c.mail("x@example.net")[0], 250)
        self.assertEqual(c.docmd("XCLIENT", "ADDR=192.0.2.9")[0], 503)

    def test_bad_arguments(self):
        c = self.client()
        for arguments in ("", "ADDR", "ADDR=host", "PORT=70000", "FOO=bar", "NAME=a+0", "NAME=a+0Ab", "PROTO=X", "NAME=x)+28by", "NAME=a+20b",
                          "ADDR=192.0.2.9 FOO=bar", "NAME=" + "x" * 300):
            self.assertEqual(c.docmd("XCLIENT", arguments)[0], 501, arguments)
        c.mail("x@example.net")
        self.assertEqual(c.rcpt("somebody@elsewhere.example")[0], 250)  # nothing of it was taken

    def test_not_for_everybody(self):
        c = self.client("127.0.0.2")
        self.assertNotIn("xclient", c.esmtp_features)
        self.assertEqual(c.docmd("XCLIENT", "ADDR=192.0.2.9")[0], 550)


if __name__ == "__main__":
    harness.main()
