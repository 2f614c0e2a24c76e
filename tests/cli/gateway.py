"""The gateway under test: accounts by its command line, the rest as a client sees it."""

import contextlib
import http.client
import itertools
import json
import os
import subprocess
from decimal import Decimal
from urllib.parse import urlsplit

BASE_URL = os.environ["SLUICE_BASE_URL"]
COMMAND = os.environ["SLUICE_COMMAND"]

_numbers = itertools.count()


def connect(url=BASE_URL):
    """A connection of one's own, to be closed by whoever asked for it."""
    url = urlsplit(url)
    return contextlib.closing(http.client.HTTPConnection(url.hostname, url.port, timeout=60))


def sluice(*words):
    """What a command of the operator's prints, as JSON. The first two words are its name."""
    done = subprocess.run(
        [COMMAND, *words[:2], "--json", *words[2:]], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"sluice {' '.join(words)}: {done.stderr.strip()}")
    return json.loads(done.stdout)


class Account:
    """An account of its own for each question, so that nothing else is held or charged on it."""

    def __init__(self, name, usd):
        self.email = f"{name}-{next(_numbers)}@example.org"
        sluice("account", "create", self.email)
        self.credit(Decimal(usd))
        self.key = sluice(
            "key", "create", self.email, "--name", "cli", "--scopes", "inference,read"
        )["key"]

    def credit(self, usd):
        """Adds dollars, or takes them where the amount is negative."""
        if usd:
            reference = f"tests of the coding CLI {self.email} {next(_numbers)}"
            sluice("account", "credit", "--reference", reference, self.email, "--", str(usd))

    def balance(self):
        """Dollars that can be spent, and dollars that are held."""
        with connect() as connection:
            return self.balance_by(connection)

    def balance_by(self, connection):
        """The same over a connection that is there."""
        connection.request("GET", "/api/v1/account", headers={"x-api-key": self.key})
        answer = connection.getresponse()
        body = json.load(answer)
        if answer.status != 200:
            raise RuntimeError(f"the account answers {answer.status}: {body}")
        return Decimal(body["available_usd"]), Decimal(body["reserved_usd"])

    def set_available(self, usd):
        """Credits or takes what makes the balance this many dollars, with nothing running."""
        available, _ = self.balance()
        self.credit(Decimal(usd) - available)


def refusals(status):
    """How many requests were refused with that status so far."""
    with connect(os.environ["SLUICE_ADMIN_URL"]) as connection:
        connection.request("GET", "/metrics")
        lines = connection.getresponse().read().decode().splitlines()
    counts = (
        line.split()[-1]
        for line in lines
        if line.startswith("sluice_refusals_total{") and f'status="{status}"' in line
    )
    return sum(map(int, counts))


def prices():
    """The models that have a price, in the order of the list."""
    with connect() as connection:
        connection.request("GET", "/api/v1/prices")
        return json.load(connection.getresponse())
