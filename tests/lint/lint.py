#!/usr/bin/python3
"""Holds the walls between the parts: includes, libraries, sizes, style.

Each rule prints "ok NAME" or "not ok NAME" and what it found where. Run from anywhere; --build names a
build folder whose binaries are examined with readelf.
"""
import argparse
import os
import re
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# A foreign header stays in the folders named here.
FOREIGN = {
    r"(ldap|lber|openldap)\.h|ldap_.*\.h": ["directory/"],
    r"sasl/.*|sasl\.h": ["sasl/"],
    r"cjose/.*|curl/.*|jansson\.h": ["sasl/"],
    r"libpsl\.h": ["gateway/filter/suffix.c"],
    r"unbound.*\.h": ["gateway/resolver/"],
    r"event2/.*": ["gateway/event/"],
    r"openssl/.*": ["gateway/event/", "gateway/filter/crypto.c"],
    r"lmdb\.h": ["directory/", "gateway/store/"],
    r"idn2\.h": ["directory/", "gateway/proto/idn.c"],
    r"seccomp\.h|linux/landlock\.h": ["gateway/service/"],
}

# Headers that one part offers to others; everything else in a folder is its own.
PUBLIC = {
    "gateway/resolver": {"client.h", "protocol.h"},
    "gateway/filter": {"client.h", "spf.h"},
    "gateway/queue": {"client.h", "options.h", "protocol.h"},
    "gateway/session": {"front_tls.h", "haproxy_gate.h", "handoff.h", "login.h"},
    "gateway/store": {"names.h", "session.h", "mailbox.h", "owner.h", "view.h", "message.h"},
    "gateway/master": {"protocol.h"},
    "gateway/smtp": {"evaluate.h", "restriction.h"},
    "gateway/relay": set(),
    "gateway/imap": {"session.h"},
    "gateway/pop3": {"session.h"},
    "gateway/ctl": {"command.h"},
    "directory": {"access.h", "client.h", "dn.h", "lint.h", "list_policy.h", "member.h", "protocol.h", "resolve.h",
                  "scratch.h", "secrets.h", "send_as.h"},
    "sasl": {"client.h", "protocol.h"},
}

# What a layer may include besides itself.
LAYERS = {
    "gateway/base": [],
    "gateway/event": ["gateway/base"],
    "gateway/proto": ["gateway/base"],
    "gateway/ipc": ["gateway/base", "gateway/event"],
    "conf": ["gateway/base"],
    "gateway/service": ["gateway/base", "gateway/event", "gateway/ipc", "conf"],
}

# DESIGN's process table: the libraries a binary may need besides those that all may.
TLS = {"ssl", "crypto", "event_openssl"}
LIBRARIES = {
    "dirigod": set(),
    "dirigo-directory": {"ldap", "lber", "lmdb", "idn2"} | TLS,
    "dirigo-auth": {"sasl2", "lmdb", "idn2", "cjose", "curl", "jansson"},
    "dirigo-filter": {"crypto", "lmdb", "psl", "idn2"},
    "dirigo-resolver": {"unbound"} | TLS,
    "dirigo-smtpd": {"lmdb", "idn2"} | TLS,
    "dirigo-imapd": {"lmdb", "idn2"} | TLS,
    "dirigo-pop3d": {"lmdb", "idn2"} | TLS,
    "dirigo-mailbox": {"lmdb", "idn2"},
    "dirigo-queue": set(),
    "dirigo-relay": {"idn2"} | TLS,
    "dirigo": {"lmdb", "idn2", "argon2", "crypt"} | TLS,
}
EVERYWHERE = {"c", "m", "bsd", "md", "event", "event_core", "event_extra", "event_pthreads", "seccomp", "asan",
              "ubsan", "gcc_s", "pthread"}

failed = 0


def report(name, problems):
    global failed
    print(f"{'not ok' if problems else 'ok'} lint: {name}")
    failed += bool(problems)
    for problem in problems[:60]:
        print(f"    {problem}")


def tracked():
    out = subprocess.run(["git", "-C", TOP, "ls-files"], capture_output=True, text=True)
    if out.returncode == 0 and out.stdout:
        return out.stdout.split()
    return [os.path.relpath(os.path.join(d, f), TOP) for d, _, fs in os.walk(TOP) for f in fs
            if not os.path.relpath(d, TOP).startswith(("build", "trial", "autom4te"))]


def sources():
    return [p for p in tracked() if p.endswith((".c", ".h")) and os.path.exists(os.path.join(TOP, p))]


