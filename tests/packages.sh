# Sourced by quickstart and tests/run: installs the Debian packages that are missing.
# packages_install TOP KIND...   (kinds: build run test, as in conf/packages.debian)
packages_install() {
    packages_top=$1
    shift
    packages_missing=
    for packages_kind in "$@"; do
        for package in $(awk -v kind="$packages_kind" '$1 == kind {print $2}' "$packages_top/conf/packages.debian"); do
            case $(dpkg-query -W -f='${Status}' "$package" 2>/dev/null) in
            *" installed") ;;
            *) packages_missing="$packages_missing $package" ;;
            esac
        done
    done
    [ -n "$packages_missing" ] || return 0
    packages_sudo=
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || {
            echo "missing packages, and neither root nor sudo to install them:$packages_missing" >&2
            return 1
        }
        packages_sudo=sudo
    fi
    # A package's own service must not start here: slapd and nsd are run by hand, in folders of ours.
    packages_policy=/usr/sbin/policy-rc.d
    packages_made=
    if [ ! -e "$packages_policy" ]; then
        printf '#!/bin/sh\nexit 101\n' | $packages_sudo tee "$packages_policy" >/dev/null &&
            $packages_sudo chmod 755 "$packages_policy" && packages_made=yes
    fi
    # shellcheck disable=SC2086
    $packages_sudo apt-get update -qq &&
        $packages_sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
            $packages_missing >/dev/null
    packages_status=$?
    [ -z "$packages_made" ] || $packages_sudo rm -f "$packages_policy"
    return $packages_status
}

# As root, dirigod drops to three users; this makes them where they are missing.
packages_users() {
    [ "$(id -u)" = 0 ] || return 0
    for user in dirigo dirigo-dir dirigo-mail; do
        getent passwd "$user" >/dev/null ||
            useradd --system --user-group --no-create-home --home-dir /nonexistent \
                --shell /usr/sbin/nologin "$user" || return 1
    done
}
