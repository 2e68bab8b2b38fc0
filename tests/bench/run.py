#!/usr/bin/python3
"""Measures a whole system on loopback: throughput, and the server's CPU time per operation.

    tests/bench/run.py BUILD [NAME ...]      BUILD: an optimised build, without sanitizers, after "make bench"

Each figure is the median of --rounds runs. Server CPU is user + system time of dirigod and all of its
children, from /proc; slapd's is told apart. Never part of the test suite.
"""
import argparse
import os
import re
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
args = parser.parse_intermixed_args()
os.environ["DIRIGO_BUILD"] = os.path.abspath(args.build)
from harness import SUFFIX, Stack, wait_for  # noqa: E402 - reads DIRIGO_BUILD

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
        total[name] = total.get(name, 0) + (int(fields[11]) + int(fields[12])) / TICK
    return total


def pss(pids):
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
            total += int(re.search(r"^Pss:\s+(\d+)", f.read(), re.M).group(1))
    return total


class Bench:
    def __init__(self):
        self.stack = Stack({"service_processes": "1", "queue_journal_size": "128M", "disable_plaintext_auth": "no",
                            "log_level": "notice", "auth_failure_delay": "0", "search_base": SUFFIX}, sample=False)
        self.stack.slapd.slapadd("".join(people(args.users)))
        self.stack.start()

    def measure(self, name, *load):
        """Runs the load `rounds` times; prints medians of rate and of server CPU per operation."""
        rates, costs, ldap, parts, latencies = [], [], [], {}, []
        for _ in range(args.rounds):
            pids = descendants(self.stack.dirigod.pid)
            slapd = [self.stack.slapd.process.pid]
            before, ldap_before = cpu(pids), cpu(slapd)
            out = subprocess.run([LOAD, *map(str, load)], capture_output=True, text=True, timeout=300)
            after, ldap_after = cpu(pids), cpu(slapd)
            figures = dict(f.split("=") for f in out.stdout.split())
            if figures.get("failed") != "0":
                print(f"{name}: FAILED {out.stdout} {out.stderr}")
                return
            done = int(figures["done"])
            used = {k: (v - before.get(k, 0)) / done * 1e6 for k, v in after.items()}
            for k, v in used.items():
                parts.setdefault(k, []).append(v)
            rates.append(float(figures["per_second"]))
            costs.append(sum(used.values()))
            latencies.append(float(figures["p50_us"]))
            ldap.append((sum(ldap_after.values()) - sum(ldap_before.values())) / done * 1e6)
        detail = " ".join(f"{k}={statistics.median(v):.0f}" for k, v in sorted(parts.items())
                          if statistics.median(v) >= 1)
        print(f"{name:28} {statistics.median(rates):9.0f}/s  {statistics.median(costs):7.0f} us CPU each  "
              f"slapd {statistics.median(ldap):5.0f} us  p50 {statistics.median(latencies):6.0f} us  ({detail})",
              flush=True)

    def smtp(self):
        self.measure("SMTP to mailbox, 4 KiB", "smtp", self.stack.ports["smtp"], args.connections, args.messages,
                     4096, "example.org", args.users)

    def rcpt(self):
        self.measure("RCPT check", "rcpt", self.stack.ports["smtp"], args.connections, 40000, "example.org",
                     args.users)

    def login(self):
        self.measure("IMAP login (PLAIN, bind)", "login", self.stack.ports["imap"], 4, 1000, "secret0", args.users)

    def session(self):
        self.measure("IMAP session, 20 commands", "session", self.stack.ports["imap"], 4, 1000, "secret0",
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
        pids = descendants(self.stack.dirigod.pid)
        for i in range(args.idle):  # mailboxes are made by their first login, not while we measure
            self.idle_connection(i, False).sock.close()
        warm = [self.idle_connection(i, tls) for i in range(20)]
        time.sleep(8)  # an index that nobody used for some seconds is closed
        before = pss(pids)
        held = [self.idle_connection(i, tls) for i in range(args.idle)]
        time.sleep(8)
        print(f"idle IMAP connection, {kind:6} {(pss(pids) - before) / args.idle:6.1f} KiB")
        for c in warm + held:
            c.sock.close()

    def idle_connection(self, i, tls):
        c = self.stack.imap(tls=tls)
        c.login(f"user{i % args.users}", "secret0")
        c.select("INBOX")
        c.send(b"i IDLE\r\n")
        assert c.readline().startswith(b"+")
        return c


bench = Bench()
try:
    for name in args.names or ("smtp", "rcpt", "login", "session", "change", "idle_plain"):
        getattr(bench, name)()
finally:
    for problem in bench.stack.stop():
        print(problem, file=sys.stderr)
