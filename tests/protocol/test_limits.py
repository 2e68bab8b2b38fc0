#!/usr/bin/python3
"""Before and around SMTP: limits that the processes count together, the greylist, early talkers, pauses."""
import re
import smtplib
import socket
import time
import unittest

import harness
from harness import SUFFIX, StackTest, wait_for


class Client(smtplib.SMTP):
    """From an address of loopback's of its own, which mynetworks does not hold."""

    def __init__(self, stack, source="127.0.0.5", ehlo=True):
        super().__init__("127.0.0.1", stack.ports["smtp"], local_hostname="client.example.net",
                         source_address=(source, 0), timeout=20)
        if ehlo:
            self.ehlo()


def logged_in(stack, user, name=None):
    c = stack.smtp("submission")
    c.starttls(context=stack.tls())
    c.login(name or user, harness.PASSWORDS[user])
    return c


class LimitsTest(StackTest):
    CONF = {"mynetworks": "127.0.0.1/32", "service_processes": "2", "smtpd_client_connection_count_limit": "4",
            "smtpd_client_recipient_rate_limit": "6", "anvil_rate_time_unit": "1d",
            "smtpd_client_auth_rate_limit": "2", "smtpd_login_message_rate_limit": "3",
            "smtpd_client_new_tls_session_rate_limit": "2"}

    def test_connections(self):
        held = [Client(self.stack, "127.0.0.21") for _ in range(4)]  # of both processes
        with self.assertRaises(smtplib.SMTPConnectError) as refused:
            Client(self.stack, "127.0.0.21")
        self.assertEqual(refused.exception.smtp_code, 421)
        Client(self.stack, "127.0.0.22").quit()
        held.pop().quit()
        wait_for("room", lambda: Client(self.stack, "127.0.0.21").quit())
        for c in held:
            c.quit()

    def test_killed_processes_take_their_connections_along(self):
        held = [Client(self.stack, "127.0.0.23") for _ in range(4)]
        for pid in self.stack.pids("dirigo-smtpd"):
            harness.os.kill(pid, harness.signal.SIGKILL)
        wait_for("room", lambda: Client(self.stack, "127.0.0.23").quit())
        for c in held:
            c.close()

    def test_recipients(self):
        codes = []
        for _ in range(2):
            with Client(self.stack, "127.0.0.24") as c:
                c.mail("x@example.net")
                codes += [c.rcpt("alice@example.org")[0] for _ in range(4)]
        self.assertEqual(codes, [250] * 6 + [450] * 2)
        # mynetworks has no limit.
        with self.stack.smtp() as c:
            c.ehlo()
            c.mail("x@example.net")
            self.assertEqual({c.rcpt("alice@example.org")[0] for _ in range(10)}, {250})

    def test_tls_sessions(self):
        codes = []
        for _ in range(3):
            with Client(self.stack, "127.0.0.25") as c:
                codes.append(c.docmd("STARTTLS")[0])
                c.close()
        self.assertEqual(codes, [220, 220, 450])

    def test_logins(self):
        codes = []
        for name in ("alice", "alice@example.org", "ALICE", "alice.example@example.org"):  # one account
            c = logged_in(self.stack, "alice", name)
            codes.append(c.mail("alice@example.org")[0])
            c.quit()
        self.assertEqual(codes, [250, 250, 250, 450])
        c = logged_in(self.stack, "bob")
        self.assertEqual(c.mail("bob@example.org")[0], 250)
        c.quit()


