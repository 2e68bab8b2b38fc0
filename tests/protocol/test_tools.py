"""The administrator's tools against a running system."""
import subprocess

import harness
from harness import SUFFIX, StackTest

PEOPLE = f"ou=people,{SUFFIX}"
POLICY = f"cn=default policy,ou=mail,{SUFFIX}"


class ToolTest(StackTest):
    """What needs a replica and processes behind it."""

    def json(self, *args):
        return harness.json.loads(self.stack.tool(*args, "--json", check=False).stdout)

    def file(self, text, name="ldif"):
        path = f"{self.stack.folder}/{self.id()}.{name}"
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return path


class ExplainTest(ToolTest):
    def explain(self, to, client="192.0.2.1", **options):
        more = [part for name, value in options.items()
                for part in ([f"--{name}"] if value is True else [f"--{name}", value])]
        return self.json("explain", "--client", client, "--to", to, *more)

    def test_accepted(self):
        a = self.explain("alice@example.net", helo="mx.example.com", **{"from": "someone@example.com"})
        self.assertTrue(a["accepted"])
        self.assertEqual((a["code"], a["recipient"], a["in_sync"]), (250, "found", True))
        self.assertEqual([(d["kind"], d["address"]) for d in a["deliveries"]], [("mailbox", "alice@example.net")])
        used = {e["dn"]: e for e in a["entries"]}
        alice = used[f"uid=alice,{PEOPLE}"]
        self.assertEqual(alice["by"], "address alice@example.net")
        self.assertIn(["mailAlternateAddress", "alice@example.net"], alice["attributes"])
        self.assertIn(f"dirigoDomainName=example.net,ou=mail,{SUFFIX}", used)
        tried = [r["restriction"] for r in a["restrictions"]]
        self.assertIn("reject_unauth_destination", tried)
        self.assertIn(POLICY, {r.get("policy") for r in a["restrictions"]})

    def test_refusals_are_those_of_the_session(self):
        for to in ("nobody@example.org", "dave@example.org", "someone@example.com"):
            with self.stack.smtp() as s:
                s.ehlo("client.example.com")
                s.mail("sender@example.com")
                code, text = s.rcpt(to)
            # The session comes from a trusted network; so does the question.
            a = self.explain(to, client="127.0.0.1", helo="client.example.com", **{"from": "sender@example.com"})
            self.assertEqual((a["code"], f"{a['status']} {a['text']}"), (code, text.decode()))
        a = self.explain("someone@example.com")
        self.assertEqual((a["code"], a["restriction"], a["dn"], a["stage"]),
                         (554, "reject_unauth_destination", POLICY, "smtpd_relay_restrictions"))
        a = self.explain("dave@example.org", client="127.0.0.1")
        self.assertEqual((a["code"], a["restriction"], a["dn"]),
                         (550, "reject_unlisted_recipient", f"uid=dave,{PEOPLE}") if a["stage"] == "recipient" else
                         (550, "reject_unlisted_recipient", POLICY))

    def test_login(self):
        self.assertTrue(self.explain("someone@example.com", login="alice", submission=True)["accepted"])
        a = self.explain("someone@example.com", login="dave", submission=True)
        self.assertEqual((a["code"], a["dn"]), (535, f"uid=dave,{PEOPLE}"))
        self.assertEqual(self.explain("bob@example.org", login="nobody")["code"], 535)
        self.assertFalse(self.explain("bob@example.org", submission=True)["accepted"])

    def test_text(self):
        done = self.stack.tool("explain", "--client", "192.0.2.1", "--to", "everybody@example.org")
        self.assertIn("verdict: 250 2.1.5 Ok", done.stdout)
        self.assertIn(f"cn=staff,ou=mail,{SUFFIX}  (by DN", done.stdout)
        self.assertIn("the replica is in sync", done.stdout)
        done = self.stack.tool("explain", "--client", "nonsense", "--to", "a@example.org", check=False)
        self.assertEqual(done.returncode, 64)
        done = self.stack.tool("explain", "--client", "192.0.2.1", "--to", "x@example.com", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"decided by: {POLICY}", done.stdout)

    def test_usage_comes_before_faults_of_the_configuration(self):
        for command in ("lookup", "dns", "explain"):
            done = subprocess.run([f"{harness.BUILD}/dirigo", "-c", "/nonexistent", command], capture_output=True, check=False)
            self.assertEqual((done.returncode, done.stderr[:6]), (64, b"usage:"), command)

    def test_dns(self):
        """A restriction that waits for DNS: here nobody can tell, as in the session."""
        self.stack.slapd.modify(f"dn: {POLICY}\nchangetype: modify\nreplace: dirigoSmtpdSenderRestrictions\n"
                                "dirigoSmtpdSenderRestrictions: reject_unknown_sender_domain\n")
        def seen():
            a = self.explain("bob@example.org", **{"from": "a@no-such-domain.invalid"})
            return any(r["restriction"] == "reject_unknown_sender_domain" for r in a["restrictions"]) and a
        a = harness.wait_for("the new policy", seen, 20)
        self.assertFalse(a["accepted"])
        self.assertEqual(a["stage"], "smtpd_sender_restrictions")
        self.stack.slapd.modify(f"dn: {POLICY}\nchangetype: modify\ndelete: dirigoSmtpdSenderRestrictions\n")


