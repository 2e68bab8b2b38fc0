#!/usr/bin/python3
"""dirigo-queue by itself; the test is its front ends, its relays and its directory."""
import email
import email.policy
import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest
import uuid

import alone
import harness
from alone import Body, Channel

OPEN, OPENED, RCPTS, COMMIT, COMMITTED, FORGET, FORGOT, READY, JOB, DONE, LIST, LISTED, ACTION, ACTED = range(1, 15)
ACCEPTED, FULL, UNAVAILABLE = range(3)
MAILBOX, REMOTE = range(2)
SENT, DEFERRED, BOUNCED = range(3)
KEY = b"relay key of the test, 32 bytes."
FLUSH, DELETE = range(2)
FOUND, ABSENT, UNKNOWN = range(3)
RESOLVE, RESOLVED = 3, 4
OWNER = uuid.UUID("a1b2c3d4-0000-1111-2222-333344445555")
SENDER = uuid.UUID("05e4de40-0000-1111-2222-333344445555")
TEXT = b"Return-Path: <s@example.org>\r\nReceived: by mx.example.org\r\nSubject: caf\xc3\xa9\r\n\r\nbody\r\n"
TRACE = TEXT.index(b"Received")


def mailbox(owner=OWNER, address="u@example.org"):
    return (MAILBOX, owner, address, address, None)


def remote(address, host=None):
    return (REMOTE, uuid.UUID(int=0), address, address, host)


def options(body, flags=0, ret=0, priority=0, hold=0, by=0, decide=0, envid=None):
    return body.u8(flags).u8(ret).u8(priority).u64(hold).u64(by).u64(decide).str(envid)


class Directory:
    """Answers RESOLVE with the mailbox SENDER, or as told; None: it is away."""

    def __init__(self, path):
        self.path, self.answer, self.asked = path, FOUND, []
        self.listener = alone.listen(path)
        self.channels = []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(s,), daemon=True).start()

    def serve(self, s):
        c = Channel(s, timeout=None)
        self.channels.append(c)
        try:
            c.read()
            c.send(alone.HELLO, Body().str("directory").u32(alone.VERSIONS["directory"]))
            while True:
                m = c.read()
                self.asked.append(m.str())
                body = Body().u8(self.answer)
                if self.answer == FOUND:
                    body.str(None).u32(1).u8(0)
                    body.data += SENDER.bytes
                    body.str("s@example.org").str(None).str(None).str("uid=s")
                else:
                    body.str("no such user" if self.answer == ABSENT else "away").u32(0)
                c.send(RESOLVED, body, m.id)
        except (EOFError, OSError):
            pass

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for c in self.channels:
            c.close()


