#!/usr/bin/python3
"""Whose policy governs a recipient, on port 25 and on submission; and what early stages want done with a message."""
import re
import smtplib

import harness
from harness import PASSWORDS, StackTest, wait_for

BASE = "ou=mail,dc=example,dc=org"
GLOBAL = f"cn=default policy,{BASE}"
# What policies may hang on, the least to the most particular; alice is in staff, and that in everybody.
LEVELS = (f"dirigoDomainName=example.org,{BASE}", f"cn=everybody,{BASE}", f"cn=staff,{BASE}",
          "uid=alice,ou=people,dc=example,dc=org")


class Inheritance(StackTest):
    CONF = {"mynetworks": "192.0.2.0/24", "smtpd_recipient_restrictions": "reject_rhsbl_recipient none.invalid",
            "smtpd_sender_restrictions": "check_sender_access nothing"}

    def rcpt(self, protocol, recipient="alice@example.org"):
        with self.stack.smtp(protocol) as s:
            if protocol != "smtp":
                s.starttls(context=self.stack.tls())
                s.login("bob", PASSWORDS["bob"])
            s.ehlo()
            self.assertEqual(s.mail("bob@example.org")[0], 250)
            code, text = s.rcpt(recipient)
            return f"{code} {text.decode()}"

    def becomes(self, expect, *protocols, recipient="alice@example.org"):
        for protocol in protocols or ("smtp", "submission"):
            wait_for(f"{expect} on {protocol}", lambda p=protocol: re.match(expect, self.rcpt(p, recipient)), 20)

    def policy(self, number, stage, value):
        """Sets, or with None takes away, the list of the policy of a level; 0 is the global one."""
        name = f"dirigoSmtpd{stage}Restrictions"
        dn = GLOBAL if number == 0 else f"cn=level {number},{BASE}"
        self.stack.slapd.modify(f"dn: {dn}\nchangetype: modify\nreplace: {name}\n"
                                + (f"{name}: {value}\n" if value else ""))

    def access(self, number):
        self.stack.slapd.add(f"dn: cn=says {number},{BASE}\nobjectClass: dirigoAccess\ncn: says {number}\n"
                             f"dirigoAccessTable: says{number}\ndirigoAccessKey: example.org\n"
                             f"dirigoAccessAction: REJECT level {number}\n")

    def test_each_level_overrides_those_before(self):
        for i in range(len(LEVELS) + 1):
            self.access(i)
        # Nobody has a list but the global policy.
        self.policy(0, "Recipient", "check_recipient_access says0")
        self.becomes("554 .*level 0$")
        for i, dn in enumerate(LEVELS, 1):
            self.stack.slapd.add(f"dn: cn=level {i},{BASE}\nobjectClass: dirigoPolicy\ncn: level {i}\n"
                                 f"dirigoSmtpdRecipientRestrictions: check_recipient_access says{i}\n")
            self.stack.slapd.modify(f"dn: {dn}\nchangetype: modify\nadd: dirigoPolicyDN\ndirigoPolicyDN: cn=level {i},{BASE}\n")
            self.becomes(f"554 .*level {i}$")
        # Those who are less particular have what is nearest to them: carol is in everybody alone, dave in no group.
        self.becomes("554 .*level 2$", recipient="carol@example.org")
        self.becomes("554 .*level 3$", recipient="bob@example.org")
        self.becomes("554 .*level 1$", recipient="postmaster@example.org")
        # A policy without a list for the stage leaves it to the next one; the list of one stage says nothing of another.
        top = len(LEVELS)
        self.policy(top, "Sender", "check_sender_access says4")
        self.policy(top, "Recipient", None)
        self.becomes("554 .*Sender address rejected: level 4$", "smtp")
        self.becomes("554 .*level 3$", "submission")  # the sender there is the login's, whatever policies say
        self.policy(top, "Sender", None)
        for i in range(top - 1, -1, -1):
            self.becomes(f"554 .*level {i}$")
            self.policy(i, "Recipient", None)
        self.becomes("250")  # dirigo.conf
        # An empty answer is an answer: a level may be laxer than those before it.
        self.policy(0, "Recipient", "reject")
        self.becomes("554 ")
        self.policy(top, "Recipient", "permit")
        self.becomes("250")
        self.becomes("554 ", recipient="bob@example.org")
        # What is named and does not exist is never a weaker rule.
        self.stack.slapd.modify(f"dn: cn=level {top},{BASE}\nchangetype: delete\n")
        self.becomes("451 ")