# Everything that lint looks for, once.
BAD = f"""dn: {SUFFIX}
objectClass: domain
dc: example

dn: {PEOPLE}
objectClass: organizationalUnit
ou: people

dn: dirigoDomainName=example.org,{SUFFIX}
objectClass: dirigoDomain
dirigoDomainName: example.org
dirigoCatchAll: gone@example.org

dn: uid=alice,{PEOPLE}
objectClass: inetOrgPerson
uid: alice
mail: alice@example.org
dirigoQuota: lots

dn: uid=alice2,{PEOPLE}
objectClass: inetOrgPerson
uid: alice
mail: Alice@example.org

dn: uid=carl,{PEOPLE}
objectClass: inetOrgPerson
uid: carl
mail: carl@elsewhere.example
dirigoPolicyDN: cn=nothing,{SUFFIX}

dn: cn=a,{SUFFIX}
objectClass: groupOfNames
objectClass: dirigoGroup
cn: a
mail: a@example.org
member: cn=b,{SUFFIX}
member: uid=gone,{PEOPLE}
member: {PEOPLE}

dn: cn=b,{SUFFIX}
objectClass: groupOfNames
cn: b
mail: b@example.org
objectClass: dirigoGroup
member: cn=a,{SUFFIX}

dn: cn=p,{SUFFIX}
objectClass: dirigoPolicy
cn: p
dirigoSmtpdRelayRestrictions: permit_mynetworks, reject_unicorns

dn: cn=q,{SUFFIX}
objectClass: dirigoPolicy
cn: q
dirigoSmtpdRelayRestrictions: unicorns

no colon here

dn: uid=alice,{PEOPLE}
objectClass: inetOrgPerson
"""
FOUND = {
    ("bad-record", None), ("bad-record", f"uid=alice,{PEOPLE}"), ("dead-address", f"dirigoDomainName=example.org,{SUFFIX}"),
    ("duplicate-address", f"uid=alice,{PEOPLE}"), ("duplicate-address", f"uid=alice2,{PEOPLE}"),
    ("duplicate-login", f"uid=alice,{PEOPLE}"), ("duplicate-login", f"uid=alice2,{PEOPLE}"),
    ("bad-quota", f"uid=alice,{PEOPLE}"), ("unowned-domain", f"uid=carl,{PEOPLE}"),
    ("unreachable", f"uid=carl,{PEOPLE}"), ("dangling-dn", f"uid=carl,{PEOPLE}"), ("loop", f"cn=a,{SUFFIX}"),
    ("loop", f"cn=b,{SUFFIX}"), ("dangling-dn", f"cn=a,{SUFFIX}"), ("member-without-mail", f"cn=a,{SUFFIX}"),
    ("bad-restrictions", f"cn=p,{SUFFIX}"), ("bad-restrictions", f"cn=q,{SUFFIX}"),
    ("unreachable", f"cn=p,{SUFFIX}"), ("unreachable", f"cn=q,{SUFFIX}"),
}


