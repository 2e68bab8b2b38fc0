#!/usr/bin/python3
"""dirigo passwd: what it makes is what slapd and the SCRAM of the three front ends take."""
import os
import pty
import re
import unittest

import harness
from harness import StackTest, run, wait_for
from saslclient import SERVICES, connect, ok
from test_login import b64, plain

PEOPLE = "ou=people,dc=example,dc=org"
NEW = "cor rect: horse é battery"


class Passwd(StackTest):
    CONF = {"auth_mechanisms": "plain scram-sha-1 scram-sha-256 scram-sha-512", "auth_failure_delay": "10ms",
            "auth_failure_delay_limit": "40ms", "login_failure_limit": "100", "auth_scram_iterations": "5000"}

    def make(self, *args, password=NEW, check=True):
        return run(f"{harness.BUILD}/dirigo", "-c", self.stack.conf_path, "passwd", "--file", "-", *args, check=check,
                   text_in=password + "\nmore\n", env=self.stack.env())

    def give(self, user, schemes, password):
        done = self.make(user, "--scheme", schemes, password=password)
        self.assertNotIn(password, done.stdout + done.stderr)
        self.stack.slapd.modify(done.stdout)

    def works(self, user, password, mechanism):
        for service in SERVICES:
            with connect(self.stack, service) as c:
                if mechanism == "PLAIN":
                    reply = c.sasl_ir("PLAIN", plain(user, password))
                else:
                    reply = c.scram(user, password, mechanism)[0]
                if not ok(reply):
                    return False
        return True

    def test_keys(self):
        self.give("bob", "scram-sha-1, scram-sha-256 SCRAM-SHA-512", NEW)
        for mechanism in ("SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512"):
            wait_for(mechanism, lambda m=mechanism: self.works("bob", NEW, m))
            self.assertFalse(self.works("bob", "bob-example", mechanism))
        with connect(self.stack, "imap") as c:
            self.assertEqual(c.scram("bob", NEW)[1].iterations, 5000)

    def test_hashes(self):
        config = "dn: cn=module{0},cn=config\nchangetype: modify\nadd: olcModuleLoad\nolcModuleLoad: argon2\n"
        run("ldapmodify", "-x", "-H", self.stack.slapd.url, "-D", "cn=config", "-w", self.stack.slapd.root_pw,
            text_in=config)
        for number, scheme in enumerate(("ssha", "crypt", "argon2")):
            password = f"{NEW} {number}"
            self.give("carol", scheme, password)
            wait_for(scheme, lambda p=password: self.works("carol", p, "PLAIN"))
            self.assertFalse(self.works("carol", f"{NEW} {number - 1}", "PLAIN"))

    def test_values_alone(self):
        lines = self.make().stdout.splitlines()
        self.assertRegex(lines[0], r"^authPassword: SCRAM-SHA-256\$5000:[A-Za-z0-9+/]{16}\$[\w+/]{43}=:[\w+/]{43}=$")
        self.assertRegex(lines[1], r"^userPassword: \{SSHA\}")
        self.assertEqual(len(lines), 2)
        self.assertNotEqual(lines, self.make().stdout.splitlines())
        lines = self.make("--dn", "cn=ü,dc=x", "--scheme", "ssha", "--iterations", "9999").stdout.splitlines()
        self.assertEqual(lines[:3], [f"dn:: {b64('cn=ü,dc=x')}", "changetype: modify", "replace: userPassword"])
        self.assertEqual(lines[4:], ["-"])
        # The file of parameters may be missing.
        done = run(f"{harness.BUILD}/dirigo", "-c", f"{self.stack.folder}/none", "passwd", "--file", "-", text_in="x\n",
                   env=self.stack.env())
        self.assertIn("SCRAM-SHA-256$4096:", done.stdout)

    def test_faults(self):
        for args, password, text in (
                ((), "", "empty"), ((), "x" * 1025, "longer"), (("--scheme", "md5"), "x", "md5: write sha256"),
                (("--iterations", "100"), "x", "4096"), (("not-a-user",), "x", "no such login"),
                (("--file", "/none/there"), "x", "No such file"), (("--dn", "dc=x", "bob"), "x", "usage")):
            done = self.make(*args, password=password, check=False)
            self.assertNotEqual(done.returncode, 0, args)
            self.assertIn(text, done.stderr)
            self.assertEqual(done.stdout, "")

    def talk(self, *answers):
        """At a terminal: everything that stood on it, and the exit status."""
        pid, fd = pty.fork()
        if pid == 0:
            os.execve(f"{harness.BUILD}/dirigo", ["dirigo", "-c", self.stack.conf_path, "passwd"], self.stack.env())
        seen, asked = b"", 0
        while True:
            try:
                data = os.read(fd, 4096)
            except OSError:
                data = b""
            if not data:
                break
            seen += data
            # Asked for as often as there are prompts; echo is off by then.
            if asked < len(answers) and len(re.findall(rb"(?:password|again): ", seen)) > asked:
                os.write(fd, answers[asked].encode() + b"\n")
                asked += 1
        os.close(fd)
        return seen.decode(), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def test_terminal(self):
        seen, code = self.talk("a new one", "a new one")
        self.assertEqual(code, 0, seen)
        self.assertIn("userPassword: {SSHA}", seen)
        self.assertNotIn("a new one", seen)
        seen, code = self.talk("a new one", "another")
        self.assertEqual(code, 1, seen)
        self.assertIn("not the same", seen)


if __name__ == "__main__":
    harness.main()
