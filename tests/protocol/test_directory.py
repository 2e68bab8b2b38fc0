"""The replica follows a real slapd: changes, deletions, renames, outages, restarts."""
import imaplib
import os
import shutil
import signal
import socket
import tempfile
import time
import unittest

import harness
from harness import SUFFIX, Stack, StackTest, wait_for

PEOPLE = f"ou=people,{SUFFIX}"


def person(name, extra=""):
    return (f"dn: uid={name},{PEOPLE}\nobjectClass: inetOrgPerson\nobjectClass: dirigoUser\nuid: {name}\n"
            f"cn: {name}\nsn: Example\nmail: {name}@example.org\n{extra}\n")


class Lookup:
    """Answers through the tool and through SMTP."""

    def answer(self, address):
        done = self.stack.tool("lookup", address, "--json", check=False)
        return harness.json.loads(done.stdout)

    def rcpt(self, address):
        with self.stack.smtp() as s:
            s.ehlo("test.example.net")
            s.mail("sender@example.net")
            return s.rcpt(address)[0]

    def wait_answer(self, address, answer, seconds=10):
        return wait_for(f"{address} {answer}", lambda: self.answer(address)["answer"] == answer, seconds)

    def deliveries(self, address):
        return sorted((d["kind"], d["address"]) for d in self.answer(address).get("deliveries", []))


