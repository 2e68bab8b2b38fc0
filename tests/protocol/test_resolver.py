#!/usr/bin/python3
"""dirigo-resolver against a zone that is signed here and served by nsd: what is secure, insecure, bogus, absent,
unknown."""
import json
import re
import shutil
import struct
import subprocess
import tempfile
import unittest

import alone
import harness

A, CNAME, MX, TXT, AAAA = 1, 5, 15, 16, 28
INSECURE, SECURE, BOGUS = range(3)
QUERY, ANSWER = 1, 2


class Answer:
    def __init__(self, message):
        assert message.kind == ANSWER
        self.security = message.u8()
        self.failed = bool(message.u8())
        self.why = message.str()
        self.packet = message.bytes()
        message.end()
        self.rcode = self.packet[3] & 15 if self.packet else None
        self.answers = struct.unpack(">H", self.packet[6:8])[0] if self.packet else None


class ResolverTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="dirigo-resolver-")
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        cls.signed = harness.Dns(f"{cls.folder}/signed", "signed.example", """@ MX 10 mx
mx A 127.0.0.1
alias CNAME mx
altered A 127.0.0.7
long TXT "{0}" "{0}" "{0}" "{0}" "{0}" "{0}" "{0}" "{0}" "{0}" "{0}"
child NS ns
""".format("x" * 250))
        # What an attacker would do: the record is another one than the one that was signed.
        with open(cls.signed.served, encoding="ascii") as f:
            zone = f.read()
        assert "127.0.0.7" in zone
        with open(cls.signed.served, "w", encoding="ascii") as f:
            f.write(zone.replace("127.0.0.7", "127.0.0.8"))
        cls.plain = harness.Dns(f"{cls.folder}/plain", "plain.test", "@ MX 10 mx\nmx A 127.0.0.1\n", sign=False)
        # A signed zone whose key is not the one that the anchor names.
        cls.other = harness.Dns(f"{cls.folder}/other", "other.example", "@ MX 10 mx\n")
        cls.silent = harness.socket.socket(harness.socket.AF_INET, harness.socket.SOCK_DGRAM)
        cls.silent.bind(("127.0.0.1", 0))
        for dns in (cls.signed, cls.plain, cls.other):
            dns.start()
        anchors = f"{cls.folder}/anchors"
        with open(anchors, "w", encoding="ascii") as out:
            with open(cls.signed.anchor, encoding="ascii") as f:
                out.write("; the anchors of this test\n" + f.read())
            with open(cls.signed.anchor, encoding="ascii") as f:
                out.write(f.read().replace("signed.example.", "other.example."))
        stubs = [f"{dns.zone}=127.0.0.1@{dns.port}" for dns in (cls.signed, cls.plain, cls.other)]
        dead = harness.free_ports(1)[0]
        stubs += [f"dead.example=127.0.0.1@{dead}"]
        cls.conf = {"resolver_query_localhost": "yes", "resolver_stub_zones": " ".join(stubs),
                    "resolver_forward_zones": f"silent.example=127.0.0.1@{cls.silent.getsockname()[1]}",
                    "resolver_trust_anchor_file": anchors, "resolver_timeout": "1500ms"}
        cls.resolver = alone.Alone("dirigo-resolver", cls.conf, ipc="resolver")
        cls.resolver.start()
        cls.channel = cls.resolver.connect()

    @classmethod
    def tearDownClass(cls):
        cls.channel.close()
        try:
            cls.resolver.stop()
        finally:
            for dns in (cls.signed, cls.plain, cls.other):
                dns.stop()
            cls.silent.close()

    def ask(self, name, kind, channel=None, ident=7):
        channel = channel or self.channel
        channel.send(QUERY, alone.Body().str(name).u32(kind), ident=ident)
        m = channel.read()
        self.assertEqual(m.id, ident)
        return Answer(m)

    def test_secure(self):
        for _ in range(2):  # the second one from the cache
            a = self.ask("signed.example", MX)
            self.assertEqual((a.security, a.failed, a.rcode), (SECURE, False, 0))
            self.assertGreaterEqual(a.answers, 1)

    def test_secure_cname(self):
        a = self.ask("ALIAS.signed.example.", A)
        self.assertEqual((a.security, a.failed, a.rcode), (SECURE, False, 0))
        self.assertIn(bytes([127, 0, 0, 1]), a.packet)

    def test_large_answer(self):
        a = self.ask("long.signed.example", TXT)
        self.assertEqual((a.security, a.failed), (SECURE, False))
        self.assertEqual(a.packet.count(b"x" * 250), 10)

    def test_nxdomain(self):
        a = self.ask("nobody.signed.example", A)
        self.assertEqual((a.security, a.failed, a.rcode, a.answers), (SECURE, False, 3, 0))

    def test_nodata(self):
        a = self.ask("mx.signed.example", AAAA)
        self.assertEqual((a.security, a.failed, a.rcode, a.answers), (SECURE, False, 0, 0))

    def test_insecure(self):
        a = self.ask("plain.test", MX)
        self.assertEqual((a.security, a.failed, a.rcode, a.answers), (INSECURE, False, 0, 1))

    def test_bogus_record(self):
        a = self.ask("altered.signed.example", A)
        self.assertEqual((a.security, a.failed, a.packet), (BOGUS, True, b""))
        self.assertTrue(a.why)

    def test_bogus_key(self):
        a = self.ask("other.example", MX)
        self.assertEqual((a.security, a.failed), (BOGUS, True))

    def test_dead_upstream_is_unknown(self):
        a = self.ask("www.dead.example", A)
        self.assertEqual((a.security, a.failed), (INSECURE, True))
        self.assertTrue(a.why)

    def test_silent_upstream_is_unknown_in_time(self):
        start = harness.time.monotonic()
        a = self.ask("www.silent.example", A)
        self.assertTrue(a.failed)
        self.assertLess(harness.time.monotonic() - start, 6)

    def test_peer_goes_with_queries_outstanding(self):
        channel = self.resolver.connect()
        for i in range(50):
            channel.send(QUERY, alone.Body().str(f"h{i}.silent.example").u32(A), ident=i + 1)
        channel.close()
        self.test_secure()

    def test_malformed_messages_close_the_channel(self):
        for body in (alone.Body().str("x.test"), alone.Body().str(None).u32(1), alone.Body().str("x.test").u32(65536),
                     alone.Body().str("x" * 2000).u32(1), alone.Body().str("x.test").u32(1).u8(0)):
            channel = self.resolver.connect()
            channel.send(QUERY, body, ident=1)
            with self.assertRaises((EOFError, ConnectionError)):
                channel.read()
            channel.close()
        self.test_secure()

    def test_bad_name_fails(self):
        self.assertTrue(self.ask("a..b", A).failed)

    def test_many_at_once(self):
        channel = self.resolver.connect()
        for i in range(500):
            channel.send(QUERY, alone.Body().str("signed.example" if i % 2 else f"n{i}.signed.example").u32(MX),
                         ident=i + 1)
        seen = {}
        for _ in range(500):
            m = channel.read()
            seen[m.id] = Answer(m)
        self.assertEqual(len(seen), 500)
        for ident, a in seen.items():
            self.assertEqual((a.security, a.rcode), (SECURE, 3 if ident % 2 else 0))
        channel.close()

    def tool(self, *args):
        path = f"{self.folder}/dirigo.conf"
        with open(path, "w", encoding="utf-8") as f:
            f.writelines(f"{k} = {v}\n" for k, v in self.resolver.conf.items())
        done = harness.run(f"{harness.BUILD}/dirigo", "-c", path, "dns", *args, check=False)
        return done.returncode, done.stdout, done.stderr

    def test_tool(self):
        code, out, _ = self.tool("signed.example")
        self.assertEqual((code, out), (0, "signed.example MX: found, secure\n    10 mx.signed.example\n"))
        code, out, _ = self.tool("alias.signed.example", "a")
        self.assertEqual((code, out), (0, "alias.signed.example A: found, secure\n    127.0.0.1\n"))
        self.assertEqual(self.tool("mx.signed.example", "AAAA")[:2], (1, "mx.signed.example AAAA: nodata, secure\n"))
        self.assertEqual(self.tool("no.signed.example")[:2], (1, "no.signed.example MX: nxdomain, secure\n"))
        self.assertEqual(self.tool("a..b")[0], 1)
        self.assertEqual(self.tool("signed.example", "WHAT")[0], 1)
        self.assertEqual(self.tool()[0], 64)
        code, out, _ = self.tool("altered.signed.example", "A", "--json")
        answer = json.loads(out)
        self.assertEqual((code, answer["status"], answer["security"]), (69, "unknown", "bogus"))
        self.assertTrue(answer["why"])
        code, out, _ = self.tool("long.signed.example", "TXT", "--json")
        self.assertEqual((code, json.loads(out)["records"][0]["data"]), (0, "x" * 2500))

    def test_links(self):
        out = subprocess.run(["readelf", "-d", f"{harness.BUILD}/dirigo-resolver"], capture_output=True, text=True,
                             check=True).stdout
        needed = set(re.findall(r"\[lib(\w+?)[-.\d]*\.so", out))
        self.assertIn("unbound", needed)
        self.assertFalse(needed & {"ldap", "sasl2", "lmdb"})


