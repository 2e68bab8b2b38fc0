#!/usr/bin/python3
"""SASL on submission, IMAP and POP3 alike: bindings, among them tls-exporter (RFC 9266), which Python's ssl cannot
give, and what a mechanism must not take."""
import base64
import hmac
import re
import ssl
import subprocess
import time
import unittest

import harness
from harness import PASSWORDS, SUFFIX, StackTest, run, wait_for
from saslclient import SERVICES, WORDS, connect, ok
from test_login import Scram, b64, plain


class Exporter(StackTest):
    CONF = {"auth_failure_delay": "10ms"}

    def setUp(self):
        self.child = subprocess.Popen(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{self.stack.ports['imaps']}", "-tls1_3", "-crlf",
             "-nocommands", "-keymatexport", "EXPORTER-Channel-Binding", "-keymatexportlen", "32"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.binding = bytes.fromhex(self.until(r"Keying material: ([0-9A-F]{64})").group(1))
        self.until(r"\* OK")

    def tearDown(self):
        self.child.stdin.close()
        self.child.stdout.close()
        self.child.wait(10)

    def until(self, pattern):
        for line in self.child.stdout:
            if found := re.search(pattern, line.decode("utf-8", "replace")):
                return found
        raise AssertionError(f"{pattern}: not before the end")

    def say(self, text):
        self.child.stdin.write(text.encode() + b"\n")
        self.child.stdin.flush()

    def login(self, binding):
        scram = Scram("alice", PASSWORDS["alice"], binding=binding, flag="p=tls-exporter")
        self.say("a AUTHENTICATE SCRAM-SHA-256-PLUS " + scram.first())
        self.say(scram.final(self.until(r"^\+ (\S+)").group(1)))
        reply = self.until(r"^(\+ |a )(\S*)")
        if reply.group(1) == "+ ":
            self.assertTrue(scram.verify(reply.group(2)))
            self.say("")
            reply = self.until(r"^(a )(\S*)")
        return reply.group(2)

    def test_tls_exporter(self):
        wrong = bytes([self.binding[0] ^ 1]) + self.binding[1:]
        self.assertEqual(self.login(wrong), "NO")
        self.assertEqual(self.login(self.binding), "OK")


class Alike(StackTest):
    CONF = {"auth_failure_delay": "10ms", "auth_failure_delay_limit": "40ms", "login_failure_limit": "100"}

    def each(self, **more):
        for service in SERVICES:
            with self.subTest(service), connect(self.stack, service, **more) as c:
                yield service, c

    def refused(self, service, reply, how="denied"):
        self.assertTrue(reply.startswith(WORDS[how][service]), reply)

    def test_a_name_ends_where_it_ends(self):
        """LOGIN with a NUL in the name is not taken for what stands before it, nor is SCRAM."""
        for service, c in self.each():
            self.refused(service, c.sasl("LOGIN", b64("alice\0x"), b64(PASSWORDS["alice"])), "malformed")
            self.refused(service, c.sasl("LOGIN", b64("alice"), b64(PASSWORDS["alice"] + "\0x")), "malformed")
            self.refused(service, c.sasl_ir("SCRAM-SHA-256", b64("n,,n=alice\0x,r=abcdef")), "malformed")
            self.assertTrue(ok(c.sasl("LOGIN", b64("alice"), b64(PASSWORDS["alice"]))))

    def test_a_binding_of_another_connection(self):
        """Refused as a wrong password is; so is a client that takes a server with bindings for one without."""
        for service, c in self.each(max_version=ssl.TLSVersion.TLSv1_2):
            binding = c.sock.get_channel_binding("tls-unique")
            wrong = bytes([binding[0] ^ 1]) + binding[1:]
            for more in ({"binding": wrong, "flag": "p=tls-unique"}, {"binding": wrong, "flag": "p=tls-exporter"}):
                self.refused(service, c.scram("alice", PASSWORDS["alice"], "SCRAM-SHA-256-PLUS", **more)[0])
            self.refused(service, c.scram("alice", PASSWORDS["alice"], flag="y")[0])
            self.assertTrue(ok(c.scram("alice", PASSWORDS["alice"], "SCRAM-SHA-256-PLUS", binding=binding,
                                       flag="p=tls-unique")[0]))


class Counted(StackTest):
    CONF = {"auth_failure_delay": "300ms", "auth_failure_delay_limit": "1200ms", "login_failure_limit": "100"}

    def test_a_wrong_binding_counts(self):
        with connect(self.stack, "submission", max_version=ssl.TLSVersion.TLSv1_2) as c:
            took = []
            for _ in range(3):
                start = time.monotonic()
                c.scram("alice", PASSWORDS["alice"], "SCRAM-SHA-256-PLUS", binding=b"x" * 12, flag="p=tls-unique")
                took.append(time.monotonic() - start)
            self.assertGreaterEqual(took[1], 0.59)
            self.assertGreaterEqual(took[2], 1.19)


class CramMd5(StackTest):
    """With the profile and the mechanism, for entries that have clear text."""
    PROFILES = "auto cleartext"

    @classmethod
    def prepare(cls, stack):
        stack.conf.update({"auth_mechanisms": "plain scram-sha-256 cram-md5", "auth_failure_delay": "10ms",
                           "auth_failure_delay_limit": "20ms", "login_failure_limit": "100",
                           "bind_dn": stack.slapd.root_dn, "bind_pw": stack.slapd.root_pw,
                           "directory_profiles": cls.PROFILES})

    def cram(self, c, user, password):
        reply = c.sasl("CRAM-MD5")
        self.assertTrue(reply.startswith("+ "), reply)
        digest = hmac.new(password.encode(), base64.b64decode(reply[2:]), "md5").hexdigest()
        return c.answer(b64(f"{user} {digest}"))

    def set_password(self, user, value):
        self.stack.slapd.modify(f"dn: uid={user},ou=people,{SUFFIX}\nchangetype: modify\nreplace: userPassword\n"
                                f"userPassword: {value}\n")

    def try_once(self, user, password):
        with connect(self.stack, "imap") as c:
            return ok(self.cram(c, user, password))

    def test_clear_text(self):
        hashed = "{SSHA}WN2V6LP3fMHDSO80/OWX5o9W/NVCSHdBskH8mA=="
        self.set_password("bob", "in the clear")
        self.set_password("carol", "{CLEARTEXT}as well")
        self.set_password("dave", "disabled")
        self.set_password("alice", hashed)
        for user, password in (("bob", "in the clear"), ("carol", "as well")):
            wait_for(user, lambda u=user, p=password: self.try_once(u, p))
        for service in SERVICES:
            with self.subTest(service), connect(self.stack, service) as c:
                replies = {self.cram(c, *who).split(" ", 1)[1] for who in (
                    ("bob", "wrong"), ("alice", hashed), ("alice", PASSWORDS["alice"]), ("dave", "disabled"),
                    ("nobody", "x"), ("bob", ""))}
                self.assertEqual(len(replies), 1, replies)
                self.assertTrue(ok(self.cram(c, "bob@example.org", "in the clear")))
            with connect(self.stack, service) as c:  # stored keys go on beside it
                self.assertTrue(ok(c.scram("alice", PASSWORDS["alice"])[0]))


class NoClearText(CramMd5):
    """Without the profile no password is kept, whoever reads the directory."""
    PROFILES = "auto"

    def test_clear_text(self):
        self.set_password("bob", "in the clear")
        self.stack.slapd.add(f"dn: uid=zoe,ou=people,{SUFFIX}\nobjectClass: inetOrgPerson\nobjectClass: dirigoUser\n"
                             "uid: zoe\ncn: Zoe\nsn: Zoe\nmail: zoe@example.org\nuserPassword: zoe-clear\n")

        def there():
            with connect(self.stack, "imap") as c:
                return ok(c.sasl_ir("PLAIN", plain("zoe", "zoe-clear")))
        wait_for("zoe", there)
        for service in SERVICES:
            with connect(self.stack, service) as c:
                for who in (("bob", "in the clear"), ("zoe", "zoe-clear")):
                    self.assertTrue(self.cram(c, *who).startswith(WORDS["denied"][service]))


class Network(StackTest):
    """Addresses of one network slow each other down once it has failed often enough; an allowed one does not."""
    CONF = {"auth_failure_delay": "200ms", "auth_failure_delay_limit": "1600ms", "login_failure_limit": "100",
            "mynetworks": "192.0.2.0/24", "auth_allow_networks": "127.0.9.0/24", "auth_network_failure_limit": "4",
            "auth_login_exchange_limit": "100"}

    def guess(self, service, source, user):
        with connect(self.stack, service, source=source) as c:
            start = time.monotonic()
            reply = c.password(user, "wrong")
            self.assertTrue(reply.startswith(WORDS["denied"][service]), reply)
            return time.monotonic() - start

    def test_network(self):
        for i in range(4):
            self.guess(SERVICES[i % 3], f"127.0.5.{i + 1}", f"nobody{i}")
        for i, least in ((4, 0.2), (5, 0.4), (6, 0.8), (7, 1.6), (8, 1.6)):
            self.assertGreaterEqual(self.guess(SERVICES[i % 3], f"127.0.5.{i + 1}", f"nobody{i}"), least - 0.01)
        # Who is in the list counts by login alone, and is not slowed down by the network.
        times = [self.guess("imap", f"127.0.9.{i + 1}", f"somebody{i}") for i in range(12)]
        self.assertLess(min(times[8:]), 1.2)


class Bound(StackTest):
    """The directory hears of so many wrong passwords and no more, whoever guesses and wherever; and it cannot be told
    from outside whether there is such a login."""
    CONF = {"auth_failure_delay": "50ms", "auth_failure_delay_limit": "50ms", "login_failure_limit": "100",
            "auth_bind_failure_limit": "3", "auth_bind_failure_time": "8s"}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        slapd = cls.stack.slapd
        run("ldapmodify", "-x", "-H", slapd.url, "-D", "cn=config", "-w", slapd.root_pw, text_in=(
            "dn: cn=module{0},cn=config\nchangetype: modify\nadd: olcModuleLoad\nolcModuleLoad: ppolicy\n\n"
            "dn: olcOverlay=ppolicy,olcDatabase={1}mdb,cn=config\nchangetype: add\nobjectClass: olcPPolicyConfig\n"
            f"olcOverlay: ppolicy\nolcPPolicyDefault: cn=policy,{SUFFIX}\n"))
        slapd.add(f"dn: cn=policy,{SUFFIX}\nobjectClass: device\nobjectClass: pwdPolicy\ncn: policy\n"
                  "pwdAttribute: userPassword\npwdLockout: TRUE\npwdMaxFailure: 4\npwdFailureCountInterval: 7\n")

    def attempts(self, user, words):
        replies = []
        for i, word in enumerate(words):
            service = SERVICES[i % 3]
            with connect(self.stack, service) as c:
                reply = c.password(user, word)
            kinds = [k for k in ("denied", "temporary") if reply.startswith(WORDS[k][service])]
            replies.append("ok" if ok(reply) else kinds[0])
        return replies

    def test_no_lock(self):
        right = PASSWORDS["bob"]
        for user in ("bob", "not-a-user", "dave"):
            words = [f"wrong{i}" for i in range(8)]
            self.assertEqual(self.attempts(user, words), ["denied"] * 3 + ["temporary"] * 5, user)
        done = run("ldapsearch", "-x", "-LLL", "-H", self.stack.slapd.url, "-D", self.stack.slapd.root_dn, "-w",
                   self.stack.slapd.root_pw, "-b", SUFFIX, "uid=bob", "pwdFailureTime", "pwdAccountLockedTime")
        self.assertEqual(done.stdout.count("pwdFailureTime"), 3)
        self.assertNotIn("pwdAccountLockedTime", done.stdout)
        # Stored keys need no server and go on; after the pause passwords do.
        with connect(self.stack, "imap") as c:
            self.assertTrue(ok(c.scram("bob", right)[0]))
        wait_for("the end of the pause", lambda: self.attempts("bob", [right]) == ["ok"], 40, 0.5)

    def test_an_old_password_counts_once(self):
        for user in ("carol", "nobody-else"):
            self.assertEqual(self.attempts(user, ["old", "old"]), ["denied"] * 2)
        self.assertEqual(self.attempts("carol", ["old2", PASSWORDS["carol"]]), ["denied", "ok"])


class Looks(StackTest):
    """An unknown login, a wrong password and a disabled entry: the same words, and not before the same time."""
    CONF = {"auth_failure_delay": "250ms", "auth_failure_delay_limit": "250ms", "login_failure_limit": "100",
            "auth_mechanisms": "plain login scram-sha-1 scram-sha-256 scram-sha-512"}

    def test_alike(self):
        tries = {
            "PLAIN": lambda c, user: c.sasl_ir("PLAIN", plain(user, "wrong")),
            "LOGIN": lambda c, user: c.sasl("LOGIN", b64(user), b64("wrong")),
            **{name: lambda c, user, name=name: c.scram(user, "wrong", name)[0]
               for name in ("SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512")}}
        for service in SERVICES:
            for name, attempt in tries.items():
                replies = set()
                for user in ("alice", "not-a-user", "dave", "staff"):
                    with connect(self.stack, service) as c:
                        start = time.monotonic()
                        replies.add(attempt(c, user))
                        self.assertGreaterEqual(time.monotonic() - start, 0.24, (service, name, user))
                self.assertEqual(len({r.split(" ", 1)[1] for r in replies}), 1, (service, name, replies))


if __name__ == "__main__":
    harness.main()
