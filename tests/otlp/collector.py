"""A collector of traces: OpenTelemetry's own messages read what arrives by HTTP.

    collector.py JOURNAL ADDRESS

Writes where it listens to ADDRESS, and to JOURNAL one line for each request: its headers, its
bytes in hexadecimal, and its spans. A request to a path below /slow is answered after a minute.
"""

import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

MINUTE = 60


def value_of(value):
    return getattr(value, value.WhichOneof("value"))


def attributes_of(holder):
    return {one.key: value_of(one.value) for one in holder.attributes}


def spans_of(request):
    for resource in request.resource_spans:
        of_resource = attributes_of(resource.resource)
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield {
                    "resource": of_resource,
                    "scope": scope.scope.name,
                    "trace": span.trace_id.hex(),
                    "id": span.span_id.hex(),
                    "parent": span.parent_span_id.hex(),
                    "name": span.name,
                    "kind": span.kind,
                    "start": span.start_time_unix_nano,
                    "end": span.end_time_unix_nano,
                    "failed": span.status.code == span.status.STATUS_CODE_ERROR,
                    "attributes": attributes_of(span),
                }


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        request = ExportTraceServiceRequest()
        request.ParseFromString(body)
        line = {
            "path": self.path,
            "headers": {name.lower(): value for name, value in self.headers.items()},
            "bytes": body.hex(),
            "spans": list(spans_of(request)),
        }
        with self.server.journal.open("a") as journal:
            journal.write(json.dumps(line) + "\n")
        if "/slow/" in self.path:
            time.sleep(MINUTE)
        answer = ExportTraceServiceResponse().SerializeToString()
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


def main():
    journal, address = map(Path, sys.argv[1:])
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.journal = journal
    whole = address.with_suffix(".new")
    whole.write_text("{}:{}".format(*server.server_address))
    whole.rename(address)
    server.serve_forever()


main()
