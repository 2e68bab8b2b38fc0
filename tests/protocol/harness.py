"""A whole mail system for one test: slapd, dirigod and, where asked for, a signed DNS zone, in a folder of its own.

    class MyTest(StackTest):
        CONF = {"smtpd_timeout": "3s"}        # parameters besides the usual ones
        def test_it(self): ... self.stack.smtp() ... self.stack.slapd.modify(ldif) ...

DIRIGO_BUILD names the build folder. Processes are started here and ended here, by their ids. Everything
listens on loopback. The people, aliases and policies are those of conf/sample.ldif.
"""
import imaplib
import json
import os
import poplib
import pwd
import random
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import unittest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("DIRIGO_BUILD", os.path.join(TOP, "build"))
SUFFIX = "dc=example,dc=org"
# What conf/sample.ldif says of its people.
PASSWORDS = {name: f"{name}-example" for name in ("alice", "bob", "carol", "dave")}
PROTOCOLS = ("smtp", "submission", "submissions", "lmtp", "imap", "imaps", "pop3", "pop3s")
SCHEMAS = ("core", "cosine", "nis", "inetorgperson", "misc", "dyngroup")


RESERVED = {}  # port -> the name that keeps it from other tests


def reserve(port):
    """Whether the port is ours from now on, whoever else takes ports: two stacks, or two tests that run beside each
    other, must not get the same before their servers are bound. An abstract name ends with the process."""
    name = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        name.bind(f"\0dirigo-test-port-{port}")
    except OSError:
        name.close()
        return False
    RESERVED[port] = name
    return True


def free_ports(count):
    """Ports that nothing uses now, all different. They lie below those that the kernel gives to outgoing
    connections: one of these must not take a port before (or while) the server that it is meant for restarts."""
    ports = []
    while len(ports) < count:
        port = random.randrange(11000, 32000)
        try:
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                with socket.socket(type=kind) as s:
                    s.bind(("", port))
        except OSError:
            continue
        if reserve(port):
            ports.append(port)
    return ports


def wait_for(what, probe, seconds=20.0, step=0.02):
    """Calls probe until it returns something true; an exception counts as not yet."""
    deadline = time.monotonic() + seconds
    last = None
    while time.monotonic() < deadline:
        try:
            value = probe()
            if value:
                return value
        except Exception as e:  # noqa: BLE001 - reported when time is up
            last = e
        time.sleep(step)
    raise AssertionError(f"{what}: not within {seconds} s (last: {last!r})")


