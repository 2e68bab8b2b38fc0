#!/usr/bin/python3
"""Measures the directory client: first refresh, warm start, change to visible, lookups per second.

    tests/bench/directory.py BUILD [--entries N]     BUILD: an optimised build, after "make bench"

slapd is real and runs on the same machine; with its time told apart. Never part of the test suite.
"""
import argparse
import os
import re
import statistics
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "protocol"))
parser = argparse.ArgumentParser()
parser.add_argument("build")
parser.add_argument("--entries", type=int, default=1000000)
parser.add_argument("--seconds", type=float, default=5)
parser.add_argument("--changes", type=int, default=200)
args = parser.parse_args()
os.environ["DIRIGO_BUILD"] = os.path.abspath(args.build)
import harness  # noqa: E402 - reads DIRIGO_BUILD
from harness import SUFFIX, Stack, wait_for  # noqa: E402

TICK = os.sysconf("SC_CLK_TCK")


def ldif(count):
    yield f"dn: {SUFFIX}\nobjectClass: dcObject\nobjectClass: organization\ndc: example\no: Example\n\n"
    yield f"dn: ou=people,{SUFFIX}\nobjectClass: organizationalUnit\nou: people\n\n"
    yield (f"dn: dirigoDomainName=example.org,{SUFFIX}\nobjectClass: dirigoDomain\n"
           "dirigoDomainName: example.org\n\n")
    for i in range(count):
        yield (f"dn: uid=user{i},ou=people,{SUFFIX}\nobjectClass: inetOrgPerson\nobjectClass: dirigoUser\n"
               f"uid: user{i}\ncn: User {i}\nsn: {i}\nmail: user{i}@example.org\nuserPassword: x\n\n")


def cpu(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def memory(pid):
    """Peak of resident memory, and what of it is not the mapped file; MiB."""
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        text = f.read()
    return (int(re.search(r"VmHWM:\s+(\d+)", text)[1]) // 1024, int(re.search(r"RssAnon:\s+(\d+)", text)[1]) // 1024)


def in_sync(stack, nth):
    def probe():
        if not stack.dirigod.alive():
            sys.exit(f"dirigod ended: {stack.dirigod.log()[-2000:]}")
        found = re.findall(r"the directory is in sync .*?entries=(\d+) ms=(\d+)", stack.dirigod.log())
        return len(found) >= nth and found[nth - 1]
    return wait_for("the sync", probe, 900, 0.05)


def report(stack, what, begin, nth):
    entries, ms = in_sync(stack, nth)
    pid, = stack.pids("dirigo-directory")
    peak, anon = memory(pid)
    print(f"{what}: {entries} entries, {int(ms) / 1000:.2f} s from connection to sync, {time.monotonic() - begin:.2f} s "
          f"from the start of dirigod; CPU dirigo-directory {cpu(pid):.2f} s, slapd {cpu(stack.slapd.process.pid):.2f} s; "
          f"memory {peak} MiB at most with the mapped file, {anon} MiB without", flush=True)


def visible(stack, n):
    """From ldapmodify's answer to the first RCPT that knows."""
    times = []
    with stack.smtp() as s:
        s.ehlo("bench.example.net")
        s.mail("sender@example.net")
        for i in range(n):
            stack.slapd.modify(f"dn: uid=user{i},ou=people,{SUFFIX}\nchangetype: modify\nadd: mailLocalAddress\n"
                               f"mailLocalAddress: changed{i}@example.org\n")
            begin = time.monotonic()
            while s.rcpt(f"changed{i}@example.org")[0] != 250:
                s.rset()
                s.mail("sender@example.net")
            times.append((time.monotonic() - begin) * 1000)
            s.rset()
            s.mail("sender@example.net")
    times.sort()
    print(f"change to visible, after ldapmodify has ended: p50 {statistics.median(times):.2f} ms, "
          f"p99 {times[len(times) * 99 // 100]:.2f} ms", flush=True)


def main():
    stack = Stack({"directory_map_size": "8G", "timeout": "30s", "smtpd_hard_error_limit": "10000",
                   "smtpd_junk_command_limit": "10000"}, sample=False)
    try:
        print(f"load average at the start: {os.getloadavg()[0]:.2f}", flush=True)
        begin = time.monotonic()
        path = f"{stack.folder}/all.ldif"
        with open(path, "w", encoding="ascii") as f:
            f.writelines(ldif(args.entries))
        harness.run("/usr/sbin/slapadd", "-q", "-w", "-n", "1", "-F", f"{stack.slapd.folder}/slapd.d", "-l", path,
                    timeout=1800)
        os.unlink(path)
        print(f"slapadd: {time.monotonic() - begin:.1f} s", flush=True)
        begin = time.monotonic()
        stack.start(ready=False)
        report(stack, "first refresh", begin, 1)
        size = os.stat(f"{stack.conf['state_directory']}/replica/data.mdb").st_blocks * 512
        print(f"replica: {size >> 20} MiB, {size // args.entries} bytes for each entry", flush=True)
        stack.dirigod.end()
        begin = time.monotonic()
        stack.start_dirigod(ready=False)
        report(stack, "warm start", begin, 2)
        wait_for("dirigod", stack.is_up, 40)
        lookup = os.path.join(args.build, "tests/bench/lookup")
        print(harness.run(lookup, stack.conf_path, str(args.entries), str(args.seconds), timeout=120).stdout, end="")
        visible(stack, args.changes)
    finally:
        for problem in stack.stop():
            print(problem)


main()
