#!/bin/bash
# Runs in a root that was made as the Dockerfile says: the program on a root that is read-only, until a response, by the
# settings of compose.sqlite.yaml.
# shellcheck disable=SC2034,SC2154 # the sourced file's
set -euo pipefail
# shellcheck source=/dev/null
. /image-run.sh

fail() {
    echo "$*" >&2
    cat /log/sluice >&2
    exit 1
}
# What compose mounts.
install -D -m 644 /context/packaging/container/sluice.sqlite.toml /etc/sluice/sluice.toml
mkdir -p /run/secrets /log
install -m 444 /dev/stdin /run/secrets/upstream <<<sandbox
mount -t tmpfs tmpfs /log
mount --bind "$volume" "$volume"
mount -o remount,bind,ro /

sluice sandbox >/log/sandbox 2>&1 &
# Another upstream than the settings', as nothing outside is reached.
given=(SLUICE__UPSTREAMS__0__BASE_URL=http://127.0.0.1:8788)
if healthy 2>/dev/null; then fail "it is healthy before it runs"; fi
begin >/log/sluice 2>&1
server=$!
for ((tenths = 300; ; tenths--)); do
    ((tenths > 0)) || fail "it does not become healthy"
    ! healthy >/log/health 2>&1 || break
    sleep 0.1
done
! touch /etc/sluice/written 2>/dev/null || fail "the root can be written to"
[[ $(stat -c %u "/proc/$server") == 10001 ]] || fail "it does not run as user 10001"
[[ $(sed -n 's/^CapBnd:\t//p' "/proc/$server/status") == 0000000000000000 ]] || fail "it has capabilities"
command() { (cd "$volume" && setpriv --reuid=10001 --regid=10001 --clear-groups sluice --config /etc/sluice/sluice.toml "$@"); }
command account create ada@example.org >/log/account
command account credit ada@example.org 5 --reference first-top-up >/log/credit
key=$(command key create ada@example.org | grep '^sluice_')
curl --silent --show-error --fail http://127.0.0.1:8080/v1/messages \
    -H "x-api-key: $key" -H 'anthropic-version: 2023-06-01' -H 'content-type: application/json' \
    -d '{"model": "claude-haiku-4-5", "max_tokens": 100, "messages": [{"role": "user", "content": "Hello"}]}' |
    grep -q '"type":"message"' || fail "no response"
command books verify >/log/books || fail "the books do not balance"
kill -TERM "$server"
wait "$server" || fail "it does not stop in order"
if healthy 2>/dev/null; then fail "it is healthy after its end"; fi
