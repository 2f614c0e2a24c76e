"""Requests of the Messages API as bytes, and where an answer ends that is not read otherwise."""

import json
import time


class Load:
    """What one test sends."""

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
            f"{''.join(f'{line}' + chr(13) + chr(10) for line in relay.headers)}"
            f"content-length: {len(body)}\r\n\r\n"
        )
        self.relay = relay
        self.request = head.encode() + body


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
