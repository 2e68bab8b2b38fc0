"""Directory servers besides OpenLDAP, real ones, each in a folder of its own: 389 Directory Server and Samba AD DC.

Both have the interface of harness.Slapd (url, start, stop, add, modify, add_file), so a Stack takes them.
Their packages are those marked "all" in conf/packages.debian: `tests/run --all` installs them.
"""
import base64
import glob
import hashlib
import os
import shutil
import signal
import uuid  # noqa: F401 - for the tests

import harness
from harness import Process, free_ports, run, wait_for


def ssha(password):
    """A password as userPassword may hold it."""
    salt = os.urandom(8)
    return "{SSHA}" + base64.b64encode(hashlib.sha1(password.encode() + salt).digest() + salt).decode()


class LdapServer:
    """What the tools need to know of a server."""

    url = root_dn = root_pw = process = None
    env = None

    def _ldap(self, tool, ldif, check=True):
        return run(tool, "-x", "-H", self.url, "-D", self.root_dn, "-w", self.root_pw, text_in=ldif, check=check,
                   env=self.env)

    def add(self, ldif, check=True):
        return self._ldap("ldapadd", ldif, check)

    def modify(self, ldif, check=True):
        return self._ldap("ldapmodify", ldif, check)

    def wait(self, what, *args):
        """Until a search with these arguments is answered; what the server said where it ends."""
        def answers():
            if not self.process.alive():
                raise AssertionError(self.process.log()[-2000:])
            return self.search(*args)
        wait_for(what, answers, 60, 0.1)

    def search(self, *args):
        return run("ldapsearch", "-x", "-LLL", "-o", "ldif-wrap=no", "-H", self.url, "-D", self.root_dn, "-w",
                   self.root_pw, *args, env=self.env).stdout

    def stop(self, sig=signal.SIGTERM):
        if self.process:
            self.process.end(sig)
            self.process = None


class Server389(LdapServer):
    """389 Directory Server with one suffix; sync: its Content Synchronization plugin is on."""

    PROGRAM = "/usr/sbin/ns-slapd"
    DATA = "/usr/share/dirsrv"

    def __init__(self, folder, suffix=harness.SUFFIX, sync=True):
        self.folder, self.suffix, self.sync = folder, suffix, sync
        self.port, self.made = free_ports(1)[0], False
        self.url = f"ldap://127.0.0.1:{self.port}"
        self.root_dn, self.root_pw = "cn=Directory Manager", "secret-389"
        for name in ("conf", "db", "log", "lock", "tmp", "cert", "ldif", "bak", "run", "conf/schema"):
            os.makedirs(f"{folder}/{name}")
        for path in glob.glob(f"{self.DATA}/schema/*.ldif") + ["/etc/dirsrv/schema/99user.ldif"]:
            shutil.copy(path, f"{folder}/conf/schema")
        for path in glob.glob("/etc/dirsrv/config/*"):
            shutil.copy(path, f"{folder}/conf")
        with open(f"{folder}/conf/dse.ldif", "w", encoding="utf-8") as f:
            f.write(self._config())

    def _config(self):
        folder = self.folder
        names = {"schema_dir": f"{folder}/conf/schema", "lock_dir": f"{folder}/lock", "tmp_dir": f"{folder}/tmp",
                 "cert_dir": f"{folder}/cert", "ldif_dir": f"{folder}/ldif", "bak_dir": f"{folder}/bak",
                 "run_dir": f"{folder}/run", "inst_dir": f"{folder}/conf", "log_dir": f"{folder}/log",
                 "config_dir": f"{folder}/conf", "db_dir": f"{folder}/db", "db_home_dir": f"{folder}/db",
                 "fqdn": "localhost", "ds_port": str(self.port), "ds_user": "root" if os.geteuid() == 0 else "",
                 "rootdn": self.root_dn, "ds_passwd": ssha(self.root_pw), "ldapi_enabled": "off",
                 "ldapi": f"{folder}/run/ldapi", "ldapi_autobind": "off", "ds_suffix": self.suffix, "db_lib": "bdb"}
        with open(f"{self.DATA}/data/template-dse.ldif", encoding="utf-8") as f:
            text = f.read()
        for name, value in names.items():
            text = text.replace(f"%{name}%", value)
        entries = []
        for entry in text.split("\n\n"):
            dn = entry.lstrip().split("\n")[0]
            if dn == "dn: cn=config":
                entry += "\nnsslapd-listenhost: 127.0.0.1\nnsslapd-errorlog-level: 16384"
            if self.sync and dn in ("dn: cn=Retro Changelog Plugin,cn=plugins,cn=config",
                                    "dn: cn=Content Synchronization,cn=plugins,cn=config"):
                entry = entry.replace("nsslapd-pluginenabled: off", "nsslapd-pluginenabled: on")
            entries.append(entry)
        return "\n\n".join(entries)

    def start(self):
        self.process = Process([self.PROGRAM, "-D", f"{self.folder}/conf", "-i", f"{self.folder}/run/pid",
                                "-d", "0"], f"{self.folder}/389.log")
        self.wait("389 Directory Server", "-s", "base", "-b", "cn=mapping tree,cn=config", "1.1")
        if not self.made:
            self._make_suffix()
            self.made = True

    def _make_suffix(self):
        backend = "cn=userRoot,cn=ldbm database,cn=plugins,cn=config"
        self.add(f"dn: {backend}\nobjectClass: top\nobjectClass: extensibleObject\n"
                 f"objectClass: nsBackendInstance\ncn: userRoot\nnsslapd-suffix: {self.suffix}\n\n"
                 f'dn: cn="{self.suffix}",cn=mapping tree,cn=config\nobjectClass: top\n'
                 "objectClass: extensibleObject\nobjectClass: nsMappingTree\n"
                 f'cn: "{self.suffix}"\nnsslapd-state: backend\nnsslapd-backend: userRoot\n')
        self.add(f"dn: {self.suffix}\nobjectClass: top\nobjectClass: domain\n"
                 f"{self.suffix.split(',', 1)[0].replace('=', ': ')}\n"
                 'aci: (targetattr != "userPassword")(version 3.0; acl "read"; allow (read, search, compare) '
                 'userdn = "ldap:///anyone";)\n')


