#!/usr/bin/python3
"""Restrictions against the whole stack: names of clients, DNS lists, who may send as whom; each both ways."""
import json
import os
import re
import socket
import tempfile
import threading
import unittest

import harness
from harness import PASSWORDS, SUFFIX, wait_for
from test_smtp import MESSAGE, Talk, plain

POLICY = "cn=default policy,ou=mail,dc=example,dc=org"
# 127.0.0.1 is localhost both ways for the resolver; 127.0.0.5 has no name.
ZONE = """2.0.0.127.bl A 127.0.0.2
5.0.0.127.bl A 127.0.0.9
5.0.0.127.bl TXT "ask postmaster@lists.example"
2.0.0.127.wl A 127.0.0.2
5.0.0.127.wl A 127.0.3.1
*.all A 127.0.0.2
empty TXT "this list has nothing"
test.names A 127.0.1.2
bad.example.names A 127.0.1.4
good A 127.0.0.1
"""


class PolicyService:
    """A policy daemon: answers by the sender's local part; `mute` never does, `broken` closes."""

    def __init__(self, path=None):
        self.requests, self.connections = [], 0
        self.sock = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
        self.sock.bind(path or ("127.0.0.1", 0))
        if path:
            os.chmod(path, 0o777)
        else:
            self.port = self.sock.getsockname()[1]
        self.sock.listen(16)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                conn, _ = self.sock.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self.serve, args=(conn,), daemon=True).start()

    def serve(self, conn):
        request = {}
        with conn, conn.makefile("rw", newline="\n") as f:
            for line in f:
                if line != "\n":
                    request.update([line[:-1].split("=", 1)])
                    continue
                self.requests.append(request)
                local, request = request["sender"].split("@")[0], {}
                if local == "broken":
                    return
                if local != "mute":
                    f.write({"bad": "action=550 5.7.3 says the service\n\n", "odd": "what?\n\n",
                             "hold": "action=HOLD\n\n"}
                            .get(local, "action=DUNNO\n\n"))
                    f.flush()

    def close(self):
        self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()