class QueueTest(unittest.TestCase):
    CONF = {}

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="dirigo-queue-")
        self.mail = f"{self.folder}/mail"
        conf = {"mail_directory": self.mail, "queue_journal_size": "1M", "queue_checkpoint_interval": "200ms",
                "minimal_backoff_time": "200ms", "maximal_backoff_time": "1s",
                "queue_journal_inline_limit": "64k"}
        conf.update(self.CONF)
        self.queue = alone.Alone("dirigo-queue", conf, ipc="queue", folder=self.folder)
        self.queue.role_key = KEY
        self.directory = Directory(self.make_run())
        self.queue.start()
        self.c = self.queue.connect()
        self.number = 0

    def make_run(self):
        os.makedirs(f"{self.folder}/run", exist_ok=True)
        return f"{self.folder}/run/directory.sock"

    def tearDown(self):
        self.c.close()
        try:
            self.queue.stop()
        finally:
            self.directory.close()
            subprocess.run(["rm", "-rf", self.folder], check=True)

    def restart(self):
        """kill -9, and a new one."""
        self.kill()
        self.start()

    def kill(self):
        self.c.close()
        self.queue.child.send_signal(signal.SIGKILL)
        self.queue.child.wait()
        self.queue.control.close()
        os.unlink(f"{self.queue.run}/queue.sock")

    def start(self):
        self.queue.start()
        self.c = self.queue.connect()

    def file(self, text=TEXT):
        self.c.send(OPEN, Body().u32(1), 7)
        m = self.c.read()
        self.assertEqual((m.kind, m.id, m.u8(), m.u32(), len(m.fds)), (OPENED, 7, ACCEPTED, 1, 1))
        os.write(m.fds[0], text)
        return m.fds[0]

    def new_id(self):
        self.number += 1
        return f"{self.number:016d}"

    def post(self, *rcpts, text=TEXT, sender="s@example.org", ident=None, size=None, split=0, trace=TRACE,
             hold=None, **asked):
        ident = ident or self.new_id()
        fd = self.file(text)
        if split:
            self.c.send(RCPTS, self.rcpts(Body().str(ident), rcpts[:split]))
        body = Body().str(ident).str(sender).str("test [192.0.2.1]").str(None).str(hold).u64(len(text) if size is None else size)
        options(body.u32(trace).u8(1), **asked).u32(len(rcpts))
        self.c.send(COMMIT, self.rcpts(body, rcpts[split:]), 9, [fd])
        os.close(fd)
        m = self.c.read()
        self.assertEqual((m.kind, m.id), (COMMITTED, 9))
        return ident, m.u8()

    @staticmethod
    def rcpts(body, rcpts):
        body.u32(len(rcpts))
        for kind, owner, address, original, host, *dsn in rcpts:
            body.u8(kind)
            body.data += owner.bytes
            body.str(address).str(original).str(host)
            notify, orcpt = dsn or (0, None)
            body.u8(notify).str(orcpt)
        return body

    def files(self, owner=OWNER):
        found = []
        for folder, _, names in os.walk(f"{self.mail}/users/{str(owner)[:2]}/{owner}"):
            found += [f"{folder}/{n}" for n in names]
        return found

    def spool(self):
        return sorted(os.listdir(f"{self.mail}/queue/spool"))

    def wait(self, what, seconds=15):
        end = time.monotonic() + seconds
        while not what():
            self.assertLess(time.monotonic(), end, f"{what} did not come true: {self.queue.log()[-3000:]}")
            time.sleep(0.02)

    def relay(self, slots=10, proof=None):
        c = self.queue.connect()
        self.addCleanup(c.close)
        c.send(READY, Body().u32(slots).bytes(alone.relay_proof(KEY, os.getpid()) if proof is None else proof))
        return c

    def test_who_is_no_relay_gets_no_mail(self):
        right = alone.relay_proof(KEY, os.getpid())
        for proof in (b"", bytes(32), right[:-1], right + b"x", alone.relay_proof(bytes(32), os.getpid()),
                      alone.relay_proof(KEY, os.getpid() + 1)):
            with self.assertRaises((EOFError, ConnectionError)):
                self.relay(proof=proof).read()
        self.assertIn("does not prove to be a relay", self.queue.log())

    def job(self, c):
        m = c.read()
        self.assertEqual(m.kind, JOB)
        job = {"name": m.str(), "id": m.str(), "sender": m.str(), "size": m.data and self.u64(m), "trace": m.u32(),
               "8bit": m.u8(), "flags": m.u8(), "ret": m.u8(), "priority": m.u8(), "hold": self.u64(m),
               "by": self.u64(m), "decide": self.u64(m), "envid": m.str(), "hop": m.str()}
        rcpts = [(m.str(), m.u8(), m.str()) for _ in range(m.u32())]
        job["to"] = [r[0] for r in rcpts]
        job["dsn"] = [r[1:] for r in rcpts]
        m.end()
        with os.fdopen(m.fds[0], "rb") as f:
            job["text"] = f.read()
        return job

    @staticmethod
    def u64(m):
        return int.from_bytes(m._take(8), "little")

    def done(self, c, job, *outcomes):
        body = Body().str(job["name"]).u32(len(outcomes))
        for status, host, text, *told in outcomes:
            body.u8(status).str(host).str(text).u8(told[0] if told else 0)
        c.send(DONE, body)

    def dsn(self):
        self.wait(lambda: self.files(SENDER))
        files = self.files(SENDER)
        self.assertEqual(len(files), 1)
        with open(files[0], "rb") as f:
            raw = f.read()
        self.assertNotIn(b"\n", raw.replace(b"\r\n", b""))
        return raw, email.message_from_bytes(raw, policy=email.policy.default)


