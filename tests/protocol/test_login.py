#!/usr/bin/python3
"""Logins over IMAP and POP3 against the whole stack: mechanisms, refusals that look alike, TLS, throttle."""
import base64
import hashlib
import hmac
import os
import signal
import socket
import ssl
import time
import unittest

import harness
from harness import PASSWORDS, StackTest, run, wait_for

DENIED = {"imap": "NO [AUTHENTICATIONFAILED]", "pop3": "-ERR [AUTH]"}
TEMPORARY = {"imap": "NO [UNAVAILABLE]", "pop3": "-ERR [SYS/TEMP]"}
PRIVACY = {"imap": "NO [PRIVACYREQUIRED]", "pop3": "-ERR Use TLS"}


def b64(data):
    return base64.b64encode(data if isinstance(data, bytes) else data.encode()).decode()


def plain(user, password, authzid=""):
    return b64(f"{authzid}\0{user}\0{password}")


class Scram:
    """The client's side of SCRAM (RFC 5802, 7677)."""

    def __init__(self, user, password, binding=None, flag="n", other="", hash_name="sha256"):
        self.password, self.binding, self.hash = password, binding, hash_name
        self.header = f"{flag},{f'a={other}' if other else ''},".encode()
        self.nonce = b64(os.urandom(18))
        self.bare = f"n={user},r={self.nonce}"
        self.salt = self.iterations = self.server_signature = None

    def first(self):
        return b64(self.header + self.bare.encode())

    def final(self, challenge):
        server_first = base64.b64decode(challenge).decode()
        fields = dict(f.split("=", 1) for f in server_first.split(","))
        assert fields["r"].startswith(self.nonce) and len(fields["r"]) > len(self.nonce)
        self.salt, self.iterations = fields["s"], int(fields["i"])
        salted = hashlib.pbkdf2_hmac(self.hash, self.password.encode(), base64.b64decode(self.salt), self.iterations)
        without = f"c={b64(self.header + (self.binding or b''))},r={fields['r']}"
        message = f"{self.bare},{server_first},{without}".encode()
        client_key = hmac.digest(salted, b"Client Key", self.hash)
        signature = hmac.digest(hashlib.new(self.hash, client_key).digest(), message, self.hash)
        proof = bytes(a ^ b for a, b in zip(client_key, signature))
        self.server_signature = hmac.digest(hmac.digest(salted, b"Server Key", self.hash), message, self.hash)
        return b64(f"{without},p={b64(proof)}")

    def verify(self, challenge):
        return base64.b64decode(challenge) == b"v=" + b64(self.server_signature).encode()