GOOD_SETTINGS = f"""dn: {SUFFIX}
objectClass: dcObject
objectClass: organization
o: Example
dc: example

dn: {PEOPLE}
objectClass: organizationalUnit
ou: people

dn: dirigoDomainName=example.org,{SUFFIX}
objectClass: dirigoDomain
dirigoDomainName: example.org

dn: uid=alice,{PEOPLE}
objectClass: inetOrgPerson
uid: alice
mail: alice@example.org

dn: cn=phone,uid=alice,{PEOPLE}
objectClass: dirigoAppPassword
cn: phone
authPassword: SHA256$c2FsdHNhbHQ=$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=

dn: cn=fine,{SUFFIX}
objectClass: dirigoPartner
cn: fine
dirigoPartnerKey: partner.example
dirigoPartnerKey: .below.example
dirigoPartnerKey: 192.0.2.0/24
dirigoPartnerKey: 2001:db8::/32
dirigoPartnerKey: 192.0.2.9
dirigoPartnerTLS: Encrypt

dn: cn=classes,{SUFFIX}
objectClass: dirigoConfig
cn: classes
dirigoParameter: smtpd_restriction_classes = other, mine
dirigoParameter: mine = permit
dirigoParameter: message_size_limit = 20M

"""
SETTINGS = GOOD_SETTINGS + f"""dn: cn=partner,{SUFFIX}
objectClass: dirigoPartner
cn: partner
dirigoPartnerKey: 10.0.0.0/33
dirigoPartnerKey: 192.0.2
dirigoPartnerKey: a b
dirigoPartnerKey: someone@example.com
dirigoPartnerKey: good.example
dirigoPartnerTLS: ssl

dn: cn=print,{SUFFIX}
objectClass: dirigoPartner
cn: print
dirigoPartnerKey: print.example
dirigoPartnerTLS: fingerprint

dn: cn=gateways,{SUFFIX}
objectClass: dirigoConfig
cn: gateways
dirigoParameter: message_size_limt = 1M
dirigoParameter: smtpd_recipient_limit = many
dirigoParameter: state_directory = /tmp/x
dirigoParameter: nothing
dirigoParameter: gone = reject
dirigoParameter: other = reject

dn: cn=lost,{PEOPLE}
objectClass: dirigoAppPassword
cn: lost
authPassword: SHA256$c2FsdHNhbHQ=$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=

dn: cn=bare,uid=alice,{PEOPLE}
objectClass: dirigoAppPassword
cn: bare

dn: cn=clear,uid=alice,{PEOPLE}
objectClass: dirigoAppPassword
cn: clear
authPassword: hunter2

dn: cn=short,uid=alice,{PEOPLE}
objectClass: dirigoAppPassword
cn: short
authPassword: SHA256$c2FsdHNhbHQ=$AAAA
"""


