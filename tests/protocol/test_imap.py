#!/usr/bin/python3
"""IMAP against the whole stack, with the clients that people use: imaplib, curl, mbsync, mutt."""
import email
import os
import shutil
import subprocess
import tempfile

import harness
from harness import PASSWORDS, StackTest, run, wait_for


def message(marker, body="hello\r\n"):
    return (f"From: Alice <alice@example.org>\r\nTo: bob@example.org\r\nSubject: {marker}\r\n"
            f"Date: Mon, 7 Feb 1994 21:52:25 -0800\r\nMessage-Id: <{marker}@example.org>\r\n\r\n{body}")


class ImapTest(StackTest):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="dirigo-client-")
        self.addCleanup(shutil.rmtree, self.folder)

    def deliver(self, marker, user="bob", body="hello\r\n"):
        with self.stack.smtp("lmtp") as s:
            s.ehlo("test.example.net")
            s.sendmail("alice@example.org", [f"{user}@example.org"], message(marker, body))

    def curl(self, path, *args):
        url = f"imaps://127.0.0.1:{self.stack.ports['imaps']}/{path}"
        return run("curl", "-sS", "--cacert", self.stack.cert, "--user", f"bob:{PASSWORDS['bob']}", url, *args).stdout

    def test_delivered_mail_is_read(self):
        self.deliver("read-it")
        text = self.stack.wait_mail("bob", "read-it")
        parsed = email.message_from_bytes(text)
        self.assertEqual(parsed["Subject"], "read-it")
        self.assertIsNotNone(parsed["Received"])

    def test_new_mail_during_idle_and_a_flag_for_others(self):
        with self.stack.imap("bob") as c, self.stack.imap("bob") as other:
            c.select()
            other.select()
            c.send(b"i1 IDLE\r\n")
            self.assertTrue(c.readline().startswith(b"+"))
            self.deliver("while-idle")
            line = c.readline()
            self.assertIn(b"EXISTS", line)
            count = line.split()[1]
            self.assertIn(b"RECENT", c.readline())
            self.assertEqual(other.noop()[0], "OK")
            other.store(count.decode(), "+FLAGS", "(\\Flagged)")
            self.assertIn(b"* " + count + b" FETCH", c.readline())
            c.send(b"DONE\r\n")
            self.assertEqual(c.readline(), b"i1 OK IDLE ended\r\n")

    def test_an_expunged_message_stays_away_after_kill_and_restart(self):
        self.deliver("gone-for-good")
        self.stack.wait_mail("bob", "gone-for-good")
        with self.stack.imap("bob") as c:
            c.select()
            found = c.search(None, "SUBJECT", "gone-for-good")[1][0]
            c.store(found.decode(), "+FLAGS.SILENT", "(\\Deleted)")
            self.assertEqual(c.expunge()[0], "OK")
        for name in ("dirigo-queue", "dirigo-mailbox"):
            for pid in self.stack.pids(name):
                os.kill(pid, 9)
        wait_for("the queue again", lambda: self.stack.pids("dirigo-queue"))
        wait_for("the mailbox again", lambda: self.stack.mailbox("bob") is not None)
        self.assertFalse([m for m in self.stack.mailbox("bob") if b"gone-for-good" in m])

    def test_curl(self):
        self.deliver("by-curl")
        self.stack.wait_mail("bob", "by-curl")
        self.assertIn("* LIST", self.curl(""))
        self.assertIn("INBOX", self.curl("INBOX", "-X", "STATUS INBOX (MESSAGES)"))
        number = self.curl("INBOX", "-X", "SEARCH SUBJECT by-curl").split()[-1]
        self.assertIn("Subject: by-curl", self.curl(f"INBOX;MAILINDEX={number}"))
        self.assertIn("hello", self.curl(f"INBOX;MAILINDEX={number};SECTION=TEXT"))
        path = f"{self.folder}/up"
        with open(path, "w", encoding="ascii", newline="") as f:
            f.write(message("up-by-curl"))
        self.curl("INBOX", "-T", path)
        self.stack.wait_mail("bob", "up-by-curl")

    def test_mbsync_both_ways(self):
        with self.stack.imap("alice") as c:
            c.create("Lists.dev")
            c.append("Lists.dev", "(\\Seen)", None, message("from-there").encode())
        rc = f"{self.folder}/mbsyncrc"
        with open(rc, "w", encoding="ascii") as f:
            f.write(f"IMAPAccount a\nHost localhost\nPort {self.stack.ports['imaps']}\nUser alice\n"
                    f"Pass {PASSWORDS['alice']}\nSSLType IMAPS\nSystemCertificates no\n"
                    f"CertificateFile {self.stack.cert}\nAuthMechs LOGIN\n\nIMAPStore far\nAccount a\n\n"
                    f"MaildirStore near\nPath {self.folder}/m/\nInbox {self.folder}/m/INBOX\nSubFolders Verbatim\n\n"
                    f"Channel c\nFar :far:\nNear :near:\nPatterns *\nCreate Both\nExpunge Both\nSyncState *\n")
        os.mkdir(f"{self.folder}/m")
        run("mbsync", "-c", rc, "c")
        found = os.listdir(f"{self.folder}/m/Lists/dev/cur")
        self.assertEqual(len(found), 1)
        self.assertTrue(found[0].endswith("S"))
        with open(f"{self.folder}/m/Lists/dev/new/1.here", "w", encoding="ascii") as f:
            f.write(message("from-here").replace("\r\n", "\n"))
        os.rename(f"{self.folder}/m/Lists/dev/cur/{found[0]}", f"{self.folder}/m/Lists/dev/cur/{found[0]}T")
        run("mbsync", "-c", rc, "c")
        mails = self.stack.mailbox("alice", "Lists.dev")
        self.assertEqual(len(mails), 1)
        self.assertIn(b"from-here", mails[0])

    def test_mutt_copies_a_message(self):
        self.deliver("for-mutt", "alice")
        self.stack.wait_mail("alice", "for-mutt")
        with self.stack.imap("alice") as c:
            c.create("Kept")
        rc = f"{self.folder}/muttrc"
        with open(rc, "w", encoding="ascii") as f:
            f.write(f"set imap_user=alice\nset imap_pass={PASSWORDS['alice']}\nset ssl_ca_certificates_file={self.stack.cert}\n"
                    f"set ssl_verify_host=no\nset certificate_file={self.folder}/certs\nset header_cache=\n"
                    f"set folder=imaps://localhost:{self.stack.ports['imaps']}/\nset confirmappend=no\nset quit=yes\n"
                    f"set move=no\nset mark_old=no\nset wait_key=no\nset copy=no\n"
                    "push \"<limit>for-mutt<enter><copy-message><kill-line>=Kept<enter><quit>\"\n")
        env = dict(os.environ, TERM="xterm", HOME=self.folder)
        with open(self.stack.cert, encoding="ascii") as f, open(f"{self.folder}/certs", "w", encoding="ascii") as out:
            out.write(f.read())
        subprocess.run(["script", "-qec", f"mutt -n -F {rc} -f imaps://localhost:{self.stack.ports['imaps']}/INBOX",
                        "/dev/null"], stdin=subprocess.DEVNULL, capture_output=True, timeout=60, env=env, check=False)
        self.assertTrue([m for m in self.stack.mailbox("alice", "Kept") if b"for-mutt" in m])

    def test_a_reload_drops_no_session(self):
        with self.stack.imap("bob") as c:
            c.select()
            old = self.stack.pids("dirigo-mailbox")
            self.stack.conf["imap_idle_timeout"] = "29m"
            self.stack.write_conf()
            self.stack.dirigod.child.send_signal(1)
            wait_for("new processes", lambda: set(self.stack.pids("dirigo-mailbox")) - set(old))
            self.deliver("after-reload")
            self.stack.wait_mail("bob", "after-reload")  # a new session, in the new process
            self.assertEqual(c.noop()[0], "OK")
            self.assertNotEqual(c.search(None, "SUBJECT", "after-reload")[1], [b""])
        wait_for("the end of the old one", lambda: not set(self.stack.pids("dirigo-mailbox")) & set(old))


if __name__ == "__main__":
    harness.main()
