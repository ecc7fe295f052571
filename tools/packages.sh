#!/bin/bash
# Install the Debian or Ubuntu packages that a make target lacks:
#   tools/packages.sh build|test|demo|lint|bench|instructions|syscalls|ci
# Says which, asks nothing, and does nothing where all are there. apache2-bin and
# apache2-dev hold the server and its headers without the system service that the
# package apache2 would start. On other systems it names the packages and stops.
# nginx and Varnish (bench) and Prometheus (test: its promtool) bring services too, so those
# are not installed but unpacked below build/peers, unless the system has them; what they
# need is installed.
set -euo pipefail

build="gcc libc6-dev make perl apache2-dev libapr1-dev libaprutil1-dev libpcre2-dev
       libxxhash-dev libcurl4-openssl-dev libjansson-dev"
demo="$build apache2-bin"
test="$demo curl openssl libapache2-mod-security2 libapache2-mod-xsendfile"
lint="$build cppcheck clang-tidy clang-format"
bench="$demo libcrypt1 libjemalloc2 libssl3 zlib1g"
instructions="$demo valgrind"
syscalls="$demo strace"
ci="$test $lint clang libclang-rt-14-dev"

case ${1:-} in
    build | test | demo | lint | bench | instructions | syscalls | ci) wanted=${!1} ;;
    *) echo "usage: $0 build|test|demo|lint|bench|instructions|syscalls|ci" >&2; exit 2 ;;
esac

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    # Elsewhere the names differ, so look for what the packages bring.
    for tool in gcc make perl prove apxs apr-1-config apu-1-config pcre2-config \
            curl-config; do
        command -v "$tool" >/dev/null || lacking="${lacking:-} $tool"
    done
    [[ -z ${lacking:-} ]] && exit 0
    echo "Not found:$lacking. Install what on Debian is called:" $wanted >&2
    exit 1
fi

lacking=()
for package in $wanted; do
    state=$(dpkg-query -W -f='${db:Status-Status}\n' "$package" 2>/dev/null || true)
    [[ $state == *installed* && $state != *not-installed* ]] || lacking+=("$package")
done
if (( ${#lacking[@]} )); then
    root=()
    if (( EUID )); then
        if ! command -v sudo >/dev/null; then
            echo "To be done by root: apt-get install ${lacking[*]}" >&2
            exit 1
        fi
        root=(sudo)
    fi
    echo "Installing: $(printf '%s\n' "${lacking[@]}" | sort -u | tr '\n' ' ')"
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q update
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get -q -y --no-install-recommends install "${lacking[@]}"
fi
peers=$(cd "$(dirname "$0")/.." && pwd)/build/peers

# Unpack a package, or only the files named, unless the command is here already.
unpack() {
    local package=$1 command=$2
    shift 2
    [[ ! -x /usr/$command && ! -x $peers/usr/$command ]] || return 0
    echo "Unpacking below build/peers: $package"
    mkdir -p "$peers"
    (
        cd "$peers"
        apt-get -q -o APT::Sandbox::User=root download "$package"
        dpkg-deb --fsys-tarfile "$package"_*.deb | tar -x "$@"
        rm "$package"_*.deb
    )
}

case $1 in
    test | ci) unpack prometheus bin/promtool ./usr/bin/promtool ;;
    bench) unpack nginx sbin/nginx; unpack varnish sbin/varnishd ;;
esac
