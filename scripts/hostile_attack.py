"""The attack of scripts/hostile: a process of its own with the lowest priority, told what to do by
JSON on standard input. Prints what became of each kind as JSON. Python's standard library only.
"""

import asyncio
import collections
import itertools
import json
import os
import random
import sys

MIB = 1 << 20
# Longer than whatever the server may take to refuse.
PATIENCE = 150


def head(method, path, headers=(), length=None):
    lines = [f"{method} {path} HTTP/1.1", "host: hostile", *headers]
    if length is not None:
        lines += ["content-type: application/json", f"content-length: {length}"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def post(path, body, headers=()):
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    return head("POST", path, headers, len(body)) + body


def key_of(key):
    return [f"x-api-key: {key}", "anthropic-version: 2023-06-01"]


def prompt(text):
    return {
        "model": "claude-haiku-4-5",
        "max_tokens": 100,
        "messages": [{"role": "user", "content": text}],
    }


def bodies(size):
    """The largest and the deepest that there are, each of about so many bytes."""
    start = (
        b'{"model":"claude-haiku-4-5","max_tokens":100,"messages":[{"role":"user","content":"x"}]'
    )

    def filled(opening, piece, closing):
        return start + opening + b",".join([piece] * (size // (len(piece) + 1))) + closing + b"}"

    names = ",".join(f'"n{number:x}":1' for number in range(size // 12)).encode()
    return {
        "text": json.dumps(prompt("x" * size)).encode(),
        "deep": start + b',"metadata":' + b"[" * (size // 2) + b"]" * (size // 2) + b"}",
        "names": start + b"," + names + b"}",
        "tools": filled(b',"tools":[', b"{}", b"]"),
        "fallbacks": filled(b',"fallbacks":[', b'{"model":"claude-opus-4-8","speed":"fast"}', b"]"),
        "blocks": filled(b',"system":[', b'{"type":"text","text":"a"}', b"]"),
    }


class Wire:
    """A connection from one address, opened again whenever it was closed."""

    def __init__(self, plan, source):
        self.plan, self.source, self.writer = plan, source, None

    async def open(self):
        self.reader, self.writer = await asyncio.open_connection(
            self.plan["host"], self.plan["port"], local_addr=(self.source, 0)
        )

    def close(self):
        if self.writer:
            self.writer.transport.abort()
        self.writer = None

    async def ask(self, request, patience=PATIENCE):
        """The status, and the body; what does not come to an answer is an error of the system."""
        try:
            async with asyncio.timeout(patience):
                if self.writer is None:
                    await self.open()
                sending = asyncio.ensure_future(self.send(request))
                try:
                    status, body, is_kept = await self.answer()
                finally:
                    is_sent = sending.done()
                    sending.cancel()
                if not is_kept or not is_sent:
                    self.close()
                return status, body
        except BaseException:
            self.close()
            raise

    async def send(self, request):
        for at in range(0, len(request), 1 << 18):
            self.writer.write(request[at : at + (1 << 18)])
            await self.writer.drain()

    async def answer(self):
        text = (await self.reader.readuntil(b"\r\n\r\n")).lower()
        status, fields = int(text.split(b" ", 2)[1]), text.split(b"\r\n")
        length = next(
            (int(field[15:]) for field in fields if field.startswith(b"content-length:")), 0
        )
        body = b""
        if b"transfer-encoding: chunked" in fields:
            while size := int(await self.reader.readline(), 16):
                body += (await self.reader.readexactly(size + 2))[:-2]
            await self.reader.readline()
        else:
            body = await self.reader.readexactly(length)
        return status, body, b"connection: close" not in fields


class Attack:
    """All kinds at once. What became of each is in `seen`."""

    def __init__(self, plan):
        self.plan, self.rates = plan, plan["rates"]
        self.seen = collections.defaultdict(collections.Counter)
        self.nets = itertools.count(2)
        self.open = self.most = 0

    def sources(self, count):
        """So many addresses that nobody else has."""
        net = next(self.nets)
        return [f"127.0.{net}.{1 + number}" for number in range(count)]

    async def flood(self, name, make, addresses=20, at_once=4):
        """Requests at a rate, from several addresses in turns."""
        pause = at_once / self.rates[name]
        wires = itertools.cycle([Wire(self.plan, source) for source in self.sources(addresses)])
        free = asyncio.Queue()
        for _ in range(max(addresses, at_once)):
            free.put_nowait(next(wires))

        async def one():
            while True:
                wire = await free.get()
                try:
                    status, _ = await wire.ask(make())
                    self.seen[name][str(status)] += 1
                except (OSError, EOFError, ValueError, asyncio.IncompleteReadError) as error:
                    self.seen[name][type(error).__name__] += 1
                free.put_nowait(wire)
                await asyncio.sleep(pause)

        await asyncio.gather(*(one() for _ in range(at_once)))

    async def slow(self, name, count, begin, addresses=4):
        """Connections that send the beginning, and then a byte every two seconds until they are let
        go.
        """
        sources = itertools.cycle(self.sources(addresses))

        async def one():
            await asyncio.sleep(random.random() * 2)
            while True:
                wire = Wire(self.plan, next(sources))
                try:
                    await wire.open()
                    self.seen[name]["opened"] += 1
                    for request in begin():
                        wire.writer.write(request)
                    while not wire.reader.at_eof() and not wire.writer.is_closing():
                        wire.writer.write(b"x")
                        await wire.writer.drain()
                        await asyncio.sleep(2)
                    self.seen[name]["let go"] += 1
                except OSError as error:
                    self.seen[name][type(error).__name__] += 1
                wire.close()
                await asyncio.sleep(1)

        await asyncio.gather(*(one() for _ in range(count)))

    async def idle(self, name, count, addresses):
        """Connections, each with a whole request and nothing after it; who was closed comes
        again.
        """
        sources, rate = itertools.cycle(self.sources(addresses)), self.plan["idle_rate"]
        request = head("GET", "/v1/none")
        due = asyncio.Semaphore(0)

        async def one():
            while True:
                await due.acquire()
                wire, is_in = Wire(self.plan, next(sources)), False
                try:
                    status, _ = await wire.ask(request, 30)
                    self.seen[name][str(status)] += 1
                    is_in = True
                    self.open += 1
                    self.most = max(self.most, self.open)
                    await wire.reader.read(1)
                    self.seen[name]["let go"] += 1
                except (OSError, EOFError, asyncio.IncompleteReadError) as error:
                    self.seen[name][type(error).__name__] += 1
                self.open -= is_in
                wire.close()

        async def pace():
            while True:
                for _ in range(rate // 20):
                    due.release()
                await asyncio.sleep(0.05)

        await asyncio.gather(pace(), *(one() for _ in range(count)))

    async def large(self, at_once):
        """One body after the other, of each shape, to both endpoints."""
        shapes = list(bodies(self.plan["body_bytes"]).items())
        keys, paths = (
            itertools.cycle(self.plan["poor"] + self.plan["free"]),
            ["/v1/messages", "/v1/messages/count_tokens"],
        )
        turns = itertools.cycle(itertools.product(shapes, paths))

        async def one(source):
            wire = Wire(self.plan, source)
            while True:
                (shape, body), path = next(turns)
                try:
                    status, _ = await wire.ask(post(path, body, key_of(next(keys))))
                    self.seen["large"][f"{shape} {status}"] += 1
                except (OSError, EOFError, ValueError, asyncio.IncompleteReadError) as error:
                    self.seen["large"][f"{shape} {type(error).__name__}"] += 1
                await asyncio.sleep(self.plan["large_pause"])

        await asyncio.gather(*(one(source) for source in self.sources(at_once)))

    async def follow(self, count):
        """Claims of transactions that are nowhere, and their event streams, left and opened
        again.
        """
        free = self.plan["free"]

        async def one(number, source):
            key = key_of(free[number % len(free)])
            while True:
                wire = Wire(self.plan, source)
                try:
                    claim = {"chain": self.plan["chain"], "tx_hash": "0x" + os.urandom(32).hex()}
                    status, body = await wire.ask(post("/api/v1/deposits", claim, key))
                    self.seen["claims for streams"][str(status)] += 1
                    path = f"/api/v1/deposits/{json.loads(body).get('id', 'none')}/events"
                    wire.close()
                    await wire.open()
                    wire.writer.write(head("GET", path, key))
                    line = await wire.reader.readline()
                    self.seen["event streams"][
                        line.split(b" ")[1].decode() if line else "closed"
                    ] += 1
                    await asyncio.wait_for(wire.reader.read(), 5 + 10 * random.random())
                except TimeoutError:
                    self.seen["event streams"]["left"] += 1
                except (
                    OSError,
                    EOFError,
                    ValueError,
                    IndexError,
                    asyncio.IncompleteReadError,
                ) as error:
                    self.seen["event streams"][type(error).__name__] += 1
                wire.close()
                await asyncio.sleep(1)

        await asyncio.gather(*(one(*each) for each in enumerate(self.sources(count))))

    def kinds(self):
        plan, free, poor = (
            self.plan,
            itertools.cycle(self.plan["free"]),
            itertools.cycle(self.plan["poor"]),
        )
        someone = lambda: f"x{random.getrandbits(64):x}@example.org"  # noqa: E731
        page = json.dumps(prompt("What is it? " * 20_000)).encode()
        unfinished = b"POST /v1/messages HTTP/1.1\r\nhost: hostile\r\nx-slow: "
        form = head("POST", "/api/v1/accounts", (), 1000) + b'{"email":"'
        return [
            self.slow("slow first heads", plan["slow"], lambda: [unfinished]),
            self.slow(
                "slow later heads", plan["slow"], lambda: [head("GET", "/v1/none"), unfinished]
            ),
            self.slow(
                "slow bodies",
                plan["slow"],
                lambda: [
                    head("POST", "/v1/messages", key_of(next(poor)), 10 * MIB) + b'{"model":"'
                ],
            ),
            self.slow("slow forms", plan["slow"], lambda: [form]),
            self.flood("sign-ups", lambda: post("/api/v1/accounts", {"email": someone()})),
            self.flood("resets", lambda: post("/api/v1/password-resets", {"email": someone()})),
            self.flood(
                "log-ins",
                lambda: post(
                    "/api/v1/sessions", {"email": someone(), "password": "wrong horse battery"}
                ),
            ),
            self.flood(
                "wrong keys",
                lambda: head("GET", "/v1/models", key_of("sk-sluice-" + os.urandom(20).hex())),
            ),
            self.flood(
                "claims",
                lambda: post(
                    "/api/v1/deposits",
                    {"chain": plan["chain"], "tx_hash": "0x" + os.urandom(32).hex()},
                    key_of(next(free)),
                ),
            ),
            self.flood(
                "count_tokens", lambda: post("/v1/messages/count_tokens", page, key_of(next(free)))
            ),
            self.flood(
                "no credit", lambda: post("/v1/messages", prompt("Hello"), key_of(next(free)))
            ),
            self.follow(plan["streams"]),
            self.large(plan["large"]),
            self.idle("idle, one address", plan["idle"], 1),
            self.idle("idle, many addresses", plan["idle"], plan["idle_addresses"]),
        ]

    async def run(self):
        kinds = [asyncio.ensure_future(kind) for kind in self.kinds()]
        done, _ = await asyncio.wait(
            kinds, timeout=self.plan["seconds"], return_when=asyncio.FIRST_EXCEPTION
        )
        for kind in done:
            kind.result()


def main():
    os.nice(19)
    plan = json.load(sys.stdin)
    attack = Attack(plan)
    asyncio.run(attack.run())
    print(json.dumps({"seen": attack.seen, "most_idle": attack.most}))
    sys.stdout.flush()
    # What is still open goes with the process.
    os._exit(0)


if __name__ == "__main__":
    main()