class Client:
    """A connection on which every byte is ours; the same words for both protocols."""

    def __init__(self, stack, protocol, tls=True, max_version=None, cert=None, source="127.0.0.1"):
        """cert: the files of a certificate and its key; source: the address to come from."""
        self.protocol = protocol
        self.sock = socket.create_connection(("127.0.0.1", stack.ports[protocol + ("s" if tls else "")]), 20,
                                             (source, 0))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.context = stack.tls()
        if max_version:
            self.context.maximum_version = max_version
        if cert:
            self.context.load_cert_chain(*cert)
        self.count = 0
        self.file = None
        if tls:
            self.secure()
        else:
            self.file = self.sock.makefile("rb")
        self.greeting = self.line()

    def secure(self):
        if self.file:
            self.file.close()
        self.sock = self.context.wrap_socket(self.sock, server_hostname="localhost")
        self.file = self.sock.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data if isinstance(data, bytes) else data.encode())

    def line(self):
        line = self.file.readline().decode()
        assert line == "" or line.endswith("\r\n"), line
        return line[:-2] if line else "closed"

    def end(self):
        """What a command came to, without its tag; a challenge as '+ ...'. Untagged lines are dropped."""
        while True:
            line = self.line()
            if self.protocol == "pop3" or line.startswith("+ ") or line == "closed" or line.startswith("* BYE"):
                return line
            if line.startswith(f"t{self.count} "):
                return line.split(" ", 1)[1]

    def command(self, text):
        self.count += 1
        self.send((f"t{self.count} " if self.protocol == "imap" else "") + text + "\r\n")
        return self.end()

    def answer(self, text):
        self.send(text + "\r\n")
        return self.end()

    def start_tls(self, behind=""):
        """behind: bytes sent in clear text in the same packet as the command."""
        self.count += 1
        word = f"t{self.count} STARTTLS\r\n" if self.protocol == "imap" else "STLS\r\n"
        self.send(word + behind)
        reply = self.end()
        if ok(reply):
            self.secure()
        return reply

    def password(self, user, password):
        if self.protocol == "imap":
            return self.command(f'LOGIN "{user}" "{password}"')
        reply = self.command(f"USER {user}")
        return self.command(f"PASS {password}") if ok(reply) else reply

    def sasl(self, mechanism, *answers):
        """Answers given without being asked first: none is an initial response."""
        reply = self.command(f"{'AUTHENTICATE' if self.protocol == 'imap' else 'AUTH'} {mechanism}")
        for text in answers:
            if not reply.startswith("+ "):
                break
            reply = self.answer(text)
        return reply

    def sasl_ir(self, mechanism, initial):
        return self.command(f"{'AUTHENTICATE' if self.protocol == 'imap' else 'AUTH'} {mechanism} {initial}")

    def scram(self, user, password, mechanism="SCRAM-SHA-256", **more):
        name = mechanism.removesuffix("-PLUS").replace("SCRAM-SHA-", "sha")
        scram = Scram(user, password, hash_name=name, **more)
        reply = self.sasl_ir(mechanism, scram.first())
        if not reply.startswith("+ "):
            return reply, scram
        reply = self.answer(scram.final(reply[2:]))
        if reply.startswith("+ "):
            assert scram.verify(reply[2:]), "the server does not know the password"
            reply = self.answer("")
        return reply, scram

    def capabilities(self):
        if self.protocol == "imap":
            self.send("c CAPABILITY\r\n")
            words = self.line()
            assert self.line().startswith("c OK")
            return words
        lines = [self.command("CAPA")]
        while lines[-1] != ".":
            lines.append(self.line())
        return "\n".join(lines)


def ok(reply):
    return reply.startswith(("OK", "+OK"))