class Samba(LdapServer):
    """Samba as an Active Directory domain controller; its LDAP server alone, on an address of its own.

    Its ports are fixed (389, 636), so it needs root, and gets a loopback address that is unlikely to be taken.
    """

    def __init__(self, folder, number=1):
        self.folder = folder
        self.address = f"127.{77 + number}.{os.getpid() // 250 % 250 + 1}.{os.getpid() % 250 + 1}"
        self.suffix = "dc=example,dc=test"
        self.url = f"ldaps://{self.address}"
        self.plain_url = f"ldap://{self.address}"
        self.root_dn, self.root_pw = "administrator@example.test", "Passw0rd.Admin"
        self.env = dict(os.environ, LDAPTLS_REQCERT="never")
        self.ca = f"{folder}/private/tls/ca.pem"
        os.makedirs(folder)
        run("samba-tool", "domain", "provision", "--realm=EXAMPLE.TEST", "--domain=EXAMPLE", "--server-role=dc",
            f"--adminpass={self.root_pw}", f"--host-name=dc{number}", f"--targetdir={folder}", "--dns-backend=NONE",
            f"--host-ip={self.address}", "--use-rfc2307", timeout=300)

    def start(self):
        folder = self.folder
        options = {"interfaces": f"{self.address}/8", "bind interfaces only": "yes", "server services": "ldap",
                   "log file": f"{folder}/log.%m", "pid directory": folder, "ncalrpc dir": f"{folder}/ncalrpc"}
        self.process = Process(["samba", "-i", "--model=single", "-s", f"{folder}/etc/smb.conf",
                                *(f"--option={name}={value}" for name, value in options.items())],
                               f"{folder}/samba.log")
        self.wait("Samba", "-s", "base", "-b", self.suffix, "1.1")

    def set_password(self, dn, password):
        quoted = base64.b64encode(f'"{password}"'.encode("utf-16-le")).decode()
        self.modify(f"dn: {dn}\nchangetype: modify\nreplace: unicodePwd\nunicodePwd:: {quoted}\n")
