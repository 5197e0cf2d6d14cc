#!/bin/bash
# SPDX-License-Identifier: ISC
#
# broker.sh COMMAND DIR: a private RabbitMQ on loopback whose files are all in DIR, for tests.
#
#   start DIR   makes DIR if needed, starts the server, waits until it listens; a second
#               start of the same DIR goes on with what the first one had
#   plain DIR   the same without our settings, to see whether any server starts here
#   kill DIR    as a crash (kill -9)
#   stop DIR    ends the server and its epmd
#   alarm DIR on|off [disk]    a memory alarm, or one of the disk
#   manage DIR  starts the management plugin; its address is in DIR/http
#   list DIR    each queue with its messages
#   purge DIR QUEUE    drops the messages that wait there
# Ports and names are in DIR/env, the url in DIR/url; with TLS in DIR/tls_url, and the authority
# that signed its certificate, which is for localhost, in DIR/ca.pem. Ends nothing but what it has started.
set -eu
command=$1 dir=$2

free_ports() { # N
    perl -MIO::Socket::INET -e 'my @s = map { IO::Socket::INET->new(Listen => 1,
        LocalAddr => "127.0.0.1", LocalPort => 0) or die } 1 .. shift;
        print join(" ", map { $_->sockport } @s), "\n"' "$1"
}

certificate() { # an authority of our own, and what it signs for localhost
    openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj '/CN=test authority' \
        -keyout "$dir/ca.key" -out "$dir/ca.pem" 2>/dev/null
    openssl req -newkey rsa:2048 -nodes -subj '/CN=localhost' \
        -keyout "$dir/server.key" -out "$dir/server.csr" 2>/dev/null
    openssl x509 -req -in "$dir/server.csr" -CA "$dir/ca.pem" -CAkey "$dir/ca.key" -CAcreateserial \
        -days 2 -extfile <(echo 'subjectAltName=DNS:localhost') -out "$dir/server.pem" 2>/dev/null
}

