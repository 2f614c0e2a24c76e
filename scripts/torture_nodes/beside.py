"""What goes on beside the requests: payments on a chain, and notices by mail. Both are proven at
the end.
"""

import collections
import http.client
import json
import re
import threading
import time
import tomllib
import urllib.request
from pathlib import Path

# Of m/44'/60'/0' of the words that every test chain has: worth nothing.
XPUB = (
    "xpub6Ce9NcJvTk36xtLSrJLZqE7wtgA5deCeYs7rSQtreh4cj6ByPtrg9sD7V2F"
    "NFLPnf8heNP3FGkeV9qwfzvZNSd54JoNXVsXFYSYwHsnJxqP"
)
# Accounts that the chain unlocks, of the same words: number 1 has all tokens, for 1,000 dollars.
# The first eight are the addresses that are paid into, and what comes from those is no deposit, so
# number 8 pays.
PURSE, PAYER = (
    "0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
    "0x23618e81E3f5cdF7f54C3d65f7FBc0aBf5B21E8f",
)
# Mails that a node sends at once.
AT_ONCE = 4

MAIL = """
[mail]
transport = "smtp"
host = "127.0.0.1"
port = {port}
tls = "none"
timeout_secs = 5
at_once = {at_once}
per_minute = 6000
"""


def settings(arguments):
    """What a node needs for both."""
    port = Path(arguments.mail).read_text(encoding="utf-8").strip().rsplit(":", 1)[1]
    chains = Path(arguments.chains).read_text(encoding="utf-8")
    # A node begins at the block that is final when it starts. What the purse was given is to lie
    # before it: it is an account's address too.
    call(one_chain(chains)["providers"][0]["url"], "anvil_mine", "0x20")
    return (
        f'[deposits]\naccount_xpub = "{XPUB}"\n' + MAIL.format(port=port, at_once=AT_ONCE) + chains
    )


def one_chain(toml):
    (chain,) = tomllib.loads(toml)["chains"]
    return chain