class Local(QueueTest):
    def test_is_in_the_mailbox_with_the_answer(self):
        ident, result = self.post(mailbox())
        self.assertEqual(result, ACCEPTED)
        (path,) = self.files()
        self.assertRegex(os.path.basename(path), rf"^\d+\.{ident}R0$")
        with open(path, "rb") as f:
            self.assertEqual(f.read(), TEXT)
        self.assertEqual(self.spool(), [])

    def test_same_id_is_one_message(self):
        ident, _ = self.post(mailbox())
        self.assertEqual(self.post(mailbox(), ident=ident), (ident, ACCEPTED))
        self.restart()
        self.assertEqual(self.post(mailbox(), ident=ident), (ident, ACCEPTED))
        time.sleep(0.6)  # a checkpoint
        self.restart()
        self.assertEqual(self.post(mailbox(), ident=ident), (ident, ACCEPTED))
        self.assertEqual(len(self.files()), 1)

    def test_many_recipients_in_several_messages(self):
        owners = [uuid.UUID(int=i) for i in range(1, 40)]
        _, result = self.post(*[mailbox(o) for o in owners], split=30)
        self.assertEqual(result, ACCEPTED)
        self.assertTrue(all(len(self.files(o)) == 1 for o in owners))

    def test_large_message(self):
        text = TEXT + b"x" * 200000
        _, result = self.post(mailbox(), text=text)
        self.assertEqual(result, ACCEPTED)
        self.assertEqual(os.path.getsize(self.files()[0]), len(text))
        self.wait(lambda: self.spool() == [])  # the checkpoint has made the link durable

    def test_file_that_is_not_what_the_envelope_says(self):
        self.assertEqual(self.post(mailbox(), size=5000)[1], UNAVAILABLE)
        self.assertEqual(self.files(), [])

    def test_malformed_closes_the_channel(self):
        for body in (Body().str("../../etc/passwd").u32(0), Body().str("0" * 15).u32(0), Body().u32(9)):
            self.c.send(RCPTS, body)
            with self.assertRaises((EOFError, ConnectionError)):
                self.c.read()
            self.c = self.queue.connect()

    def test_mailbox_that_cannot_be_written_to(self):
        box = f"{self.mail}/users/{str(OWNER)[:2]}/{OWNER}"
        os.makedirs(box)
        with open(f"{box}/new", "w", encoding="ascii"):
            pass
        ident, result = self.post(mailbox())
        self.assertEqual(result, ACCEPTED)
        self.assertEqual(self.spool(), [f"{ident}.env", f"{ident}.msg"])
        os.unlink(f"{box}/new")
        self.wait(lambda: len(self.files()) == 1 and self.spool() == [])

    def test_forgotten_stays_away(self):
        ident, _ = self.post(mailbox())
        (path,) = self.files()
        body = Body()
        body.data += OWNER.bytes
        self.c.send(FORGET, body.u32(2).str(os.path.basename(path)).str("1.never-ours"), 3)
        m = self.c.read()
        self.assertEqual((m.kind, m.id, m.u8()), (FORGOT, 3, 1))
        os.unlink(path)
        self.restart()
        self.assertEqual(self.files(), [])