class Rollover(harness.Dns):
    """A zone that is signed anew with the keys of the moment."""

    def __init__(self, folder, zone):
        super().__init__(folder, zone, "mx A 127.0.0.1\n", sign=False)
        self.served = f"{folder}/signed"
        with open(f"{folder}/nsd.conf", encoding="ascii") as f:
            conf = f.read()
        with open(f"{folder}/nsd.conf", "w", encoding="ascii") as f:
            f.write(conf.replace(self.zone_file, self.served))

    def new_key(self):
        return subprocess.run(["ldns-keygen", "-a", "ECDSAP256SHA256", "-k", self.zone], cwd=self.folder,
                              capture_output=True, text=True, check=True).stdout.strip()

    def sign(self, *keys):
        subprocess.run(["ldns-signzone", "-n", "-f", "signed", "zone", *keys], cwd=self.folder, check=True)
        if self.process:
            self.process.end()
            self.start()


class AnchorTest(unittest.TestCase):
    """RFC 5011: the zone's keys are replaced one after the other, and the administrator does nothing."""

    def setUp(self):
        folder = tempfile.mkdtemp(prefix="dirigo-resolver-")
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        self.zone = Rollover(f"{folder}/zone", "roll.example")
        self.old, self.new = self.zone.new_key(), self.zone.new_key()
        self.zone.sign(self.old)
        self.zone.start()
        self.addCleanup(self.zone.stop)
        self.anchors = f"{folder}/anchors"
        shutil.copy(f"{folder}/zone/{self.old}.key", self.anchors)
        self.folder = f"{folder}/resolver"
        self.kept = f"{self.folder}/state/resolver/anchor.roll.example"
        self.resolver = None

    def start(self, **conf):
        self.resolver = alone.Alone("dirigo-resolver", {
            "resolver_query_localhost": "yes", "resolver_stub_zones": f"roll.example=127.0.0.1@{self.zone.port}",
            "resolver_trust_anchor_file": self.anchors, "resolver_timeout": "5s",
            "resolver_trust_anchor_hold_down": "1s", "resolver_cache_max_ttl": "1s", **conf}, ipc="resolver", folder=self.folder)
        self.resolver.start()

    def restart(self, **conf):
        self.resolver.stop()
        shutil.rmtree(f"{self.folder}/run")
        self.start(**conf)

    def security(self):
        channel = self.resolver.connect()
        channel.send(QUERY, alone.Body().str("mx.roll.example").u32(A), ident=1)
        a = Answer(channel.read())
        channel.close()
        return a.security

    def trusted(self):
        """The keys' ids that are valid by now; asking makes the resolver look at the keys again."""
        self.security()
        with open(self.kept, encoding="ascii") as f:
            return set(re.findall(r"id = (\d+) .*state=2 \[  VALID  \]", f.read()))

    def test_rollover(self):
        self.start()
        self.addCleanup(lambda: self.resolver.stop())
        self.assertEqual(self.security(), SECURE)
        old, new = (key.rsplit("+", 1)[1].lstrip("0") for key in (self.old, self.new))
        self.zone.sign(self.old, self.new)
        harness.wait_for("the new key", lambda: self.trusted() == {old, new}, 40, 0.3)
        self.zone.sign(self.new)
        harness.time.sleep(2.1)  # what is cached was signed by the old one as well
        self.assertEqual(self.security(), SECURE)
        self.restart()
        self.assertEqual(self.security(), SECURE)
        # A file that is damaged is made anew from the administrator's, which names the old key only.
        with open(self.kept, "w", encoding="ascii") as f:
            f.write("roll.example. this is no anchor\n")
        self.restart()
        self.assertIn("thrown away", self.resolver.log())
        self.assertEqual(self.security(), BOGUS)
        # A file of the administrator's that was changed counts, not what was kept.
        shutil.copy(f"{self.zone.folder}/{self.new}.key", self.anchors)
        self.restart()
        self.assertEqual(self.security(), SECURE)

    def test_without_updates(self):
        self.start(resolver_trust_anchor_update="no")
        self.addCleanup(lambda: self.resolver.stop())
        self.assertEqual(self.security(), SECURE)
        self.assertFalse(harness.os.path.exists(self.kept))
        self.zone.sign(self.new)
        harness.wait_for("the end of what is cached", lambda: self.security() == BOGUS)