def run(*argv, check=True, text_in=None, env=None, timeout=60):
    done = subprocess.run(argv, input=text_in, capture_output=True, text=True, timeout=timeout, env=env)
    if check and done.returncode != 0:
        raise AssertionError(f"{argv} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return done


class Process:
    """A child that is ended by its id."""

    def __init__(self, argv, log, env=None):
        self.argv, self.log_path = argv, log
        with open(log, "ab") as out:
            self.child = subprocess.Popen(argv, stdout=out, stderr=out, stdin=subprocess.DEVNULL, env=env)

    @property
    def pid(self):
        return self.child.pid

    def alive(self):
        return self.child.poll() is None

    def end(self, sig=signal.SIGTERM, seconds=30):
        if self.alive():
            self.child.send_signal(sig)
            try:
                self.child.wait(seconds)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait(10)
                raise AssertionError(f"{self.argv[0]} did not end within {seconds} s of signal {sig}")
        return self.child.returncode

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as f:
            return f.read()


class Slapd:
    """A real OpenLDAP server with syncprov, on ldapi and on a TCP port."""

    def __init__(self, folder, suffix=SUFFIX, port=None, syncprov=True, session_log=1000, schemas=None, own_schema=None):
        """schemas: names of stock schemas; own_schema: LDIF under cn=schema,cn=config instead of Dirigo's."""
        self.folder, self.suffix = folder, suffix
        self.port = port or free_ports(1)[0]
        self.root_dn, self.root_pw = f"cn=admin,{suffix}", "secret"
        self.process = None
        os.makedirs(f"{folder}/db")
        os.makedirs(f"{folder}/slapd.d")
        self.ldapi = "ldapi://" + f"{folder}/ldapi".replace("/", "%2F")
        self.url = f"ldap://127.0.0.1:{self.port}"
        schema = "".join(f"include: file:///etc/ldap/schema/{s}.ldif\n\n" for s in schemas or SCHEMAS)
        schema += own_schema if own_schema is not None else f"include: file://{TOP}/schema/dirigo.ldif\n"
        overlay = (f"dn: olcOverlay=syncprov,olcDatabase={{1}}mdb,cn=config\nobjectClass: olcOverlayConfig\n"
                   f"objectClass: olcSyncProvConfig\nolcOverlay: syncprov\nolcSpCheckpoint: 100 10\n"
                   f"olcSpSessionlog: {session_log}\n\n") if syncprov else ""
        config = f"""dn: cn=config
objectClass: olcGlobal
cn: config
olcPidFile: {folder}/slapd.pid
olcSizeLimit: unlimited

dn: cn=module{{0}},cn=config
objectClass: olcModuleList
cn: module{{0}}
olcModulePath: /usr/lib/ldap
olcModuleLoad: back_mdb
olcModuleLoad: syncprov

dn: cn=schema,cn=config
objectClass: olcSchemaConfig
cn: schema

{schema}
dn: olcDatabase={{-1}}frontend,cn=config
objectClass: olcDatabaseConfig
olcDatabase: {{-1}}frontend

dn: olcDatabase={{0}}config,cn=config
objectClass: olcDatabaseConfig
olcDatabase: {{0}}config
olcRootDN: cn=config
olcRootPW: {self.root_pw}

dn: olcDatabase={{1}}mdb,cn=config
objectClass: olcDatabaseConfig
objectClass: olcMdbConfig
olcDatabase: {{1}}mdb
olcSuffix: {suffix}
olcRootDN: {self.root_dn}
olcRootPW: {self.root_pw}
olcDbDirectory: {folder}/db
olcDbMaxSize: 4294967296
olcDbNoSync: TRUE
olcDbIndex: objectClass,entryUUID,entryCSN,mail,uid eq
olcAccess: to attrs=userPassword by anonymous auth by * none
olcAccess: to * by * read

{overlay}"""
        run("/usr/sbin/slapadd", "-n", "0", "-F", f"{folder}/slapd.d", text_in=config)

    def slapadd(self, ldif):
        """Loads LDIF before the first start (quick for many entries)."""
        run("/usr/sbin/slapadd", "-q", "-w", "-n", "1", "-F", f"{self.folder}/slapd.d", text_in=ldif, timeout=300)

    def start(self):
        self.process = Process(["/usr/sbin/slapd", "-d", "0", "-F", f"{self.folder}/slapd.d", "-h",
                                f"{self.url} {self.ldapi}"], f"{self.folder}/slapd.log")
        wait_for("slapd", lambda: run("ldapsearch", "-x", "-LLL", "-H", self.url, "-s", "base", "-b", "", "1.1"))

    def stop(self, sig=signal.SIGTERM):
        if self.process:
            self.process.end(sig)
            self.process = None

    def _ldap(self, tool, ldif, check=True):
        return run(tool, "-x", "-H", self.url, "-D", self.root_dn, "-w", self.root_pw, text_in=ldif, check=check)

    def add(self, ldif, check=True):
        return self._ldap("ldapadd", ldif, check)

    def modify(self, ldif, check=True):
        return self._ldap("ldapmodify", ldif, check)

    def add_file(self, path):
        with open(path, encoding="utf-8") as f:
            return self.add(f.read())


class Dns:
    """A zone signed here and served by nsd: `anchor` is the file with its trust anchor."""

    def __init__(self, folder, zone, records, sign=True):
        self.folder, self.zone = folder, zone
        self.port = free_ports(1)[0]
        os.makedirs(folder)
        self.process, self.anchor = None, f"{folder}/anchor"
        self.zone_file = f"{folder}/zone"
        with open(self.zone_file, "w", encoding="ascii") as f:
            f.write(f"$ORIGIN {zone}.\n$TTL 300\n@ SOA ns hostmaster 1 3600 600 86400 60\n@ NS ns\nns A 127.0.0.1\n")
            f.write(records)
        served = self.zone_file
        with open(self.anchor, "w", encoding="ascii") as anchor:
            if sign:
                key = subprocess.run(["ldns-keygen", "-a", "ECDSAP256SHA256", "-k", zone], cwd=folder,
                                     capture_output=True, text=True, check=True).stdout.strip()
                subprocess.run(["ldns-signzone", "-n", "-f", "signed", "zone", key], cwd=folder, check=True)
                served = f"{folder}/signed"
                with open(f"{folder}/{key}.key", encoding="ascii") as f:
                    anchor.write(f.read())
        self.served = served
        with open(f"{folder}/nsd.conf", "w", encoding="ascii") as f:
            f.write(f"""server:
  ip-address: 127.0.0.1@{self.port}
  username: ""
  chroot: ""
  zonesdir: "{folder}"
  database: ""
  pidfile: "{folder}/nsd.pid"
  xfrdfile: "{folder}/xfrd.state"
  zonelistfile: "{folder}/zone.list"
  cookie-secret-file: "{folder}/cookies"
  server-count: 1
remote-control:
  control-enable: no
zone:
  name: {zone}
  zonefile: {served}
""")

    def start(self):
        self.process = Process(["/usr/sbin/nsd", "-d", "-c", f"{self.folder}/nsd.conf"], f"{self.folder}/nsd.log")
        wait_for("nsd", self.answers)

    def answers(self):
        """Whether the zone's SOA is served, asked with no more patience than the start of a local server needs."""
        name = b"".join(bytes([len(label)]) + label.encode() for label in self.zone.split(".")) + b"\0"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(0.1)
            s.connect(("127.0.0.1", self.port))
            s.send(b"\0\1\0\0\0\1\0\0\0\0\0\0" + name + b"\0\6\0\1")
            reply = s.recv(512)
            return reply[3] & 15 == 0 and reply[7] > 0

    def stop(self):
        if self.process:
            self.process.end()
            self.process = None


def certificate(folder, name="localhost"):
    """A self-signed certificate for name; returns the paths of certificate and key."""
    cert, key = f"{folder}/cert.pem", f"{folder}/key.pem"
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
        "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name},IP:127.0.0.1", "-out", cert, "-keyout", key)
    return cert, key


