#!/usr/bin/env bash
# A Debian package of a binary that has been built. It starts nothing when it is installed.
#
#   scripts/package.sh [BINARY [FOLDER]]     target/release/howdah, target
set -eu
cd "$(dirname "$0")/.."

binary=${1:-target/release/howdah}
folder=${2:-target}

main() {
    command -v dpkg-deb >/dev/null || fail "dpkg-deb is not here" "run it on Debian or Ubuntu"
    [ -x "$binary" ] || fail "no such binary: \`$binary\`" "cargo build --release --package howdah"
    version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
    architecture=$(dpkg --print-architecture)
    package=$folder/howdah_${version}_$architecture.deb
    staging=$(mktemp -d)
    trap 'rm -rf "$staging"' EXIT
    chmod 755 "$staging"
    fill
    describe
    mkdir -p "$folder"
    dpkg-deb --root-owner-group -Zgzip --build "$staging" "$package" >/dev/null
    echo "$package"
}

fail() {
    printf 'package: %s\nhint: %s\n' "$1" "$2" >&2
    exit 1
}

put() { # MODE FILE TARGET
    install -D -m "$1" "$2" "$staging/$3"
}

fill() {
    local doc=usr/share/doc/howdah file
    put 755 "$binary" usr/bin/howdah
    ! command -v strip >/dev/null || strip --strip-unneeded "$staging/usr/bin/howdah"
    manual | compressed usr/share/man/man1/howdah.1.gz
    { echo "howdah ($version) unstable; urgency=medium"; echo
      echo "  * See /$doc/CHANGELOG.md.gz"; echo
      echo " -- Howdah maintainers <howdah@localhost>  $(date -uR -d "@${SOURCE_DATE_EPOCH:-0}")"
    } | compressed $doc/changelog.gz
    compressed $doc/CHANGELOG.md.gz < CHANGELOG.md
    copyright > "$staging/$doc/copyright"
    put 644 README.md $doc/README.md
    for file in docs/*.md; do put 644 "$file" "$doc/$file"; done
    for file in examples/*.toml; do put 644 "$file" "$doc/$file"; done
    install -d -m 755 "$staging/etc/howdah" "$staging/var/lib/howdah"
    find "$staging" -type f ! -name howdah -exec chmod 644 {} +
}

compressed() { # TARGET
    install -d -m 755 "$staging/$(dirname "$1")"
    gzip -9n > "$staging/$1"
}

# The same words as `howdah --help`, so that they cannot tell two stories.
manual() {
    printf '.TH HOWDAH 1 "" "howdah %s" "User Commands"\n.SH NAME\n' "$version"
    printf 'howdah \\- run PostgreSQL in production: one binary, one file\n'
    printf '.SH SYNOPSIS\n.B howdah\n.I VERB\n[...]\n.SH DESCRIPTION\n.nf\n'
    "$binary" --help | sed -e 's/\\/\\e/g' -e 's/-/\\-/g' -e "s/^\([.']\)/\\\\\&\1/"
    printf '.fi\n.SH SEE ALSO\n/usr/share/doc/howdah/docs, and\n.B howdah\n.I VERB\n.B \\-\\-help\n'
}

copyright() {
    cat <<TEXT
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: howdah

Files: *
Copyright: Howdah maintainers
License: Apache-2.0
 On Debian systems the full text is in /usr/share/common-licenses/Apache-2.0.
TEXT
}

describe() {
    local size
    size=$(du -sk "$staging" | cut -f1)
    install -d -m 755 "$staging/DEBIAN"
    cat > "$staging/DEBIAN/control" <<TEXT
Package: howdah
Version: $version
Architecture: $architecture
Maintainer: Howdah maintainers <howdah@localhost>
Installed-Size: $size
Depends: libc6 (>= $(glibc)), libgcc-s1
Recommends: postgresql (>= 15), etcd-server
Section: database
Priority: optional
Description: PostgreSQL in production: one binary, one file
 Howdah keeps a PostgreSQL cluster highly available on one machine or several:
 it elects, fences and promotes servers, leads clients to the right one, and
 runs the store that it needs, all by one program and one file.
TEXT
    cat > "$staging/DEBIAN/postinst" <<'TEXT'
#!/bin/sh
# Nothing is started, stopped or made here: a database decides for itself when it restarts.
set -e
if [ "$1" = configure ] && [ -n "$2" ] && [ -d /run/systemd/system ]; then
    running=$(systemctl list-units --plain --no-legend 'howdah-*@*.service' | cut -d' ' -f1)
    if [ -n "$running" ]; then
        echo "howdah: these still run the old version; PostgreSQL stays up while they restart:"
        for unit in $running; do echo "  systemctl restart $unit"; done
    fi
fi
exit 0
TEXT
    chmod 755 "$staging/DEBIAN/postinst"
}

# The newest symbol of the C library that the binary asks for.
glibc() {
    local newest
    newest=$(grep -aoE 'GLIBC_2\.[0-9]+' "$binary" | cut -d_ -f2 | sort -Vu | tail -n 1)
    echo "${newest:-2.36}"
}

main
