"""The program as a process of its own, started and ended as often as one likes."""

import http.client
import json
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

from . import settings
from .relay import Relay

CONFIG, ADDRESS, LOG = Path("server.toml"), Path("server.address"), Path("sluice.log")


class Server:
    """See the module. It works in the current folder."""

    def __init__(self, arguments, wanted=settings.HASTY, more=""):
        """`wanted` beside what every server needs, and `more` as TOML."""
        self.program = arguments.program
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        plain = settings.plain(arguments.database, arguments.sandbox, self.port)
        settings.write(CONFIG, settings.merged(plain, wanted), more)
        self.process = None

    def command(self, *words):
        return command(self.program, *words)

    def start(self):
        ADDRESS.unlink(missing_ok=True)
        words = [self.program, "--config", CONFIG, "serve", "--address-file", ADDRESS]
        with open(LOG, "ab") as log:
            self.process = subprocess.Popen(words, stderr=log)
        deadline = time.monotonic() + 60
        while not ADDRESS.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                sys.exit("the server did not start:\n" + LOG.read_text(encoding="utf-8")[-3000:])
            time.sleep(0.02)
        lines = dict(line.split("=", 1) for line in ADDRESS.read_text(encoding="utf-8").split())
        self.relay = Relay("sluice", f"http://{lines['client']},{self.process.pid}")
        self.admin = lines["admin"]

    def end(self, word):
        self.process.send_signal(word)
        return self.process.wait(timeout=60)

    def metrics(self):
        connection = http.client.HTTPConnection(self.admin, timeout=60)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        lines = re.findall(r"^([a-z_]+(?:\{.*\})?) (\S+)$", text, re.M)
        return {name: float(value) for name, value in lines}

    def books(self, moment):
        report = self.command("books", "verify", "--json")
        if report["discrepancies"]:
            raise RuntimeError(f"{moment} the books do not balance: {report['discrepancies'][:3]}")
        return report


def command(program, *words):
    """What the program's command line prints, as JSON. A check that found something exits with
    1.
    """
    whole = [program, "--config", CONFIG, *words]
    done = subprocess.run(whole, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1) or not done.stdout:
        raise RuntimeError(f"sluice {' '.join(words)}: {done.stderr}")
    return json.loads(done.stdout)
