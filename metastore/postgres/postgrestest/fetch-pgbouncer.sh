#!/bin/sh
# Fetches PgBouncer from the distribution's packages without root: the program
# as $1/pgbouncer, the libraries that the system lacks in $1/lib. Does nothing
# if it is there. Needs apt (Debian, Ubuntu) and a network.
set -eu
target=$1
[ -x "$target/pgbouncer" ] && exit 0
command -v apt-get >/dev/null || { echo "this is not Debian or Ubuntu: install pgbouncer" >&2; exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# With package lists, caches and downloads of our own nothing needs root, nor lists that may be old or missing.
mkdir -p "$work/state/lists/partial" "$work/cache/archives/partial" "$work/deb"
apt() {
    tool=$1
    shift
    "$tool" -o Dir::State::Lists="$work/state/lists" -o Dir::Cache="$work/cache" -o Debug::NoLocking=1 -o APT::Sandbox::User= "$@"
}
apt apt-get -qq update || echo "some package lists are missing" >&2

cd "$work/deb"
# Its own libraries only: those that every system has must stay the system's.
libraries=$(apt apt-cache depends --important pgbouncer | sed -n 's/.*Depends: *//p' | grep -E '^lib(event|c-ares|cares)' | sort -u)
apt apt-get -qq download pgbouncer $libraries
for package in *.deb; do
    dpkg-deb --extract "$package" "$work/root"
done
mkdir -p "$target/lib"
find "$work/root" -name 'lib*.so.*' -exec cp -a {} "$target/lib/" \;
if LD_LIBRARY_PATH="$target/lib" ldd "$work/root/usr/sbin/pgbouncer" | grep "not found" >&2; then
    echo "install pgbouncer: the libraries above could not be fetched" >&2
    exit 1
fi
# Last and at once: a program that is there is complete.
cp "$work/root/usr/sbin/pgbouncer" "$target/pgbouncer.new"
mv "$target/pgbouncer.new" "$target/pgbouncer"
