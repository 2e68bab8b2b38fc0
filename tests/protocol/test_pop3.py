#!/usr/bin/python3
"""POP3 against the whole stack: poplib and curl."""
import poplib

import harness
from harness import PASSWORDS, StackTest, run


class Pop3Test(StackTest):
    def deliver(self, marker, body="hello\r\n.dot\r\n"):
        with self.stack.smtp("lmtp") as s:
            s.ehlo("test.example.net")
            s.sendmail("alice@example.org", ["bob@example.org"],
                       f"From: alice@example.org\r\nTo: bob@example.org\r\nSubject: {marker}\r\n\r\n{body}")

    def test_read_and_remove(self):
        self.deliver("pop-1")
        self.deliver("pop-2")
        self.stack.wait_mail("bob", "pop-2")
        p = self.stack.pop3("bob")
        count, size = p.stat()
        listed = p.list()[1]
        self.assertEqual(sum(int(line.split()[1]) for line in listed), size)
        self.assertEqual(len(listed), count)
        number = next(n for n in range(1, count + 1) if b"Subject: pop-1" in p.top(n, 0)[1])
        lines = p.retr(number)[1]
        self.assertEqual(lines[-2:], [b"hello", b".dot"])
        self.assertEqual(sum(len(line) + 2 for line in lines), int(listed[number - 1].split()[1]))
        uidl = p.uidl()[1]
        p.dele(number)
        p.quit()
        q = self.stack.pop3("bob")
        self.assertEqual([line.split()[1] for line in q.uidl()[1]],
                         [line.split()[1] for line in uidl if int(line.split()[0]) != number])
        with self.assertRaises(poplib.error_proto) as refused:
            self.stack.pop3("bob")
        self.assertIn(b"IN-USE", refused.exception.args[0])
        q.quit()

    def test_curl(self):
        self.deliver("pop-curl")
        self.stack.wait_mail("bob", "pop-curl")
        base = f"pop3s://127.0.0.1:{self.stack.ports['pop3s']}/"

        def curl(path):
            return run("curl", "-sS", "--cacert", self.stack.cert, "--user", f"bob:{PASSWORDS['bob']}", base + path).stdout

        count = len(curl("").splitlines())
        self.assertIn("Subject: pop-curl", "".join(curl(str(n)) for n in range(1, count + 1)))


if __name__ == "__main__":
    harness.main()
