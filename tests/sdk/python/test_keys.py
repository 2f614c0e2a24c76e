"""Where the key may stand: `x-api-key`, `Authorization: Bearer`, or both."""

import anthropic
import pytest
from conftest import ask


def answer(base_url, **credentials):
    with anthropic.Anthropic(base_url=base_url, max_retries=0, **credentials) as client:
        return client.messages.create(**ask())


def test_the_sdks_own_header(base_url, api_key):
    assert answer(base_url, api_key=api_key).content


def test_a_bearer_token(base_url, api_key):
    assert answer(base_url, auth_token=api_key).content


def test_x_api_key_beside_whatever_the_sdk_sends(base_url, api_key):
    assert answer(base_url, api_key=api_key, default_headers={"x-api-key": api_key}).content


def test_the_key_counts_that_is_one_of_ours(base_url, api_key):
    """A client configured for two services sends both credentials."""
    other = {"x-api-key": "sk-ant-api03-of-another-service"}
    assert answer(base_url, auth_token=api_key, default_headers=other).content


@pytest.mark.gateway_only
def test_no_known_key_among_two_is_refused(base_url):
    other = {"x-api-key": "sk-ant-api03-of-another-service"}
    with pytest.raises(anthropic.AuthenticationError):
        answer(base_url, auth_token="nobody", default_headers=other)
