"""Parameters in the directory: in force without a reload, by host, refused where they are wrong, kept for a start
without the directory."""
import re
import unittest

import harness
from harness import SUFFIX, Stack, wait_for
from test_directory import person


def config(name, *settings, host=None):
    lines = [f"dn: cn={name},{SUFFIX}", "objectClass: dirigoConfig", f"cn: {name}"]
    lines += [f"dirigoParameter: {s}" for s in settings] + ([f"dirigoConfigHost: {host}"] if host else [])
    return "\n".join(lines) + "\n\n"


class SettingsTest(unittest.TestCase):
    def setUp(self):
        self.stack = Stack()
        self.addCleanup(lambda: self.assertEqual(self.stack.stop(), []))
        self.stack.start()
        self.slapd = self.stack.slapd

    def size(self):
        """message_size_limit as a session sees it."""
        with self.stack.smtp() as s:
            s.ehlo("test.example.net")
            return s.esmtp_features.get("size")

    def wait_size(self, size):
        wait_for(f"size {size}", lambda: self.size() == size, 40)

    def shown(self, name):
        return next((p["value"], p["origin"]) for p in self.stack.tool_json("config") if p["name"] == name)

    def replace(self, name, *settings):
        values = "".join(f"dirigoParameter: {s}\n" for s in settings)
        self.slapd.modify(f"dn: cn={name},{SUFFIX}\nchangetype: modify\nreplace: dirigoParameter\n{values}")

    def wait_log(self, pattern):
        wait_for(pattern, lambda: re.search(pattern, self.stack.dirigod.log()), 40)

    def test_in_force_at_once(self):
        session = self.stack.imap("alice")
        self.assertEqual(self.size(), "52428800")
        self.slapd.add(config("all", "message_size_limit = 2M", "login_greeting = Hello."))
        self.wait_size("2097152")
        wait_for("kept", lambda: self.shown("message_size_limit") == ("2M", f"cn=all,{SUFFIX}"), 20)
        self.assertEqual(self.shown("login_greeting")[0], "Hello.")
        # This host's wins over everybody's, another host's means nothing here.
        self.slapd.add(config("here", "message_size_limit = 3M", host="mx.example.org"))
        self.wait_size("3145728")
        self.slapd.add(config("there", "message_size_limit = 4M", host="mx2.example.org"))
        self.slapd.modify(f"dn: cn=here,{SUFFIX}\nchangetype: delete\n")
        self.wait_size("2097152")
        self.slapd.modify(f"dn: cn=all,{SUFFIX}\nchangetype: delete\n")
        self.wait_size("52428800")
        wait_for("the default", lambda: self.shown("message_size_limit")[1] == "default", 20)
        self.assertEqual(session.noop()[0], "OK")
        session.logout()

    def test_refused(self):
        self.slapd.add(config("all", "message_size_limit = 2M"))
        self.wait_size("2097152")
        pid, = wait_for("one process", lambda: len(p := self.stack.pids("dirigo-smtpd")) == 1 and p, 40)
        faults = [("message_size_limit = lots", rf'cn=all,{SUFFIX}: message_size_limit: '),
                  ("mesage_size_limit = 3M", r"there is no such parameter; did you mean message_size_limit"),
                  ("ssl_key = /etc/shadow", r"ssl_key: may only stand in .*dirigo.conf; write it there"),
                  ("server_host = ldap://127.0.0.1", r"server_host: may only stand in"),
                  ("smtpd_client_restrictions = reject_everything", r"smtpd_client_restrictions: .*reject_everything"),
                  ("no setting", rf"cn=all,{SUFFIX}: .*=")]
        for setting, fault in faults:
            with self.subTest(setting):
                self.replace("all", setting, "smtpd_recipient_limit = 99")
                self.wait_log(fault)
        self.assertEqual(self.size(), "2097152")
        self.assertEqual(self.shown("message_size_limit"), ("2M", f"cn=all,{SUFFIX}"))
        self.assertIn(pid, self.stack.pids("dirigo-smtpd"))
        self.assertEqual(self.shown("smtpd_recipient_limit")[1], "default")
        self.slapd.add(config("more", "message_size_limit = 7M"))
        self.replace("all", "message_size_limit = 6M")
        self.wait_log(rf"is set to something else by cn=(all|more),{SUFFIX}; keep one of the two")
        self.slapd.modify(f"dn: cn=more,{SUFFIX}\nchangetype: delete\n")
        self.wait_size("6291456")

    def test_local_file_wins(self):
        self.stack.conf["message_size_limit"] = "1M"
        self.stack.write_conf()
        self.stack.tool("reload")
        self.wait_size("1048576")
        self.slapd.add(config("all", "message_size_limit = 2M", "smtpd_recipient_limit = 77"))
        wait_for("the other", lambda: self.shown("smtpd_recipient_limit") == ("77", f"cn=all,{SUFFIX}"), 40)
        self.assertEqual(self.size(), "1048576")
        self.assertRegex(self.shown("message_size_limit")[1], r"dirigo.conf:\d+$")
        del self.stack.conf["message_size_limit"]
        self.stack.write_conf()
        self.stack.tool("reload")
        self.wait_size("2097152")

    def test_start_without_directory(self):
        self.slapd.add(config("all", "message_size_limit = 2M"))
        self.wait_size("2097152")
        wait_for("kept", lambda: self.shown("message_size_limit")[0] == "2M", 20)
        self.assertEqual(self.stack.dirigod.end(), 0)
        self.slapd.stop()
        self.stack.start_dirigod(ready=False)
        wait_for("dirigod", self.stack.is_up, 40)
        self.assertEqual(self.size(), "2097152")
        self.slapd.start()
        self.replace("all", "message_size_limit = 3M")
        self.wait_size("3145728")
        # What was kept and does not fit any more stops nothing.
        self.assertEqual(self.stack.dirigod.end(), 0)
        self.slapd.stop()
        with open(f"{self.stack.conf['state_directory']}/directory.settings", "wb") as f:
            f.write(b"acn=old\0no_such_parameter = 1\0")
        self.stack.start_dirigod(ready=False)
        wait_for("dirigod", self.stack.is_up, 40)
        self.assertEqual(self.size(), "52428800")


if __name__ == "__main__":
    harness.main()
