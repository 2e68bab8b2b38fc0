#!/usr/bin/python3
"""How long a directory that is away is believed: addresses and logins have a bound each."""
import unittest

import harness
from harness import PASSWORDS, StackTest, wait_for
from saslclient import SERVICES, WORDS, connect, ok


CONF = {"auth_failure_delay": "10ms", "auth_failure_delay_limit": "20ms", "timeout": "2s"}


class Away:
    def scram(self, service):
        with connect(self.stack, service) as c:
            return c.scram("alice", PASSWORDS["alice"])[0]

    def rcpt(self, address):
        with self.stack.smtp() as s:
            s.ehlo("test.example.net")
            s.mail("sender@example.net")
            return s.rcpt(address)[0]


class LoginsEnd(Away, StackTest):
    CONF = CONF | {"directory_stale_login_time": "2s", "directory_stale_lookup_time": "1h"}

    def test_logins_end_before_addresses(self):
        self.assertTrue(ok(self.scram("imap")))
        self.assertEqual(self.rcpt("alice@example.org"), 250)
        self.stack.slapd.stop()
        try:
            wait_for("the bound of logins", lambda: self.scram("imap").startswith(WORDS["temporary"]["imap"]), 40, 0.2)
            for service in SERVICES:
                reply = self.scram(service)
                self.assertTrue(reply.startswith(WORDS["temporary"][service]), reply)
            self.assertEqual(self.rcpt("alice@example.org"), 250)
            # What is not there may have come meanwhile.
            self.assertEqual(self.rcpt("nobody@example.org") // 100, 4)
        finally:
            self.stack.slapd.start()
        wait_for("logins", lambda: ok(self.scram("imap")), 40, 0.2)
        self.assertEqual(self.rcpt("alice@example.org"), 250)


class AddressesEnd(Away, StackTest):
    CONF = CONF | {"directory_stale_login_time": "1h", "directory_stale_lookup_time": "2s"}

    def test_addresses_end_before_logins(self):
        self.assertEqual(self.rcpt("alice@example.org"), 250)
        self.stack.slapd.stop()
        try:
            wait_for("the bound of addresses", lambda: self.rcpt("alice@example.org") // 100 == 4, 40, 0.2)
            for service in SERVICES:
                reply = self.scram(service)
                self.assertTrue(ok(reply), reply)
        finally:
            self.stack.slapd.start()
        wait_for("addresses", lambda: self.rcpt("alice@example.org") == 250, 40, 0.2)


if __name__ == "__main__":
    harness.main()