def read(path):
    with open(os.path.join(TOP, path), encoding="utf-8") as f:
        return f.read()


def check_includes():
    foreign, private, upward = [], [], []
    for path in sources():
        part = os.path.dirname(path)
        if path.startswith("tests/"):
            continue
        for n, line in enumerate(read(path).splitlines(), 1):
            m = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
            if not m:
                continue
            kind, name = m.groups()
            if kind == "<":
                for pattern, places in FOREIGN.items():
                    if re.fullmatch(pattern, name) and not any(path.startswith(p) for p in places):
                        foreign.append(f"{path}:{n}: <{name}> belongs in {' '.join(places)} alone")
                continue
            target, base = os.path.dirname(name), os.path.basename(name)
            if name == "config.h" or target == part:
                continue
            if part in LAYERS and target not in LAYERS[part]:
                upward.append(f"{path}:{n}: {part} may not include {name}")
            if target in PUBLIC and base not in PUBLIC[target]:
                private.append(f"{path}:{n}: {name} is private to {target}")
    report("foreign headers stay in their folder", foreign)
    report("no part includes another's private header", private)
    report("includes point one way", upward)


def check_sizes():
    long_files, long_functions = [], []
    for path in sources():
        lines = read(path).splitlines()
        if len(lines) > 800:
            long_files.append(f"{path}: {len(lines)} lines")
        start = None
        for n, line in enumerate(lines, 1):
            if line == "{":
                start = n
            elif line == "}" and start is not None:
                if n - start - 1 > 80:
                    long_functions.append(f"{path}:{start}: {n - start - 1} lines")
                start = None
    report("no file is longer than 800 lines", long_files)
    report("no function is longer than 80 lines", long_functions)


def check_format():
    files = [os.path.join(TOP, p) for p in sources()]
    run = subprocess.run(["clang-format", "--dry-run", "-Werror", *files], capture_output=True, text=True)
    bad = sorted(set(re.findall(r"^(\S+?):\d+:\d+: error", run.stderr, re.M)))
    report("clang-format finds nothing to change", [os.path.relpath(b, TOP) for b in bad])


def check_globals():
    """An object at file scope that is neither static nor const: state that nobody owns."""
    bad = []
    shape = re.compile(r"^(?!static|extern|const|typedef|return|struct \w+ \{|enum|union)"
                       r"[a-z_][\w \*]*\b\w+(\[[^\]]*\])?\s*(=[^=].*)?;$")
    for path in sources():
        if path.startswith("tests/") or not path.endswith(".c"):
            continue
        for n, line in enumerate(read(path).splitlines(), 1):
            if shape.match(line) and "(" not in line.split("=")[0]:
                bad.append(f"{path}:{n}: {line}")
    report("no mutable globals", bad)


def check_libraries(build):
    problems = []
    for binary, allowed in LIBRARIES.items():
        path = os.path.join(build, binary)
        if not os.path.exists(path):
            problems.append(f"{binary} was not built")
            continue
        out = subprocess.run(["readelf", "-d", path], capture_output=True, text=True).stdout
        for lib in re.findall(r"\(NEEDED\).*\[lib(\S+?)\.so[^\]]*\]", out):
            plain = re.sub(r"-[\d.]+$", "", lib)
            if plain not in allowed | EVERYWHERE:
                problems.append(f"{binary} links {lib}, which its row in the table keeps out")
    report("each binary links only what its row in the process table names", problems)


def check_paths():
    bad = []
    for path in tracked():
        try:
            text = read(path)
        except (UnicodeDecodeError, FileNotFoundError, IsADirectoryError):
            continue
        for n, line in enumerate(text.splitlines(), 1):
            if re.search(r"/work/|/root/|/home/[a-z]", line) and not path.startswith("tests/lint/"):
                bad.append(f"{path}:{n}: {line.strip()[:100]}")
    report("no file names a path of somebody's machine", bad)


def check_manuals():
    pages = [p for p in tracked() if re.search(r"\.[158]$", p)]
    problems = []
    for page in pages:
        run = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", os.path.join(TOP, page)],
                             capture_output=True, text=True)
        problems += [line for line in (run.stdout + run.stderr).splitlines() if re.search("WARNING|ERROR", line)]
    report("the manual pages are clean mdoc", problems)


parser = argparse.ArgumentParser()
parser.add_argument("--build", help="build folder whose binaries are examined")
args = parser.parse_args()
check_includes()
check_sizes()
check_format()
check_globals()
check_paths()
check_manuals()
if args.build:
    check_libraries(args.build)
sys.exit(1 if failed else 0)