class Logins(StackTest):
    CONF = {"auth_failure_delay": "10ms", "auth_failure_delay_limit": "40ms", "login_failure_limit": "100"}

    def each(self):
        for protocol in ("imap", "pop3"):
            with self.subTest(protocol=protocol):
                yield protocol

    def refused(self, protocol, reply, texts=None):
        self.assertTrue(reply.startswith((texts or DENIED)[protocol]), reply)

    def test_every_mechanism(self):
        user, password = "alice", PASSWORDS["alice"]
        tries = {
            "password": lambda c: c.password(user, password),
            "by address": lambda c: c.password("Alice@Example.Org", password),
            "PLAIN": lambda c: c.sasl("PLAIN", plain(user, password)),
            "PLAIN, initial": lambda c: c.sasl_ir("PLAIN", plain(user, password)),
            "LOGIN": lambda c: c.sasl("LOGIN", b64(user), b64(password)),
            "SCRAM": lambda c: c.scram(user, password)[0],
            "SCRAM by address": lambda c: c.scram("alice@example.org", password)[0],
        }
        for protocol in self.each():
            for name, login in tries.items():
                with self.subTest(name), Client(self.stack, protocol) as c:
                    self.assertTrue(ok(login(c)), name)
                    # It is a session now, of dirigo-mailbox.
                    self.assertTrue(ok(c.command("SELECT INBOX" if protocol == "imap" else "STAT")))

    def test_channel_binding(self):
        for protocol in self.each():
            with Client(self.stack, protocol, max_version=ssl.TLSVersion.TLSv1_2) as c:
                self.assertIn("SCRAM-SHA-256-PLUS", c.capabilities())
                binding = c.sock.get_channel_binding("tls-unique")
                wrong = bytes([binding[0] ^ 1]) + binding[1:]
                reply, _ = c.scram("alice", PASSWORDS["alice"], "SCRAM-SHA-256-PLUS", binding=wrong,
                                   flag="p=tls-unique")
                self.assertFalse(ok(reply), reply)
                reply, _ = c.scram("alice", PASSWORDS["alice"], "SCRAM-SHA-256-PLUS", binding=binding,
                                   flag="p=tls-unique")
                self.assertTrue(ok(reply), reply)

    def test_refusals_are_alike(self):
        for protocol in self.each():
            with Client(self.stack, protocol) as c:
                replies = {
                    c.password("alice", "wrong"),
                    c.password("nobody", "wrong"),
                    c.password("dave", PASSWORDS["dave"]),  # disabled
                    c.password("staff", "x"),  # a group
                    c.sasl_ir("PLAIN", plain("alice", "wrong")),
                    c.sasl_ir("PLAIN", plain("alice", PASSWORDS["alice"], "bob")),
                    c.sasl("LOGIN", b64("alice"), b64("wrong")),
                    c.scram("alice", "wrong")[0],
                    c.scram("nobody", "wrong")[0],
                    c.scram("dave", PASSWORDS["dave"])[0],
                }
                self.assertEqual(len(replies), 1, replies)
                self.refused(protocol, replies.pop())
                # The connection is still good for a right one.
                self.assertTrue(ok(c.password("alice", PASSWORDS["alice"])))

    def test_unknown_users_have_keys(self):
        with Client(self.stack, "imap") as c:
            shapes = []
            for user in ("alice", "nobody", "nobody", "dave"):
                _, scram = c.scram(user, "wrong")
                shapes.append((scram.salt, len(scram.salt), scram.iterations))
        self.assertEqual(shapes[1], shapes[2])
        self.assertEqual({s[1:] for s in shapes}, {shapes[0][1:]})

    def test_authorisation_identity(self):
        for protocol in self.each():
            with Client(self.stack, protocol) as c:
                self.refused(protocol, c.sasl_ir("PLAIN", plain("alice", PASSWORDS["alice"], "bob")))
                self.assertTrue(ok(c.sasl_ir("PLAIN", plain("alice", PASSWORDS["alice"], "alice@example.org"))))

    def test_malformed(self):
        for protocol in self.each():
            with Client(self.stack, protocol) as c:
                for text in ("?", "YQ", b64("x"), b64("\0\0"), b64("\0alice\0"), b64("a\0" * 300)):
                    self.assertFalse(ok(c.sasl_ir("PLAIN", text)), text)
                self.assertFalse(ok(c.sasl("LOGIN", "*")))
                self.assertFalse(ok(c.sasl_ir("GSSAPI", "YQ==")))
                self.assertFalse(ok(c.sasl("SCRAM-SHA-256", b64("n,,n=alice"), "")))
                self.assertTrue(ok(c.password("alice", PASSWORDS["alice"])))

    def test_no_clear_text(self):
        for protocol in self.each():
            with Client(self.stack, protocol, tls=False) as c:
                words = c.capabilities()
                self.assertNotRegex(words, "AUTH=|SASL |USER")
                self.assertIn("LOGINDISABLED" if protocol == "imap" else "STLS", words)
                self.refused(protocol, c.password("alice", PASSWORDS["alice"]), PRIVACY)
                self.refused(protocol, c.sasl_ir("PLAIN", plain("alice", PASSWORDS["alice"])), PRIVACY)
                self.assertTrue(ok(c.start_tls()))
                self.assertRegex(c.capabilities(), "AUTH=PLAIN|SASL .*PLAIN")
                self.assertTrue(ok(c.password("alice", PASSWORDS["alice"])))

    def test_nothing_is_injected_before_tls(self):
        for protocol in self.each():
            with Client(self.stack, protocol, tls=False) as c:
                junk = "evil NOOP\r\nevil2 LOGOUT\r\n" if protocol == "imap" else "QUIT\r\n"
                self.assertTrue(ok(c.start_tls(behind=junk)))
                self.assertTrue(ok(c.command("NOOP" if protocol == "imap" else "USER alice")))
                if protocol == "imap":
                    c.send("x STARTTLS\r\n")
                    self.assertTrue(c.line().startswith("x BAD"))
                else:
                    self.assertTrue(c.command("STLS").startswith("-ERR"))

    def test_pipelined_behind_login(self):
        """What the client sends without waiting is read by the session, in clear order, with TLS."""
        with Client(self.stack, "imap") as c:
            c.send(f'a LOGIN alice {PASSWORDS["alice"]}\r\nb SELECT INBOX\r\nc LOGOUT\r\n')
            tagged = [line for line in iter(c.line, "closed") if not line.startswith("* ")]
            self.assertEqual([line[:4] for line in tagged], ["a OK", "b OK", "c OK"])
        with Client(self.stack, "pop3") as c:
            c.send(f'USER alice\r\nPASS {PASSWORDS["alice"]}\r\nSTAT\r\nQUIT\r\n')
            lines = list(iter(c.line, "closed"))
            self.assertEqual([line[:3] for line in lines], ["+OK"] * 4)

    def test_literals(self):
        with Client(self.stack, "imap") as c:
            c.send("a LOGIN {5}\r\n")
            self.assertTrue(c.line().startswith("+"))
            c.send(f"alice {{{len(PASSWORDS['alice'])}+}}\r\n{PASSWORDS['alice']}\r\n")
            c.count = 0
            reply = c.line()
            while reply.startswith("* "):
                reply = c.line()
            self.assertTrue(reply.startswith("a OK"), reply)
            self.assertIn("CAPABILITY", reply)

    def test_curl(self):
        for url in (f"imaps://127.0.0.1:{self.stack.ports['imaps']}/", f"pop3s://127.0.0.1:{self.stack.ports['pop3s']}/",
                    f"imap://127.0.0.1:{self.stack.ports['imap']}/", f"pop3://127.0.0.1:{self.stack.ports['pop3']}/"):
            for options in ("AUTH=PLAIN", "AUTH=LOGIN"):
                run("curl", "-sS", "--ssl-reqd", "--cacert", self.stack.cert, "--url", url, "--login-options", options,
                    "--user", f"alice:{PASSWORDS['alice']}")
        wrong = run("curl", "-sS", "--cacert", self.stack.cert, "--url",
                    f"imaps://127.0.0.1:{self.stack.ports['imaps']}/", "--user", "alice:wrong", check=False)
        self.assertEqual(wrong.returncode, 67, wrong.stderr)

    def test_disabled_at_once(self):
        dn = "uid=bob,ou=people,dc=example,dc=org"

        def attempt(answer):
            with Client(self.stack, "imap") as c:
                return answer(c.scram("bob", PASSWORDS["bob"])[0])

        self.assertTrue(attempt(ok))
        self.stack.slapd.modify(f"dn: {dn}\nchangetype: modify\nadd: dirigoAccountStatus\n"
                                "dirigoAccountStatus: disabled\n")
        try:
            wait_for("the refusal", lambda: attempt(lambda reply: reply.startswith(DENIED["imap"])), 5)
            with Client(self.stack, "imap") as c:
                self.refused("imap", c.password("bob", PASSWORDS["bob"]))
        finally:
            self.stack.slapd.modify(f"dn: {dn}\nchangetype: modify\ndelete: dirigoAccountStatus\n")
        wait_for("bob again", lambda: attempt(ok), 5)

    def test_mailbox_elsewhere_is_temporary(self):
        dn = "uid=alice,ou=people,dc=example,dc=org"
        self.stack.slapd.modify(f"dn: {dn}\nchangetype: modify\nadd: mailHost\nmailHost: other.example.org\n")
        try:
            def temporary():
                with Client(self.stack, "imap") as c:
                    return c.password("alice", PASSWORDS["alice"]).startswith(TEMPORARY["imap"])
            wait_for("the mailHost", temporary, 5)
        finally:
            self.stack.slapd.modify(f"dn: {dn}\nchangetype: modify\ndelete: mailHost\n")
        def back():
            with Client(self.stack, "imap") as c:
                return ok(c.password("alice", PASSWORDS["alice"]))
        wait_for("the mailbox here", back, 5)

    def test_log_has_no_password(self):
        secret = "Tr0ub4dor-and-3"
        with Client(self.stack, "imap") as c:
            c.password("alice", secret)
            c.sasl_ir("PLAIN", plain("alice", secret))
            c.password("alice", PASSWORDS["alice"])
        log = wait_for("the log", lambda: (t := self.stack.dirigod.log()) and "result=ok" in t and t)
        for word in (secret, PASSWORDS["alice"], plain("alice", secret)):
            self.assertNotIn(word, log)
        line = next(li for li in log.splitlines() if "result=ok" in li)
        for field in ("id=", "service=", "mechanism=", "login=", "peer=127.0.0.1"):
            self.assertIn(field, line)


