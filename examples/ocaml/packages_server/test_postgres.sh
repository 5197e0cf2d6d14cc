# SPDX-License-Identifier: ISC
# shellcheck shell=bash disable=SC2154,SC2034
# For test.sh: a PostgreSQL server of its own, without a port, in a temporary directory.

cluster=
postgres_bin=$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -1)

as_postgres() { # PostgreSQL refuses to run as root
  if [ "$(id -u)" = 0 ]; then setpriv --reuid=postgres --regid=postgres --init-groups "$@"
  else "$@"; fi
}

pg_ctl() {
  (cd "$cluster" && as_postgres "$postgres_bin/pg_ctl" -s -w -D "$cluster/data" -l "$cluster/log" \
    -o "-c listen_addresses='' -c unix_socket_directories='$cluster' -c fsync=off" "$@" </dev/null)
}

start_postgres() { # sets conninfo; fails when there is no PostgreSQL here
  [ -x "$postgres_bin/initdb" ] && ocamlfind query postgresql >/dev/null 2>&1 || return 1
  cluster=$(mktemp -d)
  [ "$(id -u)" != 0 ] || chown postgres: "$cluster"
  (cd "$cluster" && as_postgres "$postgres_bin/initdb" -D data -U packages -E UTF8 \
    --locale=C.UTF-8 -A trust >"$work/initdb" 2>&1) || { cat "$work/initdb"; return 1; }
  pg_ctl start || { cat "$cluster/log"; return 1; }
  conninfo="host=$cluster user=packages dbname=postgres"
}

stop_postgres() {
  [ -n "$cluster" ] || return 0
  pg_ctl -m immediate stop
  rm -rf "$cluster"
  cluster=
}

outlives_its_database() {
  start --postgres "$conninfo" --threads 1
  check "before the database restarts" 200 "$(status "/search?q=dpkg")"
  pg_ctl -m immediate restart
  check "after the database restarted" 200 "$(status "/search?q=dpkg")"
  pg_ctl -m immediate stop
  check "without the database" 500 "$(status "/search?q=dpkg")"
  check "/ping without the database" pong "$(get "/ping")"
  pg_ctl start
  check "with the database again" 200 "$(status "/search?q=dpkg")"
  stop 1
}
