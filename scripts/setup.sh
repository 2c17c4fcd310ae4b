#!/usr/bin/env bash
# Finds what a make target needs and this machine has not, says what it will install, and
# installs it; without the right to do so it prints the command to type.
#
#   scripts/setup.sh demo|test|drivers|bench|chaos|fuzz
set -eu
cd "$(dirname "$0")/.."
. scripts/path.sh

# PostgreSQL's major versions that Howdah runs.
majors="15 16 17 18 19"

main() {
    case ${1:-} in
        demo | test | drivers | bench | chaos | fuzz) ;;
        *) fail "not a target: \`${1:-}\`" "scripts/setup.sh demo|test|drivers|bench|chaos|fuzz" ;;
    esac
    check_rust
    # It runs no server.
    [ "$1" != fuzz ] || { add_fuzz_tools; return 0; }
    packages=$(missing_packages "$1")
    [ -z "$packages" ] || install "$packages"
    have_postgresql ||
        fail "PostgreSQL 15 or later is still not there" "$(pgdg_hint)"
    [ "$1" != test ] || check_test_tools
    [ "$1" != drivers ] || check_drivers
}

say() { printf 'setup: %s\n' "$*" >&2; }

fail() {
    say "$1"
    printf 'hint: %s\n' "$2" >&2
    exit 1
}

# Named before anything compiles: a compiler that is too old fails late and in riddles.
check_rust() {
    local needed found
    needed=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    command -v cargo >/dev/null && command -v rustc >/dev/null ||
        fail "Rust is not installed; Howdah needs \`$needed\` or later" \
            "curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y"
    found=$(rustc --version | cut -d' ' -f2)
    at_least "$found" "$needed" ||
        fail "Rust is too old, Howdah needs $needed or later; found: \`$found\`" "$(newer_rust)"
}

at_least() {
    [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]
}

newer_rust() {
    if command -v rustup >/dev/null; then
        echo "rustup update stable && rustup default stable"
    else
        echo "curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y"
    fi
}

missing_packages() {
    command -v cc >/dev/null || echo "gcc libc6-dev"
    have_protoc || echo "protobuf-compiler libprotobuf-dev"
    have_postgresql || echo postgresql
    [ "$1" != demo ] || return 0
    [ "$1" != drivers ] || { missing_for_drivers; return 0; }
    command -v etcd >/dev/null || echo etcd-server
    [ "$1" != chaos ] || { command -v tc >/dev/null || echo iproute2; return 0; }
    command -v etcdctl >/dev/null || echo etcd-client
    command -v patroni >/dev/null || echo patroni
    have_haproxy || echo haproxy
    have_pgbouncer || echo pgbouncer
    [ "$1" != bench ] || command -v pgbackrest >/dev/null || echo pgbackrest
    [ "$1" = test ] || return 0
    missing_python
}

missing_python() {
    python3 -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv
}

# A JDK and Node.js are hundreds of megabytes: not what everybody needs who changes something.
missing_for_drivers() {
    missing_python
    command -v javac >/dev/null || echo default-jdk-headless
    [ -e /usr/share/java/postgresql.jar ] || echo libpostgresql-jdbc-java
    [ -e /usr/share/java/HikariCP.jar ] || echo libhikaricp-java
    command -v node >/dev/null || echo nodejs
    command -v npm >/dev/null || echo npm
}