class Verify(StackTest):
    CONF = {"disable_vrfy_command": "no", "mynetworks": "127.0.0.1/32", "smtpd_client_recipient_rate_limit": "4",
            "anvil_rate_time_unit": "1d", "smtpd_client_restrictions": "check_client_access strangers"}

    def client(self, source):
        s = smtplib.SMTP("127.0.0.1", self.stack.ports["smtp"], local_hostname="x.example.net", source_address=(source, 0),
                         timeout=20)
        self.addCleanup(s.close)
        s.ehlo()
        return s

    def test_it_tells_no_more_than_rcpt(self):
        self.stack.slapd.add(f"dn: cn=stranger,{BASE}\nobjectClass: dirigoAccess\ncn: stranger\n"
                             "dirigoAccessTable: strangers\ndirigoAccessKey: 127.0.0.6\ndirigoAccessAction: REJECT not you\n")
        wait_for("the entry", lambda: self.client("127.0.0.6").verify("alice@example.org")[0] == 554, 20)
        s = self.client("127.0.0.5")
        self.assertEqual([s.verify(who)[0] for who in ("alice@example.org", "nobody-here@example.org",
                                                       "x@elsewhere.example", "alice@example.org", "alice@example.org")],
                         [252, 550, 554, 252, 450])
        s = self.client("127.0.0.1")
        self.assertEqual(s.verify("x@elsewhere.example")[0], 252)  # may relay
        self.assertEqual(s.docmd("VRFY <>")[0], 501)
        s.mail("a@example.net")
        self.assertEqual(s.rcpt("alice@example.org")[0], 250)
        self.assertEqual(s.verify("bob@example.org")[0], 252)  # at any time, and without a trace (RFC 5321 section 4.1.4)
        self.assertEqual(s.data("Subject: x\r\n\r\nverified-1\r\n")[0], 250)
        self.stack.wait_mail("alice", "verified-1", 20)
        self.assertFalse(any(b"verified-1" in m for m in self.stack.mailbox("bob")))
        with self.stack.smtp("submission") as s:
            s.ehlo()
            self.assertEqual(s.verify("alice@example.org")[0], 554)  # without a login


class EarlyEffects(StackTest):
    CONF = {"smtpd_delay_reject": "no", "mynetworks": "192.0.2.0/24",
            "smtpd_authorized_xclient_hosts": "127.0.0.1/32",
            "smtpd_client_restrictions": "check_client_access early", "smtpd_helo_restrictions": "check_helo_access early",
            "smtpd_sender_restrictions": "check_sender_access early"}

    def entry(self, name, key, action):
        self.stack.slapd.add(f"dn: cn={name},{BASE}\nobjectClass: dirigoAccess\ncn: {name}\ndirigoAccessTable: early\n"
                             f"dirigoAccessKey: {key}\ndirigoAccessAction: {action}\n")

    def client(self, source="127.0.0.1", helo="helo.example.net"):
        s = smtplib.SMTP("127.0.0.1", self.stack.ports["smtp"], local_hostname=helo, source_address=(source, 0), timeout=20)
        self.addCleanup(s.close)
        s.ehlo()
        return s

    def send(self, s, marker, sender="a@sender.example"):
        s.sendmail(sender, ["alice@example.org"], f"Subject: x\r\n\r\n{marker}\r\n")
        return self.stack.wait_mail("alice", marker, 20)

    def test_they_last(self):
        self.entry("by helo", "helo.example.net", "PREPEND X-Helo: seen")
        self.entry("by sender", "sender.example", "PREPEND X-Sender: seen")
        self.entry("bcc", "copied.example", "BCC carol@example.org")
        self.entry("by client", "127.0.0.5", "PREPEND X-Client: seen")
        self.entry("redirected", "198.51.100.7", "REDIRECT bob@example.org")
        self.entry("last", "last.example", "REJECT it is here")
        wait_for("the last entry", lambda: self.client().mail("a@last.example")[0] == 554, 20)

        s = self.client("127.0.0.5")
        for marker in ("early-1", "early-2"):  # in each transaction, and once in each
            mail = self.send(s, marker)
            self.assertEqual([mail.count(f"X-{what}: seen\r\n".encode()) for what in ("Client", "Helo", "Sender")], [1, 1, 1])
        # A new greeting is another helo; the client stays who it is.
        s.local_hostname = "other.example.net"
        s.ehlo()
        mail = self.send(s, "early-3", "a@elsewhere.example")
        self.assertEqual([f"X-{what}: seen".encode() in mail for what in ("Client", "Helo", "Sender")], [True, False, False])
        self.assertNotIn(b"X-Client", self.send(self.client(), "early-4"))
        self.send(self.client(), "early-5", "a@copied.example")
        self.stack.wait_mail("carol", "early-5", 20)
        # The client whom XCLIENT names has what that one has.
        s = self.client()
        self.assertEqual(s.docmd("XCLIENT", "ADDR=198.51.100.7")[0], 220)
        s.ehlo()
        s.sendmail("a@sender.example", ["alice@example.org"], "Subject: x\r\n\r\nearly-6\r\n")
        self.assertIn(b"X-Helo: seen", self.stack.wait_mail("bob", "early-6", 20))
        self.assertEqual(s.docmd("XCLIENT", "ADDR=198.51.100.8")[0], 220)
        s.ehlo()
        self.send(s, "early-7")


if __name__ == "__main__":
    harness.main()
