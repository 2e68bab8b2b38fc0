#!/usr/bin/python3
"""A directory server that is mute, slow, lies or dies never stalls a front end, whichever way it is followed.

Two servers: the first is a relay to a real slapd that can spoil what comes back, the second that slapd itself.
"""
import os
import random
import socket
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "protocol"))
import harness  # noqa: E402
from harness import Stack, wait_for  # noqa: E402
from test_directory import PEOPLE, Lookup, person  # noqa: E402


def mute(relay, client, data):
    """Nothing comes back."""


def slow(relay, client, data):
    for byte in data:
        if relay.spoil is not slow:
            raise OSError
        client.sendall(bytes([byte]))
        time.sleep(0.05)


def garbage(relay, client, data):
    client.sendall(random.Random(len(data)).randbytes(len(data)))


def huge(relay, client, data):
    """The head of a message of two gigabytes."""
    client.sendall(b"\x30\x84\x7f\xff\xff\xf0\x02\x01\x02")
    client.sendall(bytes(1 << 16))


def wrong_ids(relay, client, data):
    """Answers to questions that nobody asked, which are whole messages otherwise."""
    out, at = bytearray(data), 0
    while at + 2 < len(out) and out[at] == 0x30:
        length, head = out[at + 1], 2
        if length & 0x80:
            head += length & 0x7f
            length = int.from_bytes(out[at + 2:at + head], "big")
        if out[at + head:at + head + 2] == b"\x02\x01":
            out[at + head + 2] = 0x7e
        at += head + length
    client.sendall(out)


def nested(relay, client, data):
    """Lengths that do not fit into one another."""
    client.sendall(b"\x30\x0c\x02\x01\x01\x61\x7f\x0a\x01\x00\x04\x82\xff\xff")


def dying(relay, client, data):
    client.sendall(data[:len(data) // 2])
    raise OSError


class Relay:
    """A TCP relay to a port; `spoil` gets what the server says, None passes it on."""

    def __init__(self, port):
        self.port, self.spoil, self.held = port, None, set()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"ldap://127.0.0.1:{self.listener.getsockname()[1]}"
        self.lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
                server = socket.create_connection(("127.0.0.1", self.port))
            except OSError:
                return
            with self.lock:
                self.held |= {client, server}
            threading.Thread(target=self._pass, args=(client, server, False), daemon=True).start()
            threading.Thread(target=self._pass, args=(server, client, True), daemon=True).start()

    def _pass(self, source, sink, from_server):
        try:
            while data := source.recv(1 << 16):
                if from_server and self.spoil:
                    self.spoil(self, sink, data)
                else:
                    sink.sendall(data)
        except OSError:
            pass
        self._drop({source, sink})

    def _drop(self, which):
        with self.lock:
            which = which & self.held
            self.held -= which
        for s in which:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            s.close()

    def set(self, spoil, cut=False):
        self.spoil = spoil
        if cut:
            self._drop(set(self.held))

    def close(self):
        self.listener.close()
        self.set(None, cut=True)


class FaultyServer(Lookup):
    SOURCE = {}

    @classmethod
    def setUpClass(cls):
        cls.stack = Stack({"timeout": "1s", "directory_return_time": "1s", "directory_poll_interval": "200ms",
                           "directory_poll_overlap": "1s", "auth_mechanisms": "plain login", **cls.SOURCE})
        cls.relay = Relay(cls.stack.slapd.port)
        cls.stack.conf["server_host"] = f"{cls.relay.url} {cls.stack.slapd.url}"
        cls.addClassCleanup(cls.end)
        cls.stack.start()
        cls.number = 0

    @classmethod
    def end(cls):
        cls.relay.close()
        problems = cls.stack.stop()
        if problems:
            raise AssertionError("\n".join(problems))

    def asked(self, address):
        """RCPT is answered at once, whatever the directory does."""
        began = time.monotonic()
        code = self.rcpt(address)
        self.assertLess(time.monotonic() - began, 10)
        self.assertIn(code // 100, (2, 4, 5))
        return code

    def in_sync_with(self, url):
        lines = [line for line in self.stack.dirigod.log().splitlines() if "the directory is in sync" in line]
        return f"server={url} " in lines[-1] and self.asked("nobody@example.org") == 550

    def spoiled(self, spoil, cut):
        """Whoever is known stays so, and the second server takes over; then the first is used again."""
        wait_for("the first server", lambda: self.in_sync_with(self.relay.url), 60)
        self.relay.set(spoil, cut)

        def second():
            self.assertEqual(self.asked("alice@example.org"), 250)
            return self.in_sync_with(self.stack.slapd.url)
        wait_for("the second server", second, 60, 0.1)
        name = f"new{self.number}"
        type(self).number += 1
        self.stack.slapd.add(person(name))
        wait_for("a change", lambda: self.asked(f"{name}@example.org") == 250, 30)
        self.relay.set(None, cut=True)
        wait_for("the first server again", lambda: self.in_sync_with(self.relay.url), 90, 0.1)
        self.stack.slapd.modify(f"dn: uid={name},{PEOPLE}\nchangetype: modify\nreplace: mail\n"
                                f"mail: x{name}@example.org\n")
        wait_for("another change", lambda: self.asked(f"x{name}@example.org") == 250, 30)
        self.stack.imap("alice").logout()

    def test_mute(self):
        self.spoiled(mute, False)

    def test_mute_when_connected_to(self):
        self.spoiled(mute, True)

    def test_slow(self):
        self.spoiled(slow, True)

    def test_garbage(self):
        self.spoiled(garbage, False)

    def test_huge(self):
        self.spoiled(huge, True)

    def test_wrong_ids(self):
        self.spoiled(wrong_ids, True)

    def test_nested(self):
        self.spoiled(nested, True)

    def test_dying(self):
        self.spoiled(dying, False)


class SyncTest(FaultyServer, unittest.TestCase):
    pass


class PollTest(FaultyServer, unittest.TestCase):
    SOURCE = {"directory_source": "poll"}


class LookupTest(FaultyServer, unittest.TestCase):
    SOURCE = {"directory_source": "lookup", "directory_lookup_ttl": "1s", "directory_lookup_negative_ttl": "1s"}


if __name__ == "__main__":
    harness.main()
