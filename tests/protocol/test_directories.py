"""Several directories at once: each with its servers, its people and its domains; one that is away keeps to itself."""
import base64
import hashlib
import os
import unittest

import harness
from harness import SUFFIX, Slapd, Stack, wait_for
from test_directory import Lookup, person

PARTNER = "dc=partner,dc=example"


def partner_person(name, mail=None):
    return (f"dn: uid={name},{PARTNER}\nobjectClass: inetOrgPerson\nobjectClass: dirigoUser\nuid: {name}\ncn: {name}\n"
            f"sn: Example\nmail: {mail or name + '@partner.example'}\nuserPassword: {name}-secret\n\n")


TREE = f"""dn: {PARTNER}
objectClass: dcObject
objectClass: organization
dc: partner
o: Partner

dn: cn=partner.example,{PARTNER}
objectClass: dirigoDomain
cn: partner.example
dirigoDomainName: partner.example

"""


class DirectoriesTest(Lookup, unittest.TestCase):
    def setUp(self):
        self.open()

    def open(self, **conf):
        self.stack = Stack()
        self.partner = Slapd(f"{self.stack.folder}/partner", suffix=PARTNER)
        self.addCleanup(self.check)
        self.partner.slapadd(TREE + partner_person("zoe"))
        self.partner.start()
        self.stack.conf |= {"directories": "partner", "partner_server_host": self.partner.url,
                            "partner_search_base": PARTNER, "timeout": "2s"} | conf
        self.stack.start()
        self.wait_answer("zoe@partner.example", "found", 40)
        # Its people are found before all of it has come; only then is anybody absent.
        wait_for("the partner's directory", lambda: self.rcpt("nobody@partner.example") == 550, 40)

    def check(self):
        problems = self.stack.stop()
        self.partner.stop()
        self.assertEqual(problems, [])

    def login(self, name, password):
        c = self.stack.imap()
        try:
            return c.login(name, password)[0] == "OK"
        except c.error:
            return False
        finally:
            c.shutdown()

    def test_both(self):
        self.assertEqual(self.rcpt("alice@example.org"), 250)
        self.assertEqual(self.rcpt("zoe@partner.example"), 250)
        self.assertEqual(self.rcpt("nobody@example.org"), 550)
        self.assertEqual(self.rcpt("nobody@partner.example"), 550)
        # A password is asked for where the entry is.
        wait_for("a login", lambda: self.login("zoe", "zoe-secret"), 20)
        wait_for("a login", lambda: self.login("alice", harness.PASSWORDS["alice"]), 20)
        self.assertFalse(self.login("zoe", harness.PASSWORDS["alice"]))
        wait_for("the status", lambda: "partner_in_sync=1" in self.stack.tool("status").stdout, 20)
        text = self.stack.tool("lookup", "zoe@partner.example").stdout
        self.assertIn(f"uid=zoe,{PARTNER} [partner]", text)
        self.assertNotIn("[", self.stack.tool("lookup", "alice@example.org").stdout)
        self.partner.add(partner_person("yan"))
        self.wait_answer("yan@partner.example", "found", 20)

    def test_cache(self):
        def ask(*args):
            return harness.json.loads(self.stack.tool("cache", *args, "--json", check=False).stdout)
        a = wait_for("both in sync", lambda: (s := ask())["in_sync"] and s, 20)
        self.assertEqual(a["users"], 5)
        wait_for("the process", lambda: "directory=partner" in ask()["process"], 20)
        files = [f"{self.stack.folder}/state/{name}/data.mdb" for name in ("replica", "replica-partner")]
        wait_for("the size", lambda: ask()["bytes"] == sum(os.stat(path).st_blocks * 512 for path in files), 20)
        for name in ("zoe", f"uid=zoe,{PARTNER}"):
            zoe = ask("dump", name)
            self.assertEqual((zoe["dn"], zoe["directory"]), (f"uid=zoe,{PARTNER}", "partner"))
        self.assertEqual(ask("dump", zoe["entryUUID"]), zoe)
        self.assertIn("\ndirectory: partner\n", self.stack.tool("cache", "dump", "zoe").stdout)
        self.assertNotIn("directory", ask("dump", "alice"))

    def test_two_owners(self):
        self.partner.add(partner_person("eve", "alice@example.org"))
        self.wait_answer("alice@example.org", "unknown", 20)
        reason = self.answer("alice@example.org")["reason"]
        self.assertIn(f"uid=eve,{PARTNER}", reason)
        self.assertIn(f"uid=alice,ou=people,{SUFFIX}", reason)
        self.assertEqual(self.rcpt("alice@example.org") // 100, 4)
        self.partner.modify(f"dn: uid=eve,{PARTNER}\nchangetype: delete\n")
        self.wait_answer("alice@example.org", "found", 20)

    def test_one_away(self):
        self.partner.stop()
        wait_for("unknown", lambda: self.rcpt("nobody@partner.example") // 100 == 4, 40)
        self.assertEqual(self.rcpt("zoe@partner.example"), 250)
        self.assertEqual(self.rcpt("alice@example.org"), 250)
        self.assertEqual(self.rcpt("nobody@example.org"), 550)
        wait_for("a login", lambda: self.login("alice", harness.PASSWORDS["alice"]), 20)
        self.partner.start()
        self.wait_answer("nobody@partner.example", "absent", 40)
        self.stack.slapd.stop()
        wait_for("unknown", lambda: self.rcpt("nobody@example.org") // 100 == 4, 40)
        self.assertEqual(self.rcpt("nobody@partner.example"), 550)
        wait_for("a login", lambda: self.login("zoe", "zoe-secret"), 20)
        self.stack.slapd.start()
        self.wait_answer("nobody@example.org", "absent", 40)

    def test_faults(self):
        self.stack.conf["directories"] = "partner other"
        self.stack.write_conf()
        check = self.stack.tool("config", "check", check=False)
        self.assertRegex(check.stderr, r"dirigo.conf:\d+: directories: other_server_host is not set")
        self.stack.conf["directories"] = "partner"
        self.stack.conf["partner_start_tls"] = "perhaps"
        self.stack.conf["partner_servers"] = "x"
        self.stack.write_conf()
        check = self.stack.tool("config", "check", check=False)
        self.assertRegex(check.stderr, r"dirigo.conf:\d+: partner_start_tls: ")
        self.assertRegex(check.stderr, r"dirigo.conf:\d+: partner_servers: there is no such parameter")


class ForeignEntriesTest(Lookup, unittest.TestCase):
    """Who keeps a further directory gets nothing of the first one's people by entries that look like theirs."""

    UUID = "6f1c0e52-7d1b-4a38-9d55-0d7f4c1b2a90"

    def setUp(self):
        self.stack = Stack()
        self.partner = Slapd(f"{self.stack.folder}/partner")
        self.addCleanup(DirectoriesTest.check, self)
        with open(f"{harness.TOP}/conf/sample.ldif", encoding="utf-8") as sample:
            text = sample.read()
        owner = (person("victor") + "\n").replace("\n\n", f"\nentryUUID: {self.UUID}\n\n", 1)
        self.stack.slapd.slapadd(text + "\n" + owner)
        self.stack.sample = False
        key = base64.b64encode(hashlib.sha256(b"opensesame" + b"salt").digest()).decode()
        self.partner.slapadd(f"""dn: {SUFFIX}
objectClass: dcObject
objectClass: organization
dc: example
o: Partner

dn: cn=partner.example,{SUFFIX}
objectClass: dirigoDomain
cn: partner.example
dirigoDomainName: partner.example

""" + "".join(f"dn: uid={name},{SUFFIX}\nobjectClass: inetOrgPerson\nobjectClass: dirigoUser\nuid: {name}\n"
              f"cn: {name}\nsn: Example\nmail: {name}@partner.example\n{more}\n"
              for name, more in (("zoe", ""), ("mallory", f"entryUUID: {self.UUID}\n"))) + f"""dn: ou=people,{SUFFIX}
objectClass: organizationalUnit
ou: people

dn: uid=victor,ou=people,{SUFFIX}
objectClass: account
uid: victor

""" + "".join(f"dn: cn=phone,uid={name}{SUFFIX}\nobjectClass: dirigoAppPassword\ncn: phone\n"
              f"authPassword: SHA256${base64.b64encode(b'salt').decode()}${key}\n\n"
              for name in ("victor,ou=people,", "zoe,")))
        self.partner.start()
        self.stack.conf |= {"directories": "partner", "partner_server_host": self.partner.url,
                            "partner_search_base": SUFFIX, "auth_failure_delay": "0"}
        self.stack.start()
        self.wait_answer("zoe@partner.example", "found", 40)

    login = DirectoriesTest.login

    def test_nothing_of_others(self):
        self.wait_answer("victor@example.org", "found", 20)
        # Its own people's app passwords are good, so it is read whole.
        wait_for("the app password", lambda: self.login("zoe", "opensesame"), 20)
        self.assertFalse(self.login("victor", "opensesame"))
        # One entryUUID is one owner, the first directory's.
        self.assertEqual(self.answer("mallory@partner.example")["answer"], "unknown")
        self.assertEqual(self.rcpt("mallory@partner.example") // 100, 4)
        self.assertEqual(self.rcpt("victor@example.org"), 250)


class ListedDomainsTest(DirectoriesTest):
    """A directory that says which domains it is for leaves all others alone while it is away."""

    def setUp(self):
        self.open(partner_directory_domains="partner.example")

    def test_foreign_domains_go_on(self):
        self.partner.stop()
        wait_for("unknown", lambda: self.rcpt("nobody@partner.example") // 100 == 4, 40)
        self.assertEqual(self.answer("someone@elsewhere.example")["answer"], "found")


if __name__ == "__main__":
    harness.main()