class Stack:
    """dirigod and what it needs. Folders lie in `folder`; `conf` adds to or replaces the usual parameters."""

    def __init__(self, conf=None, embedded=False, sample=True, dns=None, slapd=None):
        self.folder = tempfile.mkdtemp(prefix="dirigo-test-")
        os.chmod(self.folder, 0o755)
        os.mkdir(f"{self.folder}/asan")
        os.chmod(f"{self.folder}/asan", 0o1777)
        self.ports = dict(zip(PROTOCOLS, free_ports(len(PROTOCOLS))))
        self.cert, self.key = certificate(self.folder)
        self.slapd = None if embedded else slapd or Slapd(f"{self.folder}/ldap")
        self.embedded, self.sample, self.dns = embedded, sample, dns
        self.dirigod = None
        self.conf_path = f"{self.folder}/dirigo.conf"
        self.mail = f"{self.folder}/state/mail"
        self.conf = {
            "myhostname": "mx.example.org", "mydomain": "example.org", "search_base": SUFFIX,
            "inet_interfaces": "127.0.0.1", "protocols": " ".join(PROTOCOLS),
            "state_directory": f"{self.folder}/state", "run_directory": f"{self.folder}/run",
            "mail_directory": self.mail, "daemon_directory": BUILD,
            "schema_directory": f"{TOP}/schema", "ssl_cert": self.cert, "ssl_key": self.key,
            "auth_failure_delay": "100ms", "queue_journal_size": "4M", "service_processes": "1",
            "resolver_trust_anchor_file": "", "resolver_query_localhost": "yes", "log_target": "stderr",
            "minimal_backoff_time": "1s", "directory_map_size": "256M",
        }
        if embedded:
            self.conf["embedded_directory"] = "yes"
        else:
            self.conf["server_host"] = self.slapd.url
        if dns:
            self.conf["resolver_stub_zones"] = f"{dns.zone}=127.0.0.1@{dns.port}"
            self.conf["resolver_trust_anchor_file"] = dns.anchor
        for protocol, port in self.ports.items():
            self.conf[f"port_{protocol}"] = str(port)
        self.conf.update(conf or {})

    def write_conf(self):
        with open(self.conf_path, "w", encoding="utf-8") as f:
            f.writelines(f"{name} = {value}\n" for name, value in self.conf.items())

    def env(self):
        env = dict(os.environ)
        leaks = "0" if os.geteuid() == 0 else env.get("DIRIGO_LEAKS", "1")
        env["ASAN_OPTIONS"] = f"log_path={self.folder}/asan/report:detect_leaks={leaks}:abort_on_error=0"
        env["ASAN_OPTIONS"] += env.get("DIRIGO_ASAN", "")
        env["UBSAN_OPTIONS"] = f"print_stacktrace=1:log_path={self.folder}/asan/report"
        return env

    def start(self, ready=True):
        self.write_conf()
        if self.dns and not self.dns.process:
            self.dns.start()
        if self.slapd and not self.slapd.process:
            if self.sample:
                with open(f"{TOP}/conf/sample.ldif", encoding="utf-8") as f:
                    self.slapd.slapadd(f.read())
                self.sample = False
            self.slapd.start()
        self.start_dirigod(ready)

    def start_dirigod(self, ready=True):
        self.dirigod = Process([f"{BUILD}/dirigod", "-F", "-c", self.conf_path], f"{self.folder}/dirigod.log",
                               env=self.env())
        if ready:
            wait_for("dirigod", self.is_up, 40)
            self.wait_sync()

    def is_up(self):
        if not self.dirigod.alive():
            raise AssertionError(f"dirigod ended: {self.dirigod.log()[-3000:]}")
        with socket.create_connection(("127.0.0.1", self.ports["smtp"]), 5) as s:
            return s.recv(4) == b"220 " or s.recv(4)

    def wait_sync(self, address="nobody-here@example.org"):
        """Until an address that does not exist is absent: the replica is in sync."""
        def absent():
            with self.smtp() as s:
                s.ehlo("test.example.net")
                s.mail("sender@example.net")
                return s.rcpt(address)[0] == 550
        wait_for("the replica in sync", absent, 40)

    def stop(self):
        """Ends everything that this stack started; says what went wrong in it."""
        problems = []
        if self.dirigod:
            try:
                code = self.dirigod.end()
                if code != 0:
                    problems.append(f"dirigod ended with {code}")
            except AssertionError as e:
                problems.append(str(e))
        if self.slapd:
            self.slapd.stop()
        if self.dns:
            self.dns.stop()
        for report in sorted(os.listdir(f"{self.folder}/asan")):
            with open(f"{self.folder}/asan/{report}", encoding="utf-8", errors="replace") as f:
                problems.append(f.read()[:6000])
        if problems and os.environ.get("DIRIGO_KEEP"):
            print(f"kept: {self.folder}", file=sys.stderr)
        else:
            shutil.rmtree(self.folder, ignore_errors=True)
        return problems

    # ---- processes ----

    def pids(self, name):
        """The ids of dirigod's children that run the program `name`."""
        found = []
        with open(f"/proc/{self.dirigod.pid}/task/{self.dirigod.pid}/children", encoding="ascii") as f:
            for pid in f.read().split():
                try:
                    with open(f"/proc/{pid}/cmdline", "rb") as c:
                        argv0 = c.read().split(b"\0")[0].split(b" ")[0].rstrip(b":").decode()
                except FileNotFoundError:
                    continue
                if os.path.basename(argv0) == name:
                    found.append(int(pid))
        return found

    def tool(self, *args, check=True):
        return run(f"{BUILD}/dirigo", "-c", self.conf_path, *args, check=check, env=self.env())

    def tool_json(self, *args):
        return json.loads(self.tool(*args, "--json").stdout)

    # ---- clients ----

    def tls(self):
        context = ssl.create_default_context(cafile=self.cert)
        context.check_hostname = False
        return context

    def smtp(self, protocol="smtp"):
        if protocol == "submissions":
            return smtplib.SMTP_SSL("127.0.0.1", self.ports[protocol], timeout=20, context=self.tls())
        kind = smtplib.LMTP if protocol == "lmtp" else smtplib.SMTP
        return kind("127.0.0.1", self.ports[protocol], timeout=20)

    def submit(self, user, sender, recipients, message):
        """Sends over authenticated submission; what smtplib raises is the caller's."""
        with self.smtp("submission") as s:
            s.starttls(context=self.tls())
            s.login(user, PASSWORDS[user])
            return s.sendmail(sender, recipients, message)

    def imap(self, user=None, tls=True):
        if tls:
            c = imaplib.IMAP4_SSL("127.0.0.1", self.ports["imaps"], ssl_context=self.tls(), timeout=20)
        else:
            c = imaplib.IMAP4("127.0.0.1", self.ports["imap"], timeout=20)
        if user:
            c.login(user, PASSWORDS[user])
        return c

    def pop3(self, user=None):
        c = poplib.POP3_SSL("127.0.0.1", self.ports["pop3s"], timeout=20, context=self.tls())
        if user:
            c.user(user)
            c.pass_(PASSWORDS[user])
        return c

    def mailbox(self, user, folder="INBOX"):
        """All messages of a folder, as bytes."""
        with self.imap(user) as c:
            c.select(folder, readonly=True)
            _, data = c.uid("SEARCH", "ALL")
            uids = data[0].split()
            return [c.uid("FETCH", uid, "(BODY.PEEK[])")[1][0][1] for uid in uids]

    def wait_mail(self, user, marker, seconds=10):
        """The first message of user's INBOX that contains marker."""
        marker = marker.encode() if isinstance(marker, str) else marker
        return wait_for(f"mail with {marker!r} for {user}",
                        lambda: next((m for m in self.mailbox(user) if marker in m), None), seconds)


