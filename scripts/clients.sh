#!/usr/bin/env bash
# Client libraries as their users have them, against a server: redis-py, ioredis, node-redis, redis-rs, and two job queues.
#
#     scripts/clients.sh PORT|SERVER-BINARY [DIRECTORY]
#
# A binary is started in memory of its own and stopped afterwards; against a PORT (of redis-server, say) the database is
# emptied! The libraries are installed into DIRECTORY once, by pip, npm and cargo. What cannot be had on this machine is
# skipped and said to be; what is had has to work.
set -euo pipefail
cd "$(dirname "$0")/.."

target=${1:?a port, or the path of a server}
target_dir=${CARGO_TARGET_DIR:-target}
directory=${2:-$target_dir/clients}
mkdir -p "$directory"
directory=$(realpath "$directory")
export PYTHONDONTWRITEBYTECODE=1
passed=0 failed=0 skipped=0

data=
server=
stop() {
    # It may still be writing: its directory goes once it has ended.
    [[ -z $server ]] || { kill "$server" 2>/dev/null && wait "$server" || true; }
    [[ -z $data ]] || rm -rf "$data"
}
trap stop EXIT

if [[ $target =~ ^[0-9]+$ ]]; then
    port=$target
else
    data=$(mktemp -d)
    # A free port: taken by nobody now, and if somebody is quicker the server says so and this script fails.
    port=$((20000 + RANDOM % 10000))
    "$target" --port $port --dir "$data" >"$data/log" 2>&1 &
    server=$!
    for ((attempt = 0; ; attempt++)); do
        redis-cli -p $port ping 2>/dev/null | grep -q PONG && break
        if ((attempt > 300)) || ! kill -0 $server 2>/dev/null; then
            cat "$data/log" >&2
            exit 1
        fi
        sleep 0.1
    done
fi

# NAME INSTALLATION COMMAND…: runs the command if the installation, once made, can be made.
run() {
    local name=$1 install=$2
    shift 2
    if ! $install >"$directory/$name.log" 2>&1; then
        echo "$name: SKIPPED, it cannot be installed here: $(tail -n 1 "$directory/$name.log")"
        skipped=$((skipped + 1))
    elif timeout 120 "$@" "$port"; then
        passed=$((passed + 1))
    else
        echo "$name: FAILED"
        failed=$((failed + 1))
    fi
}

# A list of requirements that is installed in a Python environment of its own, unless it is there already.
pip_install() {
    local requirements=tests/clients/$1.txt venv=$directory/$1
    cmp -s "$requirements" "$venv/installed.txt" && return
    rm -rf "$venv"
    # The system's Python: others may lack the modules that make an environment.
    PATH=/usr/bin:$PATH timeout 300 python3 -m venv "$venv" &&
        timeout 300 "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$requirements" &&
        cp "$requirements" "$venv/installed.txt"
}
install_redis_py() { pip_install requirements; }
install_arq() { pip_install requirements-jobs; }
install_rq() { pip_install requirements-rq; }
install_node() {
    local node=$directory/node
    cmp -s tests/clients/package.json "$node/installed.json" && return
    rm -rf "$node"
    mkdir -p "$node"
    cp tests/clients/package.json "$node/"
    (cd "$node" && timeout 300 npm install --silent --no-audit --no-fund) && cp tests/clients/package.json "$node/installed.json"
}
install_redis_rs() { cargo build --quiet --package bulkhead-redis-rs; }

run redis-py install_redis_py "$directory/requirements/bin/python" tests/clients/redis_py.py
run arq install_arq "$directory/requirements-jobs/bin/python" tests/clients/arq_jobs.py
run rq install_rq "$directory/requirements-rq/bin/python" tests/clients/rq_jobs.py
export CLIENTS_NODE=$directory/node
run node install_node node tests/clients/node.mjs
run redis-rs install_redis_rs "$target_dir/debug/bulkhead-redis-rs"

echo "clients: $passed passed, $failed failed, $skipped skipped"
((failed == 0 && passed > 0))
