#!/usr/bin/python3
"""dirigod: what stops a start, who runs as whom, restarts, reloads that drop nothing, the embedded directory."""
import os
import pwd
import signal
import shutil
import subprocess
import time
import unittest

import harness
from harness import BUILD, Stack, StackTest, run, wait_for

PROGRAMS = {"dirigo-directory": "dirigo-dir", "dirigo-auth": "dirigo-dir", "dirigo-resolver": "dirigo",
            "dirigo-queue": "dirigo-mail", "dirigo-relay": "dirigo", "dirigo-mailbox": "dirigo-mail",
            "dirigo-smtpd": "dirigo", "dirigo-imapd": "dirigo", "dirigo-pop3d": "dirigo"}


class FaultsTest(unittest.TestCase):
    """Nothing is started here: each fault is found before."""

    @classmethod
    def setUpClass(cls):
        cls.stack = Stack(embedded=True)
        cls.stack.write_conf()

    @classmethod
    def tearDownClass(cls):
        cls.stack.stop()

    def refused(self, *overrides):
        arguments = [word for o in overrides for word in ("-o", o)]
        done = run(f"{BUILD}/dirigod", "-F", "-c", self.stack.conf_path, *arguments, check=False, env=self.stack.env())
        self.assertEqual(done.returncode, 1, done.stderr)
        return done.stderr

    def test_unknown_parameter(self):
        self.assertIn("command line: search_bse: there is no such parameter; did you mean search_base?",
                      self.refused("search_bse=x"))

    def test_bad_value_names_the_line(self):
        with open(self.stack.conf_path, encoding="utf-8") as f:
            text = f.read()
        path = f"{self.stack.folder}/bad.conf"
        with open(path, "w", encoding="utf-8") as f:
            f.write("# a comment\nport_imap = many\n" + text.replace("port_imap =", "#"))
        done = run(f"{BUILD}/dirigo", "-c", path, "config", "check", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"{path}:2: port_imap: is not a whole number; write digits alone", done.stderr)

    def test_unreadable_certificate(self):
        self.assertIn("ssl_cert: /nonexistent/cert.pem cannot be read: No such file or directory; give the PEM file",
                      self.refused("ssl_cert=/nonexistent/cert.pem"))

    def test_certificate_of_another_key(self):
        other = f"{self.stack.folder}/other"
        os.mkdir(other)
        _, key = harness.certificate(other)
        done = run(f"{BUILD}/dirigo", "-c", self.stack.conf_path, "-o", f"ssl_key={key}", "config", "check", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("give the certificate chain and the private key that belongs to it", done.stderr)

    def test_wrong_restriction_list(self):
        wrong = "smtpd_recipient_restrictions=reject_unlisted_recipient, reject_everybody"
        done = run(f"{BUILD}/dirigo", "-c", self.stack.conf_path, "-o", wrong, "config", "check", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("command line: smtpd_recipient_restrictions: unknown restriction \"reject_everybody\"; ", done.stderr)

    def wrong_lists(self, *lines):
        """What `dirigo config check` says of a file that begins with these lines."""
        with open(self.stack.conf_path, encoding="utf-8") as f:
            text = f.read()
        path = f"{self.stack.folder}/lists.conf"
        with open(path, "w", encoding="utf-8") as f:
            f.write("\n".join(lines) + "\n" + text)
        done = run(f"{BUILD}/dirigo", "-c", path, "config", "check", check=False)
        return done.returncode, done.stderr.replace(path, "FILE")

    def test_misspelled_restriction(self):
        self.assertEqual(self.wrong_lists("# first", "smtpd_client_restrictions = permit_mynetworks,", "  rejct_rbl_client x.example"),
                         (1, 'FILE:2: smtpd_client_restrictions: unknown restriction "rejct_rbl_client"; did you mean '
                             "reject_rbl_client?\n"))
        self.assertEqual(self.wrong_lists("smtpd_client_restrictions = permit_mynetwork"),
                         (1, 'FILE:1: smtpd_client_restrictions: unknown restriction "permit_mynetwork"; did you mean '
                             "permit_mynetworks?\n"))
        self.assertIn('"pemit"; did you mean permit? A class of the directory is ldap:pemit\n',
                      self.wrong_lists("smtpd_client_restrictions = pemit")[1])
        code, text = self.wrong_lists("smtpd_etrn_restrictions = strangers_may_not")
        self.assertEqual(code, 1)
        self.assertIn('FILE:1: smtpd_etrn_restrictions: unknown restriction "strangers_may_not"; write '
                      "ldap:strangers_may_not for a class of the directory, or name one of this file in "
                      "smtpd_restriction_classes", text)

    def test_misspelled_restriction_stops_the_start(self):
        self.assertIn('parameter=smtpd_data_restrictions why="unknown restriction \\"strangers_may_not\\"; write ldap:',
                      self.refused("smtpd_data_restrictions=strangers_may_not"))

    def test_classes_of_the_file(self):
        good = ("smtpd_restriction_classes = insiders, outsiders", "smtpd_sender_restrictions = outsiders, ldap:strict",
                "insiders = permit_mynetworks, reject", "outsiders = insiders, check_sender_access $myorigin")
        self.assertEqual(self.wrong_lists(*good), (0, ""))
        for lines, fault in (
                (("smtpd_restriction_classes = insiders",),
                 'FILE:1: smtpd_restriction_classes: the class insiders is not set; write "insiders = RESTRICTIONS"'),
                (("smtpd_restriction_classes = reject_code",), "reject_code is the name of a parameter; give the class another"),
                (("insiders = reject",), "FILE:1: insiders: there is no such parameter"),
                (("smtpd_restriction_classes = permit_us", "permit_us = reject"), "FILE:2: permit_us: this is no name for a class"),
                (("smtpd_restriction_classes = loop", "loop = loop"), "FILE:2: loop: classes are nested too deeply"),
                (("smtpd_restriction_classes = c", "c = permit, rejct"), 'FILE:2: c: unknown restriction "rejct"; did you mean reject?'),
                (("smtpd_restriction_classes = c", "smtpd_data_restrictions = c", "c = reject_unauth_destination"),
                 "FILE:3: c: reject_unauth_destination needs a recipient")):
            with self.subTest(lines):
                code, text = self.wrong_lists(*lines)
                self.assertEqual((code, text.count("\n")), (1, 1), text)
                self.assertIn(fault, text)
        path = f"{self.stack.folder}/lists.conf"
        self.wrong_lists(*good)
        self.assertEqual(run(f"{BUILD}/dirigo", "-c", path, "config", "insiders").stdout,
                         f"# {path}:3\ninsiders = permit_mynetworks, reject\n")

    def test_folder_that_others_use_is_left_alone(self):
        shared = f"{self.stack.folder}/shared"
        os.mkdir(shared)
        os.chmod(shared, 0o1777)
        self.assertIn(f"{shared}: is not Dirigo's alone", self.refused(f"mail_directory={shared}"))
        self.assertEqual(os.stat(shared).st_mode & 0o7777, 0o1777)
        self.assertEqual(os.stat(shared).st_uid, os.geteuid())

    def test_help(self):
        for option in ("--help", "-h", "help"):
            self.assertIn("dirigo lookup address", run(f"{BUILD}/dirigo", option).stdout)

    def test_missing_program(self):
        self.assertIn("/nonexistent/dirigo-queue cannot be executed", self.refused("daemon_directory=/nonexistent"))

    def test_path_too_long_for_a_socket(self):
        self.assertIn("too long for the embedded directory's socket", self.refused("state_directory=/tmp/" + "x" * 100))
        self.assertIn("too long for the sockets in it", self.refused("run_directory=/tmp/" + "x" * 100))

    def test_one_port_twice(self):
        port = self.stack.ports["smtp"]
        self.assertIn("port_imap: is the port of smtp too", self.refused(f"port_imap={port}"))

    def test_secret_is_not_printed(self):
        done = run(f"{BUILD}/dirigo", "-c", self.stack.conf_path, "-o", "bind_pw=tell-nobody", "config")
        self.assertNotIn("tell-nobody", done.stdout)
        self.assertIn("bind_pw = (secret)", done.stdout)


class RunningTest(StackTest):
    """One running system with the embedded directory."""

    EMBEDDED = True
    CONF = {"shutdown_timeout": "2s"}

    @classmethod
    def setUpClass(cls):
        cls.stack = Stack(cls.CONF, embedded=True)
        try:
            cls.stack.start(ready=False)
            wait_for("dirigod", cls.stack.is_up, 40)
            server = run(f"{BUILD}/dirigo", "-c", cls.stack.conf_path, "config", "server_host").stdout
            cls.ldapi = server.split(" = ")[1].strip()
            with open(f"{harness.TOP}/conf/sample.ldif", encoding="utf-8") as f:
                # The entry search_base is there already: dirigod made it.
                run("ldapadd", "-c", "-Q", "-Y", "EXTERNAL", "-H", cls.ldapi, text_in=f.read(), check=False)
            cls.stack.wait_sync()
        except BaseException:
            if cls.stack.dirigod:
                print(cls.stack.dirigod.log()[-6000:])
            cls.stack.stop()
            raise

    def processes(self, name=None, state="ready"):
        return [p for p in self.stack.tool_json("status")["processes"]
                if (name is None or p["name"] == name) and p["state"] == state]

    def wait_ready(self):
        wait_for("all processes", lambda: all(p["state"] in ("ready", "draining")
                                              for p in self.stack.tool_json("status")["processes"]))

    def test_every_process_runs_as_its_user(self):
        self.wait_ready()
        names = {p["name"] for p in self.processes()}
        self.assertEqual(names, set(PROGRAMS) | {"slapd"})
        for p in self.processes():
            uid = os.stat(f"/proc/{p['pid']}").st_uid if os.geteuid() else None
            with open(f"/proc/{p['pid']}/status", encoding="ascii") as f:
                real = int(next(line for line in f if line.startswith("Uid:")).split()[1])
            if os.geteuid() == 0:
                self.assertEqual(pwd.getpwuid(real).pw_name, PROGRAMS.get(p["name"], "dirigo-dir"), p["name"])
            else:
                self.assertEqual((uid, real), (os.geteuid(), os.geteuid()))

    def test_status_and_lookup_show_what_is_there(self):
        wait_for("the number of entries", lambda: any(
            "in_sync=1" in p["counters"] and not p["counters"].endswith("entries=0")
            for p in self.processes("dirigo-directory")))
        # A group in a group is reached by its DN, and no address is made up for it.
        self.assertIn("\n    group  cn=staff,", self.stack.tool("lookup", "everybody@example.org").stdout)

    def test_second_start_is_refused(self):
        done = run(f"{BUILD}/dirigod", "-F", "-c", self.stack.conf_path, check=False, env=self.stack.env())
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"dirigod runs already (process {self.stack.dirigod.pid})", done.stderr)

    def test_killed_process_comes_back(self):
        for name in list(PROGRAMS) + ["slapd"]:
            with self.subTest(name):
                self.wait_ready()
                pid = self.processes(name)[0]["pid"]
                os.kill(pid, signal.SIGKILL)
                wait_for(name, lambda n=name, old=pid: any(p["pid"] != old for p in self.processes(n)))
        self.wait_ready()
        self.stack.wait_sync()
        with self.stack.imap("alice") as c:
            self.assertEqual(c.select("INBOX")[0], "OK")

    def test_reload_keeps_sessions(self):
        self.wait_ready()
        smtp, imap = self.stack.smtp(), self.stack.imap("alice")
        smtp.ehlo("client.example.net")
        before = {p["pid"] for p in self.processes("dirigo-smtpd")}
        generation = self.stack.tool_json("status")["generation"]
        self.stack.tool("reload")
        self.assertEqual(self.stack.tool_json("status")["generation"], generation + 1)
        self.assertFalse(before & {p["pid"] for p in self.processes("dirigo-smtpd")})
        self.assertEqual(smtp.noop()[0], 250)
        self.assertEqual(imap.select("INBOX")[0], "OK")
        with self.stack.smtp() as new:
            self.assertEqual(new.ehlo("client.example.net")[0], 250)
        smtp.quit()
        imap.logout()
        wait_for("the drained processes to end", lambda: not self.processes(state="draining"))
        self.stack.wait_sync()

    def test_reload_with_other_values_keeps_sessions(self):
        self.wait_ready()
        with open(self.stack.conf_path, encoding="utf-8") as f:
            before = f.read()
        smtp, imap = self.stack.smtp(), self.stack.imap("alice")
        smtp.ehlo("client.example.net")
        imap.select("INBOX")
        pids = {p["pid"] for p in self.processes() if p["name"] != "slapd"}
        try:
            with open(self.stack.conf_path, "w", encoding="utf-8") as f:
                f.write(before + "login_greeting = Other words.\n")
            self.stack.tool("reload")
            self.assertFalse(pids & {p["pid"] for p in self.processes()})
            self.assertEqual(smtp.noop()[0], 250)
            self.assertEqual(imap.noop()[0], "OK")
            self.stack.wait_sync()
            with self.stack.imap("bob") as new:
                self.assertIn(b"Other words.", new.welcome)
                self.assertEqual(new.select("INBOX")[0], "OK")
            self.stack.submit("bob", "bob@example.org", ["alice@example.org"], "Subject: after\r\n\r\nreload\r\n")
            self.stack.wait_mail("alice", "Subject: after")
            wait_for("the message in the old session", lambda: imap.noop()[0] == "OK" and
                     int(imap.status("INBOX", "(MESSAGES)")[1][0].split()[-1].rstrip(b")")) >= 1)
            smtp.quit()
            imap.logout()
        finally:
            with open(self.stack.conf_path, "w", encoding="utf-8") as f:
                f.write(before)
        wait_for("the drained processes to end", lambda: not self.processes(state="draining"))

    def test_refused_reload_changes_nothing(self):
        self.wait_ready()
        before = {p["pid"] for p in self.processes()}
        with open(self.stack.conf_path, encoding="utf-8") as f:
            good = f.read()
        try:
            for line, fault in (("smtpd_timeout = soon\n", "smtpd_timeout: is not a time"),
                                ("mail_directory = /tmp/elsewhere\n", "cannot change while dirigod runs"),
                                ("ssl_key = %s\n" % self.stack.cert, "give the certificate chain and the private key")):
                with open(self.stack.conf_path, "w", encoding="utf-8") as f:
                    f.write(good + line)
                done = run(f"{BUILD}/dirigo", "-c", self.stack.conf_path, "-o", "smtpd_timeout=5m", "reload",
                           check=False)
                if "smtpd_timeout" in line:
                    # The tool cannot read the file either: a signal asks for the reload.
                    os.kill(self.stack.dirigod.pid, signal.SIGHUP)
                    wait_for("the refusal", lambda f=fault: f in self.stack.dirigod.log())
                else:
                    self.assertEqual(done.returncode, 1, done.stdout)
                    self.assertIn(fault, done.stderr)
        finally:
            with open(self.stack.conf_path, "w", encoding="utf-8") as f:
                f.write(good)
        self.assertEqual({p["pid"] for p in self.processes()}, before)

    def test_control_and_secrets_are_closed_to_others(self):
        for path, mode in (("run/control.sock", 0o600), ("state/secrets", 0o700), ("state/mail", 0o700),
                           ("state/slapd", 0o700)):
            self.assertEqual(os.stat(f"{self.stack.folder}/{path}").st_mode & 0o777, mode, path)
        if os.geteuid() == 0:
            entry = pwd.getpwnam("nobody")
            tool = shutil.copy(f"{BUILD}/dirigo", self.stack.folder)  # the build may lie where only root may go
            done = subprocess.run([tool, "-c", self.stack.conf_path, "status"], capture_output=True,
                                  user=entry.pw_uid, group=entry.pw_gid, extra_groups=[], check=False)
            self.assertNotEqual(done.returncode, 0)


class StopTest(unittest.TestCase):
    def test_stop_waits_no_longer_than_it_may(self):
        stack = Stack({"shutdown_timeout": "1s"}, embedded=True)
        try:
            stack.start(ready=False)
            wait_for("dirigod", stack.is_up, 40)
            idle = stack.smtp()
            children = {p["pid"] for p in stack.tool_json("status")["processes"]}
            began = time.monotonic()
            stack.tool("stop")
            self.assertEqual(stack.dirigod.child.wait(20), 0)
            self.assertLess(time.monotonic() - began, 15)
            self.assertFalse([pid for pid in children if os.path.exists(f"/proc/{pid}")])
            idle.close()
        finally:
            self.assertEqual(stack.stop(), [])

    def test_nothing_outlives_a_killed_dirigod(self):
        stack = Stack(embedded=True)
        try:
            stack.start(ready=False)
            wait_for("dirigod", stack.is_up, 40)
            children = {p["pid"] for p in stack.tool_json("status")["processes"]}
            stack.dirigod.child.kill()
            stack.dirigod.child.wait(10)
            stack.dirigod = None

            def running(pid):
                try:
                    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
                        return f.read().rsplit(")", 1)[1].split()[0] not in "ZX"
                except FileNotFoundError:
                    return False

            wait_for("the end of all processes", lambda: not any(running(pid) for pid in children), 15)
            stack.start_dirigod(ready=False)
            wait_for("dirigod", stack.is_up, 40)
        finally:
            self.assertEqual(stack.stop(), [])


if __name__ == "__main__":
    harness.main()
