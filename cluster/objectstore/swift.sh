#!/usr/bin/env bash
# A small S3 server on this computer, for tests and trials: OpenStack Swift with its S3 API.
#
#   swift.sh start DIR [PORT]   serve the data in DIR on http://127.0.0.1:PORT (8090); print the
#                               settings that programs need: eval "$(swift.sh start DIR)"
#   swift.sh stop DIR           stop the server; the data stay, and the next start serves them again
#
# The first start installs Swift into an environment of its own: $OBJECTSTORE_VENV, or
# build/objectstore/venv in this repository. See README.md.
set -euo pipefail

fail() {
    echo "swift.sh: $*" >&2
    exit 1
}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
venv=${OBJECTSTORE_VENV:-$(dirname "$(dirname "$here")")/build/objectstore/venv}
python=${PYTHON:-python3}
servers=(account container object proxy)
dir= port=
declare -A ports=()

install() {
    mkdir -p "$(dirname "$venv")"
    exec 9>"$venv.lock"
    flock 9 # two may start at once
    if ! cmp -s "$here/requirements.txt" "$venv/installed.txt"; then
        echo "installing OpenStack Swift into $venv" >&2
        "$python" -m venv --clear "$venv" >&2 || fail "$python cannot make an environment in $venv"
        "$venv/bin/pip" install -qq --disable-pip-version-check \
            --requirement "$here/requirements.txt" >&2 || fail "Swift could not be installed"
        cp "$here/requirements.txt" "$venv/installed.txt"
    fi
    exec 9>&-
}

# The process of a server, if it runs and is ours: another process may have got its id since.
pid_of() {
    local pid
    pid=$(cat "$dir/$1.pid" 2>/dev/null) || return 1
    grep -qF "$dir/etc/$1-server.conf" "/proc/$pid/cmdline" 2>/dev/null && echo "$pid"
}

answers() {
    local status
    exec 3<>"/dev/tcp/127.0.0.1/$1" || return 1
    printf 'GET /healthcheck HTTP/1.0\r\n\r\n' >&3
    read -r -t 5 status <&3 || status=
    exec 3>&-
    [[ $status == *" 200 "* ]]
} 2>/dev/null

stop() {
    local server pid
    for server in proxy object container account; do # the proxy would answer for the others
        if pid=$(pid_of "$server"); then kill "$pid" 2>/dev/null || true; fi
    done
    for server in "${servers[@]}"; do
        for _ in {1..50}; do
            pid=$(pid_of "$server") || break
            sleep 0.1
        done
        if pid=$(pid_of "$server"); then kill -KILL "$pid" 2>/dev/null || true; fi
        rm -f "$dir/$server.pid"
    done
}

# Prints three free ports; fails if this folder or the wanted port cannot be used.
prepare() {
    "$venv/bin/python" - "$dir" "$port" <<'EOF'
import os
import socket
import sys

folder, port = sys.argv[1], int(sys.argv[2])
try:
    os.setxattr(folder, "user.swift", b"")
except OSError as error:
    sys.exit(f"swift.sh: {folder}: has no extended attributes, which Swift needs ({error.strerror}); "
             "choose a folder on another disk")
try:
    with socket.socket() as proxy:
        proxy.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        proxy.bind(("127.0.0.1", port))
        others = [socket.socket() for _ in range(3)]
        for each in others:
            each.bind(("127.0.0.1", 0))
        print(*(each.getsockname()[1] for each in others))
except OSError as error:
    sys.exit(f"swift.sh: port {port} is not available ({error.strerror}); "
             f"use another: swift.sh start {folder} PORT")
EOF
}

