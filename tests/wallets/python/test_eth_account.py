"""Wallets of eth-account: proofs, refusals, and a payment that it signs offline."""

import json
import os
import time
import unittest
import urllib.error
import urllib.request

from eth_account import Account
from eth_account.messages import encode_defunct

CHAIN = "local"
CHAIN_ID = 31337
# Seconds until a chain's event has been noticed for certain.
PATIENCE = 30
ETHER = 10**18


def send(method, url, body=None, headers=()):
    """The status and the document of an answer."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"content-type": "application/json", **dict(headers)}
    request = urllib.request.Request(url, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, json.load(refusal)


def rpc(method, *params):
    """What the chain's node answers."""
    call = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    _, document = send("POST", os.environ["SLUICE_RPC_URL"], call)
    assert "error" not in document, document
    return document["result"]


class EthAccount(unittest.TestCase):
    def ask(self, status, method, path, body=None):
        """The document of an answer that must have this status."""
        headers = {"x-api-key": os.environ["SLUICE_API_KEY"]}
        answer = send(method, os.environ["SLUICE_BASE_URL"] + path, body, headers)
        self.assertEqual(answer[0], status, answer)
        return answer[1]

    def challenge(self, address):
        wanted = {"chain": CHAIN, "address": address}
        return self.ask(200, "POST", "/api/v1/wallets/challenge", wanted)["message"]

    def prove(self, status, message, signer):
        signed = signer.sign_message(encode_defunct(text=message))
        proof = {"message": message, "signature": "0x" + bytes(signed.signature).hex()}
        return self.ask(status, "POST", "/api/v1/wallets", proof)

    def test_a_key_pair_is_proven_once(self):
        owner = Account.create()
        message = self.challenge(owner.address)
        wallet = self.prove(201, message, owner)
        self.assertEqual((wallet["address"], wallet["kind"]), (owner.address, "eoa"))
        self.assertEqual(self.prove(409, message, owner)["error"]["code"], "nonce_used")

    def test_another_key_is_refused(self):
        message = self.challenge(Account.create().address)
        refusal = self.prove(403, message, Account.create())
        self.assertEqual(refusal["error"]["code"], "signature_wrong")

    def test_coins_of_a_proven_key_pair_are_credited(self):
        owner = Account.create()
        self.prove(201, self.challenge(owner.address), owner)
        rpc("anvil_setBalance", owner.address, hex(ETHER))
        chain = self.ask(200, "GET", "/api/v1/deposits/options")["data"][0]
        payee = next(one for one in chain["addresses"] if one["kind"] == "treasury")["address"]
        payment = {
            "chainId": CHAIN_ID,
            "nonce": 0,
            "to": payee,
            "value": 2 * ETHER // 1000,
            "gas": 21_000,
            "maxFeePerGas": 10 * 10**9,
            "maxPriorityFeePerGas": 10**9,
        }
        signed = owner.sign_transaction(payment)
        tx_hash = rpc("eth_sendRawTransaction", "0x" + bytes(signed.raw_transaction).hex())
        claim = {"chain": CHAIN, "tx_hash": tx_hash}
        claim = self.ask(202, "POST", "/api/v1/deposits", claim)
        rpc("anvil_mine", hex(8))
        until = time.monotonic() + PATIENCE
        while not any(one["state"] == "credited" for one in claim["deposits"]):
            self.assertLess(time.monotonic(), until, claim)
            time.sleep(0.3)
            claim = self.ask(200, "GET", "/api/v1/deposits/" + claim["id"])
        (deposit,) = claim["deposits"]
        found = (deposit["asset"], deposit["amount"], deposit["value"], deposit["payer"])
        self.assertEqual(found, ("ETH", "0.002", "4.00", owner.address))
