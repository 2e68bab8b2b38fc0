#!/usr/bin/python3
"""Disks that are full and files that are damaged: mail that got its 250 stays, and the start works."""
import glob
import os
import re
import smtplib
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "protocol"))
import harness  # noqa: E402
from harness import Stack, wait_for  # noqa: E402


class FaultTest(unittest.TestCase):
    def make(self, **conf):
        self.stack = Stack(conf)
        self.addCleanup(self.end)
        self.sent = 0
        return self.stack

    def end(self):
        self.assertEqual(self.stack.stop(), [])

    def send(self, size=300):
        """Sends a message with a marker of its own: the marker, or the code of the refusal."""
        self.sent += 1
        marker = f"marker-{self.sent:06d}"
        with self.stack.smtp() as s:
            s.ehlo("test.example.net")
            try:
                s.sendmail("a@example.net", ["bob@example.org"],
                           f"Subject: {marker}\r\n\r\n" + ("x" * 70 + "\r\n") * (size // 72))
                return marker
            except smtplib.SMTPResponseException as e:
                return e.smtp_code

    def markers(self):
        found = [m for message in self.stack.mailbox("bob")
                 for m in re.findall(rb"^Subject: (marker-\d+)\r$", message, re.M)]
        return sorted(m.decode() for m in found)


@unittest.skipUnless(os.geteuid() == 0, "mounts a small file system")
class DiskFullTest(FaultTest):
    def setUp(self):
        self.stack = None
        stack = self.make(queue_checkpoint_interval="300ms")
        self.disk = f"{stack.folder}/disk"
        os.mkdir(self.disk)
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=56m", "tmpfs", self.disk], check=False)
        if mounted.returncode != 0:
            self.skipTest("no file system can be mounted here")
        stack.mail = stack.conf["mail_directory"] = f"{self.disk}/mail"

    def end(self):
        problems = self.stack.stop()
        subprocess.run(["umount", "-l", self.disk], check=False)
        self.assertEqual(problems, [])

    def fill(self, rounds):
        results = [self.send(size) for _ in range(rounds) for size in (200_000, 2_000_000, 1000, 50_000)]
        accepted = [r for r in results if isinstance(r, str)]
        self.assertEqual({r for r in results if not isinstance(r, str)}, {452})
        return accepted

    def test_full_is_452_and_owners_make_room(self):
        self.stack.start()
        accepted = self.fill(14)
        self.assertEqual(self.markers(), accepted)
        with self.stack.imap("bob") as c:
            c.select("INBOX")
            c.store("1:*", "+FLAGS", "\\Deleted")
            self.assertEqual(c.expunge()[0], "OK")
        again = wait_for("room", lambda: isinstance(r := self.send(), str) and r, 15, 0.5)
        self.assertIn(again, self.markers())

    def test_no_reserve_and_not_a_byte_left(self):
        self.stack.conf["queue_minfree"] = "0"
        with open(f"{self.disk}/rest", "wb") as f:
            f.write(bytes(4 << 20))
        self.stack.start()
        accepted = self.fill(26)
        before = self.stack.pids("dirigo-mailbox")
        with self.stack.imap("bob") as c:
            self.assertEqual(c.select("INBOX")[0], "NO")
        self.assertEqual(self.stack.pids("dirigo-mailbox"), before, "dirigo-mailbox died")
        os.unlink(f"{self.disk}/rest")
        self.assertEqual(self.markers(), accepted)


class Damage(FaultTest):
    def damaged(self, pattern, damage):
        """The marker of a message that came before the stack was stopped and a file of it damaged."""
        self.make()
        self.stack.start()
        marker = self.send()
        self.assertEqual(self.markers(), [marker])
        self.assertEqual(self.stack.dirigod.end(), 0)
        path, = glob.glob(f"{self.stack.folder}/{pattern}")
        damage(path)
        self.stack.start_dirigod()
        return marker

    @staticmethod
    def cut(path):
        os.truncate(path, 8192)

    @staticmethod
    def scribble(path):
        with open(path, "r+b") as f:
            f.seek(8192)
            f.write(os.urandom(os.path.getsize(path) - 8192))


class CutOffTest(Damage):
    def test_replica(self):
        self.damaged("state/replica/data.mdb", self.cut)
        self.assertEqual(len(self.markers()), 1)

    def test_secrets(self):
        self.damaged("state/secrets/data.mdb", self.cut)
        self.assertEqual(len(self.markers()), 1)

    def test_index(self):
        marker = self.damaged("state/mail/users/*/*/index/data.mdb", self.cut)
        before = self.stack.pids("dirigo-mailbox")
        self.assertEqual(self.markers(), [marker])
        self.assertEqual(self.stack.pids("dirigo-mailbox"), before, "dirigo-mailbox died")


class ScribbledTest(Damage):
    """LMDB has no sums over its pages, so a writer may die of this once: the next one starts afresh."""

    def end(self):
        self.stack.stop()

    def test_replica(self):
        self.damaged("state/replica/data.mdb", self.scribble)
        self.assertEqual(len(self.markers()), 1)


if __name__ == "__main__":
    harness.main()