class UpstreamTest(unittest.TestCase):
    """Answers from a file, from a server that is reached by TLS, and from the cache of a server that is gone."""

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="dirigo-resolver-")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def start(self, **conf):
        resolver = alone.Alone("dirigo-resolver", {"resolver_query_localhost": "yes", "resolver_timeout": "3s",
                                                   "resolver_trust_anchor_file": "", **conf}, ipc="resolver")
        resolver.start()
        self.addCleanup(resolver.stop)
        return resolver

    def ask(self, resolver, name, kind):
        channel = resolver.connect()
        channel.send(QUERY, alone.Body().str(name).u32(kind), ident=1)
        a = Answer(channel.read())
        channel.close()
        return a

    def test_local_data(self):
        path = f"{self.folder}/data"
        with open(path, "w", encoding="ascii") as f:
            f.write('; what this host knows by itself\nhere.example. 60 A 192.0.2.9 ; an address\n\n'
                    'here.example. TXT "one; two"\n')
        r = self.start(resolver_local_data_file=path)
        a = self.ask(r, "here.example", A)
        self.assertEqual((a.security, a.failed, a.answers), (INSECURE, False, 1))
        self.assertIn(bytes([192, 0, 2, 9]), a.packet)
        self.assertIn(b"one; two", self.ask(r, "here.example", TXT).packet)
        self.assertEqual(self.ask(r, "here.example", MX).answers, 0)

    def test_bad_local_data_names_the_line(self):
        path = f"{self.folder}/data"
        with open(path, "w", encoding="ascii") as f:
            f.write("; comment\nhere.example. 60 A not-an-address\n")
        r = alone.Alone("dirigo-resolver", {"resolver_trust_anchor_file": "", "resolver_local_data_file": path},
                        ipc="resolver", folder=f"{self.folder}/r")
        with self.assertRaises((AssertionError, EOFError)):
            r.start()
        self.assertIn("line=2", r.log())
        r.child.wait(10)

    def dns_over_tls(self, name):
        """A resolver whose upstream is an nsd behind TLS with a certificate for localhost, called `name`."""
        cert, key = harness.certificate(self.folder)
        dns = harness.Dns(f"{self.folder}/zone", "far.example", "mx A 192.0.2.7\n", sign=False)
        tls = harness.free_ports(1)[0]
        with open(f"{self.folder}/zone/nsd.conf", encoding="ascii") as f:
            conf = f.read()
        with open(f"{self.folder}/zone/nsd.conf", "w", encoding="ascii") as f:
            f.write(conf.replace("server:\n", f"server:\n  ip-address: 127.0.0.1@{tls}\n  tls-port: {tls}\n"
                                 f"  tls-service-pem: {cert}\n  tls-service-key: {key}\n", 1))
        dns.start()
        self.addCleanup(dns.stop)
        return self.start(resolver_forward_zones=f"far.example=127.0.0.1@{tls}#{name}",
                          resolver_tls_ca_cert_file=cert)

    def test_dns_over_tls(self):
        a = self.ask(self.dns_over_tls("localhost"), "mx.far.example", A)
        self.assertEqual((a.failed, a.answers), (False, 1))

    def test_dns_over_tls_to_another_name(self):
        a = self.ask(self.dns_over_tls("other.example"), "mx.far.example", A)
        self.assertTrue(a.failed)

    def test_expired_answers_while_no_server_answers(self):
        dns = harness.Dns(f"{self.folder}/zone", "lost.example", "mx A 192.0.2.7\n", sign=False)
        dns.start()
        self.addCleanup(dns.stop)
        conf = {"resolver_stub_zones": f"lost.example=127.0.0.1@{dns.port}", "resolver_cache_max_ttl": "1s"}
        kept, bare = self.start(resolver_serve_expired="1h", **conf), self.start(**conf)
        for r in (kept, bare):
            self.assertEqual(self.ask(r, "mx.lost.example", A).answers, 1)
        dns.stop()
        harness.wait_for("the end of what is cached", lambda: self.ask(bare, "mx.lost.example", A).failed)
        a = self.ask(kept, "mx.lost.example", A)
        self.assertEqual((a.failed, a.answers), (False, 1))
        self.assertTrue(self.ask(kept, "other.lost.example", A).failed)


