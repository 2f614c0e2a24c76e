"""A client may leave in the middle of an answer; the next request must not notice."""

import asyncio

import anthropic
import pytest
from conftest import ask

SLOW = "events=2000;pace_ms=20"  # 40 s


def works(client):
    return client.messages.create(**ask()).stop_reason == "end_turn"


def test_leaving_the_stream_helper(client):
    with client.messages.stream(**ask(SLOW)) as stream:
        for count, _ in enumerate(stream.text_stream):
            if count == 3:
                break
    assert works(client)


def test_closing_a_raw_stream(client):
    stream = client.messages.create(**ask(SLOW), stream=True)
    assert next(stream).type == "message_start"
    stream.close()
    assert works(client)


def test_leaving_several_streams_at_once(client):
    streams = [client.messages.create(**ask(SLOW), stream=True) for _ in range(8)]
    assert {next(stream).type for stream in streams} == {"message_start"}
    for stream in streams:
        stream.close()
    assert works(client)


def test_a_timeout_before_the_answer(client):
    impatient = client.with_options(timeout=0.3, max_retries=0)
    with pytest.raises(anthropic.APITimeoutError):
        impatient.messages.create(**ask("delay_ms=5000"))
    assert works(client)


def test_cancelling_the_task_of_an_async_stream(base_url, api_key):
    async def scenario():
        async with anthropic.AsyncAnthropic(
            base_url=base_url, api_key=api_key, max_retries=0
        ) as client:
            begun = asyncio.Event()

            async def listen():
                async with client.messages.stream(**ask(SLOW)) as stream:
                    async for _ in stream.text_stream:
                        begun.set()

            task = asyncio.create_task(listen())
            await asyncio.wait_for(begun.wait(), timeout=10)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return (await client.messages.create(**ask())).stop_reason

    assert asyncio.run(scenario()) == "end_turn"