def call(url, method, *params):
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    request = urllib.request.Request(url, body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as response:
        answer = json.load(response)
    if "error" in answer:
        raise RuntimeError(f"{method}: {answer}")
    return answer["result"]


class Payments(threading.Thread):
    """Pays into accounts' own addresses, coins and tokens in turn."""

    def __init__(self, stage, accounts):
        super().__init__(daemon=True)
        with open(stage.arguments.chains, encoding="utf-8") as file:
            chain = one_chain(file.read())
        self.url, self.token = chain["providers"][0]["url"], chain["tokens"][0]["address"]
        self.stage, self.over = stage, threading.Event()
        self.send(PURSE, PAYER, 990_00)
        self.addresses = [(email, self.address(key)) for email, key in accounts]
        # Of each transaction, whom it pays and how much, in nano-dollars.
        self.paid = {}

    def call(self, method, *params):
        return call(self.url, method, *params)

    def send(self, payer, payee, cents):
        """Sends tokens, which have six decimals: transfer(address,uint256)."""
        data = f"0xa9059cbb{payee[2:].lower():0>64}{cents * 10**4:064x}"
        return self.call("eth_sendTransaction", {"from": payer, "to": self.token, "data": data})

    def address(self, key):
        connection = http.client.HTTPConnection("127.0.0.1", self.stage.cluster.port, timeout=30)
        connection.request(
            "POST", "/api/v1/deposits/address", "", {"authorization": f"Bearer {key}"}
        )
        response = connection.getresponse()
        body = response.read()
        connection.close()
        if response.status not in (200, 201):
            raise RuntimeError(f"no deposit address: {response.status} {body[:300]}")
        return json.loads(body)["address"]

    def run(self):
        number = 0
        while not self.over.wait(1):
            email, address = self.addresses[number % len(self.addresses)]
            number += 1
            cents = 100 + number % 100
            if number % 2:
                # A coin has 18 decimals and costs 2,000 dollars.
                words = {"from": PAYER, "to": address, "value": hex(5 * 10**12 * cents)}
                hash_of = self.call("eth_sendTransaction", words)
            else:
                hash_of = self.send(PAYER, address, cents)
            self.paid[hash_of[2:]] = (email, cents * 10**7)

    def prove(self):
        """Each payment has one deposit, credited once to its account at its value."""
        self.over.set()
        self.join()
        self.call("anvil_mine", "0x10")
        primary = self.stage.cluster.primary
        deadline = time.monotonic() + 120
        sql = """SELECT encode(d.tx_hash, 'hex'), a.email, d.value_nanousd, d.state,
                     (SELECT count(*) FROM ledger_entries e
                      WHERE e.account_id = d.account_id AND e.kind = 'deposit'
                      AND e.reference LIKE d.public_id || '%')
                 FROM deposits d LEFT JOIN accounts a ON a.id = d.account_id"""
        while True:
            rows = primary.ask(sql)
            is_done = len(rows) >= len(self.paid) and all(row[3] == "credited" for row in rows)
            if is_done or time.monotonic() > deadline:
                break
            time.sleep(1)
        found = []
        seen = collections.Counter(row[0] for row in rows)
        found += [
            f"payment {one} of {self.paid[one]}: {seen[one]} deposits"
            for one in self.paid
            if seen[one] != 1
        ]
        for tx, email, value, state, entries in rows:
            if (
                (email, int(value or 0)) != self.paid.get(tx)
                or state != "credited"
                or entries != "1"
            ):
                found.append(
                    f"deposit {tx}: {email} {value} {state}, {entries} entries; "
                    f"paid: {self.paid.get(tx)}"
                )
        entries = int(
            primary.ask("SELECT count(*) FROM ledger_entries WHERE kind = 'deposit'")[0][0]
        )
        if entries != len(self.paid):
            found.append(f"{entries} credits for {len(self.paid)} payments")
        self.stage.facts["payments"] = len(self.paid)
        return found


class Notices:
    """Changes of the policy of which everybody is told."""

    def __init__(self, stage):
        self.stage = stage
        self.published = 0
        self.known = [row[0] for row in stage.cluster.primary.ask("SELECT email FROM accounts")]

    def publish(self):
        with open("notice.txt", "w", encoding="utf-8") as file:
            file.write(f"Change number {self.published + 1} of a throwaway gateway.")
        self.stage.cluster.command("policy", "publish", "notice.txt", "--significant", "--json")
        self.published += 1

    def prove(self, disturbances):
        """Everybody was told of each change; what was sent twice has one name, and is not more than
        what was under way when something was killed, stopped or cut off.
        """
        primary = self.stage.cluster.primary
        deadline = time.monotonic() + 180
        while primary.ask("SELECT count(*) FROM outbox") != [["0"]] and time.monotonic() < deadline:
            time.sleep(1)
        with open(f"{self.stage.arguments.folder}/mail.journal", encoding="utf-8") as file:
            mails = [json.loads(line) for line in file]
        mails = mails[self.stage.mails_before :]
        told, names = collections.Counter(), collections.defaultdict(set)
        for mail in mails:
            if version := re.search(r"/privacy/versions/(\d+)", mail["plain"]):
                told[mail["to"], int(version[1])] += 1
                names[mail["to"], int(version[1])].add(mail["message_id"])
        found = [
            f"{email} was never told of change {version}"
            for email in self.known
            for version in range(1, self.published + 1)
            if not told[email, version]
        ]
        found += [
            f"{whom}: one notice under several names" for whom, ids in names.items() if len(ids) > 1
        ]
        copies = collections.Counter((mail["to"], mail["message_id"]) for mail in mails)
        twice = sum(copies.values()) - len(copies)
        if twice > AT_ONCE * disturbances:
            found.append(f"{twice} mails went twice, with {disturbances} disturbances")
        self.stage.facts |= {"mails": len(copies), "mails_twice": twice}
        return found