class ClearText(StackTest):
    CONF = {"disable_plaintext_auth": "no", "auth_failure_delay": "10ms"}

    def test_loopback_may(self):
        for protocol in ("imap", "pop3"):
            with Client(self.stack, protocol, tls=False) as c:
                reply = c.password("alice", PASSWORDS["alice"])
                self.assertTrue(ok(reply), reply)
                # Without TLS the socket itself has gone to dirigo-mailbox.
                self.assertTrue(ok(c.command("NOOP")))
            with Client(self.stack, protocol, tls=False) as c:
                reply, _ = c.scram("alice", PASSWORDS["alice"])
                self.assertTrue(ok(reply), reply)


class Throttle(StackTest):
    CONF = {"auth_failure_delay": "200ms", "auth_failure_delay_limit": "900ms", "login_failure_limit": "4"}

    def took(self, c, user, password):
        start = time.monotonic()
        reply = c.password(user, password)
        return time.monotonic() - start, reply

    def test_delay_grows_and_is_the_same_for_all(self):
        for user in ("carol", "not-a-user"):
            with Client(self.stack, "imap") as c:
                times = []
                for _ in range(4):
                    seconds, reply = self.took(c, user, "wrong")
                    self.assertTrue(reply.startswith(DENIED["imap"]), reply)
                    times.append(seconds)
                self.assertEqual(c.end()[:5], "* BYE")
            for seconds, least in zip(times, (0.2, 0.4, 0.8, 0.9)):
                self.assertGreaterEqual(seconds, least - 0.01, (user, times))
                self.assertLess(seconds, least + 0.3, (user, times))
        # Another front end knows of it: there is one table.
        with Client(self.stack, "pop3") as c:
            self.assertGreater(self.took(c, "carol", "wrong")[0], 0.85)
            # A right password does not wait, and ends the growth.
            self.assertLess(self.took(c, "carol", PASSWORDS["carol"])[0], 0.5)
        with Client(self.stack, "pop3") as c:
            self.assertLess(self.took(c, "carol", "wrong")[0], 0.5)


