"""What a coding CLI sends, byte by byte: not through the SDK, which would tidy it up."""

import http.client
import json
from urllib.parse import urlsplit

import pytest
from conftest import MODEL

BETAS = ",".join(
    [
        "claude-code-20250219",
        "interleaved-thinking-2025-05-14",
        "fine-grained-tool-streaming-2025-05-14",
        "context-management-2025-06-27",
        "prompt-caching-scope-2026-01-05",
        "effort-2025-11-24",
        "context-1m-2025-08-07",
    ]
)


@pytest.fixture
def connection(base_url):
    url = urlsplit(base_url)
    kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    connection = kind(url.hostname, url.port, timeout=30)
    yield connection
    connection.close()


def headers(api_key):
    return {
        "accept": "application/json",
        "accept-encoding": "gzip, deflate, br, zstd",
        "anthropic-beta": BETAS,
        "anthropic-dangerous-direct-browser-access": "true",
        "anthropic-version": "2023-06-01",
        "authorization": f"Bearer {api_key}",
        "content-type": "application/json",
        "user-agent": "coding-cli/3.0 (external, cli)",
        "x-api-key": "something-else",
        "x-app": "cli",
        "x-stainless-retry-count": "0",
    }


def large_request():
    """115 KB of tools and system prompt, as such a CLI sends with each turn."""
    schema = {
        "type": "object",
        "properties": {"path": {"type": "string", "description": "An absolute path. " * 20}},
        "required": ["path"],
    }
    tools = [
        {"name": f"tool_{n}", "description": 'Reads "one" file.\n' * 200, "input_schema": schema}
        for n in range(20)
    ]
    cached = {"type": "ephemeral", "ttl": "1h"}
    system = [{"type": "text", "text": "You are a CLI. " * 2000, "cache_control": cached}]
    body = {
        "model": MODEL,
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Fix the build. é 水"}]}
        ],
        "system": system,
        "tools": tools,
        "metadata": {"user_id": "user_0000_account__session_0000"},
        "max_tokens": 128000,
        "stream": True,
    }
    text = json.dumps(body, ensure_ascii=False).encode()
    assert 110_000 < len(text) < 130_000, len(text)
    return text


def test_a_turn_of_a_coding_cli_is_streamed(connection, api_key):
    connection.request("POST", "/v1/messages?beta=true", large_request(), headers(api_key))
    answer = connection.getresponse()
    body = answer.read()
    assert answer.status == 200, body
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert "content-encoding" not in answer.headers
    assert body.startswith(b"event: message_start\n")
    assert body.rstrip().endswith(b'data: {"type":"message_stop"}')


def test_its_token_count_works_with_the_same_headers(connection, api_key):
    body = json.loads(large_request())
    del body["max_tokens"], body["stream"], body["metadata"]
    path = "/v1/messages/count_tokens?beta=true"
    connection.request("POST", path, json.dumps(body).encode(), headers(api_key))
    answer = connection.getresponse()
    assert answer.status == 200
    assert json.load(answer)["input_tokens"] > 10_000


@pytest.mark.parametrize("path", ["/v1/models", f"/v1/models/{MODEL}"])
def test_head_is_get_without_its_body(connection, api_key, path):
    connection.request("HEAD", path, headers=headers(api_key))
    answer = connection.getresponse()
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.read() == b""
    connection.request("GET", path, headers=headers(api_key))
    assert connection.getresponse().status == 200


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"model":', b"\xff\xfe", b'"text"'])
def test_what_is_no_request_is_refused_as_such(connection, api_key, body):
    connection.request("POST", "/v1/messages?beta=true", body, headers(api_key))
    answer = connection.getresponse()
    error = json.load(answer)
    assert answer.status == 400
    assert error["type"] == "error"
    assert error["error"]["type"] == "invalid_request_error"
    assert error["request_id"] == answer.headers["request-id"]


def test_another_path_says_that_it_is_not_there(connection, api_key):
    connection.request("GET", "/v1/files", headers=headers(api_key))
    answer = connection.getresponse()
    assert answer.status == 404
    assert json.load(answer)["error"]["type"] == "not_found_error"
