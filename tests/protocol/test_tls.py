#!/usr/bin/python3
"""TLS of the front ends: new certificates without a restart, SNI, tickets, client certificates, deadlines, last replies."""
import os
import signal
import socket
import ssl
import time
import unittest

import harness
from harness import StackTest, certificate, run, wait_for


def make_ca(folder):
    """A CA of our own; returns its certificate and key."""
    cert, key = f"{folder}/ca.pem", f"{folder}/ca.key"
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
        "-subj", "/CN=Test CA", "-addext", "basicConstraints=critical,CA:TRUE", "-out", cert, "-keyout", key)
    return cert, key


def issue(folder, ca, name, subject, san):
    """A client certificate by ca; returns one PEM file with certificate and key."""
    key, request, cert, both = (f"{folder}/{name}.{end}" for end in ("key", "csr", "crt", "pem"))
    run("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", subject,
        "-out", request, "-keyout", key)
    with open(f"{folder}/{name}.ext", "w", encoding="ascii") as f:
        f.write(f"subjectAltName={san}\n")
    run("openssl", "x509", "-req", "-in", request, "-CA", ca[0], "-CAkey", ca[1], "-CAcreateserial", "-days", "30",
        "-extfile", f"{folder}/{name}.ext", "-out", cert)
    with open(both, "w", encoding="ascii") as out:
        for part in (cert, key):
            with open(part, encoding="ascii") as f:
                out.write(f.read())
    return both


def any_context():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def connect(port, context, name="localhost", session=None):
    sock = socket.create_connection(("127.0.0.1", port), 10)
    try:
        return context.wrap_socket(sock, server_hostname=name, session=session)
    except Exception:
        sock.close()
        raise


def served(port, name="localhost"):
    """The certificate that a client who asks for name is given, as DER."""
    with connect(port, any_context(), name) as s:
        return s.getpeercert(True)


def der(path):
    with open(path, encoding="ascii") as f:
        return ssl.PEM_cert_to_DER_cert(f.read().split("-----END CERTIFICATE-----")[0] + "-----END CERTIFICATE-----\n")


class Renewal(StackTest):
    CONF = {"tls_file_check_interval": "300ms"}

    def test_new_certificate_is_served(self):
        stack = self.stack
        old = der(stack.cert)
        ports = [stack.ports[p] for p in ("imaps", "pop3s", "submissions")]
        directory, resolver = stack.pids("dirigo-directory"), stack.pids("dirigo-resolver")
        with connect(ports[0], any_context()) as session:
            self.assertTrue(session.recv(100).startswith(b"* OK"))
            # Half a change: the pair does not fit, and the old one is served on.
            new_cert, new_key = certificate(os.path.join(stack.folder, "asan"))
            os.replace(new_key, stack.key)
            wait_for("the refusal", lambda: "reload refused" in stack.dirigod.log(), 30)
            for port in ports:
                self.assertEqual(served(port), old)
            os.replace(new_cert, stack.cert)
            new = der(stack.cert)
            self.assertNotEqual(old, new)
            for port in ports:
                wait_for("the new certificate", lambda p=port: served(p) == new, 30)
        self.assertEqual((directory, resolver), (stack.pids("dirigo-directory"), stack.pids("dirigo-resolver")))


class Names(StackTest):
    @classmethod
    def prepare(cls, stack):
        cls.certs = {}
        entries = []
        for name in ("mail.example.org", "*.example.com"):
            folder = os.path.join(stack.folder, name.strip("*."))
            os.mkdir(folder)
            cls.certs[name] = certificate(folder, name)
            entries.append(f"{name}={cls.certs[name][0]}:{cls.certs[name][1]}")
        stack.conf["ssl_sni_certs"] = ", ".join(entries)

    def test_sni(self):
        wanted = {"mail.example.org": "mail.example.org", "MAIL.example.ORG": "mail.example.org",
                  "a.example.com": "*.example.com", "a.b.example.com": None, "example.com": None, "localhost": None}
        for port in (self.stack.ports["imaps"], self.stack.ports["submissions"]):
            for asked, name in wanted.items():
                cert = der(self.certs[name][0] if name else self.stack.cert)
                self.assertEqual(served(port, asked), cert, asked)


