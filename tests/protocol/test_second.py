#!/usr/bin/python3
"""One-time codes and app passwords, on submission, IMAP and POP3."""
import base64
import hashlib
import hmac
import imaplib
import poplib
import re
import smtplib
import struct
import time

import harness
from harness import SUFFIX, StackTest, wait_for

SECRET = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
PEOPLE = f"ou=people,{SUFFIX}"


def code(step):
    digest = hmac.digest(base64.b32decode(SECRET), struct.pack(">Q", step), hashlib.sha1)
    at = digest[-1] & 15
    return f"{(struct.unpack('>I', digest[at:at + 4])[0] & 0x7fffffff) % 1000000:06d}"


class SecondTest(StackTest):
    CONF = {"auth_failure_delay": "0"}

    def modify(self, text):
        self.stack.slapd.modify(text)

    def imap(self, user, password):
        with self.stack.imap() as c:
            try:
                c.login(user, password)
            except imaplib.IMAP4.error as e:
                return str(e)
            return c.select()[0]

    def pop3(self, user, password):
        c = self.stack.pop3()
        try:
            c.user(user)
            c.pass_(password)
            return "OK"
        except poplib.error_proto as e:
            return str(e)
        finally:
            c.close()

    def smtp(self, user, password):
        with self.stack.smtp("submission") as c:
            c.starttls(context=self.stack.tls())
            try:
                c.login(user, password)
            except smtplib.SMTPResponseException as e:
                return str(e)
            return "OK"

    ALL = (imap, pop3, smtp)

    last = 0

    def fresh(self):
        """A code that was not used and stays good for 20 s; the step before now's and the one behind it are good as well."""
        cls = type(self)
        cls.last = max(cls.last + 1, int(time.time() - 10) // 30)
        wait_for("its time", lambda: cls.last <= int(time.time()) // 30 + 1, 100, 0.2)
        return code(cls.last)

    def test_codes(self):
        password = harness.PASSWORDS["bob"]
        self.modify(f"dn: uid=bob,{PEOPLE}\nchangetype: modify\nadd: dirigoTotpSecret\ndirigoTotpSecret: {SECRET}\n")
        wait_for("the second factor", lambda: self.imap("bob", password) != "OK")
        for way in self.ALL:
            self.assertNotEqual(way(self, "bob", password), "OK")
            self.assertNotEqual(way(self, "bob", password + "000000"), "OK")
        # One code is good once, on whichever protocol.
        now = self.fresh()
        self.assertEqual(self.imap("bob", password + now), "OK")
        for way in self.ALL:
            self.assertNotEqual(way(self, "bob", password + now), "OK")
        self.assertEqual(self.pop3("bob", password + self.fresh()), "OK")
        self.assertNotEqual(self.smtp("bob", "wrong" + self.fresh()), "OK")
        self.modify(f"dn: uid=bob,{PEOPLE}\nchangetype: modify\ndelete: dirigoTotpSecret\n")
        wait_for("one factor", lambda: self.imap("bob", password) == "OK")

    def test_unreadable_secret_is_temporary(self):
        self.modify(f"dn: uid=alice,{PEOPLE}\nchangetype: modify\nadd: dirigoTotpSecret\ndirigoTotpSecret: none\n")
        wait_for("the fault", lambda: "UNAVAILABLE" in self.imap("alice", harness.PASSWORDS["alice"] + "123456"))
        self.modify(f"dn: uid=alice,{PEOPLE}\nchangetype: modify\ndelete: dirigoTotpSecret\n")

    def make_app(self, name, *args):
        done = self.stack.tool("passwd", "--app", name, *args, "carol")
        self.modify(done.stdout)
        return re.search(r"password: (\S+)", done.stderr).group(1)

    def test_app_passwords(self):
        everywhere = self.make_app("phone")
        imap_only = self.make_app("backup", "--service", "imap")
        wait_for("the app password", lambda: self.imap("carol", imap_only) == "OK")
        for way in self.ALL:
            self.assertEqual(way(self, "carol", everywhere), "OK")
            self.assertEqual(way(self, "carol", harness.PASSWORDS["carol"]), "OK")
            self.assertNotEqual(way(self, "bob", everywhere), "OK")
            self.assertNotEqual(way(self, "carol", everywhere + "x"), "OK")
        self.assertNotEqual(self.smtp("carol", imap_only), "OK")
        self.assertNotEqual(self.pop3("carol", imap_only), "OK")
        # With a second factor they are what programs use.
        self.modify(f"dn: uid=carol,{PEOPLE}\nchangetype: modify\nadd: dirigoTotpSecret\ndirigoTotpSecret: {SECRET}\n")
        wait_for("the second factor", lambda: self.imap("carol", harness.PASSWORDS["carol"]) != "OK")
        self.assertEqual(self.smtp("carol", everywhere), "OK")
        # Their ends: a time, and the entry's.
        self.modify(f"dn: cn=phone,uid=carol,{PEOPLE}\nchangetype: modify\nadd: dirigoNotAfter\n"
                    f"dirigoNotAfter: {time.strftime('%Y%m%d%H%M%S', time.gmtime(time.time() - 1))}Z\n")
        wait_for("its end", lambda: self.pop3("carol", everywhere) != "OK")
        self.modify(f"dn: cn=backup,uid=carol,{PEOPLE}\nchangetype: delete\n")
        wait_for("its end", lambda: self.imap("carol", imap_only) != "OK")
        # A renamed user keeps hers.
        self.modify(f"dn: cn=phone,uid=carol,{PEOPLE}\nchangetype: modify\ndelete: dirigoNotAfter\n")
        wait_for("it again", lambda: self.pop3("carol", everywhere) == "OK")
        self.modify(f"dn: uid=carol,{PEOPLE}\nchangetype: modify\ndelete: dirigoTotpSecret\n")
        log = self.stack.dirigod.log()
        self.assertIn("app password", log)
        self.assertNotIn(everywhere, log)

    def test_the_tool_says_what_it_wants(self):
        for args in (("--app", "a=b", "carol"), ("--app", "x"), ("--app", "x", "--service", "nntp", "carol")):
            self.assertNotEqual(self.stack.tool("passwd", *args, check=False).returncode, 0)


if __name__ == "__main__":
    harness.main()