class SampleTest(Lookup, StackTest):
    """The sample tree, resolved."""

    def test_sample(self):
        self.assertEqual(self.deliveries("alice@example.net"), [("mailbox", "alice@example.net")])
        self.assertEqual(self.deliveries("alice+x@mail.example.org"), [("mailbox", "alice+x@example.org")])
        self.assertEqual(self.deliveries("whoever@example.net"), [("mailbox", "bob@example.org")])
        self.assertEqual(self.deliveries("everybody@example.org"),
                         [("mailbox", f"{n}@example.org") for n in ("alice", "bob", "carol")])
        self.assertEqual(self.deliveries("someone@example.com"), [("remote", "someone@example.com")])
        dave = self.answer("dave@example.org")
        self.assertEqual((dave["answer"], dave["disabled"], dave["dn"]), ("absent", True, f"uid=dave,{PEOPLE}"))
        text = self.stack.tool("lookup", "everybody@example.org").stdout
        self.assertIn(f"cn=staff,ou=mail,{SUFFIX}", text)

    def test_change_is_seen_at_once(self):
        slapd = self.stack.slapd
        slapd.add(person("erin"))
        self.wait_answer("erin@example.org", "found", 3)
        slapd.modify(f"dn: uid=erin,{PEOPLE}\nchangetype: modify\nreplace: mail\nmail: erna@example.org\n")
        self.wait_answer("erna@example.org", "found", 3)
        self.assertEqual(self.rcpt("erin@example.org"), 550)
        slapd.modify(f"dn: uid=erin,{PEOPLE}\nchangetype: modrdn\nnewrdn: uid=erna\ndeleteoldrdn: 1\n")
        wait_for("the new DN", lambda: self.answer("erna@example.org")["deliveries"][0]["dn"] ==
                 f"uid=erna,{PEOPLE}", 3)
        slapd.modify(f"dn: uid=erna,{PEOPLE}\nchangetype: modify\nreplace: dirigoAccountStatus\n"
                     "dirigoAccountStatus: disabled\n")
        wait_for("disabled", lambda: self.answer("erna@example.org")["disabled"], 3)
        slapd.modify(f"dn: uid=erna,{PEOPLE}\nchangetype: delete\n")
        wait_for("deleted", lambda: not self.answer("erna@example.org")["disabled"], 3)
        self.wait_answer("erna@example.org", "absent", 3)

    def test_two_owners(self):
        slapd = self.stack.slapd
        slapd.add(person("frank"))
        slapd.add(person("fred", "mailLocalAddress: frank@example.org\n"))
        self.wait_answer("frank@example.org", "unknown", 3)
        reason = self.answer("frank@example.org")["reason"]
        self.assertIn(f"uid=frank,{PEOPLE}", reason)
        self.assertIn(f"uid=fred,{PEOPLE}", reason)
        self.assertEqual(self.rcpt("frank@example.org") // 100, 4)
        slapd.modify(f"dn: uid=fred,{PEOPLE}\nchangetype: delete\n")
        self.wait_answer("frank@example.org", "found", 3)

    def test_leaving_the_filter(self):
        slapd = self.stack.slapd
        slapd.add(f"dn: cn=grace,ou=mail,{SUFFIX}\nobjectClass: organizationalRole\n"
                  "objectClass: inetLocalMailRecipient\ncn: grace\nmailLocalAddress: grace@example.org\n")
        self.wait_answer("grace@example.org", "found", 3)
        slapd.modify(f"dn: cn=grace,ou=mail,{SUFFIX}\nchangetype: modify\ndelete: mailLocalAddress\n-\n"
                     "delete: objectClass\nobjectClass: inetLocalMailRecipient\n")
        self.wait_answer("grace@example.org", "absent", 3)


class OutageTest(Lookup, unittest.TestCase):
    """slapd goes away and comes back; dirigo-directory dies and comes back."""

    def setUp(self):
        self.stack = Stack({"timeout": "2s"})
        self.addCleanup(self.check)
        self.stack.start()

    def check(self):
        problems = self.stack.stop()
        self.assertEqual(problems, [])

    def test_slapd_stops(self):
        slapd = self.stack.slapd
        self.assertEqual(self.rcpt("nobody@example.org"), 550)
        slapd.stop()
        wait_for("unknown", lambda: self.rcpt("nobody@example.org") // 100 == 4, 5)
        self.assertEqual(self.rcpt("alice@example.org"), 250)
        self.assertEqual(self.answer("nobody@example.org")["answer"], "unknown")
        # Changed while nobody listened; a restarted slapd has no session log.
        slapd.start()
        slapd.modify(f"dn: uid=bob,{PEOPLE}\nchangetype: delete\n")
        slapd.add(person("heidi"))
        self.wait_answer("heidi@example.org", "found", 10)
        self.wait_answer("bob@example.org", "absent", 10)
        self.assertEqual(self.rcpt("alice@example.org"), 250)

    def test_slapd_is_mute(self):
        slapd = self.stack.slapd
        os.kill(slapd.process.pid, signal.SIGSTOP)
        try:
            wait_for("unknown", lambda: self.rcpt("nobody@example.org") // 100 == 4, 20)
            self.assertEqual(self.rcpt("alice@example.org"), 250)
        finally:
            os.kill(slapd.process.pid, signal.SIGCONT)
        self.wait_answer("nobody@example.org", "absent", 15)

    def test_missed_while_away(self):
        """Deletions that happened while dirigo-directory did not run, resumed by its cookie."""
        slapd = self.stack.slapd
        self.assertEqual(self.stack.dirigod.end(), 0)
        slapd.modify(f"dn: uid=bob,{PEOPLE}\nchangetype: delete\n")
        slapd.add(person("ivan"))
        self.stack.start_dirigod()
        self.wait_answer("ivan@example.org", "found", 10)
        self.assertEqual(self.answer("bob@example.org")["answer"], "absent")

    def test_warm_start_without_directory(self):
        self.assertEqual(self.stack.dirigod.end(), 0)
        self.stack.slapd.stop()
        self.stack.start_dirigod(ready=False)
        wait_for("dirigod", self.stack.is_up, 40)
        self.assertEqual(self.rcpt("alice@example.org"), 250)
        self.assertEqual(self.rcpt("nobody@example.org") // 100, 4)
        self.stack.slapd.start()
        self.wait_answer("nobody@example.org", "absent", 15)

    def test_emptied_directory_is_doubted(self):
        """A server whose tree was lost bounces nothing."""
        slapd = self.stack.slapd
        slapd.stop()
        for name in os.listdir(f"{slapd.folder}/db"):
            os.unlink(f"{slapd.folder}/db/{name}")
        slapd.slapadd(f"dn: {SUFFIX}\nobjectClass: dcObject\nobjectClass: organization\ndc: example\no: Example\n")
        slapd.start()
        time.sleep(3)
        self.assertEqual(self.rcpt("alice@example.org"), 250)
        self.assertEqual(self.rcpt("nobody@example.org") // 100, 4)

    def test_directory_process_hangs(self):
        """A process that stands still says nothing; that it does is seen within directory_heartbeat_limit."""
        pid, = self.stack.pids("dirigo-directory")
        self.assertEqual(self.rcpt("nobody@example.org"), 550)
        os.kill(pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            wait_for("unknown", lambda: self.rcpt("nobody@example.org") // 100 == 4, 20)
            self.assertLess(time.monotonic() - began, 14)
            self.assertEqual(self.answer("nobody@example.org")["answer"], "unknown")
            self.assertEqual(self.rcpt("alice@example.org"), 250)
        finally:
            os.kill(pid, signal.SIGCONT)
        wait_for("absent", lambda: self.rcpt("nobody@example.org") == 550, 20)

    def test_directory_process_killed(self):
        pid, = self.stack.pids("dirigo-directory")
        os.kill(pid, signal.SIGKILL)
        wait_for("another process", lambda: self.stack.pids("dirigo-directory") not in ([], [pid]), 15)
        self.stack.wait_sync()
        self.stack.slapd.add(person("judy"))
        self.wait_answer("judy@example.org", "found", 5)


class RevokedTest(Lookup, StackTest):
    """Who may not log in any more has no sessions either."""

    def sessions(self, name):
        """An idle IMAP session, one in IDLE, a POP3 and a submission session of a new person."""
        self.stack.slapd.add(person(name, f"userPassword: {name}-example\n"))
        harness.PASSWORDS[name] = f"{name}-example"
        self.wait_answer(f"{name}@example.org", "found", 3)
        imap, idle, pop = self.stack.imap(name), self.stack.imap(name), self.stack.pop3(name)
        imap.select()
        idle.select()
        idle.send(b"x IDLE\r\n")
        while not idle.readline().startswith(b"+"):
            pass
        smtp = self.stack.smtp("submission")
        smtp.starttls(context=self.stack.tls())
        smtp.login(name, harness.PASSWORDS[name])
        for client in (imap, idle, pop, smtp):
            client.sock.settimeout(1)
        return imap, idle, pop, smtp

    def ended(self, imap, idle, pop, smtp):
        begin = time.monotonic()
        for client in (imap, idle):
            self.assertIn(b"BYE [CONTACTADMIN]", client.readline())
            self.assertEqual(client.readline(), b"")
        self.assertTrue(pop.file.readline().startswith(b"-ERR [AUTH]"))
        self.assertEqual(pop.file.readline(), b"")
        self.assertEqual(smtp.getreply()[0], 421)
        self.assertLess(time.monotonic() - begin, 1)
        for client in (imap, idle, smtp):
            client.sock.close()
        pop.sock.close()

    def test_disabled(self):
        for name, status in (("mia", "disabled"), ("max", "noaccess")):
            clients = self.sessions(name)
            other = self.stack.imap("alice")
            self.stack.slapd.modify(f"dn: uid={name},{PEOPLE}\nchangetype: modify\nreplace: dirigoAccountStatus\n"
                                    f"dirigoAccountStatus: {status}\n")
            self.ended(*clients)
            self.assertEqual(other.noop()[0], "OK")
            other.logout()
            with self.assertRaises(imaplib.IMAP4.error):
                self.stack.imap(name)

    def test_deleted(self):
        clients = self.sessions("moe")
        self.stack.slapd.modify(f"dn: uid=moe,{PEOPLE}\nchangetype: delete\n")
        self.ended(*clients)

    def test_disabled_while_the_directory_was_away(self):
        clients = self.sessions("mary")
        pid, = self.stack.pids("dirigo-directory")
        os.kill(pid, signal.SIGSTOP)
        try:
            self.stack.slapd.modify(f"dn: uid=mary,{PEOPLE}\nchangetype: modify\nreplace: dirigoAccountStatus\n"
                                    "dirigoAccountStatus: disabled\n")
        finally:
            os.kill(pid, signal.SIGCONT)
        self.ended(*clients)


class SubtreeTest(Lookup, unittest.TestCase):
    """Containers that are renamed and moved: a server tells of the container alone."""

    def setUp(self):
        self.stack = Stack({"timeout": "2s", "auth_mechanisms": "plain login"})
        self.addCleanup(lambda: self.assertEqual(self.stack.stop(), []))
        self.stack.start()

    def rename(self, new, superior=None):
        old, self.ou = getattr(self, "ou", PEOPLE), f"{new},{superior or SUFFIX}"
        self.stack.slapd.modify(f"dn: {old}\nchangetype: modrdn\nnewrdn: {new}\ndeleteoldrdn: 1\n" +
                                (f"newsuperior: {superior}\n" if superior else ""))

    def dn(self, address):
        return self.answer(address)["deliveries"][0]["dn"]

    def login(self, user):
        with self.stack.imap() as c:
            return c.login(user, harness.PASSWORDS[user])

    def test_renamed_while_in_sync(self):
        self.rename("ou=staff")
        wait_for("the new DN", lambda: self.dn("alice@example.org") == f"uid=alice,ou=staff,{SUFFIX}", 5)
        self.login("alice")
        with self.assertRaises(imaplib.IMAP4.error) as refused:
            self.stack.imap().login("alice", "wrong")
        self.assertNotIn("UNAVAILABLE", str(refused.exception))
        self.stack.slapd.add(f"dn: ou=south,{SUFFIX}\nobjectClass: organizationalUnit\nou: south\n")
        self.rename("ou=team", f"ou=south,{SUFFIX}")
        wait_for("the new DN", lambda: self.dn("alice@example.org") == f"uid=alice,ou=team,ou=south,{SUFFIX}", 5)
        self.login("bob")
        # Deleted and made anew under one name: another entry, the same address.
        dn = f"uid=bob,ou=team,ou=south,{SUFFIX}"
        self.stack.slapd.modify(f"dn: {dn}\nchangetype: delete\n\n"
                                f"dn: {dn}\nchangetype: add\nobjectClass: inetOrgPerson\nuid: bob\ncn: bob\n"
                                "sn: bob\nmail: bob@example.org\nuserPassword: another\n")
        wait_for("the new entry", lambda: self.stack.imap().login("bob", "another"), 5)

    def test_moved_into_scope(self):
        """A container that comes under search_base with people in it."""
        slapd, outside = self.stack.slapd, f"ou=outside,{SUFFIX}"
        self.assertEqual(self.stack.dirigod.end(), 0)
        self.stack.conf["search_base"] = PEOPLE
        self.stack.write_conf()
        slapd.add(f"dn: {outside}\nobjectClass: organizationalUnit\nou: outside\n")
        slapd.add(person("olaf").replace(PEOPLE, outside))
        self.stack.start_dirigod(ready=False)
        self.stack.wait_sync("nobody-here@mx.example.org")
        self.assertEqual(self.rcpt("olaf@mx.example.org"), 550)
        # One that is made here, and filled at once, costs nothing.
        slapd.add(f"dn: ou=new,{PEOPLE}\nobjectClass: organizationalUnit\nou: new\n\n" +
                  person("nina").replace(PEOPLE, f"ou=new,{PEOPLE}"))
        wait_for("the new one", lambda: self.rcpt("nina@mx.example.org") == 250, 20)
        self.assertNotIn("a subtree came", self.stack.dirigod.log())
        slapd.modify(f"dn: {outside}\nchangetype: modrdn\nnewrdn: ou=inside\ndeleteoldrdn: 1\n"
                     f"newsuperior: {PEOPLE}\n")
        wait_for("who came along", lambda: self.rcpt("olaf@mx.example.org") == 250, 20)
        self.assertEqual(self.stack.dirigod.log().count("a subtree came"), 1)

    def test_renamed_while_away(self):
        """The container was renamed, and another one took its old name, while nobody listened."""
        self.assertEqual(self.stack.dirigod.end(), 0)
        self.rename("ou=staff")
        self.stack.slapd.add(f"dn: {PEOPLE}\nobjectClass: organizationalUnit\nou: people\n")
        self.stack.slapd.add(person("alina"))
        self.stack.start_dirigod()
        self.assertEqual(self.dn("alice@example.org"), f"uid=alice,ou=staff,{SUFFIX}")
        self.assertEqual(self.dn("alina@example.org"), f"uid=alina,{PEOPLE}")
        self.login("alice")

    def test_names_exchanged_while_away(self):
        """The newer container has the older one's name now, and comes first."""
        slapd = self.stack.slapd
        slapd.add(f"dn: ou=other,{SUFFIX}\nobjectClass: organizationalUnit\nou: other\n")
        slapd.add(person("olga").replace(PEOPLE, f"ou=other,{SUFFIX}"))
        self.wait_answer("olga@example.org", "found", 5)
        self.assertEqual(self.stack.dirigod.end(), 0)
        for old, new in (("people", "x"), ("other", "people"), ("x", "other")):
            slapd.modify(f"dn: ou={old},{SUFFIX}\nchangetype: modrdn\nnewrdn: ou={new}\ndeleteoldrdn: 1\n")
        self.stack.start_dirigod()
        self.assertEqual(self.dn("alice@example.org"), f"uid=alice,ou=other,{SUFFIX}")
        self.assertEqual(self.dn("olga@example.org"), f"uid=olga,{PEOPLE}")

    def test_name_that_the_replica_missed(self):
        """A holder of people that no table knows is renamed: nobody is told that a password is wrong."""
        slapd = self.stack.slapd
        slapd.add(f"dn: cn=odd,{SUFFIX}\nobjectClass: device\ncn: odd\n")
        slapd.add(person("otto", "userPassword: otto-example\n").replace(PEOPLE, f"cn=odd,{SUFFIX}"))
        self.wait_answer("otto@example.org", "found", 5)
        slapd.modify(f"dn: cn=odd,{SUFFIX}\nchangetype: modrdn\nnewrdn: cn=strange\ndeleteoldrdn: 1\n")
        with self.assertRaises(imaplib.IMAP4.error) as refused:
            self.stack.imap().login("otto", "otto-example")
        self.assertIn("UNAVAILABLE", str(refused.exception))
        wait_for("the login", lambda: self.stack.imap().login("otto", "otto-example"), 10)


class RenewedTest(Lookup, unittest.TestCase):
    """The replica's file is thrown away under the eyes of the processes that read it."""

    def setUp(self):
        self.stack = Stack({"timeout": "2s"})
        self.addCleanup(lambda: self.assertEqual(self.stack.stop(), []))
        self.stack.start()

    def test_damaged(self):
        replica = f"{self.stack.conf['state_directory']}/replica"
        session = self.stack.imap("alice")
        readers = self.stack.pids("dirigo-smtpd") + self.stack.pids("dirigo-auth")
        pid, = self.stack.pids("dirigo-directory")
        os.kill(self.stack.dirigod.pid, signal.SIGSTOP)
        os.kill(pid, signal.SIGKILL)
        with open(f"{replica}/new", "wb") as f:
            f.write(b"this is no database" * 1000)
        os.replace(f"{replica}/new", f"{replica}/data.mdb")
        os.kill(self.stack.dirigod.pid, signal.SIGCONT)
        wait_for("other readers", lambda: not set(readers) & set(
            self.stack.pids("dirigo-smtpd") + self.stack.pids("dirigo-auth")), 20)
        self.stack.wait_sync()
        self.stack.slapd.add(person("nora", "userPassword: nora-example\n"))
        wait_for("the new person", lambda: self.rcpt("nora@example.org") == 250, 5)
        harness.PASSWORDS["nora"] = "nora-example"
        self.stack.imap("nora").logout()
        self.assertEqual(session.noop()[0], "OK")
        session.logout()


class TlsSlapd(harness.Slapd):
    """slapd that also listens on ldaps:// and knows StartTLS."""

    def __init__(self, folder, cert, key):
        super().__init__(folder)
        self.tls_port = harness.free_ports(1)[0]
        harness.run("/usr/sbin/slapmodify", "-n", "0", "-F", f"{folder}/slapd.d", text_in=(
            "dn: cn=config\nchangetype: modify\nreplace: olcTLSCertificateFile\n"
            f"olcTLSCertificateFile: {cert}\n-\nreplace: olcTLSCertificateKeyFile\n"
            f"olcTLSCertificateKeyFile: {key}\n"))

    def start(self):
        plain = self.url
        self.url = f"{plain} ldaps://127.0.0.1:{self.tls_port}"
        # The probe of the parent takes one URL; slapd takes both.
        self.process = harness.Process(["/usr/sbin/slapd", "-d", "0", "-F", f"{self.folder}/slapd.d", "-h", self.url],
                                       f"{self.folder}/slapd.log")
        self.url = plain
        wait_for("slapd", lambda: harness.run("ldapsearch", "-x", "-H", plain, "-s", "base", "-b", "", "1.1"))


class ConnectionTest(Lookup, unittest.TestCase):
    """Ways to a server: TLS, StartTLS, a bind, servers that are no use."""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="dirigo-test-ldap-")
        os.chmod(self.folder.name, 0o755)
        self.addCleanup(self.folder.cleanup)
        cert, key = harness.certificate(self.folder.name)
        self.slapd = TlsSlapd(f"{self.folder.name}/ldap", cert, key)
        self.ca = cert
        self.stack = None

    def start(self, **conf):
        self.stack = Stack({"timeout": "1s", "tls_ca_cert_file": self.ca, **conf}, slapd=self.slapd)
        self.addCleanup(lambda: self.assertEqual(self.stack.stop(), []))
        self.stack.start()
        self.assertEqual(self.answer("alice@example.org")["answer"], "found")

    def test_ldaps(self):
        self.start(server_host=f"ldaps://localhost:{self.slapd.tls_port}")
        with self.stack.imap() as c:
            c.login("alice", harness.PASSWORDS["alice"])
            self.assertEqual(c.select()[0], "OK")

    def test_starttls_and_bind(self):
        password = f"{self.folder.name}/pw"
        with open(password, "w", encoding="ascii") as f:
            f.write("secret\n")
        self.start(server_host=f"ldap://localhost:{self.slapd.port}", start_tls="yes",
                   bind_dn=self.slapd.root_dn, bind_pw_file=password)

    def test_client_certificate(self):
        """The directory may be read by the holder of one certificate alone."""
        other = f"{self.folder.name}/client"
        os.mkdir(other)
        cert, key = harness.certificate(other, "gateway")
        for path in (other, cert, key):
            shutil.chown(path, *(("dirigo-dir", "dirigo-dir") if os.geteuid() == 0 else (os.getuid(), os.getgid())))
        harness.run("/usr/sbin/slapmodify", "-n", "0", "-F", f"{self.slapd.folder}/slapd.d", text_in=(
            f"dn: cn=config\nchangetype: modify\nreplace: olcTLSCACertificateFile\nolcTLSCACertificateFile: {cert}\n-\n"
            "replace: olcTLSVerifyClient\nolcTLSVerifyClient: try\n\n"
            "dn: olcDatabase={1}mdb,cn=config\nchangetype: modify\nreplace: olcAccess\n"
            "olcAccess: to attrs=userPassword by anonymous auth by * none\n"
            "olcAccess: to * by dn.exact=cn=gateway read by * none\n"))
        self.start(server_host=f"ldaps://localhost:{self.slapd.tls_port}", tls_cert=cert, tls_key=key)
        with self.stack.imap() as c:
            c.login("bob", harness.PASSWORDS["bob"])

    def test_untrusted_certificate(self):
        other = f"{self.folder.name}/other"
        os.mkdir(other)
        cert, _ = harness.certificate(other)
        self.stack = Stack({"timeout": "1s", "tls_ca_cert_file": cert,
                            "server_host": f"ldaps://localhost:{self.slapd.tls_port}"}, slapd=self.slapd)
        self.addCleanup(lambda: self.assertEqual(self.stack.stop(), []))
        self.stack.start(ready=False)
        wait_for("the failure", lambda: "the directory is away" in self.stack.dirigod.log())
        self.assertEqual(self.answer("alice@example.org")["answer"], "unknown")

    def test_failover(self):
        with socket.socket() as mute, socket.socket() as closed:
            mute.bind(("127.0.0.1", 0))
            mute.listen()
            closed.bind(("127.0.0.1", 0))
            self.start(server_host=f"ldaps://127.0.0.1:{mute.getsockname()[1]} "
                                   f"ldap://127.0.0.1:{closed.getsockname()[1]} {self.slapd.url}")
            with self.stack.imap() as c:
                c.login("alice", harness.PASSWORDS["alice"])

    def test_return_to_the_first(self):
        """Two providers of one directory: the first one is left when it dies, and used again when it is back."""
        first = harness.Slapd(f"{self.folder.name}/first")
        with open(f"{harness.TOP}/conf/sample.ldif", encoding="utf-8") as f:
            self.slapd.slapadd(f.read())
        text = harness.run("/usr/sbin/slapcat", "-n", "1", "-F", f"{self.slapd.folder}/slapd.d").stdout
        first.slapadd(text)
        first.start()
        self.addCleanup(first.stop)
        self.stack = Stack({"timeout": "1s", "server_host": f"{first.url} {self.slapd.url}",
                            "directory_return_time": "1s"}, slapd=self.slapd, sample=False)
        self.addCleanup(lambda: self.assertEqual(self.stack.stop(), []))
        self.stack.start()

        def last(url):
            lines = [line for line in self.stack.dirigod.log().splitlines() if "the directory is in sync" in line]
            return f"server={url}" in lines[-1]
        self.assertTrue(last(first.url))
        first.stop()
        wait_for("the second server", lambda: last(self.slapd.url), 10)
        self.slapd.add(person("karl"))
        self.wait_answer("karl@example.org", "found", 5)
        # The first one comes back without what it missed: what the replica has is newer, and stays.
        first.start()
        wait_for("a try", lambda: "the server is behind the replica" in self.stack.dirigod.log(), 15)
        self.assertEqual(self.answer("karl@example.org")["answer"], "found")
        text = harness.run("/usr/sbin/slapcat", "-n", "1", "-F", f"{self.slapd.folder}/slapd.d").stdout
        first.stop()
        for name in os.listdir(f"{first.folder}/db"):
            os.unlink(f"{first.folder}/db/{name}")
        first.slapadd(text)
        first.start()
        wait_for("the first server", lambda: last(first.url), 30)
        self.wait_answer("nobody@example.org", "absent", 5)
        first.add(person("lena"))
        self.wait_answer("lena@example.org", "found", 5)

    def test_repeated_login(self):
        """A login that is repeated asks no server; a changed password is asked for at once."""
        self.start(auth_mechanisms="plain login", server_host=self.slapd.url)

        self.stack.imap("alice").logout()
        os.kill(self.slapd.process.pid, signal.SIGSTOP)
        try:
            self.stack.imap("alice").logout()
        finally:
            os.kill(self.slapd.process.pid, signal.SIGCONT)
        self.slapd.modify(f"dn: uid=alice,{PEOPLE}\nchangetype: modify\nreplace: userPassword\n"
                          "userPassword: another\n")

        def old_is_refused():
            with self.assertRaises(imaplib.IMAP4.error):
                self.stack.imap().login("alice", harness.PASSWORDS["alice"])
            return True
        wait_for("the old password to be refused", old_is_refused, 1)
        with self.stack.imap() as c:
            c.login("alice", "another")

    def test_logins_by_bind(self):
        self.start(auth_mechanisms="plain login", server_host=self.slapd.url)
        for _ in range(3):
            with self.stack.imap() as c:
                c.login("alice", harness.PASSWORDS["alice"])
            with self.assertRaises(imaplib.IMAP4.error):
                self.stack.imap().login("alice", "wrong")
        # The server is started anew: connections that lay idle are made again.
        self.slapd.stop()
        with self.assertRaises(imaplib.IMAP4.error) as refused:
            self.stack.imap().login("alice", harness.PASSWORDS["alice"])
        self.assertIn("UNAVAILABLE", str(refused.exception))
        self.slapd.start()
        self.stack.wait_sync()
        with self.stack.imap() as c:
            c.login("alice", harness.PASSWORDS["alice"])


class PolicyTest(StackTest):
    """What the server's password policy says reaches the user in words, whatever the protocol."""

    CONF = {"auth_mechanisms": "plain login", "auth_cache_ttl": "0"}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        slapd = cls.stack.slapd
        harness.run("ldapmodify", "-x", "-H", slapd.url, "-D", "cn=config", "-w", slapd.root_pw, text_in=(
            "dn: cn=module{0},cn=config\nchangetype: modify\nadd: olcModuleLoad\nolcModuleLoad: ppolicy\n\n"
            "dn: olcOverlay=ppolicy,olcDatabase={1}mdb,cn=config\nchangetype: add\nobjectClass: olcPPolicyConfig\n"
            f"olcOverlay: ppolicy\nolcPPolicyDefault: cn=policy,{SUFFIX}\nolcPPolicyUseLockout: TRUE\n"))
        slapd.add(f"dn: cn=policy,{SUFFIX}\nobjectClass: device\nobjectClass: pwdPolicy\ncn: policy\n"
                  "pwdAttribute: userPassword\npwdLockout: TRUE\npwdMaxFailure: 2\npwdMustChange: TRUE\n"
                  "pwdMaxAge: 1\npwdGraceAuthNLimit: 0\n")
        for name in ("pia", "pit", "pat"):
            slapd.add(person(name))

    def replies(self, name, password):
        """What IMAP, POP3 and submission say."""
        with self.assertRaises(imaplib.IMAP4.error) as imap:
            self.stack.imap().login(name, password)
        pop = self.stack.pop3()
        pop.user(name)
        with self.assertRaises(harness.poplib.error_proto) as refused:
            pop.pass_(password)
        with self.stack.smtp("submission") as s:
            s.starttls(context=self.stack.tls())
            s.ehlo()
            with self.assertRaises(harness.smtplib.SMTPAuthenticationError) as smtp:
                s.login(name, password, initial_response_ok=True)
        return str(imap.exception), str(refused.exception), smtp.exception.smtp_error.decode()

    def set_password(self, name, more=""):
        self.stack.slapd.modify(f"dn: uid={name},{PEOPLE}\nchangetype: modify\nreplace: userPassword\n"
                                f"userPassword: {name}-example\n{more}")

    def policy(self, **values):
        text = "-\n".join(f"replace: {k}\n{k}: {v}\n" for k, v in values.items())
        self.stack.slapd.modify(f"dn: cn=policy,{SUFFIX}\nchangetype: modify\n{text}")

    def test_policy(self):
        self.policy(pwdMustChange="FALSE")
        self.set_password("pia")
        time.sleep(2)
        for text in self.replies("pia", "pia-example"):
            self.assertIn("has expired", text)
        self.policy(pwdMaxAge=0)
        self.set_password("pit")
        for _ in range(2):
            with self.assertRaises(imaplib.IMAP4.error) as wrong:
                self.stack.imap().login("pit", "wrong")
            self.assertNotIn("locked", str(wrong.exception))
        for text in self.replies("pit", "pit-example"):
            self.assertIn("is locked", text)
        self.policy(pwdMustChange="TRUE")
        self.set_password("pat", "-\nreplace: pwdReset\npwdReset: TRUE\n")
        for text in self.replies("pat", "pat-example"):
            self.assertIn("must be changed before", text)


class EmbeddedTest(Lookup, StackTest):
    """The private slapd, over ldapi and EXTERNAL; empty at first."""

    EMBEDDED = True

    @classmethod
    def setUpClass(cls):
        cls.stack = Stack(embedded=True)
        cls.stack.start(ready=False)
        wait_for("dirigod", cls.stack.is_up, 40)

    def test_filled_later(self):
        socket_path = f"{self.stack.conf['state_directory']}/slapd/ldapi".replace("/", "%2F")
        with open(f"{harness.TOP}/conf/sample.ldif", encoding="utf-8") as f:
            sample = f.read()
        # Its first entry, search_base, is there already.
        harness.run("ldapadd", "-c", "-Q", "-Y", "EXTERNAL", "-H", f"ldapi://{socket_path}", text_in=sample, check=False)
        self.wait_answer("alice@example.org", "found", 5)
        self.wait_answer("nobody@example.org", "absent", 5)


if __name__ == "__main__":
    harness.main()