class Held(QueueTest):
    CONF = {"minimal_backoff_time": "10m", "maximal_backoff_time": "10m"}
    FLUSH, DELETE, HOLD, RELEASE = range(4)

    def act(self, ident, action, why=None):
        self.c.send(ACTION, Body().str(ident).u8(action).str(why), 5)
        m = self.c.read()
        self.assertEqual((m.kind, m.id), (ACTED, 5))
        n = m.u32()
        m.end()
        return n

    def held(self):
        """What is listed: why each is held, or None, by id."""
        self.c.send(LIST, Body().str(""), 6)
        m = self.c.read()
        self.assertEqual((m.kind, m.id), (LISTED, 6))
        found = {}
        for _ in range(m.u32()):
            ident = m.str()
            m.str()
            for _ in range(3):
                self.u64(m)
            found[ident] = m.str()
            for _ in range(m.u32()):
                m.str()
                m.str()
        return found

    def nothing_moves(self, ident, why):
        """Neither a flush nor a restart moves it."""
        self.assertEqual(self.act(ident, self.FLUSH), 0)
        for _ in range(2):
            self.assertEqual((self.held(), self.files()), ({ident: why}, []))
            self.restart()

    def test_arrives_held(self):
        ident, result = self.post(mailbox(), remote("a@b.example"), hold="check entry cn=x: 100% \u00fc")
        self.assertEqual(result, ACCEPTED)
        self.nothing_moves(ident, "check entry cn=x: 100% \u00fc")
        r = self.relay()
        self.assertEqual(self.act(ident, self.RELEASE), 1)
        job = self.job(r)
        self.assertEqual(job["to"], ["a@b.example"])
        self.done(r, job, (SENT, "mx", "250 ok"))
        self.wait(lambda: self.spool() == [] and self.held() == {})
        self.assertEqual(len(self.files()), 1)
        self.restart()
        self.assertEqual(len(self.files()), 1)
        self.assertEqual(self.act(ident, self.RELEASE), 0)

    def test_released_and_killed_before_it_is_sent(self):
        ident, _ = self.post(remote("a@b.example"), hold="x")
        self.assertEqual(self.act(ident, self.RELEASE), 1)
        self.wait(lambda: self.held() == {ident: None})
        self.wait(lambda: "next" in self.envelope(ident) and "\nhold " not in self.envelope(ident))
        self.restart()
        r = self.relay()
        job = self.job(r)
        self.assertEqual((job["id"], self.held()), (ident, {ident: None}))
        self.done(r, job, (SENT, "mx", "250 ok"))
        self.wait(lambda: self.spool() == [])

    def envelope(self, ident):
        with open(f"{self.mail}/queue/spool/{ident}.env", encoding="ascii") as f:
            return f.read()

    def test_large_message(self):
        ident, _ = self.post(mailbox(), text=TEXT + b"x" * 200000, hold="large")
        time.sleep(0.6)  # a checkpoint: its file must stay
        self.nothing_moves(ident, "large")
        self.assertEqual(self.act("", self.RELEASE), 1)
        self.wait(lambda: len(self.files()) == 1 and self.spool() == [])

    def test_deleted(self):
        ident, _ = self.post(mailbox(), hold="x")
        self.assertEqual(self.act(ident, self.DELETE), 1)
        self.wait(lambda: self.spool() == [])
        self.restart()
        self.assertEqual((self.held(), self.files()), ({}, []))

    def test_held_while_it_waits(self):
        r = self.relay()
        ident, _ = self.post(remote("a@b.example"))
        self.done(r, self.job(r), (DEFERRED, "mx", "451 later"))
        self.wait(lambda: self.act(ident, self.HOLD, "by hand") == 1)
        self.wait(lambda: "\nhold by%20hand\n" in self.envelope(ident))
        self.assertEqual(self.act(ident, self.HOLD, "again"), 0)
        self.nothing_moves(ident, "by hand")
        r = self.relay()
        self.assertEqual(self.act(ident, self.RELEASE), 1)
        self.done(r, self.job(r), (SENT, "mx", "250 ok"))
        self.wait(lambda: self.spool() == [])

    def test_held_while_a_relay_is_at_it(self):
        r = self.relay(slots=1)
        ident, _ = self.post(remote("a@b.example"), remote("c@d.example"))
        job = self.job(r)
        self.assertEqual(self.act(ident, self.HOLD), 1)
        self.done(r, job, (SENT, "mx", "250 ok"))
        self.wait(lambda: job["to"][0] not in self.envelope(ident))
        self.nothing_moves(ident, "by the administrator")
        r = self.relay()
        self.act(ident, self.RELEASE)
        other = self.job(r)
        self.assertEqual(sorted(job["to"] + other["to"]), ["a@b.example", "c@d.example"])
        self.done(r, other, (SENT, "mx", "250 ok"))
        self.wait(lambda: self.spool() == [])

    def made_old(self, ident):
        """False while the journal still has the message as it was."""
        self.kill()
        text = re.sub(r"\narrived \d+\n", "\narrived 1000000000\n", self.envelope(ident))
        with open(f"{self.mail}/queue/spool/{ident}.env", "w", encoding="ascii") as f:
            f.write(text)
        self.start()
        return self.envelope(ident) == text

    def test_life_counts_from_the_release(self):
        ident, _ = self.post(remote("a@b.example"), hold="x")
        self.wait(lambda: self.made_old(ident))
        r = self.relay()
        self.assertEqual(self.act(ident, self.RELEASE), 1)
        self.done(r, self.job(r), (DEFERRED, "mx", "451 later"))
        self.wait(lambda: "tries 1" in self.envelope(ident))
        self.assertIn("\narrived 1000000000\n", self.envelope(ident))
        self.assertIn("pending", self.envelope(ident))

    def test_held_between_two_updates(self):
        """Hold and release in one breath, whatever the message is at."""
        r = self.relay()
        ident, _ = self.post(remote("a@b.example"), hold="x")
        for action in (self.RELEASE, self.HOLD, self.RELEASE, self.HOLD, self.RELEASE):
            self.assertEqual(self.act(ident, action), 1)
        job = self.job(r)
        self.done(r, job, (SENT, "mx", "250 ok"))
        self.wait(lambda: self.spool() == [])


