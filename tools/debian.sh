# SPDX-License-Identifier: ISC
# shellcheck shell=bash
#
# debian.sh: for scripts that take something from Debian without installing it.
#
# debian_open TYPE SUITE: in a new folder $work, which goes when the script ends, a
# state of apt's own that knows TYPE (deb, deb-src) of SUITE from the first mirror that
# this machine's apt uses; then debian_apt runs apt-get on it.

debian_open() {
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    chmod 755 "$work"
    local mirror
    mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null |
        sed -nE 's/^(deb +(\[[^]]*\] +)?|URIs: +)([a-z]+:[^ ]+).*/\3/p' | head -n 1)
    [ -n "$mirror" ] || { echo "no Debian mirror is known here"; exit 1; }
    mkdir -p "$work"/{lists,cache/archives}/partial
    touch "$work/status"
    echo "$1 [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $2 main" >"$work/sources"
    debian_apt update
}

debian_apt() {
    apt-get -qq -o Dir::Etc::sourcelist="$work/sources" -o Dir::Etc::sourceparts=/dev/null \
        -o Dir::State::lists="$work/lists" -o Dir::State::status="$work/status" \
        -o Dir::Cache="$work/cache" -o APT::Sandbox::User=root "$@"
}
