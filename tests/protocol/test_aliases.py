"""Maps beside the directory: /etc/aliases and UNIX accounts, in the order of alias_maps."""
import json
import os
import tempfile

import harness
from harness import Stack, StackTest, SUFFIX

PEOPLE = f"ou=people,{SUFFIX}"
ALIASES = """# A file as systems have it.
mailer-daemon: postmaster
postmaster:    root
Root:          alice, "Bob" <bob@example.org>,
# in between
               remote@example.com
alice:         \\alice, copy@example.com
loop1: loop2
loop2: loop1
team: :include:%s/team
piped: "|/usr/bin/vacation alice"
filed: /var/mail/archive
mixed: alice, |/bin/cat
this line is no alias
carol: carol
"""


class AliasTest(StackTest):
    FOLDER = None

    @classmethod
    def setUpClass(cls):
        cls.FOLDER = tempfile.TemporaryDirectory(prefix="dirigo-aliases-")
        os.chmod(cls.FOLDER.name, 0o755)
        cls.path = f"{cls.FOLDER.name}/aliases"
        cls.write("team", "# members\nbob@example.org\n  carol@example.org, dave-at-home@example.com\n")
        cls.write("aliases", ALIASES % cls.FOLDER.name)
        cls.CONF = {"alias_maps": f"hash:{cls.path}, directory", "alias_maps_check_time": "100ms",
                    "mydestination": "local.example.org, localhost, Bücher.example", "myorigin": "local.example.org"}
        super().setUpClass()

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        cls.FOLDER.cleanup()

    @classmethod
    def write(cls, name, text):
        path = f"{cls.FOLDER.name}/{name}"
        with open(f"{path}.new", "w", encoding="utf-8") as f:
            f.write(text)
        os.rename(f"{path}.new", path)

    def lookup(self, address):
        return json.loads(self.stack.tool("lookup", address, "--json", check=False).stdout)

    def goes(self, address):
        answer = self.lookup(address)
        return answer["answer"], sorted((d["kind"], d["address"]) for d in answer["deliveries"])

    def rcpt(self, address):
        with self.stack.smtp() as s:
            s.ehlo("client.example.com")
            s.mail("sender@example.com")
            return s.rcpt(address)[0]

    def test_names(self):
        alice = ("mailbox", "alice@local.example.org")
        everybody = sorted([("remote", "copy@example.com"), ("mailbox", "bob@example.org"),
                            ("remote", "remote@example.com"), alice])
        for name in ("root", "ROOT", "postmaster", "mailer-daemon", "root+detail"):
            self.assertEqual(self.goes(f"{name}@local.example.org"), ("found", everybody), name)
            self.assertEqual(self.rcpt(f"{name}@local.example.org"), 250)
        self.assertEqual(self.goes("alice@local.example.org"), ("found", sorted([alice, ("remote", "copy@example.com")])))
        # Its own name means what comes behind the file: the directory's user.
        self.assertEqual(self.goes("carol@local.example.org"), ("found", [("mailbox", "alice@example.org"), ("mailbox", "carol@local.example.org")]))
        self.assertEqual(self.goes("bob@local.example.org"), ("found", [("mailbox", "bob@local.example.org")]))
        # The directory's own domains have no local names.
        self.assertEqual(self.goes("root@example.org")[0], "absent")
        self.assertEqual(self.rcpt("nobody@local.example.org"), 550)
        self.assertEqual(self.goes("loop1@local.example.org")[0], "absent")
        self.assertEqual(self.lookup("root@local.example.org")["steps"][0]["dn"], f"{self.path}: root")

    def test_internationalised_domain(self):
        """dirigo.conf has the U-label; clients give either."""
        for domain in ("bücher.example", "BÜCHER.example", "xn--bcher-kva.example", "bu\u0308cher.example"):
            self.assertEqual(self.goes(f"bob@{domain}"), ("found", [("mailbox", "bob@xn--bcher-kva.example")]), domain)
        self.assertEqual(self.rcpt("root@xn--bcher-kva.example"), 250)
        self.assertEqual(self.rcpt("nobody@XN--bcher-kva.example"), 550)
        # The directory has the A-label, for its syntax is ASCII.
        self.stack.slapd.add(f"dn: dirigoDomainName=xn--strae-oqa.example,ou=mail,{SUFFIX}\nobjectClass: dirigoDomain\n"
                             "dirigoDomainName: xn--strae-oqa.example\ndirigoCatchAll: bob@example.org\n")
        harness.wait_for("the domain", lambda: self.goes("any@stra\u00dfe.example") == ("found", [("mailbox", "bob@example.org")]))

    def test_delivery(self):
        with self.stack.smtp() as s:
            s.sendmail("sender@example.com", ["team@local.example.org"], "Subject: to the team\r\n\r\nx\r\n")
        with self.stack.imap("bob") as i:
            i.select()
            harness.wait_for("the message", lambda: i.search(None, "SUBJECT", '"to the team"')[1][0] or i.noop() and False)

    def test_refused(self):
        for name, what in (("piped", "command"), ("filed", "file"), ("mixed", "command")):
            answer = self.lookup(f"{name}@local.example.org")
            self.assertEqual(answer["answer"], "unknown")
            self.assertIn(f"delivery to a {what} is not done here", answer["dn"])
            self.assertEqual(self.rcpt(f"{name}@local.example.org"), 451)
        log = self.stack.dirigod.log()
        self.assertIn("no name and colon", log)
        self.assertIn(f"{self.path} line=", log)

    def test_changes(self):
        """A change of the file, and of one that it includes, is seen without a reload."""
        def goes(address, where):
            harness.wait_for(f"{address}: {where}", lambda: self.goes(f"{address}@local.example.org")[1] == where)
        self.write("team", "bob@example.org\n")
        goes("team", [("mailbox", "bob@example.org")])
        self.write("aliases", (ALIASES % self.FOLDER.name).replace("loop2: loop1", "loop2: bob@example.org\nnew: bob@example.org"))
        goes("new", [("mailbox", "bob@example.org")])
        goes("loop1", [("mailbox", "bob@example.org")])
        # A file that is away is no file without names.
        os.rename(self.path, f"{self.path}.away")
        harness.wait_for("the log", lambda: "alias file cannot be read" in self.stack.dirigod.log())
        self.assertEqual(self.goes("new@local.example.org")[0], "found")
        os.rename(f"{self.path}.away", self.path)
        self.write("aliases", ALIASES % self.FOLDER.name)
        goes("new", [])
        self.assertEqual(self.goes("new@local.example.org")[0], "absent")


class AliasStartTest(harness.unittest.TestCase):
    def test_never_read(self):
        """Names of a file that never was there are unknown, and everything else is as ever."""
        stack = Stack({"alias_maps": "directory, hash:/nonexistent/aliases", "mydestination": "local.example.org"})
        try:
            stack.start()
            with stack.smtp() as s:
                s.ehlo("client.example.com")
                s.mail("sender@example.com")
                self.assertEqual([s.rcpt(a)[0] for a in ("bob@example.org", "bob@local.example.org", "nobody@local.example.org",
                                                         "nobody@example.org")], [250, 250, 451, 550])
        finally:
            self.assertEqual(stack.stop(), [])

    def test_faults(self):
        stack = Stack({"alias_maps": "nis:mail.aliases"})
        try:
            stack.write_conf()
            done = harness.run(f"{harness.BUILD}/dirigod", "-t", "-c", stack.conf_path, check=False)
            self.assertIn('alias_maps: "nis:mail.aliases" is no map', done.stderr)
        finally:
            stack.stop()


if __name__ == "__main__":
    harness.main()
