"""Tools: the call, streamed or not, and the result on its way back."""

from conftest import ask

WEATHER = {
    "name": "get_weather",
    "description": "The weather in a city.",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "unit": {"type": "string"}},
        "required": ["city"],
    },
}


def request(**changes):
    return ask(tools=[WEATHER], tool_choice={"type": "any"}, **changes)


def test_a_tool_is_called_with_an_input_of_its_schema(client):
    message = client.messages.create(**request())
    call = message.content[-1]
    assert message.stop_reason == "tool_use"
    assert call.type == "tool_use"
    assert call.name == "get_weather"
    assert isinstance(call.input["city"], str)


def test_a_streamed_call_is_the_same_call(client):
    plain = client.messages.create(**request()).content[-1]
    pieces = []
    with client.messages.stream(**request()) as stream:
        for event in stream:
            if event.type == "input_json":
                pieces.append(event.partial_json)
        call = stream.get_final_message().content[-1]
    assert len(pieces) > 1
    assert call.input == plain.input


def test_the_result_of_a_tool_is_answered(client):
    first = request()
    called = client.messages.create(**first)
    result = {"type": "tool_result", "tool_use_id": called.content[-1].id, "content": "18 °C"}
    turns = [
        *first["messages"],
        {"role": "assistant", "content": called.content},
        {"role": "user", "content": [result]},
    ]
    answer = client.messages.create(**ask(tools=[WEATHER], messages=turns))
    assert answer.stop_reason == "end_turn"
    assert answer.content[0].type == "text"
