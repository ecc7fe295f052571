#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Install the Debian or Ubuntu packages that a make target lacks:
#   tools/packages.sh build|test|demo|machines|lint|bench|instructions|syscalls|tier|h2|deb|lintian|clean|image|page|rpm|apps|ci
# Says which, asks nothing, and does nothing where all are there. apache2-bin and
# apache2-dev hold the server and its headers without the system service that the
# package apache2 would start. On other systems it names the packages and stops.
# nginx and Varnish (bench), Redis (test, machines), php-fpm and Prometheus (test)
# bring services too,
# and mod_php, WordPress and MediaWiki (apps) would go into an apache2 that is here or bring
# one, so those are not installed but unpacked below build/peers, unless the system has them;
# what they need is installed.
set -euo pipefail

build="gcc libc6-dev make perl apache2-dev libapr1-dev libaprutil1-dev libpcre2-dev
       libxxhash-dev libcurl4-openssl-dev libjansson-dev libhiredis-dev libssl-dev zlib1g-dev"
demo="$build apache2-bin"
test="$demo curl openssl libapache2-mod-security2 libapache2-mod-xsendfile
      php-cli libapparmor1 libacl1 libsystemd0 uwsgi-core uwsgi-plugin-python3
      libatomic1 libjemalloc2 liblzf1 libssl3 mount e2fsprogs"
lint="$build cppcheck clang-tidy clang-format"
bench="$demo libcrypt1 libjemalloc2 libssl3 zlib1g"
instructions="$demo valgrind"
syscalls="$demo strace"
machines="$demo libatomic1 libjemalloc2 liblzf1 libssl3 libsystemd0"
tier="$machines valgrind strace"
h2="$bench valgrind nghttp2-client openssl"
rpm="$build rpm lowdown"
deb="$build build-essential debhelper dpkg-dev fakeroot lowdown"
lintian="$deb lintian"
clean="debootstrap util-linux iproute2"
image="$clean buildah runc curl"
apps="$demo php-cli php-mysql php-sqlite3 php-mbstring php-xml php-intl php-curl libapparmor1
      libacl1 libsystemd0 mariadb-server-core mariadb-client-core media-types
      php-symfony-framework-bundle php-symfony-twig-bundle php-symfony-yaml"
command -v node >/dev/null || apps="$apps nodejs"
command -v npm >/dev/null || apps="$apps npm"
page="$demo chromium fonts-dejavu-core"
ci="$test $lint $apps $lintian $image $page clang libclang-rt-14-dev"

case ${1:-} in
    build | test | demo | machines | lint | bench | instructions | syscalls | tier | h2 | deb | lintian | clean | image | page | rpm | apps | ci) wanted=${!1} ;;
    *) echo "usage: $0 build|test|demo|machines|lint|bench|instructions|syscalls|tier|h2|deb|lintian|clean|image|page|rpm|apps|ci" >&2; exit 2 ;;
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
    [[ ! -e /usr/$command && ! -e $peers/usr/$command ]] || return 0
    echo "Unpacking below build/peers: $package"
    mkdir -p "$peers"
    (
        cd "$peers"
        apt-get -q -o APT::Sandbox::User=root download "$package"
        dpkg-deb --fsys-tarfile "$package"_*.deb | tar -x "$@"
        rm "$package"_*.deb
    )
}

unpack_php() {
    local version
    version=$(php -n -r 'echo PHP_MAJOR_VERSION, ".", PHP_MINOR_VERSION;')
    unpack "php$version-fpm" "sbin/php-fpm$version" "./usr/sbin/php-fpm$version"
    unpack "libapache2-mod-php$version" "lib/apache2/modules/libphp$version.so" ./usr/lib
}

# Not every release has all of these: their tests say then what is not there.
unpack_apps() {
    unpack_php
    unpack wordpress share/wordpress/index.php ./usr/share/wordpress || true
    unpack php-getid3 share/php/getid3 ./usr/share/php || true
    unpack libjs-cropper share/javascript/cropper ./usr/share/javascript || true
    unpack libjs-underscore share/javascript/underscore ./usr/share/javascript || true
    unpack wordpress-theme-twentytwentythree \
        share/wordpress/wp-content/themes/twentytwentythree ./usr/share/wordpress || true
    unpack mediawiki share/mediawiki/index.php ./usr/share/mediawiki \
        --exclude=./usr/share/mediawiki/extensions-core || true
    unpack mediawiki-classes share/mediawiki/includes/libs ./usr/share/mediawiki || true
}

# promtool is a package of its own since Debian 13.
unpack_promtool() {
    local package=prometheus
    apt-cache show promtool >/dev/null 2>&1 && package=promtool
    unpack "$package" bin/promtool ./usr/bin/promtool
    unpack prometheus bin/prometheus ./usr/bin/prometheus
}

# The server is a link to a program of the other package.
unpack_redis() {
    unpack redis-tools bin/redis-check-rdb ./usr/bin
    unpack redis-server bin/redis-server ./usr/bin
}

# For nginx with srcache and Redis; without them that is left out, with the reason.
unpack_srcache() {
    unpack nginx sbin/nginx
    unpack libnginx-mod-http-ndk lib/nginx/modules/ndk_http_module.so ./usr/lib
    unpack libnginx-mod-http-srcache-filter lib/nginx/modules/ngx_http_srcache_filter_module.so ./usr/lib
    unpack libnginx-mod-http-lua lib/nginx/modules/ngx_http_lua_module.so ./usr/lib
    unpack lua-nginx-redis share/lua/5.1/nginx/redis.lua ./usr/share/lua
    unpack lua-resty-core share/lua/5.1/resty/core.lua ./usr/share/lua
    unpack lua-resty-lrucache share/lua/5.1/resty/lrucache.lua ./usr/share/lua
    unpack libluajit2-5.1-2 "lib/$(gcc -print-multiarch)/libluajit-5.1.so.2" ./usr/lib
}

case $1 in
    test) unpack_promtool; unpack_php; unpack_redis ;;
    apps) unpack_apps ;;
    machines) unpack_redis ;;
    tier) unpack_redis; unpack_srcache || true ;;
    ci) unpack_promtool; unpack_apps; unpack_redis ;;
    bench | h2) unpack nginx sbin/nginx; unpack varnish sbin/varnishd ;;
esac