class CacheTest(ToolTest):
    def test_state(self):
        a = self.json("cache")
        self.assertEqual((a["source"], a["in_sync"], a["age"], a["server"]), ("sync", True, 0, self.stack.slapd.url))
        self.assertEqual((a["users"], a["disabled"]), (4, 1))
        self.assertGreater(a["bytes"], 0)
        self.assertIn("phase=persist", a["process"])
        text = self.stack.tool("cache").stdout
        self.assertIn("state:      in sync", text)
        self.assertIn("  users         4", text)

    def test_dump(self):
        dn = f"uid=alice,{PEOPLE}"
        a = self.json("cache", "dump", dn)
        self.assertEqual((a["dn"], a["is"]), (dn, ["users"]))
        self.assertIn(["uid", "alice"], a["attributes"])
        for name in (a["entryUUID"], "alice", "Alice@example.org"):
            self.assertEqual(self.json("cache", "dump", name), a)
        self.assertIn(f"dn: {dn}\n", self.stack.tool("cache", "dump", "alice").stdout)
        done = self.stack.tool("cache", "dump", "nobody", check=False)
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertEqual(self.stack.tool("cache", "dump", check=False).returncode, 64)

    def test_rebuild(self):
        self.stack.tool("cache", "rebuild")
        harness.wait_for("the log", lambda: "the administrator asked for everything" in self.stack.dirigod.log())
        harness.wait_for("the replica in sync", lambda: self.json("cache")["in_sync"])
        self.assertEqual(self.json("cache")["users"], 4)
        done = self.stack.tool("cache", "rebuild", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("less than a minute ago", done.stderr)


class LintTest(ToolTest):
    def test_sample(self):
        done = self.stack.tool("lint", f"{harness.TOP}/conf/sample.ldif")
        self.assertIn(" 0 errors, 0 warnings", done.stdout)

    def test_every_finding(self):
        path = self.file(BAD)
        answer = self.json("lint", path)
        self.assertEqual({(f["code"], f.get("dn")) for f in answer["findings"]}, FOUND)
        lines = BAD.split("\n")
        for f in answer["findings"]:
            if "value" in f:
                self.assertTrue(lines[f["line"] - 1].endswith(f["value"]), f)
        done = self.stack.tool("lint", path, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn(f": error: cn=p,{SUFFIX}: ", done.stdout)

    def test_settings_partners_and_app_passwords(self):
        path = self.file(SETTINGS)
        answer = self.json("lint", path)
        lines = SETTINGS.split("\n")
        seen = {(f["code"], f["dn"].partition(",")[0], lines[f["line"] - 1].partition(": ")[2])
                for f in answer["findings"]}
        bad = {("bad-partner", "cn=partner", value) for value in ("10.0.0.0/33", "192.0.2", "a b", "someone@example.com", "ssl")}
        bad |= {("bad-setting", "cn=gateways", value) for value in (
            "message_size_limt = 1M", "smtpd_recipient_limit = many", "state_directory = /tmp/x", "nothing", "gone = reject")}
        bad |= {("bad-partner", "cn=print", "fingerprint")}
        bad |= {("bad-app-password", dn, f"{dn},{PEOPLE}") for dn in ["cn=lost"]}
        bad |= {("bad-app-password", dn, f"{dn},uid=alice,{PEOPLE}") for dn in ("cn=bare", "cn=clear", "cn=short")}
        self.assertEqual(seen, bad)
        texts = {f.get("value"): f["text"] for f in answer["findings"]}
        self.assertEqual(texts["message_size_limt = 1M"],
                         "message_size_limt: there is no such parameter; did you mean message_size_limit?")
        self.assertIn("state_directory: may only stand in ", texts["state_directory = /tmp/x"])
        self.assertTrue(texts["smtpd_recipient_limit = many"].startswith("smtpd_recipient_limit: "))
        self.assertNotIn("hunter2", str(answer))
        done = self.stack.tool("lint", path, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"{path}:{lines.index('dirigoPartnerTLS: ssl') + 1}: error: cn=partner,{SUFFIX}: ", done.stdout)
        good = self.file(GOOD_SETTINGS, "good")
        self.assertIn(" 0 errors, 0 warnings", self.stack.tool("lint", good).stdout)

    def test_live_settings(self):
        dn = f"cn=gateways,{SUFFIX}"
        self.stack.slapd.modify(f"dn: {dn}\nchangetype: add\nobjectClass: dirigoConfig\ncn: gateways\n"
                                "dirigoParameter: smtpd_recipient_limit = many\n")
        def seen():
            return [(f["code"], f["dn"], f["value"]) for f in self.json("lint", "--live")["findings"]]
        harness.wait_for("the finding", lambda: seen() == [("bad-setting", dn, "smtpd_recipient_limit = many")], 20)
        self.stack.slapd.modify(f"dn: {dn}\nchangetype: delete\n")
        harness.wait_for("none", lambda: seen() == [], 20)

    def test_live(self):
        done = self.stack.tool("lint", "--live")
        self.assertIn(" 0 errors, 0 warnings", done.stdout)
        self.stack.slapd.modify(f"dn: uid=bob,{PEOPLE}\nchangetype: modify\nadd: dirigoQuota\ndirigoQuota: lots\n")
        def seen():
            return [(f["code"], f["dn"]) for f in self.json("lint", "--live")["findings"]]
        self.assertEqual(harness.wait_for("the finding", seen, 5), [("bad-quota", f"uid=bob,{PEOPLE}")])
        self.stack.slapd.modify(f"dn: uid=bob,{PEOPLE}\nchangetype: modify\ndelete: dirigoQuota\n")

    def test_many(self):
        text = "".join(f"dn: uid=u{i},{PEOPLE}\nobjectClass: inetOrgPerson\nuid: u{i}\nmail: u{i}@localhost\n\n"
                       for i in range(20000))
        self.assertIn("20000 entries, 0 errors", self.stack.tool("lint", self.file(text)).stdout)


CHANGES = f"""dn: uid=bob,{PEOPLE}
changetype: delete

dn: uid=erin,{PEOPLE}
changetype: add
objectClass: inetOrgPerson
uid: erin
cn: Erin
sn: Example
mail: erin@example.org

dn: uid=alice,{PEOPLE}
changetype: modify
add: mailRoutingAddress
mailRoutingAddress: erin@example.org
-
delete: mailLocalAddress
mailLocalAddress: alice@example.net
-

dn: uid=carol,{PEOPLE}
changetype: modrdn
newrdn: uid=caroline
deleteoldrdn: 1
"""
ASKED = ["bob@example.org", "erin@example.org", "alice@example.org", "alice@example.net", "staff@example.org",
         "carol@example.org", "dave@example.org"]


class WhatIfTest(ToolTest):
    """What changes on a copy is what changes in the end."""

    def answers(self):
        return {to: sorted((d["kind"], d["address"]) for d in self.json("lookup", to)["deliveries"]) for to in ASKED}

    def test_changes(self):
        path = self.file(CHANGES)
        live = {c["address"]: c for c in self.json("what-if", path, "--to", *ASKED)}
        self.assertEqual([to for to in ASKED if not live[to]["changed"]], ["dave@example.org"])
        self.assertIn("found\n  -> mailbox erin@example.org", live["erin@example.org"]["after"])
        self.assertIn("550", live["bob@example.org"]["after"])
        # From the whole tree it is the same but for the entries' ids.
        whole = {c["address"]: c for c in self.json("what-if", "--base", f"{harness.TOP}/conf/sample.ldif", path,
                                                     "--to", *ASKED)}
        self.assertEqual({to: c["changed"] for to, c in live.items()}, {to: c["changed"] for to, c in whole.items()})
        self.stack.slapd.modify(CHANGES)
        def settled():
            return not self.json("lookup", "bob@example.org")["deliveries"] and \
                self.json("lookup", "carol@example.org")["deliveries"][0]["dn"].startswith("uid=caroline")
        harness.wait_for("the change", settled, 5)
        for to, deliveries in self.answers().items():
            for kind, address in deliveries:
                self.assertIn(f"-> {kind} {address}", live[to]["after"])
            self.assertEqual(len(deliveries), live[to]["after"].count("->"))

    def test_refused(self):
        path = self.file(f"dn: uid=nobody,{PEOPLE}\nchangetype: delete\n\ndn: uid=dave,{PEOPLE}\nchangetype: add\n"
                         f"uid: dave\n\ndn: uid=dave,{PEOPLE}\nchangetype: modify\ndelete: mail\nmail: x@example.org\n")
        done = self.stack.tool("what-if", path, "--to", "dave@example.org", check=False)
        self.assertEqual(done.returncode, 1)
        for text in ("there is no such entry", "there already", "is not there"):
            self.assertIn(text, done.stderr)
        self.assertIn("dave@example.org: unchanged", done.stdout)


class WhatIfLogTest(ToolTest):
    def test_last_days_log(self):
        for to in (["alice@example.org", "carol@example.org"], ["Bob@example.org"]):
            with self.stack.smtp() as s:
                s.sendmail("sender@example.com", to, "Subject: x\r\n\r\nx\r\n")
        with self.stack.smtp() as s:
            s.ehlo("client.example.com")
            s.mail("sender@example.com")
            self.assertEqual(s.rcpt("erin@example.org")[0], 550)
        log = self.file("2001-01-01T00:00:00Z mx dirigo-smtpd[1]: message accepted id=1 to=long.ago@example.org\n"
                        "dirigo-smtpd[1]: message accepted id=1 to=\"now=here@example.org\"\n" + self.stack.dirigod.log(), "log")
        asked = {c["address"]: c["changed"] for c in self.json("what-if", self.file(CHANGES), "--log", log)}
        self.assertEqual({to: asked.get(to) for to in ("alice@example.org", "carol@example.org", "Bob@example.org",
                                                       "erin@example.org", "now=here@example.org", "long.ago@example.org")},
                         {"alice@example.org": True, "carol@example.org": True, "Bob@example.org": True,
                          "erin@example.org": True, "now=here@example.org": False, "long.ago@example.org": None})
        self.assertEqual(self.stack.tool("what-if", log, check=False).returncode, 64)


if __name__ == "__main__":
    harness.main()