configure() {
    mkdir -p "$dir/etc" "$dir/srv/disk"
    cat >"$dir/etc/swift.conf" <<EOF
[swift-hash]
swift_hash_path_suffix = rnnray
swift_hash_path_prefix = rnnray
[storage-policy:0]
name = one
default = yes
EOF
    # One disk, one copy of everything.
    "$venv/bin/python" - "$dir/etc" account="${ports[account]}" container="${ports[container]}" \
        object="${ports[object]}" <<'EOF'
import sys

from swift.common.ring import RingBuilder

for server in sys.argv[2:]:
    name, port = server.split("=")
    disk = {"region": 1, "zone": 1, "ip": "127.0.0.1", "port": int(port), "device": "disk"}
    disk |= {"replication_ip": disk["ip"], "replication_port": disk["port"]}
    builder = RingBuilder(part_power=6, replicas=1, min_part_hours=0)
    builder.add_dev(disk | {"id": 0, "weight": 1.0, "meta": ""})
    builder.rebalance()
    builder.get_ring().save(f"{sys.argv[1]}/{name}.ring.gz")
EOF
    local server
    for server in "${servers[@]}"; do
        cat >"$dir/etc/$server-server.conf" <<EOF
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = ${ports[$server]}
workers = 0
user = $(id -un)
swift_dir = $dir/etc
devices = $dir/srv
mount_check = false
log_level = WARNING
[filter:healthcheck]
use = egg:swift#healthcheck
EOF
        [ "$server" = proxy ] || cat >>"$dir/etc/$server-server.conf" <<EOF
[pipeline:main]
pipeline = healthcheck $server-server
[app:$server-server]
use = egg:swift#$server
EOF
    done
    cat >>"$dir/etc/proxy-server.conf" <<'EOF'
[pipeline:main]
pipeline = catch_errors gatekeeper healthcheck listing_formats bulk s3api tempauth slo dlo proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
allow_account_management = true
[filter:s3api]
use = egg:swift#s3api
s3_acl = false
location = us-east-1
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = testing .admin
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:bulk]
use = egg:swift#bulk
[filter:slo]
use = egg:swift#slo
[filter:dlo]
use = egg:swift#dlo
EOF
}

start() {
    local server pid
    for server in "${servers[@]}"; do
        pid=$(pid_of "$server") && fail "$dir is served already; stop it first: swift.sh stop $dir"
    done
    install
    local free
    free=$(prepare) || exit 1
    read -r ports[account] ports[container] ports[object] <<<"$free"
    ports[proxy]=$port
    configure
    trap stop EXIT # until all of them answer
    for server in "${servers[@]}"; do
        setsid "$venv/bin/swift-$server-server" "$dir/etc/$server-server.conf" --verbose \
            >"$dir/$server.log" 2>&1 </dev/null &
        echo $! >"$dir/$server.pid"
    done
    for server in "${servers[@]}"; do
        for ((i = 0; i < 300; i++)); do
            answers "${ports[$server]}" && continue 2
            kill -0 "$(cat "$dir/$server.pid")" 2>/dev/null || break
            sleep 0.2
        done
        fail "the $server server does not answer; its log $dir/$server.log ends:" \
            "$(tail -n 1 "$dir/$server.log")"
    done
    trap - EXIT
    echo "export AWS_ENDPOINT_URL_S3=http://127.0.0.1:$port"
    echo "export AWS_ACCESS_KEY_ID=test:tester AWS_SECRET_ACCESS_KEY=testing"
    echo "export AWS_DEFAULT_REGION=us-east-1"
}

usage="swift.sh start DIR [PORT] | swift.sh stop DIR"
[ $# -ge 2 ] || fail "$usage"
case $1 in
start)
    port=${3:-8090}
    [[ $port =~ ^[0-9]{1,5}$ ]] || fail "not a port: $port"
    mkdir -p "$2" && dir=$(cd "$2" && pwd) || fail "$2: the folder cannot be made"
    start
    ;;
stop)
    [ -d "$2" ] || fail "$2: no such folder"
    dir=$(cd "$2" && pwd)
    stop
    ;;
*) fail "$usage" ;;
esac
