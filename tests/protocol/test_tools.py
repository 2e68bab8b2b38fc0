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


if __name__ == "__main__":
    harness.main()
