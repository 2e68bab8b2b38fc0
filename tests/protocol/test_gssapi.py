#!/usr/bin/python3
"""SASL GSSAPI with a Kerberos realm of our own: MIT's KDC, and curl as the client on all three protocols."""
import os
import unittest

import harness
from harness import PASSWORDS, Process, StackTest, free_ports, run, wait_for
from saslclient import SASL_NAME, SERVICES, WORDS, connect

REALM, OTHER = "EXAMPLE.ORG", "OTHER.EXAMPLE"
HOST = "mx.example.org"
PEOPLE = "ou=people,dc=example,dc=org"


class Kdc:
    """krb5kdc for one realm, on loopback, in a folder."""

    def __init__(self, folder, realm):
        self.folder, self.realm = folder, realm
        self.port = free_ports(1)[0]
        os.makedirs(folder)
        self.conf = f"{folder}/kdc.conf"
        with open(self.conf, "w", encoding="ascii") as f:
            f.write(f"[kdcdefaults]\n kdc_listen = 127.0.0.1:{self.port}\n kdc_tcp_listen = 127.0.0.1:{self.port}\n"
                    f"[realms]\n {realm} = {{\n  database_name = {folder}/principal\n  key_stash_file = {folder}/stash\n"
                    f"  acl_file = {folder}/acl\n  max_life = 1h\n }}\n")
        self.process = None

    def env(self, krb5_conf):
        return {**os.environ, "KRB5_KDC_PROFILE": self.conf, "KRB5_CONFIG": krb5_conf}

    def start(self, krb5_conf, principals):
        self.krb5_conf = krb5_conf
        run("kdb5_util", "-r", self.realm, "create", "-s", "-P", "master", env=self.env(krb5_conf))
        self.admin(*(f"addprinc -pw {password} {name}" for name, password in principals.items()))
        self.process = Process(["krb5kdc", "-n", "-r", self.realm, "-P", f"{self.folder}/pid"], f"{self.folder}/log",
                               self.env(krb5_conf))
        wait_for("the KDC", lambda: os.path.exists(f"{self.folder}/pid"))

    def admin(self, *commands):
        run("kadmin.local", "-r", self.realm, env=self.env(self.krb5_conf), text_in="\n".join(commands) + "\n")

    def stop(self):
        if self.process:
            self.process.end()


