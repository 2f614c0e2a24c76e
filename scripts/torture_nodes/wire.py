"""The wire between one node and its databases, as a process of its own that obeys its standard
input.

It forwards connections from LISTEN ports to TARGET ports of the loopback, and can slow them down,
forget them, reset them, refuse new ones, and cut or hold the ledger's connection at a commit. Each
command is a line; each is answered with a line. Python's standard library only.

    normal          nothing is done to anybody any more; what is silent or held ends
    delay MS        each piece takes so long, either way
    silence         the connections that there are: bytes are taken and go nowhere. New ones work
    reset           all connections end with RST
    refuse          the same, and new ones too, until `normal`
    cut             the ledger's next commit reaches the database; its answer is lost, and the
                    connection with it
    cut-and-refuse  the same, and from then on `refuse`
    hold            the ledger's next commit stays here, and so does everything on that connection
    gone N          nobody listens on the N-th port any more, as on a machine whose server is dead:
                    libpq goes on to the next host only where it is not connected to the one before
    caught          answers how many commits were cut or held so far

usage: wire.py LISTEN:TARGET…
"""

import asyncio
import contextlib
import socket
import struct
import sys

# Only the ledger takes account rows in this way; its usual write is one statement with these words,
# and commits itself.
LEDGER = b"FOR NO KEY UPDATE"
COMMIT = b"COMMIT"


class Wire:
    def __init__(self):
        self.pairs = set()
        self.servers = []
        self.delay = 0
        self.is_refusing = False
        # What happens to the ledger's next commit: None, "cut", "cut-and-refuse" or "hold".
        self.trap = None
        self.caught = 0

    def obey(self, words):
        match words:
            case ["normal"]:
                self.delay, self.is_refusing, self.trap = 0, False, None
                for pair in [pair for pair in self.pairs if pair.is_silent]:
                    pair.reset()
            case ["delay", millis]:
                self.delay = int(millis) / 1000
            case ["silence"]:
                for pair in self.pairs:
                    pair.is_silent = True
            case ["reset"]:
                self.reset()
            case ["refuse"]:
                self.is_refusing = True
                self.reset()
            case ["cut" | "cut-and-refuse" | "hold" as trap]:
                self.trap = trap
            case ["gone", number]:
                self.servers[int(number)].close()
            case ["caught"]:
                return str(self.caught)
            case _:
                return f"unknown: {words}"
        return "ok"

    def reset(self):
        for pair in list(self.pairs):
            pair.reset()

    async def accept(self, target, reader, writer):
        if self.is_refusing:
            abort(writer)
            return
        try:
            there = await asyncio.open_connection("127.0.0.1", target)
        except OSError:
            abort(writer)
            return
        if self.is_refusing:
            abort(writer)
            abort(there[1])
            return
        pair = Pair(self, (reader, writer), there)
        self.pairs.add(pair)
        try:
            await asyncio.gather(pair.ask(), pair.answer())
        except OSError:
            pass
        finally:
            pair.reset()


class Pair:
    """A connection and its continuation."""

    def __init__(self, wire, here, there):
        self.wire, self.here, self.there = wire, here, there
        self.is_silent = False
        self.is_cut = False
        self.is_ledger = False
        # How the connection names its prepared writes.
        self.writes = set()

    async def ask(self):
        while piece := await self.here[0].read(65536):
            self.is_ledger = self.is_ledger or LEDGER in piece
            is_commit = self.is_ledger and (COMMIT in piece or self.is_write(piece))
            if is_commit and not self.is_silent and self.wire.trap:
                self.spring()
            await self.forward(piece, self.there[1])
        await self.end(self.there[1])

    def is_write(self, piece):
        """Whether a piece runs a statement that writes; one that prepares it, `P`, a length and its
        name, is remembered.
        """
        if piece.startswith(b"P") and LEDGER in piece:
            self.writes.add(piece[5:].split(b"\0", 1)[0])
            return False
        return any(b"\0" + name + b"\0" in piece for name in self.writes)

    def spring(self):
        trap, self.wire.trap = self.wire.trap, None
        self.wire.caught += 1
        if trap == "hold":
            self.is_silent = True
        else:
            # Marked before the commit goes on its way: its answer can not be quicker.
            self.is_cut = True
        if trap == "cut-and-refuse":
            self.wire.is_refusing = True
            for pair in list(self.wire.pairs - {self}):
                pair.reset()

    async def answer(self):
        while piece := await self.there[0].read(65536):
            if self.is_cut:
                break
            await self.forward(piece, self.here[1])
        if self.is_cut:
            self.reset()
        await self.end(self.here[1])

    async def forward(self, piece, writer):
        if self.wire.delay:
            await asyncio.sleep(self.wire.delay)
        if not self.is_silent:
            writer.write(piece)
            await writer.drain()

    async def end(self, writer):
        if self.is_silent:
            # Whoever has forgotten a connection does not pass on its end either.
            await asyncio.sleep(3600)
        with contextlib.suppress(OSError):
            writer.write_eof()

    def reset(self):
        self.wire.pairs.discard(self)
        for _, writer in (self.here, self.there):
            abort(writer)


def abort(writer):
    sock = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def main():
    wire = Wire()
    for words in sys.argv[1:]:
        listen, target = map(int, words.split(":"))

        async def accept(reader, writer, target=target):
            await wire.accept(target, reader, writer)

        wire.servers.append(await asyncio.start_server(accept, "127.0.0.1", listen))
    commands = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(commands), sys.stdin
    )
    print("ready", flush=True)
    while line := await commands.readline():
        print(wire.obey(line.decode().split()), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
