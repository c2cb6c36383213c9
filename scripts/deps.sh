#!/usr/bin/env bash
# Installs what building (`build`), building and testing (`test`) or testing the status page (`page`) needs and this machine
# lacks, with Debian's packages.
# Asks for root only if something is missing.
set -euo pipefail

missing=()

need() { # PACKAGE REASON CHECK…: the package is missing if the check fails.
    local package=$1 reason=$2
    shift 2
    "$@" >/dev/null 2>&1 && return
    echo "missing: $package ($reason)"
    missing+=("$package")
}

has_browser() { type -P chromium || type -P chromium-browser || type -P google-chrome; }

# The library alone is not enough: bindgen also reads the compiler's own headers, which come in another package.
has_libclang() {
    [[ -n ${LIBCLANG_PATH:-} ]] && return
    { compgen -G '/usr/lib/llvm-*/lib/libclang*.so*' || compgen -G '/usr/lib64/libclang*.so*'; } &&
        { compgen -G '/usr/lib/llvm-*/lib/clang/*/include/stddef.h' || compgen -G '/usr/lib/clang/*/include/stddef.h'; }
}

has_venv() { /usr/bin/python3 -c 'import ensurepip, venv'; }

if ! command -v cargo >/dev/null; then
    echo "Rust is missing; https://rustup.rs installs it." >&2
    exit 1
fi

need make 'runs the build' type -P make
need g++ 'compiles RocksDB' type -P c++
need libclang-dev "bindgen reads RocksDB's C header with it" has_libclang
need ccache 'compiles RocksDB once for all checkouts and profiles' type -P ccache
if [[ ${1:-build} == test ]]; then
    need redis-server 'the differential test compares every reply with it' type -P redis-server
    need redis-tools 'redis-cli and redis-benchmark' type -P redis-benchmark
    need curl 'the tests ask the probes with it' type -P curl
    need python3-venv 'redis-py, arq and RQ are installed with it' has_venv
    need npm 'ioredis and node-redis are installed with it' type -P npm
    need procps 'kill, with which the tests send signals' type -P kill
fi

if [[ ${1:-build} == page ]]; then
    need python3 'drives the browser' type -P python3
    need chromium 'shows the status page' has_browser
fi

((${#missing[@]})) || exit 0

if ! command -v apt-get >/dev/null; then
    echo "There is no apt-get here: please install the above, or what it is called on this system." >&2
    exit 1
fi
root=()
if ((EUID != 0)); then
    command -v sudo >/dev/null || { echo "Please install as root: ${missing[*]}" >&2; exit 1; }
    root=(sudo)
fi
echo "installing ${missing[*]}${root:+, for which sudo asks you}"
# A machine that has just booted may be updating itself: wait for it.
apt=("${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300)
"${apt[@]}" update
"${apt[@]}" install -y --no-install-recommends "${missing[@]}"

# Debian starts the redis-server that it installs. The tests start their own, and 6379 is meant for Bulkhead.
if [[ " ${missing[*]} " == *' redis-server '* ]]; then
    if [[ -d /run/systemd/system ]]; then
        "${root[@]}" systemctl disable --now redis-server
    else
        "${root[@]}" /etc/init.d/redis-server stop || true
    fi
fi
