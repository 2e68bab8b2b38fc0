#!/usr/bin/python3
"""Groups against the whole stack: large ones, and what a kill in between leaves."""
import os
import re
import signal

import harness
from harness import SUFFIX, StackTest, wait_for
from test_smtp import MESSAGE, Talk

PEOPLE, MAIL = f"ou=people,{SUFFIX}", f"ou=mail,{SUFFIX}"
USERS = 60


def user_dn(i):
    return f"uid=u{i},{PEOPLE}"


def users(count):
    return "".join(f"dn: {user_dn(i)}\nobjectClass: inetOrgPerson\nobjectClass: dirigoUser\nuid: u{i}\n"
                   f"cn: u{i}\nsn: u{i}\nmail: u{i}@example.org\n\n" for i in range(count))


def group(name, members, more=""):
    lines = "".join(f"member: {m}\n" for m in members)
    return (f"dn: cn={name},{MAIL}\nobjectClass: groupOfNames\nobjectClass: dirigoGroup\ncn: {name}\n"
            f"mail: {name}@example.org\n{lines}{more}\n")


class GroupTest(StackTest):
    """A stack with people u0, u1 … and ways to look into all of their mailboxes at once."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.stack.slapd.add(users(USERS))

    def mailboxes(self, marker):
        """How often the marker is in which mailbox folder."""
        found = {}
        for folder, _, files in os.walk(self.stack.mail):
            if os.path.basename(folder) not in ("new", "cur"):
                continue
            for name in files:
                with open(f"{folder}/{name}", "rb") as f:
                    if marker.encode() in f.read():
                        owner = os.path.dirname(folder)
                        found[owner] = found.get(owner, 0) + 1
        return found

    def rcpt(self, recipient, sender="a@example.com"):
        with Talk(self.stack) as t:
            t.hello()
            t.say(f"MAIL FROM:<{sender}>", "250")
            t.send(f"RCPT TO:<{recipient}>\r\n")
            return t.reply()

    def wait_found(self, *recipients):
        for r in recipients:
            wait_for(r, lambda: self.rcpt(r).startswith("250"))  # pylint: disable=cell-var-from-loop

    def send(self, t, marker, *recipients, sender="a@example.com"):
        """Up to the end of the message; the reply is the caller's."""
        t.hello()
        t.say(f"MAIL FROM:<{sender}>", "250")
        for r in recipients:
            t.say(f"RCPT TO:<{r}>", "250")
        t.say("DATA", "354")
        t.send(MESSAGE.format(marker) + ".\r\n")

    def each_once(self, marker, count):
        found = self.mailboxes(marker)
        self.assertEqual((len(found), set(found.values())), (count, {1}))


