#!/bin/bash
# Runs after the commands of the page, in their shell: what the page promises of an installation.
# shellcheck disable=SC2154 # KEY is the page's
expect() {
    local found
    found=$("${@:2}")
    [[ $found == "$1" ]] || {
        echo "expected $1, found $found: ${*:2}" >&2
        exit 1
    }
}
# refused USER FILE: whether that user cannot read it.
refused() {
    ! runuser -u "$1" -- cat "$2" >/dev/null 2>&1 || {
        echo "$1 can read $2" >&2
        exit 1
    }
}
pid=$(</run/sluice.pid)
status=/proc/$pid/status

expect sluice stat -c %U "/proc/$pid"
expect 0000000000000000 sed -n 's/^CapBnd:\t//p' "$status"
expect 1 sed -n 's/^NoNewPrivs:\t//p' "$status"
expect '700 sluice sluice' stat -c '%a %U %G' /var/lib/sluice
expect '600 sluice sluice' stat -c '%a %U %G' /var/lib/sluice/sluice.db
expect '750 root sluice' stat -c '%a %U %G' /etc/sluice
expect '600 root root' stat -c '%a %U %G' /etc/sluice/credentials/upstream
# Nobody else reads the secret or the books.
refused nobody /etc/sluice/sluice.toml
refused nobody /var/lib/sluice/sluice.db
refused sluice /etc/sluice/credentials/upstream

# Pages, completions, manual.
gzip -dc /usr/share/man/man1/sluice-serve.1.gz | grep -q SIGTERM
# shellcheck source=/dev/null
(. /usr/share/bash-completion/completions/sluice && complete -p sluice >/dev/null)
test -s /usr/share/zsh/vendor-completions/_sluice
test -s /usr/share/fish/vendor_completions.d/sluice.fish
test -e /usr/share/doc/sluice/copyright
test -e /usr/share/doc/sluice/operating.md

# A stop settles everything, and a start finds the same books.
systemctl restart sluice
until sluice --config /etc/sluice/sluice.toml health; do sleep 0.2; done
as_sluice account show ada@example.org | grep -q ada@example.org
curl --silent --fail --output /dev/null http://127.0.0.1:8080/

# Installed again, it leaves settings, credentials and books alone.
before=$(sha256sum /etc/sluice/sluice.toml /etc/sluice/credentials/upstream)
apt-get install --yes --reinstall ./sluice_*.deb >/dev/null
expect "$before" sha256sum /etc/sluice/sluice.toml /etc/sluice/credentials/upstream
curl --silent --fail --output /dev/null http://127.0.0.1:8080/

# Removed, it leaves no secret behind, and keeps the books.
systemctl stop sluice
apt-get purge --yes sluice >/dev/null
test ! -e /etc/sluice
test ! -e /usr/bin/sluice
test -s /var/lib/sluice/sluice.db
