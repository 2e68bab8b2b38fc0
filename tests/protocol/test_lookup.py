"""A directory that is asked for each name: slapd without syncprov, directory_source = lookup."""
import os
import re
import signal
import threading
import time
import unittest

import harness
from harness import SUFFIX, Stack, wait_for
from test_directory import PEOPLE, Lookup, person


class LookupTest(Lookup, unittest.TestCase):
    def setUp(self):
        self.stack = Stack({"timeout": "2s", "directory_source": "lookup", "directory_lookup_ttl": "1s",
                            "directory_lookup_negative_ttl": "1s", "auth_mechanisms": "plain login",
                            "auth_cache_ttl": "0"})
        self.stack.slapd = harness.Slapd(f"{self.stack.folder}/plain", syncprov=False)
        self.stack.conf["server_host"] = self.stack.slapd.url
        self.addCleanup(lambda: self.assertEqual(self.stack.stop(), []))
        self.stack.start()

    def code(self, address, wanted, seconds=20):
        wait_for(f"{address} {wanted}", lambda: self.rcpt(address) == wanted, seconds)

    def test_sample(self):
        self.assertIn("source=lookup", self.stack.dirigod.log())
        for address in ("alice@example.org", "alice+x@example.org", "alice@mail.example.org", "whoever@example.net",
                        "everybody@example.org", "bob@example.org"):
            self.assertEqual(self.rcpt(address), 250, address)
        for address in ("nobody@example.org", "dave@example.org"):
            self.assertEqual(self.rcpt(address) // 100, 5, address)
        with self.stack.smtp() as s:
            s.sendmail("a@example.net", ["everybody@example.org"], "Subject: marker-1\r\n\r\nx\r\n")
        self.stack.wait_mail("carol", "marker-1")
        with self.assertRaises(harness.imaplib.IMAP4.error) as refused:
            self.stack.imap().login("nobody", "x")
        self.assertNotIn("UNAVAILABLE", str(refused.exception))

    def test_time_to_live(self):
        slapd = self.stack.slapd
        self.code("erin@example.org", 550)
        slapd.add(person("erin", "userPassword: erin-example\n"))
        self.code("erin@example.org", 250)
        harness.PASSWORDS["erin"] = "erin-example"
        self.stack.imap("erin").logout()
        slapd.modify(f"dn: uid=erin,{PEOPLE}\nchangetype: modify\nreplace: mail\nmail: erna@example.org\n")
        self.code("erin@example.org", 550)
        self.code("erna@example.org", 250)
        slapd.modify(f"dn: uid=erin,{PEOPLE}\nchangetype: delete\n")
        self.code("erna@example.org", 550)
        slapd.add(f"dn: dirigoDomainName=new.example,{SUFFIX}\nobjectClass: dirigoDomain\n"
                  "dirigoDomainName: new.example\n")
        wait_for("the new domain", lambda: self.rcpt("nobody@new.example") == 550)

    def test_away(self):
        """What was found goes on being found, the rest is unknown, and nobody waits for a mute server."""
        slapd = self.stack.slapd
        self.assertEqual(self.rcpt("alice@example.org"), 250)
        self.assertEqual(self.rcpt("nobody@example.org"), 550)
        os.kill(slapd.process.pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            wait_for("unknown", lambda: self.rcpt("nobody@example.org") // 100 == 4)
            self.assertEqual(self.rcpt("alice@example.org"), 250)
            self.assertLess(time.monotonic() - began, 20)
        finally:
            os.kill(slapd.process.pid, signal.SIGCONT)
        self.code("nobody@example.org", 550, 30)
        self.code("bob@example.org", 250)

    def test_app_passwords(self):
        def ok(password):
            c = self.stack.imap()
            try:
                return c.login("carol", password)[0] == "OK"
            except c.error:
                return False
            finally:
                c.shutdown()
        self.assertTrue(ok(harness.PASSWORDS["carol"]))
        done = self.stack.tool("passwd", "--app", "phone", "carol")
        self.stack.slapd.modify(done.stdout)
        password = re.search(r"password: (\S+)", done.stderr).group(1)
        wait_for("the app password", lambda: ok(password))
        self.assertTrue(ok(harness.PASSWORDS["carol"]))
        self.assertFalse(ok(password + "x"))
        self.stack.slapd.modify(f"dn: cn=phone,uid=carol,{PEOPLE}\nchangetype: delete\n")
        wait_for("its end", lambda: not ok(password))

    def test_many_at_once(self):
        """Many sessions, some of them for one name."""
        codes = []

        def ask(i):
            codes.append(self.rcpt(f"{'nobody' if i % 2 else 'alice'}{'' if i < 10 else f'+{i}'}@example.org"))
        threads = [threading.Thread(target=ask, args=(i,)) for i in range(40)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(sorted(codes), [250] * 20 + [550] * 20)


class TreeGoneTest(Lookup, unittest.TestCase):
    def test_unknown(self):
        """A server whose tree is gone or hidden has said of nobody that he is not there."""
        self.stack = Stack({"directory_source": "lookup", "directory_lookup_ttl": "1h"})
        self.stack.slapd = harness.Slapd(f"{self.stack.folder}/plain", syncprov=False)
        self.stack.conf["server_host"] = self.stack.slapd.url
        self.addCleanup(lambda: self.assertEqual(self.stack.stop(), []))
        self.stack.start()
        self.assertEqual(self.rcpt("nobody@example.org"), 550)
        slapd = self.stack.slapd
        harness.run("ldapdelete", "-x", "-r", "-H", slapd.url, "-D", slapd.root_dn, "-w", slapd.root_pw, SUFFIX)
        self.assertEqual(self.rcpt("alice@example.org") // 100, 4)
        self.assertEqual(self.rcpt("somebody@example.org") // 100, 4)


if __name__ == "__main__":
    harness.main()