class LargeGroupTest(GroupTest):
    CONF = {"alias_expansion_step": "10"}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # Two large ones that hold one another and share members, and a small one between.
        cls.stack.slapd.add(
            group("big", [user_dn(i) for i in range(40)] + [f"cn=between,{MAIL}"]) +
            group("between", [user_dn(0), f"cn=other,{MAIL}"]) +
            group("other", [user_dn(i) for i in range(20, USERS)] + [f"cn=big,{MAIL}"]) +
            group("hollow", [f"uid=gone{i},{PEOPLE}" for i in range(20)]))

    def setUp(self):
        self.wait_found("big@example.org", "other@example.org", "hollow@example.org")

    def test_everybody_once(self):
        with Talk(self.stack) as t:
            self.send(t, "large-once", "u0@example.org", "big@example.org", "other@example.org", "u59@example.org")
            t.expect("250 2.0.0")
            # The session is as before.
            self.send(t, "large-again", "big@example.org")
            t.expect("250 2.0.0")
        self.each_once("large-once", USERS)
        self.each_once("large-again", USERS)

    def test_nobody(self):
        with Talk(self.stack) as t:
            self.send(t, "large-nobody", "hollow@example.org")
            t.expect("550 5.1.1 No recipient")
            self.send(t, "large-some", "hollow@example.org", "u3@example.org")
            t.expect("250")
        self.each_once("large-some", 1)

    def test_queue_killed(self):
        """Before the answer, and behind it: each time everybody has it once."""
        for marker, early in (("large-killed-early", True), ("large-killed-late", False)):
            with Talk(self.stack) as t:
                self.send(t, marker, "big@example.org")
                if not early:
                    t.expect("250")
                queue, = self.stack.pids("dirigo-queue")
                os.kill(queue, signal.SIGKILL)
                if early:
                    t.expect("250")
            wait_for("another queue", lambda q=queue: self.stack.pids("dirigo-queue") not in ([], [q]))
            wait_for(marker, lambda m=marker: len(self.mailboxes(m)) == USERS)
            self.each_once(marker, USERS)

    def test_client_leaves(self):
        with Talk(self.stack) as t:
            self.send(t, "large-left", "big@example.org")
        self.wait_found("big@example.org")

    def test_explain(self):
        told = self.stack.tool("explain", "--client", "192.0.2.1", "--to", "big@example.org").stdout
        self.assertRegex(told, rf"big@example.org: large group +cn=big,{MAIL}\n *-> list big@example.org")
        told = self.stack.tool("lookup", "big@example.org").stdout
        self.assertEqual(len(re.findall("-> mailbox ", told)), USERS)


def dynamic(name, *urls, classes="groupOfURLs", more=""):
    lines = "".join(f"memberURL: {u}\n" for u in urls)
    return (f"dn: cn={name},{MAIL}\nobjectClass: {classes}\nobjectClass: dirigoGroup\ncn: {name}\n"
            f"mail: {name}@example.org\n{lines}{more}\n")


class DynamicGroupTest(GroupTest):
    CONF = {"alias_expansion_step": "10"}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        people = f"ldap:///{PEOPLE}"
        cls.stack.slapd.add(
            dynamic("even", f"{people}??sub?(&(uid=u*)(sn=*))", f"{people}??one?(|(uid=u1)(uid=alice))",
                    more="rfc822MailMember: bob@example.org\n") +
            dynamic("nothing", f"{people}??sub?(uid=nobody)") +
            dynamic("lost", f"ldap:///ou=gone,{SUFFIX}??sub?(uid=u1)") +
            dynamic("broken", f"{people}??sub?(uid=u1") +
            dynamic("elsewhere", f"ldap://directory.example.com/{PEOPLE}??sub?(uid=u1)") +
            dynamic("star", f"{people}??sub?(cn=%5c2a)") +
            group("holder", [f"cn=even,{MAIL}", user_dn(0), f"cn=holder,{MAIL}"]))

    def setUp(self):
        self.wait_found("even@example.org", "star@example.org", "holder@example.org")

    def ends(self, recipient, marker, expect):
        with Talk(self.stack) as t:
            self.send(t, marker, recipient)
            t.expect(expect)

    def test_members(self):
        self.ends("even@example.org", "dynamic-members", "250")
        self.each_once("dynamic-members", USERS + 2)
        self.ends("holder@example.org", "dynamic-nested", "250")
        self.each_once("dynamic-nested", USERS + 2)

    def test_follows_the_directory(self):
        self.ends("star@example.org", "dynamic-before", "550 5.1.1 No recipient")
        self.stack.slapd.add(f"dn: uid=star,{PEOPLE}\nobjectClass: inetOrgPerson\nuid: star\ncn: *\nsn: s\n"
                             "mail: star1@example.org\n\n")
        self.addCleanup(self.stack.slapd.modify, f"dn: uid=star,{PEOPLE}\nchangetype: delete\n")
        self.wait_found("star1@example.org")
        self.ends("star@example.org", "dynamic-after", "250")
        self.each_once("dynamic-after", 1)

    def test_nobody(self):
        self.ends("nothing@example.org", "dynamic-nobody", "550 5.1.1 No recipient")

    def test_what_cannot_be_asked_is_temporary(self):
        for name in ("lost", "broken", "elsewhere"):
            self.ends(f"{name}@example.org", f"dynamic-{name}", "451 4.4.3")
        self.assertRegex(self.stack.dirigod.log(), r"memberURL cannot be used .*cn=elsewhere.*a host of its own")

    def test_server_away(self):
        self.stack.slapd.stop()
        try:
            self.ends("even@example.org", "dynamic-away", "451 4.4.3")
        finally:
            self.stack.slapd.start()
        self.stack.wait_sync()
        self.ends("even@example.org", "dynamic-back", "250")

    def test_tools(self):
        told = self.stack.tool("explain", "--client", "192.0.2.1", "--to", "even@example.org").stdout
        self.assertRegex(told, rf"even@example.org: dynamic group +cn=even,{MAIL}\n")
        self.assertIn(f"    memberURL: ldap:///{PEOPLE}??sub?(&(uid=u*)(sn=*))\n", told)


