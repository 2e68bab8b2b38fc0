#!/usr/bin/python3
"""dirigo-mailbox by itself: IMAP and POP3 sessions after login, handed over as the front ends do."""
import hmac
import imaplib
import itertools
import os
import poplib
import socket
import struct
import threading
import time
import unittest
import uuid

import harness
from alone import Alone, Body, Channel, listen

SESSION, SESSION_RESULT = 1, 2
FORGET, FORGET_RESULT = 6, 7
OWNER = uuid.UUID("12345678-1234-1234-1234-123456789abc")
KEY = bytes(range(32))


issued = itertools.count()


def ticket(owner=OWNER, session="id1", seconds=60, key=KEY):
    """What dirigo-auth gives for a login."""
    until = struct.pack("<q", int((time.clock_gettime(time.CLOCK_BOOTTIME) + seconds) * 1000) + next(issued))
    return until + hmac.digest(key, until + owner.bytes + session.encode(), "sha256")


MESSAGE = (b"Return-Path: <a@example.org>\r\nFrom: Alice <a@example.org>\r\nTo: bob@example.org\r\n"
           b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nDate: Mon, 7 Feb 1994 21:52:25 -0800\r\n"
           b"Message-Id: <%d@example.org>\r\n\r\nHello %d\r\n.dot\r\n")


