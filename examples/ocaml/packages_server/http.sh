# SPDX-License-Identifier: ISC
# shellcheck shell=bash disable=SC2154
# For the demo and the tests: HTTP by hand, so that they need no client program.

ask() { # path, method: sends a request to $url on descriptor 3
  exec 3<>"/dev/tcp/127.0.0.1/${url##*:}" || return 1
  printf '%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' "${2-GET}" "$1" >&3
}

answer() { # prints the answer, without carriage returns
  tr -d '\r' <&3
  exec 3>&-
}

# In subshells, so that an answer that is still to be read keeps descriptor 3.
get() (ask "$@" && answer | sed '1,/^$/d')
status() (ask "$@" && answer | sed -n '1s/^[^ ]* \([0-9]*\).*/\1/p')

encoded() { # every byte as %xx
  printf '%s' "$1" | od -An -v -tx1 | tr -d '\n' | tr ' ' '%'
}
