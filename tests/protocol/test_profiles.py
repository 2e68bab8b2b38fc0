"""Directories as other products fill them: each with its own schema on a real slapd, found out and read by its profile."""
import os
import tempfile
import unittest

import harness
from harness import SUFFIX, Slapd, Stack
import products
from test_directory import Lookup

TREE = f"""dn: {SUFFIX}
objectClass: dcObject
objectClass: organization
dc: example
o: Example

dn: ou=mail,{SUFFIX}
objectClass: organizationalUnit
ou: mail

"""
BASE = ("core", "cosine", "inetorgperson")


def entry(rdn, classes, *lines):
    """An entry below ou=mail, which has the value of its RDN too."""
    rest = [f"objectClass: {c}" for c in classes] + [rdn.replace("=", ": ", 1)] + list(lines)
    return "\n".join([f"dn: {rdn},ou=mail,{SUFFIX}"] + rest) + "\n\n"


def person(name, classes, *lines):
    return entry(f"uid={name}", ("inetOrgPerson",) + classes, f"cn: {name}", "sn: Example",
                 f"userPassword: {name}", *lines)


class ProfileTest(Lookup, unittest.TestCase):
    """One directory each. ann is a user, an alias of hers is ann.b; bob forwards and keeps a copy, carl forwards
    alone; staff is a group; dora may not log in, eve has no mail any more."""

    def open(self, schemas, own_schema, ldif, conf=None):
        self.stack = Stack(conf, sample=False, slapd=None)
        self.stack.slapd = Slapd(f"{self.stack.folder}/directory", schemas=BASE + schemas, own_schema=own_schema)
        self.stack.conf["server_host"] = self.stack.slapd.url
        self.addCleanup(self.check)
        self.stack.slapd.slapadd(TREE + ldif)
        self.stack.start()

    def check(self):
        self.assertEqual(self.stack.stop(), [])

    def check_people(self, names, group="staff@example.org", members=("ann@example.org",), noaccess="dora"):
        """The same expectations of every product's tree."""
        self.assertIn(f'profiles="{names} dirigo#', self.stack.dirigod.log())
        self.assertEqual(self.deliveries("ann@example.org"), [("mailbox", "ann@example.org")])
        alias = self.answer("ann.b@example.org")
        self.assertEqual(alias["deliveries"][0]["dn"], self.answer("ann@example.org")["deliveries"][0]["dn"])
        self.assertEqual(self.deliveries("bob@example.org"),
                         [("mailbox", "bob@example.org"), ("remote", "bob@elsewhere.example")])
        self.assertEqual(self.deliveries("carl@example.org"), [("remote", "carl@elsewhere.example")])
        self.assertEqual([a for _, a in self.deliveries(group)], sorted(members))
        self.assertEqual(self.rcpt("nobody@example.org"), 550)
        self.assertEqual(self.rcpt("ann.b@example.org"), 250)
        eve = self.answer("eve@example.org")
        self.assertEqual((eve["answer"], eve["disabled"]), ("absent", True))
        if noaccess:
            self.assertEqual(self.rcpt(f"{noaccess}@example.org"), 250)
            self.assertFalse(self.login(noaccess))
        self.assertTrue(self.login("ann"))

    def login(self, name):
        c = self.stack.imap()
        try:
            return c.login(name, name)[0] == "OK"
        except c.error:
            return False
        finally:
            c.logout()

    def test_lachman(self):
        self.open(("nis", "misc"), "", person("ann", ("inetLocalMailRecipient",), "mail: ann@example.org",
                                             "mailLocalAddress: ann.b@example.org") +
                  entry("cn=list", ("nisMailAlias",), "cn: staff@example.org", "rfc822MailMember: ann@example.org",
                        "rfc822MailMember: x@elsewhere.example") +
                  entry("cn=fwd", ("organizationalRole", "inetLocalMailRecipient"),
                        "mailLocalAddress: carl@example.org", "mailRoutingAddress: carl@elsewhere.example"),
                  {"mydestination": "example.org"})
        self.assertIn("lachman dirigo#", self.stack.dirigod.log())
        self.assertEqual(self.deliveries("ann.b@example.org"), [("mailbox", "ann.b@example.org")])
        self.assertEqual(self.deliveries("staff@example.org"),
                         [("mailbox", "ann@example.org"), ("remote", "x@elsewhere.example")])
        self.assertEqual(self.deliveries("carl@example.org"), [("remote", "carl@elsewhere.example")])
        self.assertTrue(self.login("ann"))

    def test_qmail(self):
        kind = ("qmailUser",)
        self.open((), products.QMAIL,
                  person("ann", kind, "mail: ann@example.org", "mailAlternateAddress: ann.b@example.org",
                         "accountStatus: active", "mailQuotaSize: 1000000") +
                  person("bob", kind, "mail: bob@example.org", "mailForwardingAddress: bob@elsewhere.example") +
                  person("carl", kind, "mail: carl@example.org", "mailForwardingAddress: carl@elsewhere.example",
                         "deliveryMode: nolocal") +
                  person("dora", kind, "mail: dora@example.org", "accountStatus: noaccess") +
                  person("eve", kind, "mail: eve@example.org", "accountStatus: disabled") +
                  entry("cn=staff", ("organizationalRole", "qmailGroup"), "mail: staff@example.org",
                        "mailAlternateAddress: all@example.org", "mailMessageStore: /dev/null",
                        f"dnmember: uid=ann,ou=mail,{SUFFIX}", "rfc822member: x@elsewhere.example"),
                  {"mydestination": "example.org"})
        self.check_people("qmail", members=("ann@example.org", "x@elsewhere.example"))

    def test_by_hand(self):
        """Profiles named by the administrator, one of them a file of their own; a reload reads entries anew."""
        own = tempfile.NamedTemporaryFile("w", suffix=".profile")
        self.addCleanup(own.close)
        os.chmod(own.name, 0o644)
        own.write("class qmailUser user\nattribute mailAlternateAddress nothing\n")
        own.flush()
        self.open(("nis",), products.QMAIL,
                  person("ann", ("qmailUser",), "mail: ann@example.org", "mailAlternateAddress: ann.b@example.org"),
                  {"mydestination": "example.org", "directory_profiles": f"{own.name} auto"})
        self.assertEqual(self.rcpt("ann@example.org"), 250)
        self.assertEqual(self.rcpt("ann.b@example.org"), 550)
        self.stack.conf["directory_profiles"] = "lachman qmail"
        self.stack.write_conf()
        self.stack.tool("reload")
        self.wait_answer("ann.b@example.org", "found", 20)
        self.assertIn('profiles="lachman qmail dirigo#', self.stack.dirigod.log())
        self.stack.conf["directory_profiles"] = "exchange"
        self.stack.write_conf()
        refused = self.stack.tool("config", "check", check=False)
        self.assertRegex(refused.stderr, r'directory_profiles: there is no profile "exchange"; write auto')
        self.assertNotEqual(self.stack.tool("reload", check=False).returncode, 0)
        self.assertEqual(self.rcpt("ann.b@example.org"), 250)

    def test_netscape(self):
        kind = ("mailRecipient", "inetMailUser")
        self.open((), products.NETSCAPE,
                  person("ann", kind, "mail: ann@example.org", "mailAlternateAddress: ann.b@example.org",
                         "mailUserStatus: active", "mailQuota: -1") +
                  person("bob", kind, "mail: bob@example.org", "mailForwardingAddress: bob@elsewhere.example",
                         "mailDeliveryOption: mailbox", "mailDeliveryOption: forward") +
                  person("carl", kind, "mail: carl@example.org", "mailForwardingAddress: carl@elsewhere.example",
                         "mailDeliveryOption: forward") +
                  person("dora", kind, "mail: dora@example.org", "inetUserStatus: inactive") +
                  person("eve", kind, "mail: eve@example.org", "mailUserStatus: deleted") +
                  entry("cn=staff", ("groupOfUniqueNames", "mailGroup"), "mail: staff@example.org",
                        f"uniqueMember: uid=ann,ou=mail,{SUFFIX}", "mgrpRFC822MailMember: x@elsewhere.example"),
                  {"mydestination": "example.org"})
        self.check_people("netscape", members=("ann@example.org", "x@elsewhere.example"))

    def test_active_directory(self):
        def thing(name, kind, *lines):
            return entry(f"cn={name}", (kind, "securityPrincipal", "mailRecipient"), "instanceType: 4",
                         "nTSecurityDescriptor: x", f"objectCategory: cn=x,{SUFFIX}", f"sAMAccountName: {name}", *lines)

        def user(name, *lines):
            return thing(name, "user", "sn: Example", f"userPassword: {name}", *lines)
        with open("/etc/ldap/schema/msuser.ldif", encoding="utf-8") as f:
            msuser = f.read()
        self.open(("nis",), msuser + "\n\n" + products.EXCHANGE,
                  user("ann", "proxyAddresses: SMTP:ann@example.org", "proxyAddresses: smtp:ann.b@example.org",
                       "proxyAddresses: X500:/o=Example/cn=ann", "userAccountControl: 512") +
                  user("bob", "proxyAddresses: SMTP:bob@example.org", "deliverAndRedirect: TRUE",
                       f"altRecipient: cn=ext,ou=mail,{SUFFIX}") +
                  user("ext", "mail: bob@elsewhere.example") +
                  user("carl", "proxyAddresses: SMTP:carl@example.org",
                       "targetAddress: SMTP:carl@elsewhere.example") +
                  user("dora", "proxyAddresses: SMTP:dora@example.org", "userAccountControl: 514") +
                  thing("pc$", "computer", "sn: Example", "mail: pc@example.org") +
                  thing("staff", "group", "groupType: 2", "proxyAddresses: SMTP:staff@example.org",
                        f"member: cn=ann,ou=mail,{SUFFIX}", f"member: cn=nested,ou=mail,{SUFFIX}") +
                  thing("nested", "group", "groupType: 2", f"member: cn=carl,ou=mail,{SUFFIX}"),
                  {"mydestination": "example.org"})
        self.assertIn('profiles="ad dirigo#', self.stack.dirigod.log())
        self.assertEqual(self.deliveries("ann@example.org"), [("mailbox", "ann@example.org")])
        self.assertEqual(self.deliveries("ann.b@example.org"), [("mailbox", "ann.b@example.org")])
        self.assertEqual(self.deliveries("bob@example.org"),
                         [("mailbox", "bob@example.org"), ("remote", "bob@elsewhere.example")])
        self.assertEqual(self.deliveries("carl@example.org"), [("remote", "carl@elsewhere.example")])
        self.assertEqual(self.deliveries("staff@example.org"),
                         [("mailbox", "ann@example.org"), ("remote", "carl@elsewhere.example")])
        self.assertEqual(self.rcpt("pc@example.org"), 550)
        self.assertEqual(self.rcpt("dora@example.org"), 250)
        self.assertFalse(self.login("dora"))
        self.assertTrue(self.login("ann"))

    def test_iredmail(self):
        kind, on = ("mailUser",), ("accountStatus: active", "enabledService: mail", "enabledService: imap")
        self.open((), products.IREDMAIL,
                  entry("domainName=example.org", ("mailDomain",), "domainAliasName: example.net",
                        "accountStatus: active") +
                  person("ann", kind, "mail: ann@example.org", "shadowAddress: ann.b@example.org",
                         "memberOfGroup: staff@example.org", "mailQuota: 104857600", *on) +
                  person("bob", kind, "mail: bob@example.org", "mailForwardingAddress: bob@example.org",
                         "mailForwardingAddress: bob@elsewhere.example", *on) +
                  person("carl", kind, "mail: carl@example.org", "mailForwardingAddress: carl@elsewhere.example", *on) +
                  person("eve", kind, "mail: eve@example.org", "enabledService: mail", "accountStatus: disabled") +
                  person("fred", kind, "mail: fred@example.org", "accountStatus: active", "enabledService: imap") +
                  entry("mail=team@example.org", ("mailAlias",), "mailForwardingAddress: ann@example.org",
                        "mailForwardingAddress: carl@example.org", *on) +
                  entry("mail=staff@example.org", ("mailList",), *on) +
                  entry("mail=x@elsewhere.example", ("mailExternalUser",), "memberOfGroup: staff@example.org", *on))
        self.check_people("iredmail", members=("ann@example.org", "x@elsewhere.example"), noaccess=None)
        self.assertEqual(self.deliveries("ann@example.net"), [("mailbox", "ann@example.org")])
        self.assertEqual(self.rcpt("nobody@example.net"), 550)
        self.assertEqual(self.deliveries("team@example.org"),
                         [("mailbox", "ann@example.org"), ("remote", "carl@elsewhere.example")])
        self.assertTrue(self.answer("fred@example.org")["disabled"])

    def test_kolab(self):
        kind = ("kolabInetOrgPerson",)
        self.open((), products.KOLAB,
                  entry("dc=example.org", ("domain", "domainRelatedObject"), "associatedDomain: example.org") +
                  person("ann", kind, "mail: ann@example.org", "alias: ann.b@example.org", "cyrus-userquota: 100") +
                  person("bob", kind, "mail: bob@example.org", "kolabForwardAddress: bob@elsewhere.example",
                         "kolabForwardKeepCopy: TRUE") +
                  person("carl", kind, "mail: carl@example.org", "kolabForwardAddress: carl@elsewhere.example",
                         "kolabForwardKeepCopy: FALSE") +
                  person("eve", kind, "mail: eve@example.org", "kolabDeleteflag: mx.example.org") +
                  entry("cn=staff", ("groupOfNames", "kolabGroupOfNames"), "mail: staff@example.org",
                        f"member: uid=ann,ou=mail,{SUFFIX}"))
        self.check_people("kolab", noaccess=None)

    def test_univention(self):
        kind = ("univentionMail", "sambaSamAccount")
        self.open((), products.UNIVENTION,
                  entry("cn=example.org", ("univentionMailDomainname",)) +
                  person("ann", kind, "mailPrimaryAddress: ann@example.org",
                         "mailAlternativeAddress: ann.b@example.org", "mail: private@example.org") +
                  person("bob", kind, "mailPrimaryAddress: bob@example.org",
                         "mailForwardAddress: bob@example.org", "mailForwardAddress: bob@elsewhere.example") +
                  person("carl", kind, "mailPrimaryAddress: carl@example.org",
                         "mailForwardAddress: carl@elsewhere.example") +
                  person("dora", kind, "mailPrimaryAddress: dora@example.org", "sambaAcctFlags: [UD         ]") +
                  entry("cn=staff", ("univentionMailList",), "mailPrimaryAddress: staff@example.org",
                        "univentionMailMember: ann@example.org"))
        self.assertEqual(self.rcpt("private@example.org"), 550)
        self.assertEqual(self.deliveries("staff@example.org"), [("mailbox", "ann@example.org")])
        self.assertEqual(self.deliveries("bob@example.org"),
                         [("mailbox", "bob@example.org"), ("remote", "bob@elsewhere.example")])
        self.assertEqual(self.deliveries("carl@example.org"), [("remote", "carl@elsewhere.example")])
        self.assertEqual(self.rcpt("dora@example.org"), 250)
        self.assertFalse(self.login("dora"))
        self.assertTrue(self.login("ann"))


if __name__ == "__main__":
    harness.main()
