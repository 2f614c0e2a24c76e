"""The settings of the servers that drivers start, and how they get into a file."""

import json

# For a run that ends in seconds: nothing takes long, and many clients are on one machine.
HASTY = {
    "server": {
        "max_streams_per_account": 1000,
        "requests_per_minute_per_account": 1_000_000,
        "drain_secs": 1,
        "client_stall_secs": 2,
    },
    "stream": {
        "first_byte_secs": 5,
        "idle_secs": 2,
        "hold_head_max_secs": 2,
        "json_head_secs": 5,
        "settle_wait_secs": 5,
        "checkpoint_secs": 1,
        "drain_secs_max": 5,
    },
    "log": {"filter": "warn"},
}


def plain(database, sandbox, port, admin_port=0):
    """What every server needs: where it listens, where its books are, and the sandbox behind it."""
    return {
        "server": {"listen": f"127.0.0.1:{port}", "admin_listen": f"127.0.0.1:{admin_port}"},
        "database": {"url": database},
        "privacy": {"tombstone_secret": "for-a-throwaway-gateway-of-a-script"},
        "upstreams.sandbox": {"base_url": sandbox, "auth": "x-api-key", "credential": "sandbox"},
    }


def merged(*several):
    """One after the other, key by key: the last one counts."""
    whole = {}
    for settings in several:
        for section, values in settings.items():
            whole[section] = whole.get(section, {}) | values
    return whole


def write(path, settings, more=""):
    """Writes them as TOML. A section with a dot is one of a list, with a name. `more` stands behind
    them.
    """
    lines = []
    for section, values in settings.items():
        kind, _, name = section.partition(".")
        lines += [f"[[{kind}]]", f'name = "{name}"'] if name else [f"[{kind}]"]
        # JSON writes words and numbers as TOML does.
        lines += [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + f"\n{more}\n")