class Queue(threading.Thread):
    """The queue's side of forgetting: every name is one that it knows no more."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.socket = listen(path)
        self.names, self.ok = [], True
        self.start()

    def run(self):
        while True:
            try:
                conn, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(conn,), daemon=True).start()

    def serve(self, conn):
        try:
            channel = Channel(conn, None).hello("queue")
            while True:
                m = channel.read()
                assert m.kind == FORGET
                m._take(16)
                self.names += [m.str() for _ in range(m.u32())]
                m.end()
                channel.send(FORGET_RESULT, Body().u8(1 if self.ok else 0), m.id)
        except (EOFError, OSError):
            pass


class HandedImap(imaplib.IMAP4):
    """imaplib on a connection that is logged in."""

    def __init__(self, sock):
        self.handed = sock
        super().__init__()
        self.state = "AUTH"

    def _create_socket(self, timeout=None):
        return self.handed


class HandedPop3(poplib.POP3):
    def __init__(self, sock):
        self.handed = sock
        super().__init__("handed")

    def _create_socket(self, timeout):
        return self.handed


class MailboxTest(unittest.TestCase):
    def setUp(self, index=0, count=1):
        self.alone = Alone("dirigo-mailbox", {}, ipc="mailbox")
        self.alone.index, self.alone.count = index, count
        self.alone.role_key = KEY
        self.alone.conf["mail_directory"] = f"{self.alone.folder}/mail"
        self.queue = Queue(f"{self.alone.run}/queue.sock")
        self.alone.start()
        self.channel = Channel.connect(f"{self.alone.run}/mailbox.sock", "mailbox", 3)
        self.user = f"{self.alone.folder}/mail/users/12/{OWNER}"
        self.open = []

    def tearDown(self):
        for s in self.open:
            s.close()
        self.channel.close()
        self.alone.stop()
        self.queue.socket.close()

    def hand_over(self, protocol, tag="*", early=b"", proof=None, notice=None):
        """Our end of the connection, and whether dirigo-mailbox took the other one."""
        ours, theirs = socket.socketpair()
        ours.settimeout(20)
        body = Body().str(protocol).str("id1").str(tag)
        body.data += OWNER.bytes
        body.str("alice").str("alice@example.org").u8(4)
        body.data += socket.inet_aton("192.0.2.1") + bytes(12) + b"\x10\x27"
        body.bytes(ticket() if proof is None else proof).str(notice).u8(0).bytes(early).str("")
        self.channel.send(SESSION, body, 7, [theirs.fileno()])
        theirs.close()
        m = self.channel.read()
        self.assertEqual((m.kind, m.id), (SESSION_RESULT, 7))
        self.open.append(ours)
        return ours, m.u8() == 1

    def give(self, protocol, tag="*", early=b""):
        ours, taken = self.hand_over(protocol, tag, early)
        self.assertTrue(taken)
        return ours

    def imap(self):
        return HandedImap(self.give("imap"))

    def raw(self):
        """A connection and a function that sends a command and reads up to its tagged answer."""
        s = self.give("imap", "x0")
        f = s.makefile("rb")
        self.assertIn(b"x0 OK [CAPABILITY IMAP4rev1", f.readline())

        def ask(command, tag=b"x1"):
            s.sendall(tag + b" " + command + b"\r\n")
            lines = []
            while not lines or not lines[-1].startswith(tag + b" "):
                line = f.readline()
                self.assertTrue(line, "the connection was closed")
                lines.append(line)
            return lines

        return s, f, ask

    def deliver(self, number=1, folder="new", name=None, data=None):
        os.makedirs(self.user, exist_ok=True)
        for sub in ("tmp", "cur", "new"):
            os.makedirs(f"{self.user}/{sub}", exist_ok=True)
        name = name or f"{1700000000 + number}.abcR{number}"
        with open(f"{self.user}/tmp/{name}", "wb") as f:
            f.write(data if data is not None else MESSAGE % (number, number))
        os.rename(f"{self.user}/tmp/{name}", f"{self.user}/{folder}/{name}")
        return name

    # ---- IMAP ----

    def test_no_mailbox_without_a_login(self):
        """A process that may connect cannot name an owner who has not just logged in."""
        other = uuid.UUID("12345678-1234-1234-1234-123456789abd")
        for proof in (b"", bytes(40), ticket(other), ticket(session="id2"), ticket(seconds=-1), ticket(key=bytes(32)),
                      ticket()[:-1], ticket() + b"x"):
            ours, taken = self.hand_over("imap", proof=proof)
            self.assertFalse(taken, proof)
            self.assertEqual(ours.recv(100), b"")
        self.assertIn("without a good ticket", self.alone.log())
        self.assertFalse(os.path.exists(self.user))

    def test_a_ticket_opens_one_session(self):
        proof = ticket()
        self.assertTrue(self.hand_over("imap", proof=proof)[1])
        for protocol in ("imap", "pop3"):
            ours, taken = self.hand_over(protocol, proof=proof)
            self.assertFalse(taken)
            self.assertEqual(ours.recv(100), b"")
        self.assertTrue(self.hand_over("imap")[1])

    def test_notice(self):
        """A sentence for the user stands beside the answer to the login, and can be nothing but a sentence."""
        for protocol, lines in (("imap", [b"* OK [ALERT] Two words.", b"x OK [CAPABILITY "]),
                                ("pop3", [b"+OK Logged in, 0 messages (0 octets). Two words."])):
            with self.hand_over(protocol, tag="x", notice="Two words.")[0].makefile("rb") as f:
                for line in lines:
                    self.assertEqual(f.readline()[:len(line)], line)
        for notice in ("x\r\nx BYE", "\u00e9", "x" * 201):
            self.tearDown()
            self.setUp()
            with self.assertRaises((EOFError, ConnectionError)):
                self.hand_over("imap", notice=notice)

    def test_an_owner_has_one_process(self):
        """Where there are two, a ticket that one has taken opens nothing at the other."""
        taken = []
        for index in range(2):
            self.tearDown()
            self.setUp(index, 2)
            taken.append(self.hand_over("imap")[1])
        self.assertEqual(sorted(taken), [False, True])

    def test_select_fetch_store_search(self):
        for n in range(1, 4):
            self.deliver(n)
        m = self.imap()
        self.assertEqual(m.select("INBOX"), ("OK", [b"3"]))
        self.assertEqual(m.response("RECENT")[1], [b"3"])
        kind, data = m.fetch("1:*", "(FLAGS RFC822.SIZE ENVELOPE)")
        self.assertEqual((kind, len(data)), ("OK", 3))
        self.assertIn(b'"=?utf-8?q?Gr=C3=BC=C3=9Fe?="', data[0])
        self.assertIn(b"\\Recent", data[0])
        self.assertEqual(m.fetch("2", "(BODY.PEEK[])")[1][0][1], MESSAGE % (2, 2))
        self.assertEqual(m.fetch("2", "(BODY.PEEK[TEXT]<2.5>)")[1][0][1], b"llo 2")
        self.assertEqual(m.fetch("2", "(BODY.PEEK[HEADER.FIELDS (TO)])")[1][0][1], b"To: bob@example.org\r\n\r\n")
        self.assertEqual(m.search(None, "UNSEEN")[1], [b"1 2 3"])
        self.assertEqual(m.fetch("2", "(BODY[1])")[1][0][1], b"Hello 2\r\n.dot\r\n")
        self.assertEqual(m.search(None, "UNSEEN")[1], [b"1 3"])
        self.assertIn("1700000002.abcR2:2,S", os.listdir(f"{self.user}/cur"))
        self.assertEqual(m.store("1", "+FLAGS", "(\\Flagged $Work)")[1][0].split(b" (", 1)[1].count(b"$Work"), 1)
        self.assertEqual(m.search(None, "KEYWORD", "$work")[1], [b"1"])
        self.assertEqual(m.search("UTF-8", "SUBJECT", '"GRÜSSE"'.encode())[1], [b""])
        self.assertEqual(m.search("UTF-8", "SUBJECT", '"grüße"'.encode())[1], [b"1 2 3"])
        self.assertEqual(m.search(None, "BODY", '"hello 3"')[1], [b"3"])
        self.assertEqual(m.search(None, "TEXT", '"alice"', "SENTON", "7-Feb-1994")[1], [b"1 2 3"])
        self.assertEqual(m.uid("SEARCH", "2:3")[1], [b"2 3"])
        self.assertEqual(m.logout()[0], "BYE")

    def test_the_classic_bodystructure(self):
        self.deliver(1, data=b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\none\r\n--b\r\n"
                             b"Content-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\nbody\r\n--b--\r\n")
        m = self.imap()
        m.select("INBOX")
        for _ in range(2):  # computed, then from the index
            data = m.fetch("1", "(BODYSTRUCTURE)")[1][0]
            self.assertIn(b'"message" "rfc822" NIL NIL NIL "7bit" 19 (NIL "in" NIL', data)
        self.assertEqual(m.fetch("1", "(BODY[2.HEADER])")[1][0][1], b"Subject: in\r\n\r\n")
        self.assertEqual(m.fetch("1", "(BODY[2.1])")[1][0][1], b"body")
        self.assertEqual(m.fetch("1", "(BODY[2.MIME])")[1][0][1], b"Content-Type: message/rfc822\r\n\r\n")
        self.assertIn(b"BODY[7] NIL", m.fetch("1", "(BODY[7])")[1][0])

    def test_append_copy_move_expunge(self):
        m = self.imap()
        self.assertEqual(m.append("Nowhere", None, None, b"A: b\r\n\r\nx")[0], "NO")
        kind, data = m.append("INBOX", "(\\Seen $Kw)", '"17-Jul-1996 02:44:25 -0700"', MESSAGE % (1, 1))
        self.assertEqual(kind, "OK")
        self.assertRegex(data[0], rb"\[APPENDUID \d+ 1\]")
        big = b"Subject: big\r\n\r\n" + b"0123456789abcdef\r\n" * 60000
        self.assertEqual(m.append("INBOX", None, None, big)[0], "OK")
        self.assertEqual(m.create("Archive.2024")[0], "OK")
        m.select("INBOX")
        data = m.fetch("1", "(INTERNALDATE FLAGS)")[1][0]
        self.assertIn(b'"17-Jul-1996 09:44:25 +0000"', data)
        self.assertIn(b"$Kw", data)
        self.assertEqual(m.fetch("2", "(BODY.PEEK[])")[1][0][1], big)
        self.assertRegex(m.copy("1:2", "Archive.2024")[1][0], rb"\[COPYUID \d+ 1:2 1:2\]")
        kind, data = m.uid("MOVE", "2", "Archive.2024")
        self.assertEqual(kind, "OK")
        self.assertEqual(m.response("EXPUNGE")[1], [b"2"])
        m.store("1", "+FLAGS.SILENT", "(\\Deleted)")
        self.assertEqual(m.expunge()[1], [b"1"])
        self.assertEqual(len(self.queue.names), 1)
        self.assertEqual(m.select("Archive.2024", readonly=True)[1], [b"3"])
        self.assertIn(b"$Kw", m.fetch("1", "(FLAGS)")[1][0])
        self.assertEqual(m.fetch("2", "(BODY.PEEK[])")[1][0][1], big)
        m.unselect()
        self.assertEqual(m.delete("Archive.2024")[0], "OK")
        self.assertEqual(len(self.queue.names), 4)

    def test_expunge_waits_for_the_queue(self):
        self.deliver(1)
        self.queue.ok = False
        m = self.imap()
        m.select("INBOX")
        m.store("1", "+FLAGS", "(\\Deleted)")
        self.assertEqual(m.expunge()[0], "NO")
        self.assertEqual(m.search(None, "ALL")[1], [b"1"])
        self.queue.ok = True
        self.assertEqual(m.expunge()[0], "OK")

    def test_folders(self):
        m = self.imap()
        for name in ("A.B", '"Entw&APw-rfe"', "Sent"):
            self.assertEqual(m.create(name)[0], "OK")
        self.assertEqual(m.create("A.B")[0], "NO")
        self.assertEqual(m.create('"bad&name"')[0], "NO")
        listed = m.list()[1]
        self.assertIn(b'(\\HasNoChildren) "." INBOX', listed)
        self.assertIn(b'(\\Noselect \\HasChildren) "." A', listed)
        self.assertIn(b'(\\HasNoChildren \\Sent) "." Sent', listed)
        self.assertIn(b'(\\HasNoChildren) "." Entw&APw-rfe', listed)
        self.assertEqual(m.list('""', "A.%")[1], [b'(\\HasNoChildren) "." A.B'])
        self.assertEqual(m.subscribe("A.B")[0], "OK")
        self.assertEqual(m.lsub()[1], [b'() "." A.B'])
        self.assertEqual(m.lsub('""', "%")[1], [b'(\\Noselect) "." A'])
        self.assertEqual(m.rename("A", "Z")[0], "OK")
        self.assertRegex(m.status("Z.B", "(MESSAGES RECENT UIDNEXT UIDVALIDITY UNSEEN)")[1][0],
                         rb"Z.B \(MESSAGES 0 RECENT 0 UIDNEXT 1 UIDVALIDITY \d+ UNSEEN 0\)")
        self.assertEqual(m.delete("INBOX")[0], "NO")

    def test_two_sessions_and_idle(self):
        self.deliver(1)
        s, f, ask = self.raw()
        self.assertIn(b"* 1 EXISTS\r\n", ask(b"SELECT INBOX"))
        s.sendall(b"i1 IDLE\r\n")
        self.assertEqual(f.readline(), b"+ idling\r\n")
        began = time.monotonic()
        self.deliver(2)
        self.assertEqual(f.readline(), b"* 2 EXISTS\r\n")
        self.assertLess(time.monotonic() - began, 5)
        self.assertEqual(f.readline(), b"* 2 RECENT\r\n")
        other = self.imap()
        other.select("INBOX")
        other.store("1", "+FLAGS", "(\\Deleted)")
        self.assertIn(b"* 1 FETCH (UID 1 FLAGS (\\Deleted", f.readline())
        other.expunge()
        self.assertEqual(f.readline(), b"* 1 EXPUNGE\r\n")
        self.assertEqual(f.readline(), b"* 1 RECENT\r\n")
        s.sendall(b"DONE\r\n")
        self.assertEqual(f.readline(), b"i1 OK IDLE ended\r\n")
        # No EXPUNGE while FETCH is answered; NOOP brings it.
        other.store("1", "+FLAGS", "(\\Deleted)")
        other.expunge()
        self.assertNotIn(b"EXPUNGE\r\n", b"".join(ask(b"FETCH 1 FLAGS")))
        self.assertIn(b"* 1 EXPUNGE\r\n", ask(b"NOOP"))

    def test_pipelined_and_malformed(self):
        self.deliver(1)
        s, f, ask = self.raw()
        s.sendall(b"a SELECT INBOX\r\nb FETCH 1 (UID)\r\nc NOOP\r\nd NONSENSE\r\ne FETCH x FLAGS\r\n"
                  b"f SEARCH SUBJECT {5+}\r\n=?utf\r\ng LOGOUT\r\n")
        tagged = [line.split()[:2] for line in f.read().split(b"\r\n") if line and line[:1] not in b"*+"]
        self.assertEqual(tagged, [[b"a", b"OK"], [b"b", b"OK"], [b"c", b"OK"], [b"d", b"BAD"], [b"e", b"BAD"],
                                  [b"f", b"OK"], [b"g", b"OK"]])
        s = self.give("imap", "y", b"a NOOP\r\nb LOG")
        s.sendall(b"OUT\r\n")
        self.assertIn(b"a OK Done\r\n* BYE Logging out\r\nb OK", s.makefile("rb").read())

    def test_many_messages_and_a_slow_reader(self):
        for n in range(1, 401):
            self.deliver(n, data=b"Subject: %d\r\n\r\n" % n + b"x" * 78 * 500 + b"\r\n")
        s, f, ask = self.raw()
        ask(b"SELECT INBOX")
        s.sendall(b"a FETCH 1:* (UID BODY.PEEK[])\r\n")
        time.sleep(0.5)
        total = 0
        while True:
            line = f.readline()
            if line.startswith(b"a "):
                break
            self.assertIn(b"FETCH (UID", line)
            n = int(line[line.index(b"{") + 1:line.index(b"}")])
            total += len(f.read(n))
            self.assertEqual(f.readline(), b")\r\n")
        self.assertEqual(line, b"a OK Fetched\r\n")
        self.assertGreater(total, 400 * 39000)
        self.assertEqual(len([x for x in ask(b"FETCH 1:* ENVELOPE") if b"ENVELOPE" in x]), 400)
        self.assertIn(b"* SEARCH " + b" ".join(b"%d" % n for n in range(1, 401)) + b"\r\n", ask(b"SEARCH ALL"))

    # ---- POP3 ----

    def test_pop3(self):
        names = [self.deliver(n) for n in range(1, 4)]
        p = HandedPop3(self.give("pop3"))
        self.assertIn(b"3 messages", p.welcome)
        size = len(MESSAGE % (1, 1))
        self.assertEqual(p.stat(), (3, 3 * size))
        self.assertEqual(p.list()[1], [b"%d %d" % (n, size) for n in (1, 2, 3)])
        self.assertEqual(p.uidl()[1], [b"%d %s" % (n + 1, names[n].encode()) for n in range(3)])
        self.assertEqual(b"\r\n".join(p.retr(2)[1]) + b"\r\n", MESSAGE % (2, 2))
        self.assertEqual(p.top(1, 1)[1][-2:], [b"", b"Hello 1"])
        self.assertIn("TOP", p.capa())
        self.assertIn(b"[IN-USE]", self.give("pop3").makefile("rb").readline())
        for bad in ("RETR 9", "DELE x", "FOO", "TOP 1", "STAT 1", "LIST 0"):
            with self.assertRaises(poplib.error_proto):
                p._shortcmd(bad)
        p.dele(1)
        with self.assertRaises(poplib.error_proto):
            p.retr(1)
        p.rset()
        p.dele(3)
        self.assertEqual(p.stat(), (2, 2 * size))
        self.assertIn(b"1 messages removed", p.quit())
        self.assertEqual(self.queue.names, names[2:])
        p = HandedPop3(self.give("pop3"))
        self.assertEqual(p.stat()[0], 2)
        m = self.imap()
        m.select("INBOX")
        self.assertEqual(m.search(None, "SEEN")[1], [b"2"])

    def test_pop3_without_quit_removes_nothing(self):
        self.deliver(1)
        p = HandedPop3(self.give("pop3"))
        p.dele(1)
        p.close()
        p = HandedPop3(self.give("pop3"))
        self.assertEqual(p.stat()[0], 1)


if __name__ == "__main__":
    harness.main()
