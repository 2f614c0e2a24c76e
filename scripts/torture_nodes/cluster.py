"""The cluster: nodes with a wire each to the database, haproxy in front."""

import glob
import http.client
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from driver import settings
from driver.server import CONFIG, command

from .postgres import PASSWORD, Postgres
from .processes import free_ports, kill, start, wait_until

BALANCER = """
global
    maxconn 4000
defaults
    mode http
    timeout connect 2s
    timeout client 180s
    timeout server 180s
    option redispatch
    retries 2
frontend clients
    bind 127.0.0.1:{port}
    default_backend nodes
backend nodes
    balance leastconn
    option httpchk GET /readyz
    default-server inter 500ms fastinter 200ms fall 2 rise 1
    timeout check 3s
{servers}
"""


class Node:
    """One node, and the wire between it and the databases."""

    def __init__(self, cluster, number):
        self.cluster, self.name = cluster, f"node{number}"
        targets = [server.port for server in cluster.servers]
        self.port, self.admin_port, *listening = free_ports(2 + len(targets))
        pairs = [f"{listen}:{target}" for listen, target in zip(listening, targets, strict=True)]
        self.wire = start(
            [sys.executable, os.path.join(os.path.dirname(__file__), "wire.py"), *pairs],
            "wire.log",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        if self.wire.stdout.readline() != "ready\n":
            raise RuntimeError("the wire did not start")
        cluster.write_settings(
            f"{self.name}.toml", self.name, url_of(listening), self.port, self.admin_port
        )
        self.process = None

    def command(self, *words):
        """Asks the wire for something; see there."""
        self.wire.stdin.write(" ".join(map(str, words)) + "\n")
        self.wire.stdin.flush()
        answer = self.wire.stdout.readline().strip()
        if answer.startswith("unknown") or not answer:
            raise RuntimeError(f"wire: {words}: {answer}")
        return answer

    def spawn(self, skew_secs=0):
        """Starts it, and does not wait for it."""
        environment = dict(os.environ)
        if skew_secs:
            (library,) = glob.glob("/usr/lib/*/faketime/libfaketime.so.1")
            environment |= {
                "LD_PRELOAD": library,
                "FAKETIME": f"{skew_secs:+d}s",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            }
        words = [self.cluster.program, "--config", f"{self.name}.toml", "serve"]
        self.process = start(words, f"{self.name}.log", env=environment)

    def start(self, skew_secs=0, secs=90):
        self.spawn(skew_secs)
        wait_until(f"{self.name} is ready", lambda: self.is_ready() or self.must_live(), secs)

    def must_live(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"{self.name} ended: {self.log()[-3000:]}")

    def is_ready(self):
        return self.readiness(timeout=5) == 200

    def readiness(self, timeout):
        """What /readyz says; 0 if nothing."""
        connection = http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=timeout)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return 0
        finally:
            connection.close()

    def log(self):
        with open(f"{self.name}.log", encoding="utf-8", errors="replace") as file:
            return file.read()

    def signal(self, word):
        self.process.send_signal(word)

    def pause(self):
        self.signal(signal.SIGSTOP)

    def go_on(self):
        self.signal(signal.SIGCONT)

    def kill(self):
        kill(self.process)

    def stop(self):
        """In order; its exit code."""
        self.signal(signal.SIGTERM)
        return self.process.wait(timeout=120)


class Cluster:
    """Everything that runs beside the clients."""

    def __init__(self, arguments, has_standby=False, idle_secs=120, more=""):
        self.program = arguments.program
        self.servers = [Postgres(arguments.postgres, "primary")]
        if has_standby:
            self.servers.append(Postgres(arguments.postgres, "standby"))
        self.primary = self.servers[0]
        self.primary.make()
        self.primary.start()
        if has_standby:
            self.servers[1].follow(self.primary)
        self.sandbox, self.idle_secs, self.more = arguments.sandbox, idle_secs, more
        # The command line goes to the databases without a wire.
        self.write_settings(CONFIG, "command", self.url())
        self.command("account", "list", "--json")
        self.nodes = [Node(self, number + 1) for number in range(arguments.nodes)]
        for node in self.nodes:
            node.spawn()
        for node in self.nodes:
            wait_until(
                f"{node.name} is ready", lambda node=node: node.is_ready() or node.must_live(), 90
            )
        (self.port,) = free_ports(1)
        self.balancer = self.start_balancer()

    def write_settings(self, path, name, url, port=0, admin_port=0):
        own = {
            "server": {"node_id": name, "connections_max_per_address": 4000},
            # Where nothing is lent, a balance below zero is a hold that was spent twice.
            "reservation": {"shortfall_max_usd": "0"},
            "stream": {"idle_secs": self.idle_secs},
        }
        plain = settings.plain(url, self.sandbox, port, admin_port)
        settings.write(path, settings.merged(plain, settings.HASTY, own), self.more)

    def url(self):
        return url_of([server.port for server in self.servers])

    def start_balancer(self):
        servers = [
            f"    server {node.name} 127.0.0.1:{node.port} check port {node.admin_port}"
            for node in self.nodes
        ]
        with open("haproxy.cfg", "w", encoding="utf-8") as file:
            file.write(BALANCER.format(port=self.port, servers="\n".join(servers)))
        process = start(["haproxy", "-db", "-f", "haproxy.cfg"], "haproxy.log")

        def listens():
            if process.poll() is not None:
                raise RuntimeError(
                    f"haproxy: {Path('haproxy.log').read_text(encoding='utf-8')[-2000:]}"
                )
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
            try:
                connection.request("GET", "/v1/models")
                return connection.getresponse().status == 401
            except OSError:
                return False
            finally:
                connection.close()

        wait_until("haproxy", listens)
        return process

    def command(self, *words):
        return command(self.program, *words)

    def account(self, email, usd, scopes="inference,read,billing"):
        """A new account with some credit; its address and key."""
        self.command("account", "create", email, "--json")
        if usd:
            self.command("account", "credit", email, usd, "--reference", email, "--json")
        return email, self.command("key", "create", email, "--scopes", scopes, "--json")["key"]

    def fail_over(self):
        """Kills the primary, promotes the standby; the moment of the promotion."""
        self.primary.kill()
        for node in self.nodes:
            node.command("gone", 0)
        self.primary = self.servers[1]
        self.primary.promote()
        return time.monotonic()

    def leases(self):
        """Seconds that each node's newest lease still runs."""
        rows = self.primary.ask("""SELECT id, lease_expires_at
                                       - (extract(epoch FROM clock_timestamp()) * 1000)::bigint
                                   FROM nodes""")
        left = {}
        for name, millis in rows:
            node = name[:5]
            left[node] = max(left.get(node, -1e9), int(millis) / 1000)
        return left

    def open_reservations(self):
        return int(self.primary.ask("SELECT count(*) FROM reservations")[0][0])

    def heal(self):
        """Everything works, and every node runs."""
        for node in self.nodes:
            node.command("normal")
            node.go_on()
            if node.process.poll() is not None:
                node.start()

    def end(self):
        """Stops all nodes in order; what was not in order, in words."""
        codes = [(node.name, node.stop()) for node in self.nodes]
        return [f"the last stop of {name} exited with {code}" for name, code in codes if code]

    def drop(self):
        for node in self.nodes:
            kill(node.process)
            kill(node.wire)
        kill(self.balancer)
        for server in self.servers:
            kill(server.process)


def url_of(ports):
    hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
    target = "&target_session_attrs=read-write" if len(ports) > 1 else ""
    return f"postgres://sluice:{PASSWORD}@{hosts}/postgres?sslmode=disable{target}"