class Parallel(StackTest):
    CONF = {"auth_failure_delay": "1500ms", "auth_login_exchange_limit": "3", "mynetworks": "127.0.0.0/8"}

    def guess(self, user):
        """Six guesses at one login at one time; how many were told to come back later."""
        clients = [Client(self.stack, "imap") for _ in range(6)]
        try:
            for c in clients:
                c.count += 1
                c.send(f't{c.count} LOGIN "{user}" "wrong"\r\n')
            replies = [c.end() for c in clients]
        finally:
            for c in clients:
                c.__exit__()
        self.assertEqual(sum(r.startswith(DENIED["imap"]) for r in replies), 3, replies)
        self.assertEqual(sum(r.startswith(TEMPORARY["imap"]) for r in replies), 3, replies)

    def test_attempts_are_bounded(self):
        """Also from a trusted network, and for a name that nobody has as for one that exists."""
        for user in ("alice", "not-a-user"):
            self.guess(user)
        with Client(self.stack, "imap") as c:
            self.assertTrue(ok(c.password("bob", PASSWORDS["bob"])))
        with Client(self.stack, "imap") as c:  # it is over for alice, too
            self.assertTrue(ok(c.password("alice", PASSWORDS["alice"])))


class Reload(StackTest):
    CONF = {"auth_failure_delay": "10ms"}

    def test_sessions_outlive_a_reload(self):
        """TLS runs in the front end that accepted: it stays for its sessions, and takes no more."""
        with Client(self.stack, "imap") as imap, Client(self.stack, "pop3") as pop3, \
                Client(self.stack, "imap") as idle:
            self.assertTrue(ok(imap.password("alice", PASSWORDS["alice"])))
            self.assertTrue(ok(pop3.password("bob", PASSWORDS["bob"])))
            old = self.stack.pids("dirigo-imapd")
            os.kill(self.stack.dirigod.pid, signal.SIGHUP)
            wait_for("new front ends", lambda: set(self.stack.pids("dirigo-imapd")) - set(old))

            def again():
                with Client(self.stack, "imap") as c:
                    return ok(c.password("alice", PASSWORDS["alice"]))
            wait_for("logins", again)
            # Who had not logged in yet still can, in the process that accepted.
            self.assertTrue(ok(idle.password("carol", PASSWORDS["carol"])))
            self.assertTrue(ok(imap.command("NOOP")))
            self.assertTrue(ok(pop3.command("STAT")))
            self.assertTrue(set(old) <= set(self.stack.pids("dirigo-imapd")))
        wait_for("the end of the old ones", lambda: not set(old) & set(self.stack.pids("dirigo-imapd")))

    def test_shutdown_with_sessions(self):
        with Client(self.stack, "imap") as c:
            self.assertTrue(ok(c.password("carol", PASSWORDS["carol"])))
            self.assertTrue(ok(c.command("SELECT INBOX")))
            self.stack.dirigod.end()
            self.assertTrue(c.line().startswith("* BYE"))
            self.assertEqual(c.line(), "closed")
        self.stack.start_dirigod()