class Full(QueueTest):
    CONF = {"queue_minfree": "1000G"}

    def test_no_space(self):
        self.c.send(OPEN, Body().u32(1), 7)
        m = self.c.read()
        self.assertEqual((m.u8(), m.u32(), m.fds), (FULL, 0, []))


class Relaying(QueueTest):
    def test_sent(self):
        r = self.relay()
        ident, result = self.post(remote("a@b.example"), remote("c@B.example"), remote("d@e.example", "in.example"),
                                  mailbox())
        self.assertEqual(result, ACCEPTED)
        jobs = sorted((self.job(r) for _ in range(2)), key=lambda j: j["hop"])
        self.assertEqual([(j["hop"], j["to"]) for j in jobs],
                         [("[in.example]", ["d@e.example"]), ("b.example", ["a@b.example", "c@B.example"])])
        self.assertEqual((jobs[0]["id"], jobs[0]["text"], jobs[0]["trace"], jobs[0]["size"], jobs[0]["8bit"]),
                         (ident, TEXT, TRACE, len(TEXT), 1))
        self.assertEqual(len(self.files()), 1)
        self.done(r, jobs[0], (SENT, "in.example", "250 ok"))
        self.done(r, jobs[1], (SENT, "b.example", "250 ok"), (SENT, "b.example", "250 ok"))
        self.wait(lambda: self.spool() == [])
        self.restart()
        r = self.relay()
        r.sock.settimeout(0.7)
        with self.assertRaises(TimeoutError):
            self.job(r)

    def test_deferred_is_tried_again(self):
        r = self.relay()
        self.post(remote("a@b.example"), remote("c@b.example"))
        job = self.job(r)
        start = time.monotonic()
        self.done(r, job, (SENT, "mx", "250 ok"), (DEFERRED, "mx", "451 later"))
        job = self.job(r)
        self.assertGreater(time.monotonic() - start, 0.15)
        self.assertEqual(job["to"], ["c@b.example"])
        self.restart()
        r = self.relay()
        job = self.job(r)
        self.assertEqual(job["to"], ["c@b.example"])
        self.done(r, job, (SENT, "mx", "250 ok"))
        self.wait(lambda: self.spool() == [])

    def test_relay_that_goes_away(self):
        r = self.relay()
        self.post(remote("a@b.example"))
        self.job(r)
        r.close()
        r = self.relay()
        job = self.job(r)
        self.done(r, job, (SENT, "mx", "250 ok"))
        self.wait(lambda: self.spool() == [])

    def test_list_flush_delete(self):
        r = self.relay()
        a, _ = self.post(remote("a@b.example"))
        self.done(r, self.job(r), (DEFERRED, "mx", "451 later\x1b[0m"))
        b, _ = self.post(remote("c@d.example"), sender="")
        self.done(r, self.job(r), (DEFERRED, "mx", "451 later"))
        r.close()  # what no relay has can be deleted at once
        conf = f"{self.folder}/dirigo.conf"
        with open(conf, "w", encoding="ascii") as f:
            f.writelines(f"{k} = {v}\n" for k, v in self.queue.conf.items())
        self.wait(lambda: all(x["recipients"][0].get("status") for x in self.tool(conf, "--json", "queue")))
        listed = self.tool(conf, "--json", "queue")
        self.assertEqual([(m["id"], m["sender"]) for m in listed], [(a, "s@example.org"), (b, "")])
        self.assertIn(b"451 later?[0m", self.tool(conf, "queue", "list", parse=False))
        self.tool(conf, "queue", "delete", a, parse=False)
        self.wait(lambda: [m["id"] for m in self.tool(conf, "--json", "queue")] == [b])
        self.wait(lambda: self.spool() == [f"{b}.env", f"{b}.msg"])
        self.tool(conf, "queue", "delete", "ALL", parse=False)
        self.wait(lambda: self.tool(conf, "--json", "queue") == [])

    @staticmethod
    def tool(conf, *args, parse=True):
        out = subprocess.run([f"{harness.BUILD}/dirigo", "-c", conf, *args], check=True, capture_output=True).stdout
        return json.loads(out) if parse else out