class GreylistTest(StackTest):
    CONF = {"mynetworks": "127.0.0.1/32", "greylist_delay": "2s", "greylist_auto_whitelist_clients": "0",
            "smtpd_data_restrictions": ""}

    @classmethod
    def prepare(cls, stack):
        with open(f"{harness.TOP}/conf/sample.ldif", encoding="utf-8") as f:
            text = f.read()
        lists = re.findall(r"^dirigoSmtpdRecipientRestrictions: (.*(?:\n .*)*)", text, re.M)
        assert lists
        stack.slapd.slapadd(re.sub(r"^dirigoSmtpdRecipientRestrictions: .*(?:\n .*)*",
                                   "dirigoSmtpdRecipientRestrictions: reject_unlisted_recipient,\n"
                                   "  check_rate_limit sender=3/1d, check_greylist", text, count=1, flags=re.M))
        stack.sample = False

    def rcpt(self, sender, recipient="alice@example.org", source="127.0.0.5"):
        with Client(self.stack, source) as c:
            c.mail(sender)
            return c.rcpt(recipient)

    def test_greylist(self):
        code, text = self.rcpt("grey@example.net")
        self.assertEqual(code, 450)
        self.assertIn(b"Greylisted", text)
        self.assertEqual(self.rcpt("grey@example.net", "nobody-here@example.org")[0], 550)
        time.sleep(2.1)
        # Through a restart of everything.
        self.assertEqual(self.stack.dirigod.end(), 0)
        self.stack.start_dirigod()
        self.assertEqual(self.rcpt("grey@example.net")[0], 250)
        with self.stack.smtp() as c:  # mynetworks
            c.ehlo()
            c.mail("other@example.net")
            self.assertEqual(c.rcpt("alice@example.org")[0], 250)

    def test_rate_of_a_policy(self):
        replies = [self.rcpt("often@example.net") for _ in range(4)]
        self.assertEqual([b"Greylisted" in text for _, text in replies], [True] * 3 + [False])
        self.assertIn(b"Too often", replies[3][1])
        self.assertIn(SUFFIX, [line for line in self.stack.dirigod.log().splitlines() if "Too often" in line][-1])


class PregreetTest(unittest.TestCase):
    def start(self, action, **conf):
        stack = harness.Stack({"mynetworks": "127.0.0.1/32", "postscreen_greet_action": action,
                               "postscreen_greet_wait": "1s", **conf})
        self.addCleanup(lambda: self.assertEqual(stack.stop(), []))
        stack.start()
        return stack

    def connect(self, stack, source, data=b""):
        s = socket.create_connection(("127.0.0.1", stack.ports["smtp"]), 20, (source, 0))
        s.sendall(data)
        self.addCleanup(s.close)
        return s.makefile("rwb")

    def test_drop(self):
        stack = self.start("drop")
        c = self.connect(stack, "127.0.0.5", b"EHLO early.example.net\r\n")
        self.assertTrue(c.readline().startswith(b"220-"))
        self.assertTrue(c.readline().startswith(b"521 "))
        self.assertEqual(c.readline(), b"")
        # Who waits is greeted, and the next time at once.
        start = time.monotonic()
        c = self.connect(stack, "127.0.0.5")
        self.assertTrue(c.readline().startswith(b"220-"))
        self.assertTrue(c.readline().startswith(b"220 "))
        self.assertGreater(time.monotonic() - start, 0.9)
        self.assertTrue(self.connect(stack, "127.0.0.5").readline().startswith(b"220 "))
        with stack.smtp("submission") as c:  # no stranger's service
            self.assertEqual(c.ehlo()[0], 250)

    def test_enforce(self):
        stack = self.start("enforce")
        c = self.connect(stack, "127.0.0.5", b"EHLO early.example.net\r\nMAIL FROM:<x@example.net>\r\n"
                         b"RCPT TO:<alice@example.org>\r\nQUIT\r\n")
        replies = c.read().split(b"\r\n")
        self.assertIn(b"550 5.5.1 Protocol error", replies)
        self.assertTrue(replies[-2].startswith(b"221 "))


class PauseTest(StackTest):
    CONF = {"smtpd_soft_error_limit": "2", "smtpd_error_sleep_time": "500ms"}

    def test_errors_cost_time(self):
        with self.stack.smtp() as c:
            times = []
            for _ in range(5):
                start = time.monotonic()
                self.assertEqual(c.docmd("NONSENSE")[0], 500)
                times.append(time.monotonic() - start)
            # The reply comes at once; what is said next waits.
            self.assertGreater(min(times[3:]), 0.45)
            start = time.monotonic()
            self.assertEqual(c.noop()[0], 250)
            self.assertGreater(time.monotonic() - start, 0.45)


if __name__ == "__main__":
    harness.main()
