"""A plain answer: its shape, its usage, its request id."""

from conftest import MODEL, SMALL_MODEL, ask


def test_create_returns_a_message_with_usage_and_a_request_id(client):
    message = client.messages.create(**ask())
    assert message.type == "message"
    assert message.role == "assistant"
    assert message.model.startswith(MODEL)
    assert message.content[0].type == "text"
    assert message.stop_reason == "end_turn"
    assert message.usage.input_tokens > 0
    assert message.usage.output_tokens > 0
    assert message._request_id.startswith("req_")


def test_two_requests_have_two_request_ids(client):
    first, second = (client.messages.create(**ask()) for _ in range(2))
    assert first._request_id != second._request_id


def test_another_model_answers_under_its_own_name(client):
    message = client.messages.create(**ask(model=SMALL_MODEL))
    assert message.model.startswith(SMALL_MODEL)


def test_system_prompts_and_long_conversations_pass(client):
    turns = [{"role": role, "content": "word " * 50} for role in ["user", "assistant"] * 20]
    request = ask(system="Be brief.", messages=[*turns, {"role": "user", "content": "And?"}])
    assert client.messages.create(**request).usage.input_tokens > 1000


def test_cache_usage_reaches_the_client(client):
    usage = client.messages.create(**ask("cache;cache_5m=11;cache_1h=22;cache_read=33")).usage
    assert usage.cache_creation_input_tokens == 33
    assert usage.cache_creation.ephemeral_5m_input_tokens == 11
    assert usage.cache_creation.ephemeral_1h_input_tokens == 22
    assert usage.cache_read_input_tokens == 33


def test_thinking_comes_signed_before_the_text(client):
    request = ask(thinking={"type": "enabled", "budget_tokens": 1024}, max_tokens=2048)
    thinking, text = client.messages.create(**request).content
    assert thinking.type == "thinking"
    assert thinking.thinking
    assert thinking.signature
    assert text.type == "text"


def test_web_searches_are_counted(client):
    message = client.messages.create(**ask("web_search;searches=2"))
    assert message.usage.server_tool_use.web_search_requests == 2
    kinds = [block.type for block in message.content]
    assert kinds == ["server_tool_use", "web_search_tool_result", "text"]
    assert message.content[2].citations


def test_count_tokens_counts_without_an_answer(client):
    request = ask()
    short = client.messages.count_tokens(model=MODEL, messages=request["messages"])
    long = [{"role": "user", "content": "Who are you? " * 100}]
    assert short.input_tokens > 0
    assert (
        short.input_tokens < client.messages.count_tokens(model=MODEL, messages=long).input_tokens
    )
