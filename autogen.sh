#!/bin/sh
# Makes configure and Makefile.in from configure.ac and Makefile.am.
set -eu
cd "$(dirname "$0")"
for tool in autoreconf automake pkg-config; do
    command -v "$tool" >/dev/null || {
        echo "autogen.sh: $tool is missing; install the packages autoconf, automake and pkg-config" >&2
        exit 1
    }
done
mkdir -p build-aux m4
exec autoreconf --install --force --warnings=all,no-obsolete
