#!/usr/bin/python3
"""Measures a whole system on loopback: throughput, and the server's CPU time per operation.

    tests/bench/run.py BUILD [NAME ...]      BUILD: an optimised build, without sanitizers, after "make bench"
    tests/bench/run.py --peers BUILD         the same beside Postfix and Dovecot, round by round in turn

Each figure is the median of --rounds runs. Server CPU is user + system time of dirigod and all of its
children, those that ended included, from /proc; slapd's is told apart. Never part of the test suite.
"""
import argparse
import imaplib
import os
import re
import ssl
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "protocol"))
parser = argparse.ArgumentParser()
parser.add_argument("build")
parser.add_argument("names", nargs="*")
parser.add_argument("--users", type=int, default=1000)
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--messages", type=int, default=4000)
parser.add_argument("--connections", type=int, default=20)
parser.add_argument("--idle", type=int, default=1000)
parser.add_argument("--peers", action="store_true")
args = parser.parse_intermixed_args()
os.environ["DIRIGO_BUILD"] = os.path.abspath(args.build)
import peers  # noqa: E402 - reads DIRIGO_BUILD
from harness import SUFFIX, Stack, wait_for  # noqa: E402

LOAD = os.path.join(args.build, "tests/bench/load")
TICK = os.sysconf("SC_CLK_TCK")


def people(count):
    yield f"dn: {SUFFIX}\nobjectClass: dcObject\nobjectClass: organization\ndc: example\no: Example\n\n"
    yield f"dn: ou=people,{SUFFIX}\nobjectClass: organizationalUnit\nou: people\n\n"
    yield (f"dn: dirigoDomainName=example.org,{SUFFIX}\nobjectClass: dirigoDomain\n"
           f"dirigoDomainName: example.org\n\n")
    for i in range(count):
        yield (f"dn: uid=user{i},ou=people,{SUFFIX}\nobjectClass: inetOrgPerson\nobjectClass: dirigoUser\n"
               f"uid: user{i}\ncn: User {i}\nsn: {i}\nmail: user{i}@example.org\nuserPassword: secret0\n\n")


def descendants(pid):
    found = [pid]
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
            for child in f.read().split():
                found += descendants(int(child))
    except FileNotFoundError:
        pass
    return found


def cpu(pids):
    total = {}
    for pid in pids:
        try:
            with open(f"/proc/{pid}/stat", encoding="ascii") as f:
                text = f.read()
        except FileNotFoundError:
            continue
        name = text[text.index("(") + 1:text.rindex(")")]
        fields = text[text.rindex(")") + 2:].split()
        total[name] = total.get(name, 0) + sum(map(int, fields[11:15])) / TICK
    return total


def pss(pids):
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
            total += int(re.search(r"^Pss:\s+(\d+)", f.read(), re.M).group(1))
    return total


class Dirigo:
    """The system under test, in the shape of peers.Peers."""
    name = "Dirigo"

    def __init__(self):
        self.stack = Stack({"service_processes": "1", "queue_journal_size": "128M", "disable_plaintext_auth": "no",
                            "log_level": "notice", "auth_failure_delay": "0", "search_base": SUFFIX}, sample=False)
        self.slapd, self.ports = self.stack.slapd, self.stack.ports

    def start(self):
        self.slapd.slapadd("".join(people(args.users)))
        self.stack.start()

    def pids(self):
        return [self.stack.dirigod.pid]

    def idle(self):
        """What got its 250 is in the mailbox."""
        return True

    def stop(self):
        for problem in self.stack.stop():
            print(problem, file=sys.stderr)


class Figures:
    """What some runs of one load gave for one system."""

    def __init__(self, system):
        self.system, self.parts, self.failed = system, {}, None
        self.rates, self.costs, self.latencies, self.ldap = [], [], [], []

    def run(self, load):
        system = self.system
        pids = [p for root in system.pids() for p in descendants(root)]
        slapd = [system.slapd.process.pid]
        before, ldap_before = cpu(pids), cpu(slapd)
        out = subprocess.run([LOAD, load[0], str(system.ports[load[1]]), *map(str, load[2:])], capture_output=True,
                             text=True, timeout=300)
        wait_for("delivery", system.idle, 120)
        pids = [p for root in system.pids() for p in descendants(root)]
        after, ldap_after = cpu(pids), cpu(slapd)
        figures = dict(f.split("=") for f in out.stdout.split())
        if figures.get("failed") != "0":
            self.failed = f"{out.stdout} {out.stderr}"
            return
        done = int(figures["done"])
        used = {k: (v - before.get(k, 0)) / done * 1e6 for k, v in after.items()}
        for k, v in used.items():
            self.parts.setdefault(k, []).append(v)
        self.rates.append(float(figures["per_second"]))
        self.costs.append(sum(used.values()))
        self.latencies.append(float(figures["p50_us"]))
        self.ldap.append((sum(ldap_after.values()) - sum(ldap_before.values())) / done * 1e6)

    def show(self, name):
        if self.failed:
            print(f"{name}, {self.system.name}: FAILED {self.failed}", flush=True)
            return
        median = statistics.median
        detail = " ".join(f"{k}={median(v):.0f}" for k, v in sorted(self.parts.items()) if median(v) >= 1)
        print(f"{name:24} {self.system.name:20} {median(self.rates):7.0f}/s  {median(self.costs):6.0f} us CPU each  "
              f"slapd {median(self.ldap):5.0f} us  p50 {median(self.latencies):6.0f} us  ({detail})", flush=True)


