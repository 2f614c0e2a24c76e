"""Clients with random endings."""

import collections
import http.client
import json
import random
import threading
import time

from .plans import Plan


class Clients:
    """Threads that ask until they are told to stop, and note which answers they received whole."""

    def __init__(self, server, accounts, arguments):
        # Each account is its address and its key.
        self.server, self.accounts = server, accounts
        self.stop = threading.Event()
        self.lock = threading.Lock()
        self.plans = {}
        self.asked = collections.Counter()
        self.whole = set()
        self.seen = collections.Counter()
        self.threads = [
            threading.Thread(target=self.run, args=(random.Random(f"{arguments.seed}/{n}"), n))
            for n in range(arguments.clients)
        ]

    def run(self, dice, number):
        email, key = self.accounts[number % len(self.accounts)]
        while not self.stop.is_set():
            result = self.ask_once(self.plan(email, dice), key)
            # Whoever was refused comes back later: the load is to be answers, not refusals.
            if result == "connection lost" or result.startswith("status"):
                time.sleep(dice.uniform(0, 0.2))

    def plan(self, email, dice, kind=Plan):
        """The next request of an account."""
        with self.lock:
            plan = kind(email, self.asked[email], dice)
            self.asked[email] += 1
            self.plans[plan.key] = plan
        return plan

    def ask_once(self, plan, key, port=None):
        """Makes one request and notes what came of it."""
        try:
            result = self.ask(plan, key, port or self.server.port)
        except (OSError, http.client.HTTPException, ValueError):
            result = "connection lost"
        with self.lock:
            self.seen[result] += 1
            if result == "whole":
                self.whole.add(plan.key)
        return result

    def ask(self, plan, key, port):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=plan.patience)
        try:
            headers = {
                "x-api-key": key,
                "anthropic-version": "2023-06-01",
                "content-type": "application/json",
            }
            connection.request("POST", "/v1/messages", plan.body(), headers)
            if plan.behaviour == "leave" and plan.leave_after < 200:
                return "left before the head"
            response = connection.getresponse()
            if response.status != 200:
                response.read()
                return f"status {response.status}"
            if plan.behaviour == "stall":
                time.sleep(3)
                return "stalled"
            if plan.behaviour == "leave":
                response.read(plan.leave_after)
                return "left"
            return self.judge(plan, response.read())
        finally:
            connection.close()

    @staticmethod
    def judge(plan, body):
        """Whether an official client would take the answer as whole, checked against the plan."""
        if not plan.stream:
            usage = json.loads(body)["usage"]
            reported = (usage["input_tokens"], usage["output_tokens"])
            return "whole" if reported == (plan.input, plan.output) else "misreported"
        if b"event: error" in body:
            return "error event"
        if b'"stop_reason":"' not in body:
            return "incomplete"
        return "whole"
