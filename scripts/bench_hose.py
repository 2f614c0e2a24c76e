"""An upstream that sends as much as it is asked for and keeps none of it. `scripts/bench --stalled`
runs it.

The sandbox makes an answer before it sends it, and a thousand of 100 MB would not fit. Here a
request names its number of events as `hose:N` in `metadata.user_id`; each is about a kilobyte.
"""

import asyncio
import json
import re
import sys
from pathlib import Path


def event(name, data):
    return f"event: {name}\ndata: {json.dumps(dict(type=name, **data))}\n\n".encode()


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
START = event(
    "message_start",
    {
        "message": {
            "id": "msg_hose",
            "type": "message",
            "role": "assistant",
            "model": "claude-haiku-4-5",
            "content": [],
            "usage": {"input_tokens": 10, "output_tokens": 1},
        }
    },
) + event("content_block_start", {"index": 0, "content_block": {"type": "text", "text": ""}})
DELTA = event(
    "content_block_delta", {"index": 0, "delta": {"type": "text_delta", "text": "x" * 1000}}
)
STOP = (
    event("content_block_stop", {"index": 0})
    + event(
        "message_delta", {"delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 100}}
    )
    + event("message_stop", {})
)
TOGETHER = 50


async def serve(reader, writer):
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(re.search(rb"content-length: *(\d+)", head, re.I)[1])
            body = await reader.readexactly(length)
            left = int(re.search(rb"hose:(\d+)", body)[1])
            writer.write(HEAD + chunk(START))
            while left:
                count = min(left, TOGETHER)
                left -= count
                writer.write(chunk(DELTA * count))
                # Waits while the gateway does not read.
                await writer.drain()
            writer.write(chunk(STOP) + b"0\r\n\r\n")
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main(address_file):
    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=4096)
    host, port = server.sockets[0].getsockname()
    Path(address_file).write_text(f"{host}:{port}\n")
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