class RestrictionTest(unittest.TestCase):
    CONF = {"postscreen_dnsbl_threshold": "2", "rbl_reply_maps": "replies", "mynetworks": "192.0.2.0/24", "resolver_timeout": "3s", "unknown_hostname_reject_code": "550",
            "unknown_client_reject_code": "550", "smtpd_policy_service_timeout": "1s",
            "smtpd_policy_service_retry_delay": "50ms", "minimal_backoff_time": "1h", "maximal_backoff_time": "1h", "maps_rbl_domains": "empty.lists.example bl.lists.example"}

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="dirigo-restrict-dns-")
        cls.stack = harness.Stack(cls.CONF, dns=harness.Dns(f"{cls.folder}/dns", "lists.example", ZONE))
        cls.stack.conf["resolver_stub_zones"] += f" lost.example=127.0.0.1@{harness.free_ports(1)[0]}"
        try:
            cls.stack.start()
        except BaseException:
            print(cls.stack.dirigod.log()[-6000:])
            cls.stack.stop()
            raise

    @classmethod
    def tearDownClass(cls):
        problems = cls.stack.stop()
        if problems:
            raise AssertionError("\n".join(problems))

    def policy(self, stage, value, before=None):
        """Sets one list of the global policy; before is what stands there afterwards again."""
        name = f"dirigoSmtpd{stage}Restrictions"

        def put(text):
            what = f"replace: {name}\n{name}: {text}\n" if text else f"replace: {name}\n"
            self.stack.slapd.modify(f"dn: {POLICY}\nchangetype: modify\n{what}")
        self.addCleanup(put, before)
        put(value)

    def rcpt(self, source="127.0.0.1", helo="client.example.net", sender="a@example.com",
             recipient="alice@example.org", login=None):
        with Talk(self.stack, source=source) as t:
            if login:
                t.hello()
                t.starttls()
            t.say(f"EHLO {helo}", "250")
            if login:
                t.say("AUTH PLAIN " + plain(login, PASSWORDS[login]), "235")
            t.say(f"MAIL FROM:<{sender}>", "250")
            t.send(f"RCPT TO:<{recipient}>\r\n")
            return t.reply()

    def both(self, expect, passes, **refused):
        """The first is refused as expected, once the policy has come; the other is accepted."""
        wait_for(expect, lambda: re.match(expect, self.rcpt(**refused)), 8)
        self.assertRegex(self.rcpt(**passes), "^250")

    # ---- names ----

    def test_client_name(self):
        for name in ("reject_unknown_client", "reject_unknown_reverse_client_hostname"):
            self.policy("Client", name)
            self.both(r"550 5.7.25 unknown\[127.0.0.5\]: Client host rejected: cannot find", {}, source="127.0.0.5")
        with Talk(self.stack) as t:
            t.hello()
            t.say("MAIL FROM:<a@example.com>", "250")
            t.say("RCPT TO:<alice@example.org>", "250")
            t.say("DATA", "354")
            t.send(MESSAGE.format("named-1") + ".\r\n")
            t.expect("250")
        self.assertRegex(self.stack.wait_mail("alice", "named-1").decode(),
                         r"Received: from client.example.net \(localhost \[127.0.0.1\]\)\r\n")

    def test_helo_name(self):
        self.policy("Helo", "reject_unknown_helo_hostname")
        self.both("550 5.7.1 <none.lists.example>: Helo command rejected: Host not found",
                  {"helo": "good.lists.example"}, helo="none.lists.example")
        self.assertRegex(self.rcpt(helo="x.lost.example"), "^450 4.7.1")
        self.assertRegex(self.rcpt(helo="[127.0.0.1]"), "^250")

    def test_naked_address(self):
        self.policy("Helo", "permit_naked_ip_address, reject")
        self.both("554 5.7.1", {"helo": "192.0.2.1"}, helo="[192.0.2.1]")

    # ---- DNS lists ----

    def test_rbl_client(self):
        self.policy("Client", "reject_rbl_client bl.lists.example=127.0.0.[2;4..10]")
        self.both(r"554 5.7.1 Service unavailable; Client host \[127.0.0.5\] blocked using bl.lists.example; "
                  "ask postmaster@lists.example$", {}, source="127.0.0.5")
        self.policy("Client", "reject_rbl_client bl.lists.example=127.0.0.2")
        wait_for("another pattern", lambda: self.rcpt(source="127.0.0.5").startswith("250"), 8)

    def test_maps_rbl(self):
        self.policy("Client", "reject_maps_rbl")
        self.both("554 5.7.1 .* using bl.lists.example", {}, source="127.0.0.5")

    def test_broken_lists(self):
        self.policy("Client", "reject_rbl_client all.lists.example, reject_rbl_client empty.lists.example, "
                    "reject_rbl_client bl.lost.example, reject_rbl_client bl.lists.example")
        self.both("554 5.7.1 .* using bl.lists.example", {}, source="127.0.0.5")
        log = self.stack.dirigod.log()
        self.assertRegex(log, r'DNS list is not used.* list=all.lists.example .*why="it lists everything"')
        self.assertRegex(log, r'DNS list is not used.* list=empty.lists.example .*why="it lists nothing"')
        self.assertRegex(log, r"DNS list cannot be asked.* list=bl.lost.example")
        wait_for("status to name them", lambda: "dns_lists_not_used=all.lists.example,empty.lists.example"
                 in self.stack.tool("status").stdout, 20)

    def test_weights(self):
        lists = "reject_rbl_client bl.lists.example=127.0.0.[2;4..10]*{}, reject_rhsbl_sender names.lists.example*1"
        self.policy("Client", lists.format(1))
        self.both("554 5.7.1 .* using bl.lists.example", {"source": "127.0.0.5"}, source="127.0.0.5",
                  sender="a@bad.example")
        self.policy("Client", lists.format(2))
        wait_for("the weight to count", lambda: self.rcpt(source="127.0.0.5").startswith("554"), 8)

    def test_reply_of_a_list(self):
        self.access("replies", "521 5.7.9 $recipient will not hear $client_address, says $rbl_domain", "lists.example")
        self.policy("Client", "reject_rbl_client bl.lists.example=127.0.0.[2;4..10]")
        self.both(r"521 5.7.9 \S+@\S+ will not hear 127.0.0.5, says bl.lists.example", {}, source="127.0.0.5")

    def test_dnswl(self):
        self.policy("Client", "permit_dnswl_client wl.lists.example=127.0.[1..3].1, reject")
        self.both("554 5.7.1", {"source": "127.0.0.5"})
        self.policy("Client", "permit_dnswl_client wl.lost.example, reject")
        wait_for("deferred", lambda: self.rcpt().startswith("450 4.7.1"), 8)

    def test_rhsbl(self):
        self.policy("Sender", "reject_rhsbl_sender names.lists.example")
        self.both(r"554 5.7.1 .*Sender address \[a@bad.example\] blocked", {}, sender="a@bad.example")
        self.policy("Sender", "reject_rhsbl_helo names.lists.example=127.0.1.4")
        self.both(r"554 5.7.1 .*Helo command \[bad.example\] blocked", {}, helo="bad.example")

    # ---- who sends as whom ----

    def test_login_mismatch(self):
        self.policy("Sender", "reject_sender_login_mismatch")
        self.both("553 5.7.1 <bob@example.org>: Sender address rejected: not owned by user alice",
                  {"login": "alice", "sender": "alice.example+x@example.org"}, login="alice",
                  sender="bob@example.org")
        self.assertRegex(self.rcpt(sender="alice@example.org"), "^553 5.7.1 .*not logged in")
        self.assertRegex(self.rcpt(login="alice", sender="postmaster@example.org"), "^250")
        self.assertRegex(self.rcpt(login="alice", sender="staff@example.org"), "^553")
        self.assertRegex(self.rcpt(login="alice", sender="x@elsewhere.example"), "^553")
        self.policy("Sender", "reject_known_sender_login_mismatch")
        self.both("553 5.7.1", {"login": "alice", "sender": "x@elsewhere.example"}, login="alice",
                  sender="bob@example.org")
        self.policy("Sender", "reject_unauthenticated_sender_login_mismatch")
        self.both("553 5.7.1", {"login": "alice", "sender": "bob@example.org"}, sender="bob@example.org")

    def grant(self, dn, to):
        """The entry names who may send as it, until the test ends."""
        self.stack.slapd.modify(f"dn: {dn}\nchangetype: modify\nadd: dirigoSendAs\ndirigoSendAs: {to}\n")
        self.addCleanup(self.stack.slapd.modify,
                        f"dn: {dn}\nchangetype: modify\ndelete: dirigoSendAs\n")

    def test_send_as(self):
        self.policy("Sender", "reject_sender_login_mismatch")
        as_bob = {"login": "alice", "sender": "bob@example.org"}
        wait_for("the policy", lambda: self.rcpt(**as_bob).startswith("553"), 20)
        bob = f"uid=bob,ou=people,{SUFFIX}"
        explain = ("explain", "--client", "127.0.0.1", "--to", "carol@example.org", "--login", "alice", "--from",
                   "bob@example.org")
        self.assertIn(f"decided by: {bob}\n", self.stack.tool(*explain, check=False).stdout)
        # A person delegates to another, who gets no more than that.
        self.grant(bob, f"uid=alice,ou=people,{SUFFIX}")
        wait_for("the right", lambda: self.rcpt(**as_bob).startswith("250"), 20)
        self.assertRegex(self.rcpt(login="bob", sender="alice@example.org"), "^553")
        self.assertIn(f"    sendAs: uid=alice,ou=people,{SUFFIX}\n", self.stack.tool(*explain).stdout)
        # A group lets its members.
        staff = f"cn=staff,ou=mail,{SUFFIX}"
        self.assertRegex(self.rcpt(login="alice", sender="staff@example.org"), "^553")
        self.grant(staff, staff)
        wait_for("the group's", lambda: self.rcpt(login="alice", sender="staff@example.org").startswith("250"), 20)
        self.assertRegex(self.rcpt(login="carol", sender="staff@example.org"), "^553")

    # ---- access tables and classes ----

    def access(self, table, action, *keys):
        """An entry of an access table, gone after the test."""
        self.entries = getattr(self, "entries", 0) + 1
        dn = f"cn=access {self.entries},ou=mail,dc=example,dc=org"
        lines = "".join(f"dirigoAccessKey: {k}\n" for k in keys)
        self.stack.slapd.add(f"dn: {dn}\nobjectClass: dirigoAccess\ncn: access {self.entries}\n"
                             f"dirigoAccessTable: {table}\ndirigoAccessAction: {action}\n{lines}")
        self.addCleanup(self.stack.slapd.modify, f"dn: {dn}\nchangetype: delete\n")
        return dn

    def restriction_class(self, name, text):
        dn = f"cn={name},ou=mail,dc=example,dc=org"
        self.stack.slapd.add(f"dn: {dn}\nobjectClass: dirigoRestrictionClass\ncn: {name}\ndirigoRestrictions: {text}\n")
        self.addCleanup(self.stack.slapd.modify, f"dn: {dn}\nchangetype: delete\n")

    def send(self, marker, recipients=("alice@example.org",), sender="a@example.com", end="250"):
        with Talk(self.stack) as t:
            t.hello()
            t.say(f"MAIL FROM:<{sender}>", "250")
            for r in recipients:
                t.say(f"RCPT TO:<{r}>", "250")
            t.say("DATA", "354")
            t.send(MESSAGE.format(marker) + ".\r\n")
            return t.expect(end)

    def test_sender_access(self):
        self.policy("Sender", "check_sender_access senders")
        dn = self.access("senders", "REJECT 5.7.0 not from there", "bad.example", "one@example.com")
        self.both("554 5.7.0 <x@a.bad.example>: Sender address rejected: not from there", {}, sender="x@a.bad.example")
        self.assertRegex(self.rcpt(sender="ONE+detail@example.com"), "^554")
        self.assertIn(f'restriction=check_sender_access policy="{dn}"', self.stack.dirigod.log())

    def test_client_access(self):
        self.policy("Client", "check_client_access clients, reject")
        self.access("clients", "OK", "127.0.0.0/29")
        self.access("clients", "450 4.7.1 later", "127.0.0.5")
        self.both("450 4.7.1 .*Client host rejected: later", {}, source="127.0.0.5")
        self.assertRegex(self.rcpt(source="127.0.0.9"), "^554")
        self.access("names", "554 by name", "localhost")
        self.policy("Client", "check_client_access names")
        self.both(r"554 5.7.1 localhost\[127.0.0.1\]: Client host rejected: by name", {"source": "127.0.0.5"})

    def test_helo_access(self):
        self.policy("Helo", "check_helo_access helos")
        self.access("helos", "REJECT", ".bad.example")
        self.both("554 5.7.1 <x.bad.example>: Helo", {"helo": "bad.example"}, helo="x.bad.example")

    def test_recipient_access_and_classes(self):
        self.policy("Recipient", "check_recipient_access recipients", "reject_non_fqdn_recipient, "
                    "reject_unlisted_recipient")
        self.restriction_class("members_only", "permit_sasl_authenticated, reject")
        self.access("recipients", "members_only", "staff@example.org")
        self.both("554 5.7.1 <staff@example.org>: Recipient", {}, recipient="staff@example.org")
        self.assertRegex(self.rcpt(recipient="staff@example.org", login="alice"), "^250")
        self.access("recipients", "no_such_class", "info@example.org")
        wait_for("a wrong entry", lambda: self.rcpt(recipient="info@example.org").startswith("451 4.3.5"), 8)

    def test_message_actions(self):
        self.policy("Sender", "check_sender_access actions")
        self.access("actions", "PREPEND X-Seen: yes", "prepend.example")
        self.access("actions", "DISCARD", "discard.example")
        self.access("actions", "REDIRECT bob@example.org", "redirect.example")
        self.access("actions", "WARN odd one", "warn.example")
        self.access("actions", "REJECT", "last.example")
        self.both("554", {}, sender="x@last.example")
        self.send("prepended-1", ["alice@example.org", "bob@example.org"], "x@prepend.example")
        self.assertEqual(self.stack.wait_mail("bob", "prepended-1").count(b"\r\nX-Seen: yes\r\n"), 1)
        self.assertIn("queued as", self.send("discarded-1", sender="x@discard.example"))
        self.send("redirected-1", sender="x@redirect.example")
        self.assertIn(b"redirected-1", self.stack.wait_mail("bob", "redirected-1"))
        self.send("warned-1", sender="x@warn.example")
        self.stack.wait_mail("alice", "warned-1")
        self.assertFalse([m for m in self.stack.mailbox("alice") if b"redirected-1" in m or b"discarded-1" in m])
        self.assertRegex(self.stack.dirigod.log(), 'access table warns .*text="odd one"')

    def queue(self):
        return json.loads(self.stack.tool("--json", "queue").stdout)

    def test_hold(self):
        service = PolicyService()
        self.addCleanup(service.close)
        self.policy("Sender", f"check_sender_access holding, check_policy_service inet:127.0.0.1:{service.port}")
        dn = self.access("holding", "HOLD to be looked at", "hold.example")
        self.access("holding", "REJECT", "last.example")
        self.both("554", {}, sender="x@last.example")
        self.send("held-1", sender="x@hold.example")
        self.send("held-2", sender="hold@example.com")
        self.send("passed-1", sender="x@example.com")
        self.stack.wait_mail("alice", "passed-1")
        wait_for("the end of what passed", lambda: len(self.queue()) == 2)
        self.assertEqual(sorted((m["sender"], m["held"]) for m in self.queue()),
                         [("hold@example.com", "by a policy service"), ("x@hold.example", f"to be looked at {dn}")])
        self.assertFalse([m for m in self.stack.mailbox("alice") if b"held-1" in m or b"held-2" in m])
        self.assertIn("0 messages waiting, 2 held", self.stack.tool("queue").stdout)
        first, other = sorted(self.queue(), key=lambda m: m["sender"], reverse=True)
        self.assertEqual(self.stack.tool("queue", "release", first["id"]).stdout, "1 message released\n")
        self.stack.wait_mail("alice", "held-1")
        self.assertEqual(self.stack.tool("queue", "release", first["id"], check=False).returncode, 1)
        self.assertEqual(self.stack.tool("queue", "delete", other["id"]).stdout, "1 message deleted\n")
        wait_for("an empty queue", lambda: self.queue() == [], 20)
        self.assertFalse([m for m in self.stack.mailbox("alice") if b"held-2" in m])

    def test_bcc_and_filter(self):
        filtering = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(filtering.close)
        filtering.settimeout(30)
        self.policy("Sender", "check_sender_access elsewhere")
        self.access("elsewhere", "BCC bob@example.org", "bcc.example")
        self.access("elsewhere", f"FILTER smtp:[127.0.0.1]:{filtering.getsockname()[1]}", "filter.example")
        self.access("elsewhere", "BCC nobody@example.org", "nobody.example")
        self.access("elsewhere", "REJECT", "last.example")
        self.both("554", {}, sender="x@last.example")
        self.send("copied-1", sender="x@bcc.example")
        self.stack.wait_mail("alice", "copied-1")
        self.stack.wait_mail("bob", "copied-1")
        self.send("lost-1", sender="x@nobody.example", end="451 4.3.5")
        self.send("filtered-1", sender="x@filter.example")
        self.assertEqual(self.filtered(filtering), ("<x@filter.example>", ["<alice@example.org>"], True))
        wait_for("an empty queue", lambda: self.queue() == [], 20)
        self.assertFalse([m for m in self.stack.mailbox("alice") if b"filtered-1" in m or b"lost-1" in m])

    @staticmethod
    def filtered(listener):
        """What one message brings to a filter: sender, recipients, whether it is the one."""
        conn, _ = listener.accept()
        conn.settimeout(30)
        with conn, conn.makefile("rwb") as f:
            def say(text):
                f.write(text + b"\r\n")
                f.flush()
            say(b"220 filter.example")
            sender, to, seen = None, [], False
            for line in f:
                verb = line[:4].upper()
                if verb == b"MAIL":
                    sender = line.split(b":", 1)[1].split()[0].decode()
                if verb == b"RCPT":
                    to.append(line.split(b":", 1)[1].split()[0].decode())
                if verb == b"DATA":
                    say(b"354 go on")
                    for text in iter(f.readline, b".\r\n"):
                        seen = seen or b"filtered-1" in text
                say(b"221 bye" if verb == b"QUIT" else b"250 filter.example")
                if verb in (b"DATA", b"QUIT"):
                    break
        return sender, to, seen

    def test_end_of_data(self):
        service = PolicyService()
        self.addCleanup(service.close)
        self.policy("EndOfData", f"check_policy_service inet:127.0.0.1:{service.port}")
        wait_for("the policy", lambda: self.send("end-0") and service.requests, 8)
        self.assertIn("End-of-data rejected: says the service",
                      self.send("end-1", ["alice@example.org", "bob@example.org"], "bad@example.com", "550 5.7.3"))
        last = service.requests[-1]
        self.assertEqual((last["protocol_state"], last["recipient_count"]), ("END-OF-MESSAGE", "2"))
        self.assertGreater(int(last["size"]), 100)
        self.send("end-2", ["alice@example.org", "bob@example.org"])
        self.stack.wait_mail("bob", "end-2")
        self.assertFalse([m for m in self.stack.mailbox("alice") if b"end-1" in m])
        self.policy("EndOfData", "check_sender_access at_end")
        self.access("at_end", "REDIRECT bob@example.org", "end.example")
        self.access("at_end", "REJECT", "no.example")
        wait_for("the table", lambda: self.send("end-3", sender="x@no.example", end="554 5.7.1"), 8)
        self.send("end-4", sender="x@end.example")
        self.stack.wait_mail("bob", "end-4")

    def test_etrn(self):
        def etrn(domain="waiting.lost.example"):
            with Talk(self.stack) as t:
                self.assertIn("250-ETRN", t.hello())
                t.send(f"ETRN {domain}\r\n")
                return t.reply()
        self.assertRegex(etrn(), "^554 5.7.1 <waiting.lost.example>: Etrn command rejected")
        self.policy("Etrn", "permit")
        wait_for("250", lambda: etrn() == "250 2.0.0 Queuing started", 8)
        self.assertRegex(etrn("not a domain"), "^501")

        def tries():
            return len(re.findall("delivery deferred .*to=x@waiting.lost.example ", self.stack.dirigod.log()))
        # Nothing of it is left for others that look at the queue.
        self.addCleanup(self.stack.tool, "queue", "delete", "ALL")
        self.stack.submit("alice", "alice@example.org", ["x@waiting.lost.example"],
                          MESSAGE.format("etrn-1").replace("a@example.net", "alice@example.org"))
        wait_for("the first try", tries, 15)
        before = tries()
        etrn("other.lost.example")
        self.assertEqual(tries(), before)
        etrn("WAITING.lost.example")
        wait_for("the second try, long before its time", lambda: tries() > before, 15)
        self.policy("Etrn", "warn_if_reject reject, reject_plaintext_session")
        wait_for("450", lambda: etrn().startswith("450 4.7.1"), 8)

    # ---- policy services ----

    def test_policy_service(self):
        service = PolicyService()
        self.addCleanup(service.close)
        self.policy("Client", f"check_policy_service inet:127.0.0.1:{service.port}")
        self.both("550 5.7.3 .*Client host rejected: says the service", {"login": "alice"}, sender="bad@example.com")
        wanted = {"request": "smtpd_access_policy", "protocol_state": "RCPT", "protocol_name": "ESMTP",
                  "client_address": "127.0.0.1", "client_name": "localhost", "reverse_client_name": "localhost",
                  "helo_name": "client.example.net", "sender": "a@example.com", "recipient": "alice@example.org",
                  "sasl_username": "alice", "encryption_protocol": "TLSv1.3"}
        self.assertEqual({k: service.requests[-1].get(k) for k in wanted}, wanted)
        for _ in range(5):
            self.assertRegex(self.rcpt(), "^250")
        self.assertEqual(service.connections, 1)  # one after another: one connection serves them all
        self.assertEqual(len({r["instance"] for r in service.requests}), len(service.requests))
        self.assertRegex(self.rcpt(sender="mute@example.com"), "^451 4.3.5 .*Server configuration problem")
        self.assertRegex(self.rcpt(sender="odd@example.com"), "^451 4.3.5")
        tried = len(service.requests)
        self.assertRegex(self.rcpt(sender="broken@example.com"), "^451 4.3.5")
        self.assertEqual(len(service.requests) - tried, 2)
        self.assertRegex(self.rcpt(), "^250")
        with Talk(self.stack) as t:  # who leaves takes its question along
            t.hello()
            t.send("MAIL FROM:<mute@example.com>\r\nRCPT TO:<alice@example.org>\r\n")
            wait_for("the question", lambda: service.requests[-1]["sender"] == "mute@example.com")
        self.assertRegex(self.rcpt(), "^250")

    def test_policy_service_on_unix_socket(self):
        self.policy("Sender", "check_policy_service unix:policy.test")
        wait_for("no service", lambda: self.rcpt().startswith("451 4.3.5"), 8)
        service = PolicyService(f"{self.stack.folder}/run/policy.test")
        self.addCleanup(service.close)
        self.both("550 5.7.3 <bad@example.com>: Sender address rejected: says", {}, sender="bad@example.com")


if __name__ == "__main__":
    harness.main()
