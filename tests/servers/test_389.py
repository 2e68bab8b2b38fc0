#!/usr/bin/python3
"""389 Directory Server, a real one: content synchronization through its plugin, and polled without it."""
import imaplib
import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "protocol"))
import harness  # noqa: E402
import servers  # noqa: E402
from harness import Stack, wait_for  # noqa: E402
from test_directory import PEOPLE, Lookup  # noqa: E402


def person(name, extra=""):
    return (f"dn: uid={name},{PEOPLE}\nobjectClass: inetOrgPerson\nobjectClass: inetUser\nuid: {name}\ncn: {name}\n"
            f"sn: Example\nmail: {name}@example.org\nuserPassword: {name}-example\n{extra}\n")


@unittest.skipUnless(os.path.exists(servers.Server389.PROGRAM), "389 Directory Server is not installed")
class Server389Test(Lookup):
    """What holds whichever way changes are learned."""

    SYNC = True
    SOURCE = "sync"

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="dirigo-test-389-")
        os.chmod(cls.folder.name, 0o755)
        cls.addClassCleanup(cls.folder.cleanup)
        cls.server = servers.Server389(f"{cls.folder.name}/ds", sync=cls.SYNC)
        cls.server.start()
        cls.addClassCleanup(lambda: cls.server.stop())
        cls.server.add(f"dn: {PEOPLE}\nobjectClass: organizationalUnit\nou: people\n")
        cls.server.add("".join(person(n) for n in ("alice", "bob")))
        cls.stack = Stack({
            "timeout": "3s", "server_host": cls.server.url, "bind_dn": cls.server.root_dn,
            "bind_pw": cls.server.root_pw, "directory_poll_interval": "200ms", "directory_page_size": "100",
            "directory_reconcile_interval": "2s", "mydestination": "example.net example.org",
            "auth_mechanisms": "plain login"}, slapd=cls.server, sample=False)
        cls.addClassCleanup(cls.end)
        cls.stack.start()

    @classmethod
    def end(cls):
        problems = cls.stack.stop()
        if problems:
            raise AssertionError("\n".join(problems))

    def dn(self, address):
        return self.answer(address)["deliveries"][0]["dn"]

    def test_source(self):
        self.assertIn(f"source={self.SOURCE}", self.stack.dirigod.log())
        self.assertEqual(self.rcpt("alice@example.org"), 250)
        self.assertEqual(self.rcpt("nobody@example.org"), 550)

    def test_changes(self):
        self.server.add(person("erin"))
        self.wait_answer("erin@example.org", "found", 20)
        self.server.modify(f"dn: uid=erin,{PEOPLE}\nchangetype: modify\nreplace: mail\nmail: erna@example.org\n")
        self.wait_answer("erna@example.org", "found", 20)
        self.server.modify(f"dn: uid=erin,{PEOPLE}\nchangetype: modrdn\nnewrdn: uid=erwin\ndeleteoldrdn: 1\n")
        wait_for("the new name", lambda: self.dn("erna@example.org").startswith("uid=erwin"), 20)
        self.server.modify(f"dn: uid=erwin,{PEOPLE}\nchangetype: delete\n")
        self.wait_answer("erna@example.org", "absent", 20)

    def test_many(self):
        """More than a page, in one go, and gone again."""
        self.server.add("".join(person(f"n{i:03d}") for i in range(250)))
        self.wait_answer("n249@example.org", "found", 40)
        self.server.modify("".join(f"dn: uid=n{i:03d},{PEOPLE}\nchangetype: delete\n\n" for i in range(250)))
        for i in (0, 124, 249):
            self.wait_answer(f"n{i:03d}@example.org", "absent", 40)

    def test_logins(self):
        self.stack.imap("alice").logout()
        with self.assertRaises(imaplib.IMAP4.error) as refused:
            self.stack.imap().login("alice", "wrong")
        self.assertNotIn("UNAVAILABLE", str(refused.exception))
        self.stack.imap("bob").logout()
        self.server.modify(f"dn: uid=bob,{PEOPLE}\nchangetype: modify\nreplace: inetUserStatus\n"
                           "inetUserStatus: inactive\n")

        def refuses():
            with self.assertRaises(imaplib.IMAP4.error):
                self.stack.imap().login("bob", harness.PASSWORDS["bob"])
            return True
        wait_for("the disabled account", refuses, 20, 0.2)

    def test_restarts(self):
        """dirigod misses changes; then the server is started anew."""
        self.assertEqual(self.stack.dirigod.end(), 0)
        self.server.add(person("ivan"))
        self.server.add(person("irma"))
        self.server.modify(f"dn: uid=irma,{PEOPLE}\nchangetype: delete\n")
        self.stack.start_dirigod()
        self.wait_answer("ivan@example.org", "found", 20)
        self.server.stop()
        wait_for("unknown", lambda: self.rcpt("nobody@example.org") // 100 == 4, 20)
        self.server.start()
        self.server.modify(f"dn: uid=ivan,{PEOPLE}\nchangetype: delete\n")
        self.wait_answer("ivan@example.org", "absent", 40)
        self.assertEqual(self.rcpt("alice@example.org"), 250)


class SyncTest(Server389Test, unittest.TestCase):
    pass


class PollTest(Server389Test, unittest.TestCase):
    SYNC = False
    SOURCE = "poll"


@unittest.skipUnless(os.path.exists(servers.Server389.PROGRAM), "389 Directory Server is not installed")
class AnonymousTest(Lookup, unittest.TestCase):
    """Who is not bound may not synchronize, and polls."""

    def test_anonymous(self):
        with tempfile.TemporaryDirectory(prefix="dirigo-test-389-") as folder:
            os.chmod(folder, 0o755)
            server = servers.Server389(f"{folder}/ds")
            server.start()
            self.addCleanup(server.stop)
            server.add(f"dn: {PEOPLE}\nobjectClass: organizationalUnit\nou: people\n\n" + person("alice"))
            self.stack = Stack({"server_host": server.url, "mydestination": "example.org"}, slapd=server, sample=False)
            self.addCleanup(lambda: self.assertEqual(self.stack.stop(), []))
            self.stack.start()
            self.assertIn("source=poll", self.stack.dirigod.log())
            self.assertEqual(self.answer("alice@example.org")["answer"], "found")


if __name__ == "__main__":
    harness.main()