class StackTest(unittest.TestCase):
    """One stack for all tests of the class."""

    CONF = {}
    EMBEDDED = False

    @classmethod
    def setUpClass(cls):
        cls.stack = Stack(cls.CONF, embedded=cls.EMBEDDED)
        try:
            cls.prepare(cls.stack)
            cls.stack.start()
        except BaseException:
            if cls.stack.dirigod:
                print(cls.stack.dirigod.log()[-6000:], file=sys.stderr)
            cls.stack.stop()
            raise

    @classmethod
    def prepare(cls, stack):
        """What has to be there before the start: files, parameters that depend on the folder."""

    @classmethod
    def tearDownClass(cls):
        problems = cls.stack.stop()
        if problems:
            raise AssertionError("\n".join(problems))


class Result(unittest.TextTestResult):
    """One line for each test, in the form that tests/run counts."""

    def _line(self, ok, test):
        self.stream.write(f"{'ok' if ok else 'not ok'} {test.id()}\n")
        self.stream.flush()

    def addSuccess(self, test):
        super(unittest.TextTestResult, self).addSuccess(test)
        self._line(True, test)

    def addFailure(self, test, err):
        super(unittest.TextTestResult, self).addFailure(test, err)
        self._line(False, test)

    def addError(self, test, err):
        super(unittest.TextTestResult, self).addError(test, err)
        self._line(False, test)


def main():
    """What a test file calls: runs its tests, or those named in the arguments."""
    runner = unittest.TextTestRunner(stream=sys.stdout, resultclass=Result, verbosity=0)
    unittest.main(module="__main__", testRunner=runner)
