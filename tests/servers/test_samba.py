#!/usr/bin/python3
"""Samba as an Active Directory domain controller, a real one: polled by uSNChanged, passwords verified by bind."""
import imaplib
import os
import shutil
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "protocol"))
import harness  # noqa: E402
import servers  # noqa: E402
from harness import Stack, wait_for  # noqa: E402
from test_directory import Lookup  # noqa: E402

BASE = "ou=mail,dc=example,dc=test"
PASSWORD = "Secret.Pass.1"


@unittest.skipUnless(shutil.which("samba-tool"), "Samba is not installed")
@unittest.skipUnless(os.geteuid() == 0, "Samba's LDAP ports are below 1024")
class SambaTest(Lookup, unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="dirigo-test-samba-")
        os.chmod(cls.folder.name, 0o755)
        cls.addClassCleanup(cls.folder.cleanup)
        cls.samba = servers.Samba(f"{cls.folder.name}/dc")
        cls.samba.start()
        cls.addClassCleanup(lambda: cls.samba.stop())
        cls.samba.add("dn: ou=mail,dc=example,dc=test\nobjectClass: organizationalUnit\nou: mail\n")
        for name in ("alice", "bob"):
            cls.person(name)
        ca = f"{cls.folder.name}/ca.pem"
        shutil.copy(cls.samba.ca, ca)
        cls.stack = Stack({
            "timeout": "3s", "search_base": BASE, "server_host": cls.samba.url, "bind_dn": cls.samba.root_dn,
            "bind_pw": cls.samba.root_pw, "tls_ca_cert_file": ca, "tls_require_cert": "no",
            "directory_poll_interval": "200ms", "directory_page_size": "100", "directory_reconcile_interval": "3s",
            "mydestination": "example.org", "auth_mechanisms": "plain login"}, slapd=cls.samba, sample=False)
        cls.addClassCleanup(cls.end)
        cls.stack.start()

    @classmethod
    def end(cls):
        problems = cls.stack.stop()
        if problems:
            raise AssertionError("\n".join(problems))

    @classmethod
    def person(cls, name, extra=""):
        dn = f"cn={name},{BASE}"
        cls.samba.add(f"dn: {dn}\nobjectClass: inetOrgPerson\nobjectClass: user\ncn: {name}\nsn: {name}\nuid: {name}\n"
                      f"sAMAccountName: {name}\nmail: {name}@example.org\n{extra}")
        cls.samba.set_password(dn, PASSWORD)
        cls.samba.modify(f"dn: {dn}\nchangetype: modify\nreplace: userAccountControl\nuserAccountControl: 512\n")
        harness.PASSWORDS[name] = PASSWORD

    def modify(self, name, text):
        self.samba.modify(f"dn: cn={name},{BASE}\nchangetype: modify\n{text}")

    def dn(self, address):
        return self.answer(address)["deliveries"][0]["dn"]

    def test_source(self):
        self.assertIn("source=poll", self.stack.dirigod.log())
        self.assertEqual(self.rcpt("alice@example.org"), 250)
        self.assertEqual(self.rcpt("nobody@example.org"), 550)

    def test_changes(self):
        self.person("carl")
        self.wait_answer("carl@example.org", "found", 20)
        self.modify("carl", "replace: mail\nmail: karl@example.org\n")
        self.wait_answer("karl@example.org", "found", 20)
        self.modify("carl", "replace: mail\nmail: charles@example.org\n")
        self.wait_answer("charles@example.org", "found", 20)
        self.assertEqual(self.rcpt("karl@example.org"), 550)
        self.samba.modify(f"dn: cn=carl,{BASE}\nchangetype: modrdn\nnewrdn: cn=karl\ndeleteoldrdn: 1\n")
        wait_for("the new name", lambda: self.dn("charles@example.org").lower().startswith("cn=karl"), 20)
        self.samba.modify(f"dn: cn=karl,{BASE}\nchangetype: delete\n")
        self.wait_answer("charles@example.org", "absent", 20)

    def test_moved_container(self):
        """What moves with its container has no new number; the reconciling scan finds it."""
        outside = "ou=outside,dc=example,dc=test"
        self.samba.add(f"dn: {outside}\nobjectClass: organizationalUnit\nou: outside\n")
        self.samba.add(f"dn: cn=dora,{outside}\nobjectClass: inetOrgPerson\nobjectClass: user\ncn: dora\nsn: d\n"
                       "uid: dora\nsAMAccountName: dora\nmail: dora@example.org\n")
        self.assertEqual(self.answer("dora@example.org")["answer"], "absent")
        self.samba.modify(f"dn: {outside}\nchangetype: modrdn\nnewrdn: ou=inside\ndeleteoldrdn: 1\nnewsuperior: {BASE}\n")
        self.wait_answer("dora@example.org", "found", 30)
        self.assertIn("ou=inside", self.dn("dora@example.org").lower())
        self.samba.modify(f"dn: ou=inside,{BASE}\nchangetype: modrdn\nnewrdn: ou=outside\ndeleteoldrdn: 1\n"
                          "newsuperior: dc=example,dc=test\n")
        self.wait_answer("dora@example.org", "absent", 30)

    @unittest.skipUnless(os.path.exists(f"{harness.TOP}/schema/profiles/ad.profile"), "groups need the profile ad")
    def test_values_in_pieces(self):
        """A group with more members than one answer holds."""
        names = [f"m{i:04d}" for i in range(1600)]
        self.samba.add("".join(
            f"dn: cn={n},{BASE}\nobjectClass: inetOrgPerson\nobjectClass: user\ncn: {n}\nsn: m\nuid: {n}\n"
            f"sAMAccountName: {n}\nmail: {n}@example.org\n\n" for n in names))
        self.samba.add(f"dn: cn=all,{BASE}\nobjectClass: group\ncn: all\nsAMAccountName: all\nmail: all@example.org\n" +
                       "".join(f"member: cn={n},{BASE}\n" for n in names))
        wait_for("all members", lambda: len(self.deliveries("all@example.org")) == len(names), 60)

    def test_logins(self):
        self.stack.imap("alice").logout()
        with self.assertRaises(imaplib.IMAP4.error) as refused:
            self.stack.imap().login("alice", "wrong")
        self.assertNotIn("UNAVAILABLE", str(refused.exception))
        self.stack.imap("bob").logout()
        self.modify("bob", "replace: userAccountControl\nuserAccountControl: 514\n")

        def refuses():
            with self.assertRaises(imaplib.IMAP4.error) as disabled:
                self.stack.imap().login("bob", PASSWORD)
            return "UNAVAILABLE" not in str(disabled.exception)
        wait_for("the disabled account", refuses, 20, 0.2)

    def test_name_is_kept(self):
        """A mailbox is named by objectGUID, written as the directory's own tools do."""
        with self.stack.imap("alice") as c:
            c.create("Kept")
        text = self.samba.search("-b", f"cn=alice,{BASE}", "-s", "base", "objectGUID")
        raw = servers.base64.b64decode(text.split("objectGUID:: ")[1].split()[0])
        guid = str(servers.uuid.UUID(bytes_le=raw))
        self.assertTrue(any(guid in path for path, _, _ in os.walk(f"{self.stack.mail}/users")))

    def test_restart(self):
        """What changed while nobody asked; and the number that was kept."""
        self.assertEqual(self.stack.dirigod.end(), 0)
        self.person("ivan")
        self.stack.start_dirigod()
        self.assertEqual(self.answer("ivan@example.org")["answer"], "found")
        self.samba.modify(f"dn: cn=ivan,{BASE}\nchangetype: delete\n")
        self.wait_answer("ivan@example.org", "absent", 20)


