# shellcheck shell=bash disable=SC2034 # what is set here is used by those who source it
# What the scripts share. Sourced, never run; sourcing it changes nothing but `PWD` and variables.
#
# Every server is started by `start` as an unprivileged user in `run_dir`, on the loopback, on a
# free port, and is gone when the script ends, however it ends.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root" || exit
# Tools that Debian does not have are built once and kept here.
tools=$root/target/tools

say() { printf '\033[2m· %s\033[0m\n' "$*" >&2; }
die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# --- what a fresh machine lacks ---------------------------------------------------------------

# need_debian PACKAGE…: installs those that are missing, and starts none of their daemons.
need_debian() {
    local package missing=()
    for package in "$@"; do
        [[ $(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
    done
    ((${#missing[@]})) || return 0
    command -v apt-get >/dev/null || die "this needs what Debian calls ${missing[*]}"
    ((EUID == 0)) || die "missing: run as root  apt-get install ${missing[*]}"
    say "installing ${missing[*]}"
    (
        # Debian starts what it installs, unless this file forbids it. The machine's own comes back.
        policy=/usr/sbin/policy-rc.d log=$(mktemp)
        [[ ! -e $policy ]] || mv "$policy" "$policy.saved"
        trap 'rm -f "$policy" "$log"; [[ ! -e $policy.saved ]] || mv "$policy.saved" "$policy"' EXIT
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
        export DEBIAN_FRONTEND=noninteractive
        if ! { apt-get update && apt-get install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
            tail -n 20 "$log" >&2
            die "could not install ${missing[*]}"
        fi
    )
}

# need_command COMMAND [PACKAGE]: for commands that may have come from elsewhere than Debian.
need_command() { command -v "$1" >/dev/null || need_debian "${2:-$1}"; }

# need_python: the Python that the drivers are written for.
need_python() {
    need_command python3
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || die "Python 3.11 is missing"
}

# need_python_venv: `python3 -m venv`, which Debian packs apart.
need_python_venv() {
    need_command python3
    python3 -c 'import ensurepip' 2>/dev/null || need_debian python3-venv
}

# need_cargo_tool NAME VERSION: puts a command of cargo into `tools`. Without optimisation it builds
# in half a minute on two cores, and is fast enough for a tree of our size all the same.
need_cargo_tool() {
    local name=$1 version=$2
    ! grep -q "^\"$name $version " "$tools/.crates.toml" 2>/dev/null || return 0
    need_build_tools
    say "building $name $version"
    CARGO_PROFILE_DEV_DEBUG=0 CARGO_TARGET_DIR=$tools/build \
        cargo install --quiet --locked --debug --root "$tools" --version "$version" "$name"
    rm -rf "$tools/build"
}

need_cargo_deny() { need_cargo_tool cargo-deny 0.20.2; }
need_cargo_mutants() { need_cargo_tool cargo-mutants 27.1.0; }

# need_npm_program FOLDER MANIFESTS PACKAGE TYPICAL PROGRAM NAME: puts what npm has for this kind of machine into
# FOLDER, in the version that MANIFESTS name for TYPICAL, the package of the usual kind.
need_npm_program() {
    local folder=$1 manifests=$2 package=$3 typical=$4 program=$5 name=$6 version
    if [[ -x $program ]] && cat "$manifests"/package*.json | cmp -s - "$folder/.prepared"; then return 0; fi
    command -v npm >/dev/null || die "Node 20 with npm is missing"
    need_command python3
    version=$(json dependencies "$typical" <"$manifests/package.json")
    say "installing $name $version"
    rm -rf "$folder"
    mkdir -p "$folder"
    # The lock file has the checksum of one package; of the other, the registry's word counts.
    local words=(ci)
    if [[ $package == "$typical" ]]; then
        cp "$manifests"/package*.json "$folder"
    else
        words=(install --no-save --no-package-lock "$package@$version")
    fi
    npm --prefix "$folder" "${words[@]}" --loglevel=error --no-audit --no-fund --ignore-scripts >/dev/null
    [[ -x $program ]] || die "npm has no $name $version for this machine"
    cat "$manifests"/package*.json >"$folder/.prepared"
}

# need_anvil: puts anvil, a test chain, into `tools`, and exports `ANVIL`, the path of its program.
# npm knows it as a package for each kind of machine, and one that only chooses among them.
need_anvil() {
    local folder=$tools/anvil manifests=tests/chain/anvil package=@foundry-rs/anvil-linux-amd64
    [[ $(uname -m) != aarch64 ]] || package=@foundry-rs/anvil-linux-arm64
    export ANVIL=$folder/node_modules/$package/bin/anvil
    need_npm_program "$folder" "$manifests" "$package" @foundry-rs/anvil-linux-amd64 "$ANVIL" "anvil"
}

# need_coding_cli: puts the coding CLI into `tools`, and exports `CODING_CLI`, the path of its program. It is a single
# file of 400 MB that npm knows for each kind of machine, as it does anvil.
need_coding_cli() {
    local folder=$tools/coding-cli manifests=tests/cli package=@anthropic-ai/claude-code-linux-x64
    [[ $(uname -m) != aarch64 ]] || package=@anthropic-ai/claude-code-linux-arm64
    export CODING_CLI=$folder/node_modules/$package/claude
    need_npm_program "$folder" "$manifests" "$package" @anthropic-ai/claude-code-linux-x64 "$CODING_CLI" \
        "the coding CLI"
}

# need_aiosmtpd: puts a mail server into `tools`, and exports `MAIL_PYTHON`, the Python that has it.
need_aiosmtpd() {
    need_packages "$tools/mail" tests/mail/requirements.txt aiosmtpd
    export MAIL_PYTHON=$tools/mail/bin/python
}

# need_collector: puts what reads traces into `tools`, and exports `OTLP_PYTHON`, the Python that has it.
need_collector() {
    need_packages "$tools/otlp" tests/otlp/requirements.txt opentelemetry-proto
    export OTLP_PYTHON=$tools/otlp/bin/python
}

# need_ruff: puts what checks Python into `tools`, and exports `RUFF`, the path of its program.
need_ruff() {
    need_packages "$tools/ruff" scripts/requirements.txt ruff
    export RUFF=$tools/ruff/bin/ruff
}

# need_packages FOLDER REQUIREMENTS NAME: a Python in FOLDER with the packages that REQUIREMENTS names.
need_packages() {
    local folder=$1 requirements=$2 name=$3
    if [[ -x $folder/bin/python ]] && cmp -s "$requirements" "$folder/.prepared"; then return 0; fi
    need_python_venv
    say "installing $name"
    rm -rf "$folder"
    python3 -m venv "$folder"
    "$folder/bin/pip" install --quiet --disable-pip-version-check --require-hashes -r "$requirements"
    cp "$requirements" "$folder/.prepared"
}

# need_build_tools: what `cargo build` wants beside Rust.
need_build_tools() {
    command -v cargo >/dev/null || die "Rust is missing: rust-toolchain.toml names the version, rustup installs it"
    need_debian gcc libc6-dev pkg-config libpq-dev
}

# --- processes --------------------------------------------------------------------------------

run_dir=
as_nobody=()
started=()

# make_run_dir: a folder of the unprivileged user's that goes when the script ends. Below /var/tmp,
# which is a disk where /tmp may be memory.
make_run_dir() {
    run_dir=$(mktemp -d /var/tmp/sluice.XXXXXX)
    trap clean_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    as_nobody=(env "HOME=$run_dir")
    if ((EUID == 0)); then
        chown nobody:nogroup "$run_dir"
        as_nobody=(setpriv --reuid=nobody --regid=nogroup --clear-groups -- "${as_nobody[@]}")
    fi
}

clean_up() {
    local index
    # The last one started first: a gateway before its upstream and its database.
    for ((index = ${#started[@]} - 1; index >= 0; index--)); do stop "${started[index]}"; done
    [[ -z $run_dir ]] || rm -rf "$run_dir"
}

# unprivileged COMMAND…: runs it as `nobody` when we are root, in `run_dir`.
unprivileged() { (cd "$run_dir" && exec "${as_nobody[@]}" "$@"); }

# start NAME COMMAND…: the same in the background, with its output in NAME.log; sets `pid`.
start() {
    local name=$1
    shift
    (cd "$run_dir" && exec "${as_nobody[@]}" "$@") </dev/null >>"$run_dir/$name.log" 2>&1 &
    pid=$!
    started+=("$pid")
}

# stop PID: asks, waits ten seconds, then insists. Only for what `start` started.
stop() {
    local tenths=100
    kill -TERM "$1" 2>/dev/null || true
    while kill -0 "$1" 2>/dev/null && ((tenths-- > 0)); do sleep 0.1; done
    kill -KILL "$1" 2>/dev/null || true
    wait "$1" 2>/dev/null || true
}

# install_python PATH…: puts files and packages of scripts/ where the unprivileged user can run them, whatever folder
# the clone is in.
install_python() {
    local path
    for path in "$@"; do
        if [[ -d $root/scripts/$path ]]; then
            (cd "$root/scripts" && find "$path" -name '*.py' -exec install -D -m 644 {} "$run_dir/{}" \;)
        else
            install -m 644 "$root/scripts/$path" "$run_dir"
        fi
    done
}

# wait_for_file FILE NAME: until what `start` has just started writes FILE, or ends, or a minute is over.
wait_for_file() {
    local tenths=600
    until [[ -s $1 ]]; do
        if ! kill -0 "$pid" 2>/dev/null || ((tenths-- == 0)); then
            tail -n 20 "$run_dir/$2.log" >&2
            die "$2 did not start"
        fi
        sleep 0.1
    done
}

# free_port: a port of the loopback that nothing listens on at the moment.
free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# --- servers ----------------------------------------------------------------------------------

# start_postgres: a throwaway cluster, durable as in earnest unless `postgres_fsync` is off; sets `postgres_url` and
# `postgres_pid`.
start_postgres() {
    need_debian postgresql
    need_command python3
    local bin data=$run_dir/postgres password port log=$run_dir/postgres.log
    bin=$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
    password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
    port=$(free_port)
    unprivileged tee postgres.password <<<"$password" >/dev/null
    unprivileged "$bin/initdb" --pgdata="$data" --username=sluice --pwfile=postgres.password \
        --auth=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8 >"$log" 2>&1 || {
        cat "$log" >&2
        die "initdb failed"
    }
    start postgres "$bin/postgres" -D "$data" -k "$run_dir" -p "$port" \
        -c listen_addresses=127.0.0.1 -c max_connections=300 -c fsync="${postgres_fsync:-on}" \
        -c shared_preload_libraries=pg_stat_statements -c pg_stat_statements.track=none
    postgres_pid=$pid
    wait_for_file "$data/postmaster.pid" postgres
    local tenths=300
    until "$bin/pg_isready" --quiet --host=127.0.0.1 --port="$port"; do
        ((tenths-- > 0)) || die "postgres did not start"
        sleep 0.1
    done
    postgres_url="postgres://sluice:$password@127.0.0.1:$port/postgres?sslmode=disable"
}

# start_anvil [ARGUMENT…]: a chain without peers, whose finalized block is eight behind its head; sets
# `anvil_url` and `anvil_pid`. `need_anvil` comes first.
start_anvil() {
    # The unprivileged user may not see the clone.
    [[ -x $run_dir/anvil ]] || install -m 755 "$ANVIL" "$run_dir/anvil"
    local log=$run_dir/anvil.log tenths=300
    # One may have run before.
    rm -f "$log"
    start anvil "$run_dir/anvil" --host 127.0.0.1 --port 0 --slots-in-an-epoch 4 --hardfork prague "$@"
    anvil_pid=$pid
    until grep -qs '^Listening on ' "$log"; do
        if ! kill -0 "$pid" 2>/dev/null || ((tenths-- == 0)); then
            tail -n 20 "$log" >&2
            die "anvil did not start"
        fi
        sleep 0.1
    done
    anvil_url=http://$(sed -n 's/^Listening on //p' "$log")
}

# open_chain: puts a token and price feeds on the chain of `start_anvil`; sets `chains`, which `start_sluice` uses.
open_chain() { chains=$(SLUICE_RPC_URL=$anvil_url tests/wallets/node open.mjs); }

# build_sluice: builds the program as `SLUICE_PROFILE` says, dev or release, and copies it to where the unprivileged
# user can run it, whatever folder the clone is in. Where `SLUICE_BUILT` names a folder like `target/release`, what is
# built there is taken.
build_sluice() { build_target --bin sluice sluice; }

# build_example NAME: the same with an example of the package.
build_example() { build_target --example "$1" "examples/$1"; }

# build_target KIND NAME FILE: what is common to both.
build_target() {
    local profile=${SLUICE_PROFILE:-release} folder beside=()
    case $profile in
    # With a test beside it, other crates have the features that the tests want, and are not built a second time.
    dev) folder=debug beside=(--test layout) ;;
    release) folder=release ;;
    *) die "SLUICE_PROFILE is dev or release, not $profile" ;;
    esac
    need_build_tools
    [[ -n ${SLUICE_BUILT:-} ]] || cargo build --locked --profile "$profile" "$1" "$2" "${beside[@]}"
    install -m 755 "${SLUICE_BUILT:-${CARGO_TARGET_DIR:-$root/target}/$folder}/$3" "$run_dir/$2"
}

# start_sandbox: the upstream emulator, with prompt caches if `sandbox_caches` says `--caches`; sets `sandbox_url` and `upstream`, which `start_sluice` uses.
start_sandbox() {
    start sandbox "$run_dir/sluice" sandbox ${sandbox_caches:+"$sandbox_caches"} --listen 127.0.0.1:0 --address-file sandbox.address
    wait_for_file "$run_dir/sandbox.address" sandbox
    sandbox_url=http://$(<"$run_dir/sandbox.address")
    upstream="name = \"sandbox\"
base_url = \"$sandbox_url\"
auth = \"x-api-key\"
credential = \"sandbox\""
}

# start_sluice NAME DATABASE_URL [SLUICE__SECTION__KEY=VALUE…]: a gateway whose settings are NAME.toml;
# sets `base_url`, `admin_url` and `sluice_pid`.
start_sluice() {
    local name=$1 database=$2
    shift 2
    unprivileged tee "$name.toml" >/dev/null <<TOML
[server]
listen = "127.0.0.1:0"
admin_listen = "127.0.0.1:0"

[database]
url = "$database"

[privacy]
tombstone_secret = "for-a-throwaway-gateway-of-a-script"

[[upstreams]]
$upstream
${chains:-}
TOML
    # A gateway of this name may have run before.
    rm -f "$run_dir/$name.address"
    start "$name" env "$@" "$run_dir/sluice" --config "$name.toml" serve --address-file "$name.address"
    sluice_pid=$pid
    wait_for_file "$run_dir/$name.address" "$name"
    base_url=http://$(sed -n 's/^client=//p' "$run_dir/$name.address")
    admin_url=http://$(sed -n 's/^admin=//p' "$run_dir/$name.address")
}

# sluice NAME ARGUMENT…: the command line with the settings of the gateway NAME.
sluice() {
    local name=$1
    shift
    unprivileged "$run_dir/sluice" --config "$name.toml" "$@"
}

# json FIELD…: one field of the JSON on standard input, by the path to it.
json() { python3 "$root/scripts/lib_json.py" field "$@"; }

# json_object KEY VALUE…: a JSON object of text.
json_object() { python3 "$root/scripts/lib_json.py" object "$@"; }

# expect_available USD: whether the account on standard input has just this to spend.
expect_available() {
    local found
    found=$(json available)
    [[ $found =~ ^"$1"(\.0*)?$ ]] || die "the account has $found USD, not $1"
}
