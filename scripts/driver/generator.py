"""The load generator, `examples/load`, as a driver uses it."""

import json
import subprocess
import tempfile
from contextlib import contextmanager


class Generator:
    """Runs the program; each method returns what it counted, with times in microseconds."""

    def __init__(self, program, timeout_s=600):
        self.program, self.timeout_s = program, timeout_s

    def closed(self, load, requests, connections):
        """So many requests over so many connections, each with one at a time."""
        words = ["closed", "--requests", str(requests), "--connections", str(connections)]
        with self.started(load, words) as process:
            return self.result(process)

    def open(self, load, rate, seconds):
        """Requests at a fixed rate; latencies count from the moment each should have started."""
        with self.started(
            load, ["open", "--rate", str(rate), "--seconds", str(seconds)]
        ) as process:
            return self.result(process)

    @contextmanager
    def repeated(self, load):
        """The same request again and again over one connection, meanwhile."""
        words = ["closed", "--requests", str(10**9), "--connections", "1"]
        with self.started(load, words) as process:
            yield
            if process.poll() is not None:
                raise RuntimeError("the load failed")

    @contextmanager
    def held(self, load, streams, stagger_us=2100):
        """Streams that are open meanwhile, one a little later than the other. Gives a function
        that returns the counts so far.
        """
        words = ["held", "--streams", str(streams), "--stagger-us", str(stagger_us)]
        with self.started(load, words, stdin=subprocess.PIPE) as process:
            self.line(process)

            def counts():
                process.stdin.write("\n")
                process.stdin.flush()
                return self.line(process)

            yield counts

    @contextmanager
    def started(self, load, words, **pipes):
        """The process, which does not outlive the block."""
        with tempfile.NamedTemporaryFile() as request:
            request.write(load.request)
            request.flush()
            address = f"{load.relay.host}:{load.relay.port}"
            command = [self.program, "--address", address, "--request", request.name, *words]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **pipes) as process:
                try:
                    yield process
                finally:
                    process.kill()

    def result(self, process):
        try:
            words, _ = process.communicate(timeout=self.timeout_s)
        except subprocess.TimeoutExpired as error:
            raise RuntimeError(f"no end of the load after {self.timeout_s} s") from error
        if process.returncode:
            raise RuntimeError("the load failed")
        return json.loads(words)

    @staticmethod
    def line(process):
        words = process.stdout.readline()
        if not words:
            raise RuntimeError("the streams did not open, or broke")
        return json.loads(words)