class Away(StackTest):
    CONF = {"auth_failure_delay": "10ms", "auth_failure_delay_limit": "20ms", "timeout": "2s"}

    def test_directory_away(self):
        """Nobody is refused for good, and stored keys go on working."""
        with Client(self.stack, "imap") as c:
            self.assertTrue(ok(c.password("alice", PASSWORDS["alice"])))
        self.stack.slapd.stop()
        try:
            with Client(self.stack, "imap") as c:
                self.assertTrue(c.password("alice", PASSWORDS["alice"]).startswith(TEMPORARY["imap"]))
            def unknown():
                with Client(self.stack, "imap") as d:
                    return d.password("nobody", "x").startswith(TEMPORARY["imap"])
            wait_for("absent is not said any more", unknown, 10)
            with Client(self.stack, "imap") as c:
                reply, _ = c.scram("nobody", "x")
                self.assertTrue(reply.startswith(TEMPORARY["imap"]), reply)
                reply, _ = c.scram("alice", "wrong")
                self.assertTrue(reply.startswith(DENIED["imap"]), reply)
                reply, _ = c.scram("alice", PASSWORDS["alice"])
                self.assertTrue(ok(reply), reply)
        finally:
            self.stack.slapd.start()
        def back():
            with Client(self.stack, "pop3") as c:
                return ok(c.password("alice", PASSWORDS["alice"]))
        wait_for("logins by password", back, 30)


if __name__ == "__main__":
    harness.main()