class Bench:
    def __init__(self):
        self.dirigo = Dirigo()
        self.stack = self.dirigo.stack
        self.systems = [self.dirigo]
        if args.peers:
            self.systems.append(peers.Peers(self.dirigo.slapd, SUFFIX))

    def start(self):
        for system in self.systems:
            system.start()

    def stop(self):
        for system in reversed(self.systems):
            system.stop()

    def measure(self, name, *load):
        """Runs the load `rounds` times on each system in turn; prints medians of rate and of server CPU."""
        figures = [Figures(system) for system in self.systems]
        for _ in range(args.rounds):
            for f in figures:
                f.run(load)
        for f in figures:
            f.show(name)

    def smtp(self):
        self.measure("SMTP to mailbox, 4 KiB", "smtp", "smtp", args.connections, args.messages,
                     4096, "example.org", args.users)

    def rcpt(self):
        self.measure("RCPT check", "rcpt", "smtp", args.connections, 40000, "example.org",
                     args.users)

    def login(self):
        self.measure("IMAP login (PLAIN, bind)", "login", "imap", 4, 1000, "secret0", args.users)

    def session(self):
        self.measure("IMAP session, 20 commands", "session", "imap", 4, 1000, "secret0",
                     args.users)

    def change(self):
        """ldapmodify to the first RCPT that sees it, in milliseconds, without the start of ldapmodify itself."""
        times = []
        for i in range(50):
            with self.stack.smtp() as s:
                s.ehlo("bench.example.net")
                s.mail("sender@example.net")
                address = f"new{i}@example.org"
                ldif = (f"dn: cn=new{i},ou=people,{SUFFIX}\nchangetype: add\nobjectClass: nisMailAlias\n"
                        f"objectClass: inetLocalMailRecipient\ncn: new{i}\nmailLocalAddress: {address}\n"
                        f"rfc822MailMember: user1@example.org\n")
                tool = subprocess.Popen(["ldapmodify", "-x", "-H", self.stack.slapd.url, "-D",
                                         self.stack.slapd.root_dn, "-w", self.stack.slapd.root_pw],
                                        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
                tool.stdin.write(ldif.encode())
                tool.stdin.close()
                tool.wait()
                start = time.monotonic()
                while s.rcpt(address)[0] != 250:
                    assert time.monotonic() - start < 10
                    s.rset()
                    s.mail("sender@example.net")
                times.append((time.monotonic() - start) * 1000)
        times.sort()
        print(f"change to RCPT, after ldapmodify ended: p50 {times[25]:.1f} ms, p99 {times[49]:.1f} ms")

    def idle_plain(self):
        self.idle("plain", False)

    def idle_tls(self):
        self.idle("TLS", True)

    def idle(self, kind, tls):
        """KiB per connection that logged in, selected INBOX and waits in IDLE. One kind for each start: the
        heaps of a process that held many sessions before would hide what the next ones take."""
        for system in self.systems:
            for i in range(args.idle):  # mailboxes are made by their first login, not while we measure
                idle_connection(system, i, False).sock.close()
            warm = [idle_connection(system, i, tls) for i in range(20)]
            time.sleep(8)  # an index that nobody used for some seconds is closed
            before = memory(system)
            held = [idle_connection(system, i, tls) for i in range(args.idle)]
            time.sleep(8)
            print(f"idle IMAP connection, {kind:6} {system.name:20} {(memory(system) - before) / args.idle:6.1f} KiB",
                  flush=True)
            for c in warm + held:
                c.sock.close()


def memory(system):
    return pss(p for root in system.pids() for p in descendants(root))


def idle_connection(system, i, tls):
    if tls:
        c = imaplib.IMAP4_SSL("127.0.0.1", system.ports["imaps"], timeout=20,
                              ssl_context=ssl._create_unverified_context())
    else:
        c = imaplib.IMAP4("127.0.0.1", system.ports["imap"], timeout=20)
    c.login(f"user{i % args.users}", "secret0")
    c.select("INBOX")
    c.send(b"i IDLE\r\n")
    assert c.readline().startswith(b"+")
    return c


bench = Bench()
try:
    bench.start()
    for name in args.names or ("smtp", "rcpt", "login", "session", "change", "idle_plain"):
        getattr(bench, name)()
finally:
    bench.stop()