have_postgresql() {
    local major
    for major in $majors; do
        [ ! -x "/usr/lib/postgresql/$major/bin/initdb" ] || return 0
    done
    command -v initdb >/dev/null && command -v postgres >/dev/null || return 1
    major=$(postgres --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')
    [ "${major:-0}" -ge 15 ]
}

# The client of etcd is compiled from its protocol's definition, which imports the common ones.
have_protoc() {
    command -v "${PROTOC:-protoc}" >/dev/null || return 1
    [ -n "${PROTOC_INCLUDE:-}" ] || [ -e /usr/include/google/protobuf/descriptor.proto ] ||
        [ -e "$(dirname "$(command -v "${PROTOC:-protoc}")")/../include/google/protobuf/descriptor.proto" ]
}

# Debian installs it where only root's path leads.
have_haproxy() {
    command -v haproxy >/dev/null || [ -x /usr/sbin/haproxy ]
}

have_pgbouncer() {
    command -v pgbouncer >/dev/null || [ -x /usr/sbin/pgbouncer ]
}

# Not only root can be asked: sudo is, too, where it needs no password or can ask for it.
install() {
    local list script
    list=$(echo $1)
    script=$PWD/scripts/install-packages.sh
    command -v apt-get >/dev/null ||
        fail "this machine has no apt-get; install by its own means: \`$list\`" \
            "the names are Debian's; PostgreSQL must be 15 or later"
    say "missing, will be installed: $list"
    say "no service is started, and no PostgreSQL cluster is made"
    if [ "$(id -u)" = 0 ]; then
        "$script" $list
    elif command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
        sudo "$script" $list
    else
        fail "only root can install packages, and sudo does not let this user" \
            "as root, type \`$script $list\`, then start again"
    fi
}

pgdg_hint() {
    echo "https://wiki.postgresql.org/wiki/Apt has every version for every release of Debian and Ubuntu"
}

check_test_tools() {
    scripts/majors.sh ||
        say "tests on other majors of PostgreSQL than this machine's are left out"
    add_python_tools
    add_python_drivers
    add_python_s3
    cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 || add_components
    cargo nextest --version >/dev/null 2>&1 && return 0
    say "cargo-nextest is missing, will be compiled: it takes some minutes, once"
    cargo install cargo-nextest --locked --quiet ||
        say "it could not be; \`cargo test\` will run the tests, only slower"
}

# Programs that tests run against Howdah: a monitoring plugin written for Patroni, and OpenAPI's
# own validator. In an environment of their own below target/.
add_python_tools() {
    local dir=target/python
    [ -x "$dir/bin/check_patroni" ] && [ -x "$dir/bin/openapi-spec-validator" ] && return 0
    say "check_patroni and openapi-spec-validator are missing, will be put into $dir"
    python3 -m venv "$dir" &&
        "$dir/bin/pip" install --quiet --disable-pip-version-check \
            'check_patroni>=2.2,<3' 'openapi-spec-validator>=0.7,<1' ||
        fail "they could not be installed" "look at pip's message above, and start again"
}

# Drivers that tests let talk to the pooler, as applications do.
add_python_drivers() {
    local dir=target/python
    "$dir/bin/python" -c 'import psycopg, psycopg_pool, psycopg2, asyncpg, sqlalchemy, greenlet' \
        2>/dev/null && return 0
    say "psycopg, psycopg2, asyncpg and SQLAlchemy are missing, will be put into $dir"
    { [ -x "$dir/bin/pip" ] || python3 -m venv "$dir"; } &&
        "$dir/bin/pip" install --quiet --disable-pip-version-check 'psycopg[binary,pool]>=3.2,<4' \
            'psycopg2-binary>=2.9,<3' 'asyncpg>=0.30,<1' 'sqlalchemy[asyncio]>=2,<3' ||
        fail "they could not be installed" "look at pip's message above, and start again"
}

# An S3 server that repositories are tried on. Only what S3 needs of it: the rest is large.
add_python_s3() {
    local dir=target/python
    [ -x "$dir/bin/moto_server" ] && "$dir/bin/python" -c 'import moto.server' 2>/dev/null && return 0
    say "moto (an S3 server for tests) is missing, will be put into $dir"
    { [ -x "$dir/bin/pip" ] || python3 -m venv "$dir"; } &&
        "$dir/bin/pip" install --quiet --disable-pip-version-check \
            'moto[s3]>=5,<6' 'flask>=3,<4' 'flask-cors>=4' ||
        fail "it could not be installed" "look at pip's message above, and start again"
}

check_drivers() {
    local dir=target/node
    add_python_drivers
    [ ! -d "$dir/node_modules/pg-copy-streams" ] || return 0
    say "node-postgres is missing, will be put into $dir"
    mkdir -p "$dir" &&
        npm install --silent --no-audit --no-fund --prefix "$dir" pg@8 pg-cursor@2 pg-copy-streams@7 ||
        fail "it could not be installed" "look at npm's message above, and start again"
}

# A sanitizer's build needs a nightly compiler, and the tool stays below target/.
add_fuzz_tools() {
    command -v c++ >/dev/null || install g++
    command -v rustup >/dev/null ||
        fail "rustup is missing, which brings a nightly Rust" "$(newer_rust)"
    rustup run nightly rustc --version >/dev/null 2>&1 || {
        say "missing, will be installed: Rust nightly"
        rustup toolchain install nightly --profile minimal
    }
    [ -x target/tools/bin/cargo-fuzz ] && return 0
    say "cargo-fuzz is missing, will be compiled into target/tools: it takes a minute, once"
    cargo install cargo-fuzz --locked --quiet --root target/tools ||
        fail "it could not be" "look at cargo's message above, and start again"
}

add_components() {
    command -v rustup >/dev/null ||
        fail "rustfmt or clippy is missing" "install both for this Rust, or Rust by rustup"
    say "missing, will be installed: rustfmt clippy"
    rustup component add rustfmt clippy
}

main "$@"
