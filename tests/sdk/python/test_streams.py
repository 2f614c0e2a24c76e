"""Streams: helper and raw events say what the plain answer says, and a stream can fail half-way."""

import anthropic
import pytest
from conftest import ask, error_type

SCENARIOS = ["text", "thinking", "tool_use", "cache", "web_search", "mixed"]
FRAMINGS = [
    "newline=crlf",
    "newline=cr;no_space",
    "utf8;chunk=1",
    "comments;unknown;ping=1",
    "chunk=all;events=2000",
    "events=2;bytes=100000",
]


def content(message):
    # `parsed_output` and the like are what the helper adds; the wire does not have them.
    known = {"type", "text", "thinking", "signature", "id", "name", "input", "tool_use_id"}
    return [block.model_dump(include=known) for block in message.content]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_stream_helper_ends_with_the_plain_answer(client, scenario):
    plain = client.messages.create(**ask(scenario))
    with client.messages.stream(**ask(scenario)) as stream:
        streamed = stream.get_final_message()
    assert content(streamed) == content(plain)
    assert streamed.stop_reason == plain.stop_reason
    assert streamed.usage.input_tokens == plain.usage.input_tokens
    assert streamed.usage.output_tokens == plain.usage.output_tokens
    assert streamed.usage.server_tool_use == plain.usage.server_tool_use


@pytest.mark.parametrize("framing", FRAMINGS)
def test_text_arrives_whole_whatever_the_framing(client, framing):
    plain = client.messages.create(**ask(framing))
    # A stream that is far longer than max_tokens would be ended.
    with client.messages.stream(**ask(framing, max_tokens=64000)) as stream:
        text = "".join(stream.text_stream)
    assert text == plain.content[0].text


def test_raw_events_come_in_order(client):
    events = [event.type for event in client.messages.create(**ask("events=3"), stream=True)]
    assert events == [
        "message_start",
        "content_block_start",
        *["content_block_delta"] * 3,
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]


def test_text_arrives_while_the_answer_is_being_written(client):
    """20 s of stream; the first word must not wait for the last."""
    with client.messages.stream(**ask("events=200;pace_ms=100")) as stream:
        assert next(iter(stream.text_stream))
        usage = stream.current_message_snapshot.usage
    # Still the placeholder of message_start: the end had not come.
    assert usage.output_tokens == 1


def test_an_error_event_raises_what_it_says(client):
    stream = client.messages.stream(**ask("error_at=3"))
    with pytest.raises(anthropic.APIStatusError) as caught, stream as events:
        events.get_final_message()
    assert error_type(caught.value) == "overloaded_error"
    assert client.messages.create(**ask()).content


def test_an_error_event_raises_in_a_raw_stream_after_what_came_before(client):
    seen = []
    with pytest.raises(anthropic.APIStatusError) as caught:
        for event in client.messages.create(**ask("error_at=6"), stream=True):
            seen.append(event.type)
    assert seen[0] == "message_start"
    assert seen[-1] == "content_block_delta"
    assert error_type(caught.value) == "overloaded_error"