class Gssapi(StackTest):
    CONF = {"auth_mechanisms": "plain gssapi", "auth_failure_delay": "10ms", "auth_failure_delay_limit": "40ms",
            "auth_krb5_realms": REALM, "login_failure_limit": "100"}

    @classmethod
    def prepare(cls, stack):
        folder = stack.folder
        cls.kdcs = [Kdc(f"{folder}/{realm}", realm) for realm in (REALM, OTHER)]
        cls.krb5_conf = f"{folder}/krb5.conf"
        with open(cls.krb5_conf, "w", encoding="ascii") as f:
            f.write(f"[libdefaults]\n default_realm = {REALM}\n dns_lookup_kdc = false\n dns_lookup_realm = false\n"
                    " dns_canonicalize_hostname = false\n rdns = false\n udp_preference_limit = 1\n[realms]\n")
            for kdc in cls.kdcs:
                f.write(f" {kdc.realm} = {{\n  kdc = 127.0.0.1:{kdc.port}\n }}\n")
            f.write(f"[domain_realm]\n .example.org = {REALM}\n")
        services = {f"{name}/{HOST}": "x" for name in ("smtp", "imap", "pop")}
        trust = {f"krbtgt/{REALM}@{OTHER}": "shared"}
        cls.kdcs[0].start(cls.krb5_conf, {"alice": "a", "dave": "d", "nobody": "n", "bob/admin": "b", "robert": "r",
                                          **services, **trust})
        cls.kdcs[1].start(cls.krb5_conf, {"alice": "a", "carla": "c", **trust})
        cls.keytab = f"{folder}/keytab"
        cls.kdcs[0].admin(*(f"ktadd -k {cls.keytab} {name}" for name in services))
        os.chmod(cls.keytab, 0o644)
        stack.conf["auth_krb5_keytab"] = cls.keytab
        plain_env = stack.env
        # The Kerberos library keeps memory to its end.
        stack.env = lambda: {**plain_env(), "KRB5_CONFIG": cls.krb5_conf,
                             "ASAN_OPTIONS": plain_env()["ASAN_OPTIONS"] + ":detect_leaks=0"}
        slapd = stack.slapd
        schema = ("dn: cn=kerberos,cn=schema,cn=config\nobjectClass: olcSchemaConfig\ncn: kerberos\n"
                  "olcAttributeTypes: ( 2.16.840.1.113719.1.301.6.8.1 NAME 'krbPrincipalName' EQUALITY "
                  "caseExactIA5Match SYNTAX 1.3.6.1.4.1.1466.115.121.1.26 )\n"
                  "olcObjectClasses: ( 2.16.840.1.113719.1.301.6.8.2 NAME 'krbPrincipalAux' SUP top AUXILIARY MAY "
                  "krbPrincipalName )\n")
        run("/usr/sbin/slapadd", "-n", "0", "-F", f"{slapd.folder}/slapd.d", text_in=schema)

    @classmethod
    def setUpClass(cls):
        try:
            super().setUpClass()
        except BaseException:
            cls.end_kdcs()
            raise
        for uid, principal in (("bob", f"robert@{REALM}"), ("carol", f"carla@{OTHER}")):
            cls.stack.slapd.modify(f"dn: uid={uid},{PEOPLE}\nchangetype: modify\nadd: objectClass\n"
                                   f"objectClass: krbPrincipalAux\n-\nadd: krbPrincipalName\n"
                                   f"krbPrincipalName: {principal}\n")

    @classmethod
    def end_kdcs(cls):
        for kdc in cls.kdcs:
            kdc.stop()

    @classmethod
    def tearDownClass(cls):
        cls.end_kdcs()
        super().tearDownClass()

    def ticket(self, principal, password):
        cache = f"{self.stack.folder}/ticket-{principal.replace('/', '-')}"
        run("kinit", "-c", cache, principal, text_in=password + "\n",
            env={**os.environ, "KRB5_CONFIG": self.krb5_conf})
        return cache

    def curl(self, service, cache, other=""):
        """curl's exit status: 0, or 67 for a login that was refused."""
        port = self.stack.ports[service]
        scheme = SASL_NAME[service]
        more = ["--sasl-authzid", other] if other else []
        if service == "submission":
            more += ["-X", "NOOP"]
        done = run("curl", "-sS", "-v", "--ssl-reqd", "-k", "--max-time", "30", "--resolve", f"{HOST}:{port}:127.0.0.1",
                   "--url", f"{scheme}://{HOST}:{port}/", "--login-options", "AUTH=GSSAPI", "--user", ":", *more,
                   env={**os.environ, "KRB5_CONFIG": self.krb5_conf, "KRB5CCNAME": cache}, check=False)
        self.assertIn("AUTHENTICATE GSSAPI" if scheme == "imap" else "AUTH GSSAPI", done.stderr)
        return done.returncode

    def logged(self, service, login, by):
        def told():
            return [li for li in self.stack.dirigod.log().splitlines()
                    if f"service={SASL_NAME[service]} mechanism=GSSAPI login={login} " in li
                    and "result=ok" in li and f"by={by}" in li]
        wait_for("the log", told)

    def each(self, principal, password, login, by):
        cache = self.ticket(principal, password)
        for service in SERVICES:
            with self.subTest(service, principal=principal):
                if login is None:
                    self.assertEqual(self.curl(service, cache), 67)
                else:
                    self.assertEqual(self.curl(service, cache), 0)
                    self.logged(service, login, by)

    def test_principals(self):
        wait_for("krbPrincipalName", lambda: self.curl("imap", self.ticket("robert", "r")) == 0)
        self.each("alice", "a", "alice", "principal")
        self.each("robert", "r", "bob", "krbPrincipalName")
        self.each(f"carla@{OTHER}", "c", "carol", "krbPrincipalName")

    def test_refused(self):
        self.each("dave", "d", None, "")  # disabled
        self.each("nobody", "n", None, "")
        self.each("bob/admin", "b", None, "")
        self.each(f"alice@{OTHER}", "a", None, "")  # of a realm that names no login here

    def test_acting(self):
        cache = self.ticket("alice", "a")
        for service in SERVICES:
            self.assertEqual(self.curl(service, cache, "alice@example.org"), 0)
            self.assertEqual(self.curl(service, cache, "bob"), 67)
        self.stack.slapd.modify(f"dn: uid=bob,{PEOPLE}\nchangetype: modify\nadd: dirigoDelegate\n"
                                f"dirigoDelegate: uid=alice,{PEOPLE}\n")
        wait_for("the delegate", lambda: self.curl("imap", cache, "bob") == 0)
        for service in SERVICES:
            self.assertEqual(self.curl(service, cache, "bob"), 0)
        self.assertIn("login=bob", next(li for li in self.stack.dirigod.log().splitlines() if "actor=alice" in li))

    def test_junk(self):
        for service in SERVICES:
            with connect(self.stack, service) as c:
                self.assertIn("GSSAPI", c.capabilities())
                for text in ("YQ==", "=", "YIIB" + "A" * 400):
                    reply = c.sasl_ir("GSSAPI", text)
                    self.assertNotIn("OK", reply[:3])
                    self.assertFalse(reply.startswith(("235", WORDS["temporary"][service])), (text, reply))
                    if reply.startswith("+ "):
                        c.answer("*")


class NoKey(StackTest):
    """Without a keytab nobody is refused for good."""
    CONF = {"auth_mechanisms": "plain gssapi", "auth_failure_delay": "10ms"}

    @classmethod
    def prepare(cls, stack):
        stack.conf["auth_krb5_keytab"] = f"{stack.folder}/none"
        plain_env = stack.env
        stack.env = lambda: {**plain_env(), "ASAN_OPTIONS": plain_env()["ASAN_OPTIONS"] + ":detect_leaks=0"}

    def test_temporary(self):
        for service in SERVICES:
            with connect(self.stack, service) as c:
                reply = c.sasl_ir("GSSAPI", "YIIBAAAA")
                self.assertTrue(reply.startswith(WORDS["temporary"][service]), reply)
                self.assertTrue(c.password("alice", PASSWORDS["alice"]).startswith(("235", "OK", "+OK")))


if __name__ == "__main__":
    harness.main()
