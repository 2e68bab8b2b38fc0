"""One client for the three protocols that log in: submission in the words of test_login.Client, so that a test of a
mechanism is written once."""
import test_login
from test_login import Client, plain

SERVICES = ("submission", "imap", "pop3")
SASL_NAME = {"submission": "smtp", "imap": "imap", "pop3": "pop3"}
WORDS = {
    "denied": {"submission": "535 5.7.8", "imap": "NO [AUTHENTICATIONFAILED]", "pop3": "-ERR [AUTH]"},
    "temporary": {"submission": "454 4.7.0", "imap": "NO [UNAVAILABLE]", "pop3": "-ERR [SYS/TEMP]"},
    "malformed": {"submission": "501 5.5.2", "imap": "BAD", "pop3": "-ERR"},
    "unknown mechanism": {"submission": "504 5.5.4", "imap": "NO", "pop3": "-ERR"},
}


class Submission(Client):
    """STARTTLS and EHLO are said; a challenge reads "+ ...", as in the other two."""

    def __init__(self, stack, protocol="submission", tls=True, **more):
        super().__init__(stack, protocol, tls=False, **more)
        self.offers = self.say("EHLO client.example.net")
        if tls:
            assert self.say("STARTTLS")[-1].startswith("220")
            self.secure()
            self.offers = self.say("EHLO client.example.net")

    def reply(self):
        lines = [self.line()]
        while lines[-1][3:4] == "-":
            lines.append(self.line())
        return lines

    def say(self, text):
        self.send(text + "\r\n")
        return self.reply()

    def end(self):
        last = self.reply()[-1]
        return "+ " + last[4:] if last.startswith("334") else last

    def command(self, text):
        self.send(text.replace("AUTHENTICATE ", "AUTH ") + "\r\n")
        return self.end()

    def password(self, user, password):
        return self.sasl_ir("PLAIN", plain(user, password))

    def capabilities(self):
        return "\n".join(line for line in self.offers if line[4:].startswith("AUTH"))


def connect(stack, service, **more):
    return Submission(stack, **more) if service == "submission" else Client(stack, service, **more)


def ok(reply):
    return reply.startswith("235") or test_login.ok(reply)
