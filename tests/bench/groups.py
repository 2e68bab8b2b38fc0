#!/usr/bin/python3
"""Measures one message to a large group: RCPT, the time until 250, and the memory that it took.

    tests/bench/groups.py BUILD [--members N]        BUILD: an optimised build

slapd is real and runs on the same machine. Never part of the test suite.
"""
import argparse
import os
import re
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "protocol"))
parser = argparse.ArgumentParser()
parser.add_argument("build")
parser.add_argument("--members", type=int, default=50000)
parser.add_argument("--rounds", type=int, default=3)
args = parser.parse_args()
os.environ["DIRIGO_BUILD"] = os.path.abspath(args.build)
from harness import SUFFIX, Stack, wait_for  # noqa: E402 - reads DIRIGO_BUILD


def ldif():
    people = f"ou=people,{SUFFIX}"
    yield f"dn: {SUFFIX}\nobjectClass: dcObject\nobjectClass: organization\ndc: example\no: Example\n\n"
    yield f"dn: {people}\nobjectClass: organizationalUnit\nou: people\n\n"
    yield (f"dn: dirigoDomainName=example.org,{SUFFIX}\nobjectClass: dirigoDomain\n"
           "dirigoDomainName: example.org\n\n")
    for i in range(args.members):
        yield (f"dn: uid=user{i},{people}\nobjectClass: inetOrgPerson\nobjectClass: dirigoUser\n"
               f"uid: user{i}\ncn: User {i}\nsn: {i}\nmail: user{i}@example.org\n\n")
    yield (f"dn: cn=all,{SUFFIX}\nobjectClass: groupOfNames\nobjectClass: dirigoGroup\ncn: all\nmail: all@example.org\n" +
           "".join(f"member: uid=user{i},{people}\n" for i in range(args.members)) + "\n")


def memory(stack, name):
    """Resident memory without the mapped files, now and at most; KiB."""
    pid = stack.pids(name)[0]
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        text = f.read()
    return int(re.search(r"RssAnon:\s+(\d+)", text)[1]), int(re.search(r"VmHWM:\s+(\d+)", text)[1])


def delivered(stack, marker):
    count = 0
    for folder, _, files in os.walk(stack.mail):
        if os.path.basename(folder) == "new":
            count += sum(marker in name for name in files)
    return count


def main():
    stack = Stack({"directory_map_size": "4G", "queue_journal_size": "128M", "service_processes": "1"}, sample=False)
    try:
        stack.slapd.slapadd("".join(ldif()))
        stack.start(ready=False)
        wait_for("the replica", lambda: "the directory is in sync" in stack.dirigod.log(), 300, 0.1)
        with stack.smtp() as s:
            s.ehlo("bench.example.net")
            for n in range(args.rounds):
                before = {p: memory(stack, p)[0] for p in ("dirigo-smtpd", "dirigo-queue")}
                s.mail("sender@example.net")
                begin = time.monotonic()
                code, text = s.rcpt("all@example.org")
                rcpt = time.monotonic() - begin
                assert code == 250, (code, text)
                begin = time.monotonic()
                code, text = s.data(f"Subject: {n}\r\n\r\nText\r\n")
                took = time.monotonic() - begin
                assert code == 250, (code, text)
                found = delivered(stack, text.decode().split()[-1])
                now = {p: memory(stack, p) for p in before}
                print(f"round {n}: RCPT {rcpt * 1000:.2f} ms, end of data to 250 {took:.2f} s, in {found} mailboxes; " +
                      ", ".join(f"{p} {before[p] // 1024} -> {now[p][0] // 1024} MiB, with mapped files at most "
                                f"{now[p][1] // 1024}" for p in now), flush=True)
    finally:
        for problem in stack.stop():
            print(problem)


main()