class ListStack(GroupTest):
    """Lists with a policy."""

    @classmethod
    def prepare(cls, stack):
        harness.run("/usr/sbin/slapadd", "-n", "0", "-F", f"{stack.slapd.folder}/slapd.d", "-l",
                    f"{harness.TOP}/schema/mailgroup.ldif")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.stack.slapd.add(
            cls.list("closed", "dirigoListAccess: membersOnly\nmgrpMsgRejectText: Ask the owner\n") +
            cls.list("chosen", "mgrpAllowedBroadcaster: mailto:friend@example.com\n"
                     "mgrpAllowedDomain: example.net\nmgrpDisallowedBroadcaster: spam@example.net\n") +
            cls.list("inside", "mgrpBroadcasterPolicy: AUTH_REQ\n") +
            cls.list("small", "mgrpMsgMaxSize: 2000\n") +
            cls.list("errors", "mgrpErrorsTo: mailto:bob@example.org\n") +
            cls.list("watched", "mgrpModerator: mailto:bob@example.org\n"))
        cls.stack.slapd.add(f"dn: cn=closed-alias,{MAIL}\nobjectClass: nisMailAlias\n"
                            "objectClass: inetLocalMailRecipient\ncn: closed-alias\n"
                            "mailLocalAddress: other-name@example.org\nrfc822MailMember: closed@example.org\n\n")

    @staticmethod
    def list(name, more):
        return group(name, [user_dn(i) for i in range(5)], more).replace(
            "objectClass: dirigoGroup\n", "objectClass: dirigoGroup\nobjectClass: mailGroup\n")

    def setUp(self):
        wait_for("the lists", lambda: self.rcpt("other-name@example.org", "u1@example.org").startswith("250"))

    def held(self, marker, **options):
        with Talk(self.stack) as t:
            self.send(t, marker, "u9@example.org", "watched@example.org", **options)
            t.expect("250")
        # What is not for the list has arrived.
        wait_for(marker, lambda: self.mailboxes(marker))
        waiting = self.stack.tool_json("queue")
        return [m for m in waiting if "watched@example.org" in m.get("held", "")]