make() {
    mkdir -p "$dir"
    read -r amqp epmd dist tls http < <(free_ports 5)
    certificate
    cat >"$dir/env" <<END
export HOME='$dir' LANG=C.UTF-8 ERL_EPMD_PORT=$epmd ERL_EPMD_ADDRESS=127.0.0.1
export RABBITMQ_NODENAME=weir$amqp@localhost RABBITMQ_NODE_PORT=$amqp RABBITMQ_DIST_PORT=$dist
export RABBITMQ_MNESIA_BASE='$dir/mnesia' RABBITMQ_LOG_BASE='$dir/log' RABBITMQ_PID_FILE='$dir/pid'
export RABBITMQ_CONFIG_FILE='$dir/rabbitmq.conf' RABBITMQ_ENABLED_PLUGINS_FILE='$dir/plugins'
export RABBITMQ_CONF_ENV_FILE=/dev/null RABBITMQ_ALLOW_INPUT=1
export RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='-kernel inet_dist_use_interface {127,0,0,1} -noinput +sbwt none'
port=$amqp epmd=$epmd
END
    echo '[].' >"$dir/plugins"
    cat >"$dir/rabbitmq.conf" <<END
listeners.tcp.default = 127.0.0.1:$amqp
listeners.ssl.default = 127.0.0.1:$tls
ssl_options.cacertfile = $dir/ca.pem
ssl_options.certfile = $dir/server.pem
ssl_options.keyfile = $dir/server.key
ssl_options.verify = verify_none
load_definitions = $dir/definitions.json
log.file.level = warning
management.tcp.ip = 127.0.0.1
management.tcp.port = $http
collect_statistics_interval = 5000
END
    cat >"$dir/definitions.json" <<'END'
{"users": [{"name": "guest", "password": "guest", "tags": "administrator"},
           {"name": "client", "password": "c", "tags": ""}, {"name": "worker", "password": "w", "tags": ""},
           {"name": "setup", "password": "s", "tags": "policymaker"}, {"name": "dead", "password": "d", "tags": ""},
           {"name": "stat", "password": "t", "tags": "management"}],
 "vhosts": [{"name": "/"}],
 "permissions": [{"user": "guest", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"},
  {"user": "client", "vhost": "/", "configure": "^weir\\.reply\\.", "read": "^weir\\.reply\\.",
   "write": "^(amq\\.default|weir\\.cancel)$"},
  {"user": "setup", "vhost": "/", "configure": "^weir\\.", "read": "^$", "write": "^$"},
  {"user": "stat", "vhost": "/", "configure": "^$", "read": "^$", "write": "^$"},
  {"user": "dead", "vhost": "/", "configure": "^$", "read": "^weir\\.dead\\.kept$", "write": "^amq\\.default$"},
  {"user": "worker", "vhost": "/", "configure": "^amq\\.gen", "read": "^(weir\\.|amq\\.gen)",
   "write": "^(amq\\.default|amq\\.gen.*)$"}],
 "policies": [
  {"vhost": "/", "name": "weir", "pattern": "^weir\\.(?!reply\\.|dead)", "apply-to": "queues", "priority": 0,
   "definition": {"delivery-limit": 20, "dead-letter-exchange": "", "dead-letter-routing-key": "weir.dead",
                  "dead-letter-strategy": "at-least-once", "overflow": "reject-publish"}},
  {"vhost": "/", "name": "poison", "pattern": "^weir\\.(poison|dies)", "apply-to": "queues", "priority": 1,
   "definition": {"delivery-limit": 2, "dead-letter-exchange": "", "dead-letter-routing-key": "weir.dead",
                  "dead-letter-strategy": "at-least-once", "overflow": "reject-publish"}},
  {"vhost": "/", "name": "small", "pattern": "^weir\\.small", "apply-to": "queues", "priority": 1,
   "definition": {"max-length": 2, "overflow": "reject-publish"}}]}
END
    echo "amqp://127.0.0.1:$amqp" >"$dir/url"
    echo "amqps://localhost:$tls" >"$dir/tls_url"
    echo "http://127.0.0.1:$http" >"$dir/http"
}

# Where the package has it, because the one on PATH changes the user. In a session of its own,
# because a test's process group is killed when the test ends.
server() {
    local found
    found=$(ls -d /usr/lib/rabbitmq/bin/"$1" 2>/dev/null || command -v "$1")
    shift
    (
        # shellcheck disable=SC1091
        . "$dir/env"
        exec setsid "$found" "$@"
    )
}

is_up() { (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; }

start() {
    [ -e "$dir/env" ] || make
    # shellcheck disable=SC1091
    port=$(. "$dir/env"; echo "$port")
    rm -f "$dir/pid"
    server rabbitmq-server </dev/null >"$dir/out" 2>&1 &
    local starter=$!
    for _ in $(seq 1800); do
        if is_up; then return; fi
        kill -0 $starter 2>/dev/null || break
        sleep 0.1
    done
    cat "$dir/out" >&2
    exit 1
}

end_by() { # SIGNAL
    local pid
    pid=$(cat "$dir/pid" 2>/dev/null) || return 0
    kill "-$1" "$pid" 2>/dev/null || return 0
    while kill -0 "$pid" 2>/dev/null; do sleep 0.05; done
}

case $command in
start) start ;;
plain)
    make
    echo "listeners.tcp.default = 127.0.0.1:$amqp" >"$dir/rabbitmq.conf"
    start
    ;;
kill) end_by KILL ;;
stop)
    end_by KILL
    [ ! -e "$dir/env" ] || server epmd -port "$(sed -n 's/.*epmd=//p' "$dir/env")" -kill >/dev/null 2>&1 || true
    ;;
alarm)
    verb=set_alarm
    [ "$3" = on ] || verb=clear_alarm
    alarm="{resource_limit, ${4:-memory}, node()}"
    [ "$3" != on ] || alarm="{$alarm, []}"
    server rabbitmqctl -q eval "rabbit_alarm:$verb($alarm)." >/dev/null
    ;;
manage) server rabbitmq-plugins -q enable rabbitmq_management >/dev/null ;;
list) server rabbitmqctl -q --silent list_queues name messages ;;
purge) server rabbitmqctl -q purge_queue "$3" ;;
*) echo "usage: broker.sh start|plain|kill|stop|alarm|manage|list|purge DIR" >&2; exit 2 ;;
esac
