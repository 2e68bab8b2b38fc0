"""A server without content synchronization is asked for changes: slapd without syncprov, by time stamps."""
import os
import signal
import time
import unittest

import harness
from harness import SUFFIX, Stack, wait_for
from test_directory import PEOPLE, Lookup, person


class PollTest(Lookup, unittest.TestCase):
    def setUp(self):
        self.stack = None

    def start(self, **conf):
        self.stack = Stack({"timeout": "2s", "directory_poll_interval": "200ms", "directory_poll_overlap": "2s",
                            "directory_page_size": "3", **conf})
        self.stack.slapd = harness.Slapd(f"{self.stack.folder}/plain", syncprov=False)
        self.stack.conf["server_host"] = self.stack.slapd.url
        self.addCleanup(lambda: self.assertEqual(self.stack.stop(), []))
        self.stack.start()

    def log_has(self, text):
        return text in self.stack.dirigod.log()

    def test_changes(self):
        self.start(directory_reconcile_interval="1s")
        slapd = self.stack.slapd
        self.assertTrue(self.log_has("source=poll"))
        self.assertEqual(self.deliveries("everybody@example.org"),
                         [("mailbox", f"{n}@example.org") for n in ("alice", "bob", "carol")])
        slapd.add(person("erin"))
        self.wait_answer("erin@example.org", "found", 20)
        slapd.modify(f"dn: uid=erin,{PEOPLE}\nchangetype: modify\nreplace: mail\nmail: erna@example.org\n")
        self.wait_answer("erna@example.org", "found", 20)
        self.assertEqual(self.rcpt("erin@example.org"), 550)
        # No poll shows what is gone; the reconciling scan does.
        slapd.modify(f"dn: uid=erin,{PEOPLE}\nchangetype: delete\n")
        self.wait_answer("erna@example.org", "absent", 20)
        # Nor who stands below what was renamed.
        slapd.modify(f"dn: {PEOPLE}\nchangetype: modrdn\nnewrdn: ou=staff\ndeleteoldrdn: 1\n")
        wait_for("the new DN", lambda: self.answer("alice@example.org")["deliveries"][0]["dn"] ==
                 f"uid=alice,ou=staff,{SUFFIX}", 20)
        self.assertEqual(self.rcpt("bob@example.org"), 250)

    def test_away(self):
        """Changes while nobody listened, and a server that is mute."""
        self.start(directory_reconcile_interval="1h")
        slapd = self.stack.slapd
        self.assertEqual(self.stack.dirigod.end(), 0)
        slapd.add(person("ivan"))
        slapd.modify(f"dn: uid=bob,{PEOPLE}\nchangetype: delete\n")
        self.stack.start_dirigod()
        self.assertEqual(self.answer("ivan@example.org")["answer"], "found")
        self.assertEqual(self.answer("bob@example.org")["answer"], "absent")
        os.kill(slapd.process.pid, signal.SIGSTOP)
        try:
            wait_for("unknown", lambda: self.rcpt("nobody@example.org") // 100 == 4, 20)
            self.assertEqual(self.rcpt("alice@example.org"), 250)
        finally:
            os.kill(slapd.process.pid, signal.SIGCONT)
        self.wait_answer("nobody@example.org", "absent", 30)

    def test_by_hand(self):
        """A server that has content synchronization, and is polled all the same; then the other way round."""
        self.stack = Stack({"directory_source": "poll", "directory_poll_interval": "200ms"})
        self.addCleanup(lambda: self.assertEqual(self.stack.stop(), []))
        self.stack.start()
        self.assertTrue(self.log_has("source=poll"))
        self.stack.slapd.add(person("erin"))
        self.wait_answer("erin@example.org", "found", 20)
        uuid = self.answer("erin@example.org")["deliveries"][0]
        self.assertEqual(self.stack.dirigod.end(), 0)
        self.stack.conf["directory_source"] = "auto"
        self.stack.write_conf()
        self.stack.start_dirigod()
        self.assertIn("source=sync", self.stack.dirigod.log())
        self.assertEqual(self.answer("erin@example.org")["deliveries"][0], uuid)

    def test_visible(self):
        """How long a change takes to be seen; the poll's interval decides."""
        self.start(directory_reconcile_interval="1h")
        took = []
        for i in range(10):
            self.stack.slapd.add(person(f"new{i}"))
            began = time.monotonic()
            wait_for("the change", lambda i=i: self.rcpt(f"new{i}@example.org") == 250, 20, 0.005)
            took.append(time.monotonic() - began)
        took.sort()
        if os.environ.get("DIRIGO_FIGURES"):
            print(f"change to visible by polling every 200 ms: p50 {took[5] * 1000:.0f} ms, most {took[-1] * 1000:.0f} ms")


if __name__ == "__main__":
    harness.main()