class Limits(QueueTest):
    CONF = {"smtp_destination_concurrency_limit": "1", "smtp_destination_recipient_limit": "2"}

    def test_one_at_a_time_for_a_destination(self):
        r = self.relay()
        self.post(*[remote(f"u{i}@b.example") for i in range(3)], remote("x@other.example"))
        jobs = [self.job(r), self.job(r)]
        self.assertEqual({j["hop"] for j in jobs}, {"b.example", "other.example"})
        first = next(j for j in jobs if j["hop"] == "b.example")
        self.assertEqual(len(first["to"]), 2)
        r.sock.settimeout(0.3)
        with self.assertRaises(TimeoutError):
            self.job(r)
        self.done(r, first, (SENT, "mx", "250"), (SENT, "mx", "250"))
        self.assertEqual(self.job(r)["to"], ["u2@b.example"])


class Bounces(QueueTest):
    def test_bounce(self):
        r = self.relay()
        self.post(remote("a@b.example"), remote("c@b.example"))
        self.done(r, self.job(r), (BOUNCED, "mx.b.example", "550 5.1.1 <a@b.example>: unknown\r\nX-Evil: 1"),
                  (SENT, "mx", "250 ok"))
        raw, m = self.dsn()
        self.assertEqual(self.directory.asked, ["s@example.org"])
        self.assertTrue(raw.startswith(b"Return-Path: <>\r\n"))
        self.assertEqual((m.get_content_type(), m.get_param("report-type"), str(m["To"]), m["Auto-Submitted"]),
                         ("multipart/report", "delivery-status", "s@example.org", "auto-replied"))
        text, status, head = m.iter_parts()
        self.assertIn("a@b.example", text.get_content())
        self.assertNotIn("c@b.example", text.get_content())
        self.assertEqual(status.get_content_type(), "message/delivery-status")
        about, rcpt = status.get_payload()
        self.assertEqual(about["Reporting-MTA"], "dns; mx.example.org")
        self.assertEqual((rcpt["Final-Recipient"], rcpt["Action"], rcpt["Status"]),
                         ("rfc822; a@b.example", "failed", "5.1.1"))
        self.assertNotIn("X-Evil", rcpt)
        self.assertEqual(head.get_content_type(), "text/rfc822-headers")
        self.assertIn(b"Subject: caf\xc3\xa9", raw)
        self.assertNotIn(b"s@example.org>\r\nReceived", raw)  # the Return-Path stays behind
        self.wait(lambda: self.spool() == [])

    def test_waits_for_the_directory(self):
        self.directory.answer = UNKNOWN
        r = self.relay()
        self.post(remote("a@b.example"))
        self.done(r, self.job(r), (BOUNCED, "mx", "550 no"))
        self.wait(lambda: self.directory.asked)
        self.restart()
        self.assertEqual(self.files(SENDER), [])
        self.directory.answer = FOUND
        self.dsn()
        self.wait(lambda: self.spool() == [])

    def test_nobody_to_return_to(self):
        r = self.relay()
        self.post(remote("a@b.example"), sender="")
        self.done(r, self.job(r), (BOUNCED, "mx", "550 no"))
        self.wait(lambda: self.spool() == [])
        self.directory.answer = ABSENT
        self.post(remote("a@b.example"))
        self.done(r, self.job(r), (BOUNCED, "mx", "550 no"))
        self.wait(lambda: self.spool() == [])
        self.assertEqual(self.files(SENDER), [])
        self.assertIn("bounce dropped", self.queue.log())


class Lifetime(QueueTest):
    CONF = {"maximal_queue_lifetime": "1s"}

    def test_given_up(self):
        r = self.relay()
        self.post(remote("a@b.example"))
        r.sock.settimeout(10)
        while not self.files(SENDER):
            r.sock.settimeout(1.5)
            try:
                self.done(r, self.job(r), (DEFERRED, "mx", "451 4.2.0 later"))
            except TimeoutError:
                break
        raw, _ = self.dsn()
        self.assertIn(b"Status: 5.4.7", raw)
        self.assertIn(b"451 4.2.0 later", raw)
        self.wait(lambda: self.spool() == [])


del QueueTest  # it has no tests of its own

if __name__ == "__main__":
    harness.main()
