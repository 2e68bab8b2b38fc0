#!/usr/bin/python3
"""The walls that a sanitized build leaves out: users, chroot, no_new_privs and seccomp, read from /proc.

Wants a build without sanitizers, started by root; elsewhere there is nothing to hold."""
import os
import pwd
import subprocess
import unittest

import harness
from harness import BUILD, StackTest, wait_for

# program: user, whether it is confined to the run directory
# The user, and the folder of a chroot.
PROCESSES = {
    "dirigo-directory": ("dirigo-dir", None),
    "dirigo-auth": ("dirigo-dir", None),
    "dirigo-queue": ("dirigo-mail", None),
    "dirigo-mailbox": ("dirigo-mail", None),
    "dirigo-resolver": ("dirigo", "state/resolver"),
    "dirigo-relay": ("dirigo", "run"),
    "dirigo-smtpd": ("dirigo", "run"),
    "dirigo-imapd": ("dirigo", "run"),
    "dirigo-pop3d": ("dirigo", "run"),
}


def sanitized():
    out = subprocess.run(["readelf", "-d", f"{BUILD}/dirigo-smtpd"], capture_output=True, text=True).stdout
    return "libasan" in out or "__asan_init" in subprocess.run(
        ["nm", "-D", f"{BUILD}/dirigo-smtpd"], capture_output=True, text=True).stdout


def status(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


@unittest.skipIf(os.geteuid() != 0 or sanitized(), "wants root and a build without sanitizers")
class SandboxTest(StackTest):
    def test_every_process_gave_its_rights_away(self):
        for name, (user, root) in PROCESSES.items():
            with self.subTest(process=name):
                # A process that is just starting still has its rights.
                wait_for(f"{name} within its walls", lambda: self.within_walls(name, user, root), 10)

    def within_walls(self, name, user, root):
        uid = str(pwd.getpwnam(user).pw_uid)
        pids = self.stack.pids(name)
        self.assertTrue(pids, name)
        for pid in pids:
            s = status(pid)
            self.assertEqual(set(s["Uid"].split()), {uid})
            self.assertEqual(s["NoNewPrivs"], "1")
            self.assertEqual(s["Seccomp"], "2")
            self.assertEqual(int(s["CapEff"], 16), 0)
            self.assertEqual(os.readlink(f"/proc/{pid}/root"), f"{self.stack.folder}/{root}" if root else "/")
        return True

    def test_mail_goes_through_the_walls(self):
        self.stack.submit("alice", "alice@example.org", ["bob@example.org"], "Subject: behind walls\r\n\r\nx\r\n")
        self.stack.wait_mail("bob", "behind walls")


if __name__ == "__main__":
    harness.main()
