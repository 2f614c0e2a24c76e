"""Each refusal is the SDK's own exception for it, and says what Anthropic's would."""

import os

import anthropic
import pytest
from conftest import ask, error_type

# 33 MiB: above the limit of 32 MiB, where 33 MB (10^6) would still be below it.
TOO_LARGE = 33 << 20


def refusal(client, **request):
    with pytest.raises(anthropic.APIStatusError) as caught:
        client.messages.create(**request)
    error = caught.value
    assert error.request_id == error.body["request_id"]
    assert error.request_id.startswith("req_")
    return error


def without_max_tokens(client):
    request = ask()
    del request["max_tokens"]
    with pytest.raises(anthropic.BadRequestError) as caught:
        # `create` would refuse it on this side of the wire.
        client.post("/v1/messages", body=request, cast_to=object)
    return caught.value


@pytest.mark.gateway_only
def test_401_for_a_key_that_does_not_exist(base_url):
    stranger = anthropic.Anthropic(base_url=base_url, api_key="sk-nobody", max_retries=0)
    error = refusal(stranger, **ask())
    assert isinstance(error, anthropic.AuthenticationError)
    assert error_type(error) == "authentication_error"


@pytest.mark.gateway_only
@pytest.mark.parametrize("stream", [False, True])
def test_402_without_credit_and_no_retry(base_url, stream):
    key = os.environ["SLUICE_API_KEY_BROKE"]
    broke = anthropic.Anthropic(base_url=base_url, api_key=key, max_retries=2)
    error = refusal(broke, **ask(), stream=stream)
    assert error.status_code == 402
    assert error_type(error) == "billing_error"
    assert error.request.headers["x-stainless-retry-count"] == "0"


@pytest.mark.gateway_only
def test_404_for_a_model_without_a_price(client):
    error = refusal(client, **ask(model="claude-of-tomorrow"))
    assert isinstance(error, anthropic.NotFoundError)
    assert error_type(error) == "not_found_error"


@pytest.mark.gateway_only
def test_413_for_a_body_above_the_limit(client):
    huge = [{"role": "user", "content": "x" * TOO_LARGE}]
    error = refusal(client, **ask(messages=huge))
    assert error.status_code == 413
    assert error_type(error) == "request_too_large"
    assert client.messages.create(**ask()).content


def test_400_for_a_missing_field(client):
    error = without_max_tokens(client)
    assert error_type(error) == "invalid_request_error"
    assert "max_tokens" in error.body["error"]["message"]


@pytest.mark.parametrize(
    ("status", "kind", "exception"),
    [
        (400, "invalid_request_error", "BadRequestError"),
        (403, "permission_error", "PermissionDeniedError"),
        (429, "rate_limit_error", "RateLimitError"),
        (500, "api_error", "InternalServerError"),
        (529, "overloaded_error", "OverloadedError"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_upstream_refuses_is_refused_in_its_words(client, status, kind, exception, stream):
    error = refusal(client, **ask(f"status={status}"), stream=stream)
    assert error.status_code == status
    assert error_type(error) == kind
    assert exception in [parent.__name__ for parent in type(error).__mro__]


def test_retry_after_reaches_the_client(client):
    error = refusal(client, **ask("status=429;retry_after=7"))
    assert error.response.headers["retry-after"] == "7"


@pytest.mark.gateway_only
@pytest.mark.skipif("SLUICE_API_KEY_LIMITED" not in os.environ, reason="no limited key given")
def test_429_of_the_gateways_own_limit_says_when_to_come_back(base_url):
    key = os.environ["SLUICE_API_KEY_LIMITED"]
    limited = anthropic.Anthropic(base_url=base_url, api_key=key, max_retries=0)
    with pytest.raises(anthropic.RateLimitError) as caught:
        for _ in range(50):
            limited.messages.create(**ask())
    assert error_type(caught.value) == "rate_limit_error"
    assert int(caught.value.response.headers["retry-after"]) > 0


def test_models_that_do_not_exist_are_not_found(client):
    with pytest.raises(anthropic.NotFoundError) as caught:
        client.models.retrieve("claude-of-tomorrow")
    assert error_type(caught.value) == "not_found_error"
