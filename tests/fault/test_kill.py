#!/usr/bin/python3
"""kill -9 of every process, in turn and all at once, while mail flows: each message that got its 250 is in its
mailbox, once. And the directory away while mail flows: warm recipients 250, cold ones 451, never 550."""
import os
import re
import signal
import smtplib
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "protocol"))
import harness  # noqa: E402
from harness import StackTest, wait_for  # noqa: E402

MESSAGES = int(os.environ.get("DIRIGO_KILL_MESSAGES", "2000"))
CONNECTIONS = 20
PROCESSES = ("dirigo-smtpd", "dirigo-queue", "dirigo-directory", "dirigo-auth", "dirigo-resolver", "dirigo-relay",
             "dirigo-mailbox", "dirigo-imapd", "dirigo-pop3d")


class Sender(threading.Thread):
    """Sends messages that each have a marker of their own; a marker is never used for a second try."""

    lock = threading.Lock()
    number = 0
    accepted = []
    refused = {}

    def __init__(self, stack):
        super().__init__()
        self.stack = stack

    def run(self):
        smtp = None
        while True:
            with Sender.lock:
                if len(Sender.accepted) >= MESSAGES or Sender.number >= MESSAGES * 3:
                    break
                Sender.number += 1
                marker = f"marker-{Sender.number:06d}"
            try:
                if smtp is None:
                    smtp = self.stack.smtp()
                    smtp.ehlo("test.example.net")
                smtp.sendmail("sender@example.net", ["bob@example.org"],
                              f"Subject: {marker}\r\n\r\n{'x' * 70}\r\n{marker}\r\n")
                with Sender.lock:
                    Sender.accepted.append(marker)
            except smtplib.SMTPResponseException as e:
                self.note(e.smtp_code)
            except smtplib.SMTPRecipientsRefused as e:
                self.note(next(iter(e.recipients.values()))[0])
            except (smtplib.SMTPException, OSError):
                self.note("gone")
                smtp = None
                time.sleep(0.05)
        if smtp is not None:
            try:
                smtp.quit()
            except (smtplib.SMTPException, OSError):
                pass

    @staticmethod
    def note(code):
        with Sender.lock:
            Sender.refused[code] = Sender.refused.get(code, 0) + 1


class KillTest(StackTest):
    CONF = {"queue_checkpoint_interval": "500ms", "smtpd_hard_error_limit": "10000"}

    def kill_all_now(self):
        for name in PROCESSES:
            for pid in self.stack.pids(name):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass

    def test_kill_9_of_each_process_loses_and_doubles_nothing(self):
        senders = [Sender(self.stack) for _ in range(CONNECTIONS)]
        for s in senders:
            s.start()
        # Each process in turn, then all at once, and that three times over, spread over the run.
        turns = 3 * (len(PROCESSES) + 1)
        for turn in range(turns):
            wait_for("the next turn", lambda: len(Sender.accepted) >= turn * MESSAGES // turns, 120, 0.005)
            i = turn % (len(PROCESSES) + 1)
            if i == len(PROCESSES):
                self.kill_all_now()
                continue
            pids = wait_for(PROCESSES[i], lambda: self.stack.pids(PROCESSES[i]), 60)
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
        for s in senders:
            s.join(180)
            self.assertFalse(s.is_alive(), "a sender hangs")
        wait_for("all processes back", lambda: all(self.stack.pids(p) for p in PROCESSES), 60)
        self.stack.wait_sync()
        print(f"    accepted {len(Sender.accepted)} of {Sender.number}, kills {turns}, else {Sender.refused}")
        self.assertGreaterEqual(len(Sender.accepted), MESSAGES)
        permanent = [c for c in Sender.refused if isinstance(c, int) and c >= 500]
        self.assertEqual(permanent, [], "a crash turned into a permanent refusal")
        counts = wait_for("every accepted message in the mailbox", self.counts_if_complete, 60, 0.5)
        doubled = {m: n for m, n in counts.items() if n > 1}
        self.assertEqual(doubled, {}, "messages that are there more than once")

    def counts_if_complete(self):
        counts = {}
        for message in self.stack.mailbox("bob"):
            for marker in set(re.findall(rb"^Subject: (marker-\d+)\r$", message, re.M)):
                counts[marker.decode()] = counts.get(marker.decode(), 0) + 1
        missing = [m for m in Sender.accepted if m not in counts]
        if missing:
            raise AssertionError(f"{len(missing)} accepted messages are not there: {missing[:5]}")
        return counts


class DirectoryAwayTest(StackTest):
    def rcpt(self, address):
        with self.stack.smtp() as s:
            s.ehlo("test.example.net")
            s.mail("sender@example.net")
            return s.rcpt(address)[0]

    def test_directory_away_is_temporary_for_the_unknown_and_nothing_for_the_known(self):
        self.assertEqual(self.rcpt("alice@example.org"), 250)
        self.assertEqual(self.rcpt("nobody@example.org"), 550)
        seen, stop = {}, threading.Event()

        def watch():
            while not stop.is_set():
                for address in ("alice@example.org", "nobody@example.org"):
                    try:
                        code = self.rcpt(address)
                    except (OSError, smtplib.SMTPException):
                        code = 0
                    seen.setdefault(address, []).append((time.monotonic(), code))

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            time.sleep(0.5)
            self.stack.slapd.stop()
            stopped = time.monotonic()
            wait_for("451 for an unknown recipient", lambda: seen["nobody@example.org"][-1][1] == 451, 15)
            time.sleep(2)
            started = time.monotonic()
            self.stack.slapd.start()
            wait_for("550 again", lambda: seen["nobody@example.org"][-1][1] == 550, 30)
        finally:
            stop.set()
            thread.join()
        self.assertEqual({code for _, code in seen["alice@example.org"]}, {250})
        self.assertLessEqual({code for _, code in seen["nobody@example.org"]}, {550, 451})
        wrong = [t for t, code in seen["nobody@example.org"] if code == 550 and stopped + 1 < t < started]
        self.assertEqual(wrong, [], "550 while the directory was away")
        first = next(t for t, code in seen["nobody@example.org"] if code == 451)
        print(f"    451 came {(first - stopped) * 1000:.0f} ms after slapd had ended")

    def test_directory_process_killed_says_451_until_it_is_in_sync_again(self):
        self.stack.wait_sync()
        for pid in self.stack.pids("dirigo-directory"):
            os.kill(pid, signal.SIGSTOP)
            os.kill(pid, signal.SIGKILL)
        codes = set()
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            codes.add(self.rcpt("nobody@example.org"))
            self.assertEqual(self.rcpt("alice@example.org"), 250)
        self.assertLessEqual(codes, {451, 550})
        self.stack.wait_sync()


if __name__ == "__main__":
    socket.setdefaulttimeout(20)
    harness.main()