class Tickets(StackTest):
    CONF = {"service_processes": "2", "tls_ticket_lifetime": "10s"}

    def resume(self, port, context, session=None):
        with connect(port, context, session=session) as s:
            s.settimeout(10)
            self.assertGreater(len(s.recv(200)), 0)
            return s.session_reused, s.session

    def test_sessions_resume_everywhere(self):
        port = self.stack.ports["imaps"]
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = any_context()
            context.maximum_version = version
            reused, session = self.resume(port, context)
            self.assertFalse(reused)
            # Two processes share the port.
            for _ in range(10):
                self.assertTrue(self.resume(port, context, session)[0], version)
        # New processes know the keys, too.
        old = set(self.stack.pids("dirigo-imapd"))
        os.kill(self.stack.dirigod.pid, signal.SIGHUP)
        wait_for("new front ends", lambda: not old & set(self.stack.pids("dirigo-imapd")), 30)
        context = any_context()
        session = self.resume(port, context)[1]
        self.assertTrue(self.resume(port, context, session)[0])
        # A ticket outlives one replacement of the keys, and is too old after its time.
        time.sleep(6)
        self.assertTrue(self.resume(port, context, session)[0])
        time.sleep(16)
        self.assertFalse(self.resume(port, context, session)[0])


class ClientCertificates(StackTest):
    CONF = {"smtpd_tls_ask_ccert": "yes", "ssl_verify_client_cert": "yes"}

    @classmethod
    def prepare(cls, stack):
        cls.ca = make_ca(stack.folder)
        cls.alice = issue(stack.folder, cls.ca, "alice", "/O=Example/CN=Alice", "email:alice@example.org")
        other = os.path.join(stack.folder, "other")
        os.mkdir(other)
        cls.stranger = issue(other, make_ca(other), "eve", "/O=Example/CN=Alice", "email:alice@example.org")
        stack.conf["ssl_ca"] = cls.ca[0]

    def context(self, pem=None):
        context = any_context()
        if pem:
            context.load_cert_chain(pem)
        return context

    def test_asked_and_judged(self):
        for protocol in ("submissions", "imaps"):
            port = self.stack.ports[protocol]
            with connect(port, self.context()) as s:  # none is good
                self.assertGreater(len(s.recv(200)), 0)
            for pem, verified in ((self.alice, 1), (self.stranger, 0)):
                fingerprint = run("openssl", "x509", "-in", pem, "-noout", "-fingerprint", "-sha256").stdout
                fingerprint = fingerprint.strip().split("=")[1]
                context = self.context(pem)
                with connect(port, context) as s:
                    self.assertGreater(len(s.recv(200)), 0)
                    session = s.session

                def lines():
                    return [li for li in self.stack.dirigod.log().splitlines()
                            if f"fingerprint={fingerprint}" in li and f"verified={verified}" in li]
                line = wait_for("the log", lines)[0]
                self.assertIn("CN=Alice", line)
                # What a ticket carries is the same.
                before = len(lines())
                with connect(port, context, session=session) as s:
                    self.assertGreater(len(s.recv(200)), 0)
                    self.assertTrue(s.session_reused)
                wait_for("the log of the resumed one", lambda: len(lines()) > before)


class Deadline(StackTest):
    CONF = {"tls_handshake_timeout": "1s"}

    def test_handshakes_end(self):
        for protocol in ("submissions", "imaps", "pop3s"):
            for drip in (False, True):
                start = time.monotonic()
                with socket.create_connection(("127.0.0.1", self.stack.ports[protocol]), 10) as s:
                    s.settimeout(0.1)
                    # A record of 512 bytes that comes a byte at a time.
                    data = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 100
                    end = None
                    while end is None and time.monotonic() - start < 8:
                        try:
                            if drip:
                                s.send(data[:1])
                                data = data[1:]
                            end = s.recv(100)
                        except TimeoutError:
                            pass
                        except OSError:
                            end = b""
                self.assertEqual(end, b"", protocol)
                self.assertTrue(0.8 < time.monotonic() - start < 4, time.monotonic() - start)


class LastReply(StackTest):
    CONF = {"smtpd_hard_error_limit": "5", "login_error_limit": "5"}

    def read_all(self, sock):
        data = b""
        while chunk := sock.recv(65536):
            data += chunk
        return data

    def test_no_reset(self):
        """The client goes on sending after the server has said goodbye, and reads late."""
        for protocol, word in (("smtp", b"421 "), ("imap", b"* BYE"), ("submissions", b"421 "), ("imaps", b"* BYE")):
            for _ in range(5):
                sock = socket.create_connection(("127.0.0.1", self.stack.ports[protocol]), 10)
                if protocol.endswith("s"):
                    sock = any_context().wrap_socket(sock, server_hostname="localhost")
                with sock:
                    sock.recv(1000)
                    sock.sendall(b"x JUNK\r\n" * 5 + b"more of it\r\n" * 10000)
                    time.sleep(0.2)
                    sock.sendall(b"and more\r\n" * 100)
                    time.sleep(0.1)
                    self.assertIn(word, self.read_all(sock), protocol)


if __name__ == "__main__":
    harness.main()