class ListTest(ListStack):
    """Who may send to a list, and what becomes of it."""

    def test_who_may_send(self):
        for recipient, sender, expect in (
                ("closed", "u1@example.org", "250"),
                ("closed", "u9@example.org", "550 5.7.2 <closed@example.org>: Ask the owner"),
                ("closed", "", "550 5.7.2"),
                ("other-name", "u9@example.org", "550 5.7.2"),
                ("chosen", "friend@example.com", "250"), ("chosen", "x@mail.example.net", "250"),
                ("chosen", "spam@example.net", "550 5.7.2"), ("chosen", "x@example.com", "550 5.7.2"),
                ("inside", "u1@example.org", "550 5.7.2")):
            self.assertRegex(self.rcpt(f"{recipient}@example.org", sender), f"^{re.escape(expect)}", (recipient, sender))

    def test_explain(self):
        told = self.stack.tool("explain", "--client", "192.0.2.1", "--from", "u9@example.org", "--to",
                               "closed@example.org", check=False).stdout
        self.assertRegex(told, rf"restriction: dirigoListAccess\ndecided by: cn=closed,{MAIL}\n")

    def test_login(self):
        with self.stack.smtp("submission") as s:
            s.starttls(context=self.stack.tls())
            s.login("alice", harness.PASSWORDS["alice"])
            s.sendmail("alice@example.org", ["inside@example.org"],
                       MESSAGE.format("list-login").replace("a@example.net", "alice@example.org"))
        self.each_once("list-login", 5)

    def test_size(self):
        with Talk(self.stack) as t:
            t.hello()
            t.say("MAIL FROM:<a@example.com> SIZE=3000", "250")
            t.say("RCPT TO:<small@example.org>", "552 5.2.3")
            t.say("RSET", "250")
            self.send(t, "list-big" * 300, "small@example.org")
            t.expect("552 5.2.3")
            self.send(t, "list-small", "small@example.org")
            t.expect("250")

    def test_errors_to(self):
        """The members' copies come from the list's own address, the others' from the sender."""
        with Talk(self.stack) as t:
            self.send(t, "list-errors", "carol@example.org", "errors@example.org", "u1@example.org", "u9@example.org")
            t.expect("250")
        wait_for("all copies", lambda: len(self.mailboxes("list-errors")) == 8)
        paths = {}
        for folder, _, files in os.walk(self.stack.mail):
            for name in files:
                with open(f"{folder}/{name}", "rb") as f:
                    text = f.read()
                if b"list-errors" in text and os.path.basename(folder) == "new":
                    paths.setdefault(text.split(b"\r\n")[0].decode(), []).append(folder)
        self.assertEqual(len(paths["Return-Path: <bob@example.org>"]), 5)
        self.assertEqual(set(paths), {"Return-Path: <bob@example.org>", "Return-Path: <a@example.com>"})
        self.assertEqual(set(self.mailboxes("list-errors").values()), {1})

    def test_moderated(self):
        waiting = self.held("list-moderated")
        self.assertEqual(len(waiting), 1)
        self.each_once("list-moderated", 1)
        self.stack.tool("queue", "release", waiting[0]["id"])
        wait_for("the list's copies", lambda: len(self.mailboxes("list-moderated")) == 6)
        self.each_once("list-moderated", 6)
        # What is refused comes back to the sender, with the reason.
        waiting, = self.held("list-refused", sender="alice@example.org")
        self.stack.tool("queue", "reject", waiting["id"], "off topic")
        bounce = self.stack.wait_mail("alice", "off topic", 20).decode()
        self.assertIn("Status: 5.7.2", bounce)
        self.assertEqual(self.stack.tool("queue", "reject", waiting["id"], check=False).returncode, 1)
        self.each_once("Subject: list-refused\r\n\r\nlist-refused", 1)
        # A moderator's own message waits for nobody.
        self.assertEqual(self.held("list-moderator", sender="bob@example.org"), [])

class ModerationExpiryTest(ListStack):
    CONF = {"moderation_lifetime": "3s"}

    def test_expires(self):
        """Also where the queue begins anew meanwhile, and knows of the message from its files."""
        waiting, = self.held("list-expires", sender="alice@example.org")
        queue, = self.stack.pids("dirigo-queue")
        os.kill(queue, signal.SIGKILL)
        bounce = self.stack.wait_mail("alice", "nobody has decided", 40).decode()
        self.assertIn("watched@example.org", bounce)
        wait_for("an empty queue", lambda: waiting["id"] not in [m["id"] for m in self.stack.tool_json("queue")])
        self.each_once("Subject: list-expires\r\n\r\nlist-expires", 1)


if __name__ == "__main__":
    harness.main()