@unittest.skipUnless(shutil.which("samba-tool"), "Samba is not installed")
@unittest.skipUnless(os.geteuid() == 0, "Samba's LDAP ports are below 1024")
class OtherControllerTest(Lookup, unittest.TestCase):
    """The numbers of one controller mean nothing on another: everything is read."""

    def test_failover(self):
        with tempfile.TemporaryDirectory(prefix="dirigo-test-samba-") as folder:
            os.chmod(folder, 0o755)
            first, second = (servers.Samba(f"{folder}/dc{i}", i) for i in (3, 4))
            for server, names in ((first, "ab"), (second, "bcd")):
                server.start()
                self.addCleanup(server.stop)
                server.add("dn: ou=mail,dc=example,dc=test\nobjectClass: organizationalUnit\nou: mail\n\n" + "".join(
                    f"dn: cn={n},{BASE}\nobjectClass: user\ncn: {n}\nsAMAccountName: {n}\nmail: {n}@example.org\n\n"
                    for n in names))
            self.stack = Stack({
                "timeout": "2s", "search_base": BASE, "server_host": f"{first.url} {second.url}",
                "bind_dn": first.root_dn, "bind_pw": first.root_pw, "tls_require_cert": "no",
                "directory_poll_interval": "200ms", "directory_return_time": "1h", "mydestination": "example.org"},
                slapd=first, sample=False)
            self.addCleanup(lambda: self.assertEqual(self.stack.stop(), []))
            self.stack.start()
            for name, answer in (("a", "found"), ("b", "found"), ("d", "absent")):
                self.assertEqual(self.answer(f"{name}@example.org")["answer"], answer)
            first.stop()
            self.wait_answer("d@example.org", "found", 30)
            self.wait_answer("a@example.org", "absent", 30)
            self.assertEqual(self.answer("b@example.org")["answer"], "found")


@unittest.skipUnless(shutil.which("samba-tool"), "Samba is not installed")
@unittest.skipUnless(os.geteuid() == 0, "Samba's LDAP ports are below 1024")
class StrongAuthTest(unittest.TestCase):
    """A password over a connection without TLS is refused by the server; StartTLS does."""

    def test_starttls(self):
        with tempfile.TemporaryDirectory(prefix="dirigo-test-samba-") as folder:
            os.chmod(folder, 0o755)
            samba = servers.Samba(f"{folder}/dc", 2)
            samba.start()
            self.addCleanup(samba.stop)
            stack = Stack({"search_base": samba.suffix, "server_host": samba.plain_url, "bind_dn": samba.root_dn,
                           "bind_pw": samba.root_pw, "tls_require_cert": "no", "mydestination": "example.org"},
                          slapd=samba, sample=False)
            self.addCleanup(lambda: self.assertEqual(stack.stop(), []))
            stack.start(ready=False)
            wait_for("the refusal", lambda: "bind refused: Strong(er) authentication required" in stack.dirigod.log())
            self.assertEqual(stack.dirigod.end(), 0)
            stack.conf["start_tls"] = "yes"
            stack.write_conf()
            stack.start_dirigod()


if __name__ == "__main__":
    harness.main()
