# shellcheck shell=bash disable=SC2154 # lib.sh sets root and tools
# How the Debian package is made; scripts/release and tests/install/run source it after lib.sh.

need_cargo_deb() {
    need_cargo_tool cargo-deb 3.8.0
    # It finds the libraries that the package depends on.
    need_debian dpkg-dev
}

# stage_package PROGRAM: puts the program, its manual pages and its completions into target/packaging.
stage_package() {
    local folder=$root/target/packaging
    rm -rf "$folder"
    mkdir -p "$folder/completions"
    install -m 755 "$1" "$folder/sluice"
    "$folder/sluice" man "$folder/man"
    "$folder/sluice" completions bash >"$folder/completions/sluice"
    "$folder/sluice" completions zsh >"$folder/completions/_sluice"
    "$folder/sluice" completions fish >"$folder/completions/sluice.fish"
}

# make_deb FOLDER [OPTION…]: the package of what is staged; prints its path.
make_deb() {
    local folder=$1
    shift
    PATH=$tools/bin:$PATH cargo deb --quiet --locked --no-build --no-strip "$@" --output "$folder/"
}
