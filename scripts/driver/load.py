"""Requests by HTTP at a high rate, over connections that read no more of an answer than its end."""

import asyncio
import json
import socket
import time


class Load:
    """What one test sends, and how much came back."""

    def __init__(self, relay, key, script, prompt="Hello", stream=True, upstream="sandbox"):
        body = json.dumps(
            {
                "model": "claude-haiku-4-5",
                "max_tokens": 1000,
                "stream": stream,
                "metadata": {"user_id": f"{upstream}:{script}"},
                "messages": [{"role": "user", "content": prompt}],
            }
        ).encode()
        head = (
            f"POST /v1/messages HTTP/1.1\r\nhost: {relay.host}:{relay.port}\r\nx-api-key: {key}\r\n"
            "anthropic-version: 2023-06-01\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\n\r\n"
        )
        self.relay = relay
        self.request = head.encode() + body
        self.events = 0


class Answer:
    """Finds the end of one answer in the bytes of its connection; reads nothing else of it."""

    def __init__(self):
        self.head = b""
        self.tail = b""
        self.left = None
        self.has_body = False
        self.is_over = False

    def feed(self, data):
        if self.tail == b"":
            self.head += data
            head, end, data = self.head.partition(b"\r\n\r\n")
            if not end:
                return
            if not head.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(f"refused: {self.head[:1000].decode(errors='replace')}")
            for line in head.lower().split(b"\r\n"):
                if line.startswith(b"content-length:"):
                    self.left = int(line[15:])
            self.head = head
            self.tail = end
        self.has_body |= bool(data)
        if self.left is not None:
            self.left -= len(data)
            self.is_over = self.left == 0
        else:
            # The sandbox ends lines with LF, so that only the last chunk looks like this.
            self.tail = (self.tail + data)[-5:]
            self.is_over = self.tail == b"0\r\n\r\n"


class Client(asyncio.Protocol):
    """A connection that makes its load's request as often as it is told, one after another."""

    @classmethod
    async def connect(cls, load):
        loop = asyncio.get_running_loop()
        _, client = await loop.create_connection(cls, load.relay.host, load.relay.port)
        client.load = load
        return client

    def connection_made(self, transport):
        self.transport = transport
        self.answer = self.began = self.ended = None
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self):
        loop = asyncio.get_running_loop()
        self.answer, self.began, self.ended = Answer(), loop.create_future(), loop.create_future()
        self.transport.write(self.load.request)

    def data_received(self, data):
        self.load.events += data.count(b"event: ")
        try:
            self.answer.feed(data)
        except RuntimeError as error:
            self.fail(error)
            return
        if self.answer.has_body and not self.began.done():
            self.began.set_result(None)
        if self.answer.is_over:
            self.ended.set_result(None)

    def connection_lost(self, error):
        self.fail(RuntimeError(f"the connection was closed early: {error}"))

    def fail(self, error):
        for future in (self.began, self.ended):
            if future and not future.done():
                future.set_exception(error)
                future.exception()  # whoever awaits it still sees it


async def ask(load, requests, concurrent, rest=0.3):
    """Makes so many requests over so many connections, and awaits every answer's end."""
    left = iter(range(requests))

    async def one_connection():
        client = await Client.connect(load)
        for _ in left:
            client.send()
            await client.ended
        client.transport.abort()

    await asyncio.gather(*(one_connection() for _ in range(min(concurrent, requests))))
    # What a relay does after the last byte belongs to the bill too.
    await asyncio.sleep(rest)


async def opened(load, count):
    """So many streams that have begun; the caller closes them."""
    clients = []
    while len(clients) < count:
        batch = [await Client.connect(load) for _ in range(min(50, count - len(clients)))]
        for client in batch:
            client.send()
        await asyncio.gather(*(client.began for client in batch))
        clients += batch
    return clients


async def closed(clients):
    for client in clients:
        client.transport.abort()
    await asyncio.sleep(1)


async def opened_out_of_step(load, count):
    """The same, with the events of each stream at another moment than its neighbours'."""
    clients = [await Client.connect(load) for _ in range(count)]
    for client in clients:
        client.send()
        await asyncio.sleep(0.0021)
    await asyncio.gather(*(client.began for client in clients))
    return clients


def time_to_first_byte(wire, request):
    """Seconds from the request to the first byte of the body, on a connection that is open."""
    answer, first = Answer(), None
    began = time.perf_counter()
    wire.sendall(request)
    while not answer.is_over:
        data = wire.recv(65536)
        if not data:
            raise RuntimeError("the connection was closed early")
        answer.feed(data)
        if first is None and answer.has_body:
            first = time.perf_counter() - began
    return first