class SettingsTest(unittest.TestCase):
    def test_missing_anchor_file_stops_the_start(self):
        r = alone.Alone("dirigo-resolver", {"resolver_trust_anchor_file": "/nonexistent"}, ipc="resolver")
        with self.assertRaises((AssertionError, EOFError)):
            r.start()
        self.assertIn("dns-root-data", r.log())
        r.child.wait(10)
        shutil.rmtree(r.folder)

    def test_query_limit(self):
        silent = harness.socket.socket(harness.socket.AF_INET, harness.socket.SOCK_DGRAM)
        silent.bind(("127.0.0.1", 0))
        r = alone.Alone("dirigo-resolver", {
            "resolver_trust_anchor_file": "", "resolver_query_localhost": "yes", "resolver_query_limit": "10",
            "resolver_forward_zones": f".=127.0.0.1@{silent.getsockname()[1]}", "resolver_timeout": "1s"},
            ipc="resolver")
        r.start()
        channel = r.connect()
        for i in range(20):
            channel.send(QUERY, alone.Body().str(f"h{i}.example").u32(A), ident=i + 1)
        answers = [channel.read() for _ in range(20)]
        self.assertEqual([m.id for m in answers[:10]], list(range(11, 21)))
        self.assertTrue(all(Answer(m).failed for m in answers))
        channel.close()
        r.stop()
        silent.close()


if __name__ == "__main__":
    harness.main()
