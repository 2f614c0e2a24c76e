"""The gateway under test: accounts by its command line, the rest as a client sees it."""

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


def connect(timeout=60):
    """A connection of one's own; seconds of `timeout` count for each answer."""
    url = urlsplit(BASE_URL)
    return http.client.HTTPConnection(url.hostname, url.port, timeout=timeout)


def sluice(*words):
    """What a command of the operator's prints, as JSON."""
    done = subprocess.run([COMMAND, *words, "--json"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"sluice {' '.join(words)}: {done.stderr.strip()}")
    return json.loads(done.stdout)


class Account:
    """An account of its own for each question, so that nothing else is held or charged on it."""

    def __init__(self, name, usd):
        self.email = f"{name}-{next(_numbers)}@example.org"
        sluice("account", "create", self.email)
        self.credit(Decimal(usd))
        self.key = sluice("key", "create", self.email, "--name", "cli")["key"]

    def credit(self, usd):
        """Adds dollars, or takes them where the amount is negative."""
        if usd:
            reference = f"tests of the coding CLI {self.email} {next(_numbers)}"
            sluice("account", "credit", "--reference", reference, self.email, "--", str(usd))

    def balance(self, connection=None):
        """Dollars that can be spent, and dollars that are held."""
        connection = connection or connect()
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


def prices():
    """The models that have a price, in the order of the list."""
    connection = connect()
    connection.request("GET", "/api/v1/prices")
    return json.load(connection.getresponse())
