#!/usr/bin/python3
"""A password that is right and ends soon: the login succeeds, and says so in words on submission, IMAP and POP3."""
import re
import unittest

import harness
from harness import SUFFIX, StackTest, run
from saslclient import SERVICES, connect, ok
from test_login import b64, plain

PEOPLE = f"ou=people,{SUFFIX}"
TEXT = {"submission": "235 2.7.0 Authentication successful", "imap": "", "pop3": "+OK Logged in, 0 messages (0 octets)"}


class PasswordEnd(StackTest):
    """With the cache of verified passwords on, which must not hide it."""
    CONF = {"auth_failure_delay": "10ms", "auth_failure_delay_limit": "20ms"}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        slapd = cls.stack.slapd
        run("ldapmodify", "-x", "-H", slapd.url, "-D", "cn=config", "-w", slapd.root_pw, text_in=(
            "dn: cn=module{0},cn=config\nchangetype: modify\nadd: olcModuleLoad\nolcModuleLoad: ppolicy\n\n"
            "dn: olcOverlay=ppolicy,olcDatabase={1}mdb,cn=config\nchangetype: add\nobjectClass: olcPPolicyConfig\n"
            "olcOverlay: ppolicy\n"))
        # Days and half an hour: rounding down leaves the days however slow the test is.
        for name, values in (("soon", f"pwdMaxAge: {3 * 86400 + 1800}\npwdExpireWarning: {30 * 86400}\n"),
                             ("late", f"pwdMaxAge: {90 * 86400}\npwdExpireWarning: 86400\n"),
                             ("ended", "pwdMaxAge: 1\npwdGraceAuthNLimit: 3\n")):
            slapd.add(f"dn: cn={name},{SUFFIX}\nobjectClass: device\nobjectClass: pwdPolicy\ncn: {name}\n"
                      f"pwdAttribute: userPassword\n{values}")

    def person(self, name, policy):
        self.stack.slapd.add(
            f"dn: uid={name},{PEOPLE}\nobjectClass: inetOrgPerson\nobjectClass: dirigoUser\nuid: {name}\ncn: {name}\n"
            f"sn: Example\nmail: {name}@example.org\npwdPolicySubentry: cn={policy},{SUFFIX}\n")
        # Given by a modification, for the overlay to date it.
        self.stack.slapd.modify(f"dn: uid={name},{PEOPLE}\nchangetype: modify\nadd: userPassword\n"
                                f"userPassword: {name}-example\n")
        harness.wait_for(name, lambda: self.stack.tool_json("lookup", f"{name}@example.org")["answer"] == "found")

    def logins(self, service, name):
        """Each way to give a password, with what was said: the untagged lines of IMAP's login and the answer."""
        password = f"{name}-example"
        ways = {"PLAIN": lambda c: c.sasl_ir("PLAIN", plain(name, password)),
                "LOGIN": lambda c: c.sasl("LOGIN", b64(name), b64(password))}
        if service != "submission":
            ways["command"] = lambda c: c.password(name, password)
        for way, login in ways.items():
            with self.subTest(service=service, way=way), connect(self.stack, service) as c:
                yield self.said(c, login)

    def said(self, c, login):
        lines, line = [], c.line

        def heard():
            lines.append(line())
            return lines[-1]

        c.line = heard
        try:
            reply = login(c)
        finally:
            c.line = line
        self.assertTrue(ok(reply) or reply.startswith("235"), reply)
        self.assertNotIn("\r", reply)
        # It is a session, whatever was said.
        again = c.command("NOOP")
        self.assertTrue(ok(again) or again.startswith("250"), again)
        return [text for text in lines if not text.startswith(("+ ", "334", "+OK And the password"))]

    def told(self, service, lines):
        """The sentence that was said to the user, or None; and nothing else was."""
        if service == "imap":
            self.assertRegex(lines[-1], r"^t\d+ OK \[CAPABILITY [^]]*\] Logged in$")
            alerts = [re.fullmatch(r"\* OK \[ALERT\] (.*)", text) for text in lines[:-1]]
            self.assertTrue(all(alerts) and len(alerts) < 2, lines)
            return alerts[0].group(1) if alerts else None
        self.assertTrue(lines[-1].startswith(TEXT[service]), lines)
        rest = lines[-1][len(TEXT[service]):]
        if rest:
            self.assertEqual(rest[:2], ". ", lines)
        return rest[2:] or None

    def test_expires_soon(self):
        """Twice in a row, too: such an answer is not remembered."""
        self.person("tim", "soon")
        for service in SERVICES:
            for _ in range(2):
                for lines in self.logins(service, "tim"):
                    self.assertEqual(self.told(service, lines), "Your password expires in 3 days.")

    def test_nothing_to_say(self):
        self.person("tom", "late")
        for service in SERVICES:
            for lines in self.logins(service, "tom"):
                self.assertIsNone(self.told(service, lines))

    def test_grace(self):
        """Each login takes one of those that are left, on whatever protocol; then it is refused."""
        self.person("ted", "ended")
        slapd = self.stack.slapd
        left = "Your password has expired; {} before you must change it."

        def ended():
            done = run("ldapwhoami", "-x", "-e", "ppolicy", "-H", slapd.url, "-D", f"uid=ted,{PEOPLE}", "-w",
                       "ted-example", check=False)
            return "grace" in (done.stdout + done.stderr).lower()

        harness.wait_for("the end of ted's password", ended)  # which took the first
        expected = [left.format("1 more login is possible"), left.format("this was the last login")]
        for service, text in zip(("imap", "pop3"), expected):
            with connect(self.stack, service) as c:
                lines = self.said(c, lambda c: c.password("ted", "ted-example"))
                self.assertEqual(self.told(service, lines), text)
        for service in SERVICES:
            with connect(self.stack, service) as c:
                self.assertIn("has expired and must be changed", c.password("ted", "ted-example"))


if __name__ == "__main__":
    harness.main()
