"""One process of Dirigo by itself: the test is its dirigod, and its peer on the sockets of the run directory.

gateway/ipc/PROTOCOL says what the frames are.
"""
import hmac
import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile

import harness

HELLO = 0xFFFF
CONFIG, LISTENER, BEGIN, DRAIN, STOP, TLS_KEYS, READY, REPORT, RENEWED, FAILED = range(1, 11)
CONTROL_FD = 3
VERSIONS = {"queue": 5, "directory": 5, "auth": 4, "mailbox": 3}  # of services that have another than 1


class Body:
    """The fields of a message, written one after the other."""

    def __init__(self):
        self.data = b""

    def u8(self, v):
        self.data += struct.pack("<B", v)
        return self

    def u32(self, v):
        self.data += struct.pack("<I", v)
        return self

    def u64(self, v):
        self.data += struct.pack("<Q", v)
        return self

    def str(self, s):
        if s is None:
            return self.u32(0xFFFFFFFF)
        raw = s.encode()
        self.data += struct.pack("<I", len(raw)) + raw + b"\0"
        return self

    def bytes(self, raw):
        self.data += struct.pack("<I", len(raw)) + raw
        return self


class Message:
    """A message that was read; its fields are taken in order."""

    def __init__(self, kind, ident, data, fds):
        self.kind, self.id, self.data, self.fds = kind, ident, data, fds

    def _take(self, n):
        raw, self.data = self.data[:n], self.data[n:]
        assert len(raw) == n, "a field is missing"
        return raw

    def u8(self):
        return self._take(1)[0]

    def u32(self):
        return struct.unpack("<I", self._take(4))[0]

    def bytes(self):
        return self._take(self.u32())

    def str(self):
        n = self.u32()
        return None if n == 0xFFFFFFFF else self._take(n + 1)[:-1].decode()

    def end(self):
        assert self.data == b"", "something is left over"


class Channel:
    """Frames on a connected socket."""

    def __init__(self, sock, timeout=20):
        self.sock = sock
        self.sock.settimeout(timeout)

    @classmethod
    def connect(cls, path, service, version=None):
        """A client of a service, after the hello of both ends."""
        s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        s.connect(path)
        return cls(s).hello(service, version)

    def hello(self, service, version=None):
        version = version or VERSIONS.get(service, 1)
        self.send(HELLO, Body().str(service).u32(version))
        m = self.read()
        assert m.kind == HELLO and m.str() == service and m.u32() == version
        return self

    def send(self, kind, body=None, ident=0, fds=()):
        data = body.data if body else b""
        frame = struct.pack("<IHBBII", len(data), kind, len(fds), 0, ident, 0) + data
        if fds:
            n = socket.send_fds(self.sock, [frame], list(fds))
            frame = frame[n:]
        self.sock.sendall(frame)

    def _read(self, n):
        data, fds = b"", []
        while len(data) < n:
            part, more, _, _ = socket.recv_fds(self.sock, n - len(data), 4)
            if not part:
                raise EOFError("the channel was closed")
            data += part
            fds += more
        return data, fds

    def read(self):
        head, fds = self._read(16)
        length, kind, _, _, ident, _ = struct.unpack("<IHBBII", head)
        data, more = self._read(length)
        return Message(kind, ident, data, fds + more)

    def close(self):
        self.sock.close()


def listen(path):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    s.bind(path)
    s.listen(16)
    return s


def relay_proof(key, pid):
    """What shows dirigo-queue that the process is a relay."""
    return hmac.digest(key, f"{pid} relay".encode(), "sha256")


class Alone:
    """The program `name` with these parameters; `ipc`: the name of its own socket, if it serves."""

    def __init__(self, name, conf, ipc=None, folder=None):
        self.folder = folder or tempfile.mkdtemp(prefix="dirigo-alone-")
        self.own_folder = folder is None
        self.run = f"{self.folder}/run"
        os.makedirs(self.run, exist_ok=True)
        os.makedirs(f"{self.folder}/state/resolver", exist_ok=True)
        if os.geteuid() == 0:
            shutil.chown(f"{self.folder}/state/resolver", "dirigo")
        self.name, self.ipc = name, ipc
        self.log_path = f"{self.folder}/{name}.log"
        self.conf = {"myhostname": "mx.example.org", "mydomain": "example.org", "search_base": "dc=example",
                     "embedded_directory": "yes", "run_directory": self.run, "state_directory": f"{self.folder}/state",
                     "log_level": "debug"}
        self.conf.update(conf)
        self.role_key = b""
        self.index, self.count = 0, 1  # among the processes of its kind
        self.child = self.control = None

    def start(self):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        env = dict(os.environ)
        env.setdefault("ASAN_OPTIONS", f"detect_leaks={0 if os.geteuid() == 0 else 1}")

        def inherit():
            os.dup2(theirs.fileno(), CONTROL_FD)

        with open(self.log_path, "ab") as log:
            self.child = subprocess.Popen([f"{harness.BUILD}/{self.name}"], stdin=subprocess.DEVNULL, stdout=log,
                                          stderr=log, env=env, pass_fds=[CONTROL_FD], preexec_fn=inherit)
        theirs.close()
        self.control = Channel(ours)
        pairs = b"".join(f"{k}\0{v}\0".encode() for k, v in self.conf.items())
        self.control.send(CONFIG, Body().u32(self.index).u32(self.count).u8(0).str("stderr").bytes(pairs).bytes(self.role_key))
        if self.ipc:
            with listen(f"{self.run}/{self.ipc}.sock") as s:
                self.control.send(LISTENER, Body().str("ipc"), fds=[s.fileno()])
        self.control.send(BEGIN)
        m = self.control.read()
        if m.kind != READY:
            raise AssertionError(f"{self.name} did not start: {self.log()}")

    def connect(self, version=None):
        return Channel.connect(f"{self.run}/{self.ipc}.sock", self.ipc, version)

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as f:
            return f.read()

    def stop(self):
        """Ends the process; what a sanitizer found, or an exit code, is an error."""
        if self.child is None:
            return
        try:
            self.control.send(STOP)
        except BrokenPipeError:
            pass  # it has ended by itself
        try:
            code = self.child.wait(20)
        except subprocess.TimeoutExpired:
            self.child.send_signal(signal.SIGKILL)
            self.child.wait()
            code = "no end"
        self.control.close()
        self.child = None
        log = self.log()
        if self.own_folder:
            shutil.rmtree(self.folder, ignore_errors=True)
        if code != 0 or "ERROR: " in log and "Sanitizer" in log or "runtime error" in log:
            raise AssertionError(f"{self.name} ended with {code}: {log[-6000:]}")
