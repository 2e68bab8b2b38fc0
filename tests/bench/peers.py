"""Postfix and Dovecot on the directory that a bench's Dirigo uses, in a folder of their own, on loopback.

Set up as their documentation recommends for LDAP: virtual mailboxes, LMTP between the two, Maildir, logins by
LDAP bind with Dovecot's authentication cache, login processes that serve many clients. Durability is their default.
Needs root and the Debian packages postfix postfix-ldap dovecot-imapd dovecot-lmtpd dovecot-ldap.
"""
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile

import harness

DAEMONS = "/usr/lib/postfix/sbin"
MASTER_CF = """
{smtp}  inet  n - n - -    smtpd
cleanup unix  n - n - 0    cleanup
qmgr    unix  n - n 300 1  qmgr
rewrite unix  - - n - -    trivial-rewrite
bounce  unix  - - n - 0    bounce
defer   unix  - - n - 0    bounce
trace   unix  - - n - 0    bounce
verify  unix  - - n - 1    verify
flush   unix  n - n 1000? 0 flush
proxymap unix - - n - -    proxymap
anvil   unix  - - n - 1    anvil
scache  unix  - - n - 1    scache
error   unix  - - n - -    error
retry   unix  - - n - -    error
lmtp    unix  - - n - -    lmtp
virtual unix  - n n - -    virtual
postlog unix-dgram n - n - 1 postlogd
"""


class Peers:
    name = "Postfix and Dovecot"

    def __init__(self, slapd, suffix, domain="example.org"):
        self.slapd, self.suffix, self.domain = slapd, suffix, domain
        self.folder = tempfile.mkdtemp(prefix="dirigo-peers-")
        os.chmod(self.folder, 0o755)
        self.ports = dict(zip(("smtp", "imap", "imaps"), harness.free_ports(3)))
        self.cert, self.key = harness.certificate(self.folder)
        self.mail = f"{self.folder}/mail"
        for name in ("postfix", "queue", "data", "mail", "dovecot"):
            os.mkdir(f"{self.folder}/{name}")
        self.dovecot = self.postfix = None

    def start(self):
        user = pwd.getpwnam("dirigo-mail")
        os.chown(self.mail, user.pw_uid, user.pw_gid)
        os.chown(f"{self.folder}/data", pwd.getpwnam("postfix").pw_uid, -1)
        self.write_dovecot(user)
        self.write_postfix(user)
        self.dovecot = harness.Process(["/usr/sbin/dovecot", "-F", "-c", f"{self.folder}/dovecot.conf"],
                                       f"{self.folder}/dovecot.out")
        harness.wait_for("Dovecot", lambda: os.path.exists(f"{self.folder}/dovecot/lmtp"))
        harness.run("postfix", "-c", f"{self.folder}/postfix", "check")
        self.postfix = harness.Process([f"{DAEMONS}/master", "-d", "-c", f"{self.folder}/postfix"],
                                       f"{self.folder}/postfix.out")
        harness.wait_for("Postfix", lambda: harness.socket.create_connection(("127.0.0.1", self.ports["smtp"])))

    def write_postfix(self, user):
        with open(f"{self.folder}/postfix/main.cf", "w", encoding="ascii") as f:
            f.write(f"""compatibility_level = 3.6
queue_directory = {self.folder}/queue
data_directory = {self.folder}/data
maillog_file = {self.folder}/postfix.log
maillog_file_prefixes = {self.folder}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mx.example.org
mydestination =
alias_maps =
mynetworks = 127.0.0.0/8
default_database_type = lmdb
virtual_mailbox_domains = {self.domain}
virtual_mailbox_maps = proxy:ldap:{self.folder}/postfix/users.cf
virtual_alias_maps = proxy:ldap:{self.folder}/postfix/aliases.cf
virtual_mailbox_base = {self.mail}
virtual_uid_maps = static:{user.pw_uid}
virtual_gid_maps = static:{user.pw_gid}
virtual_transport = lmtp:unix:{self.folder}/dovecot/lmtp
smtpd_recipient_restrictions = reject_unauth_destination
""")
        for name, query, result in (("users", "(mail=%s)", "uid"), ("aliases", "(mailLocalAddress=%s)", "mail")):
            with open(f"{self.folder}/postfix/{name}.cf", "w", encoding="ascii") as f:
                f.write(f"server_host = {self.slapd.url}\nversion = 3\nbind = no\nsearch_base = {self.suffix}\n"
                        f"query_filter = {query}\nresult_attribute = {result}\n")
        with open(f"{self.folder}/postfix/master.cf", "w", encoding="ascii") as f:
            f.write(MASTER_CF.format(smtp=f"127.0.0.1:{self.ports['smtp']}"))

    def write_dovecot(self, user):
        with open(f"{self.folder}/ldap.conf", "w", encoding="ascii") as f:
            f.write(f"uris = {self.slapd.url}\nbase = {self.suffix}\nauth_bind = yes\n"
                    f"auth_bind_userdn = uid=%n,ou=people,{self.suffix}\nldap_version = 3\n")
        with open(f"{self.folder}/dovecot.conf", "w", encoding="ascii") as f:
            f.write(f"""base_dir = {self.folder}/dovecot
state_dir = {self.folder}/data
log_path = {self.folder}/dovecot.log
instance_name = dirigo-bench
protocols = imap lmtp
listen = 127.0.0.1
disable_plaintext_auth = no
ssl_cert = <{self.cert}
ssl_key = <{self.key}
auth_cache_size = 10M
auth_username_format = %n
first_valid_uid = 1
mail_location = maildir:{self.mail}/%n
default_client_limit = 10000
default_process_limit = 3000
imap_hibernate_timeout = 2s
mail_max_userip_connections = 0
passdb {{
  driver = ldap
  args = {self.folder}/ldap.conf
}}
userdb {{
  driver = static
  args = uid={user.pw_uid} gid={user.pw_gid} home={self.mail}/%n allow_all_users=yes
}}
service imap-login {{
  service_count = 0
  process_min_avail = 2
  inet_listener imap {{
    port = {self.ports["imap"]}
  }}
  inet_listener imaps {{
    port = {self.ports["imaps"]}
  }}
}}
service imap {{
  extra_groups = $default_internal_group
  unix_listener imap-master {{
    user = dovecot
  }}
}}
service imap-hibernate {{
  unix_listener imap-hibernate {{
    mode = 0660
    group = $default_internal_group
  }}
}}
service lmtp {{
  unix_listener lmtp {{
    mode = 0666
  }}
}}
""")

    def pids(self):
        return [p.pid for p in (self.postfix, self.dovecot) if p]

    def idle(self):
        """Whether Postfix has delivered all it accepted."""
        return not any(files for queue in ("incoming", "active", "deferred")
                       for _, _, files in os.walk(f"{self.folder}/queue/{queue}"))

    def stop(self):
        for process in (self.postfix, self.dovecot):
            if process:
                try:
                    process.end(signal.SIGTERM)
                except AssertionError as e:
                    print(e, file=sys.stderr)
        if os.environ.get("DIRIGO_KEEP"):
            print(f"kept: {self.folder}", file=sys.stderr)
        else:
            shutil.rmtree(self.folder, ignore_errors=True)


def available():
    return os.geteuid() == 0 and shutil.which("dovecot") is not None and subprocess.run(
        ["postconf", "-m"], capture_output=True, text=True, check=False).stdout.find("ldap") >= 0
