"""What every test needs: a client as a customer would make it, and the request they all vary."""

import os

import anthropic
import pytest

MODEL = "claude-sonnet-4-6"
SMALL_MODEL = "claude-haiku-4-5"


def pytest_collection_modifyitems(items):
    if os.environ.get("SLUICE_TEST_TARGET") != "sandbox":
        return
    skip = pytest.mark.skip(reason="the sandbox has no accounts, prices or limits")
    for item in items:
        if item.get_closest_marker("gateway_only"):
            item.add_marker(skip)


@pytest.fixture(scope="session")
def base_url():
    return os.environ["SLUICE_BASE_URL"].rstrip("/")


@pytest.fixture(scope="session")
def api_key():
    return os.environ["SLUICE_API_KEY"]


@pytest.fixture(scope="session")
def client(base_url, api_key):
    """One client for the whole run, so that a connection spoiled by one test fails the next."""
    with anthropic.Anthropic(base_url=base_url, api_key=api_key, max_retries=0) as client:
        yield client


def ask(script=None, **changes):
    """Parameters of a small request; `script` tells the sandbox how to answer it."""
    request = {
        "model": MODEL,
        "max_tokens": 1024,
        "messages": [{"role": "user", "content": "Who are you?"}],
    }
    if script is not None:
        request["metadata"] = {"user_id": f"sandbox:{script}"}
    return request | changes


def error_type(error):
    """`error.type` of an answer in Anthropic's error shape, which must be whole."""
    assert error.body["type"] == "error"
    assert error.body["error"]["message"]
    return error.body["error"]["type"]
