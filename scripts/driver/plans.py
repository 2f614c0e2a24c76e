"""What one client asks for at random, how it behaves, and what that may cost."""

import json

# Nano-dollars per token, input and output, of the models that are asked for.
PRICES = {"claude-haiku-4-5": (1000, 5000), "claude-sonnet-4-6": (3000, 15000)}
# Every request of an account reports its own number of input tokens, so that its row is known by
# it.
FIRST_INPUT = 1000
# Output tokens that are held at first: `reserve_output_tokens`.
HELD_OUTPUT = 3072


class Plan:
    """One request: what is asked for, how its client behaves, what it would cost when whole."""

    # Seconds without a byte after which its client gives up.
    patience = 30
    max_tokens = 8000
    # Output tokens that an estimate, which counts blocks as well, may be above what is reported.
    slack = 0

    def __init__(self, email, number, dice):
        self.input = FIRST_INPUT + number
        self.key = (email, self.input)
        self.model = dice.choice(list(PRICES))
        self.stream = dice.random() < 0.7
        scenario = dice.choice(["text", "text", "thinking", "tool_use"])
        events, size = dice.randint(1, 40), dice.randint(1, 60)
        # Above what the bytes of all deltas would be estimated at, so that no bill exceeds it.
        self.output = (2 * events * size + 2000) // 3
        words = [
            scenario,
            f"events={events}",
            f"bytes={size}",
            f"input={self.input}",
            f"output={self.output}",
        ]
        words.append(f"pace_ms={dice.choice([0, 0, 1, 5, 30])}")
        fault = dice.random()
        at = dice.randint(0, events + 6)
        if fault < 0.05:
            words.append(f"error_at={at}")
        elif fault < 0.10:
            words.append(f"cut_at={at}")
        elif fault < 0.15:
            words.append(f"end_at={at}")
        elif fault < 0.18:
            words.append(f"silent_at={at}")
        elif fault < 0.22:
            words.append(f"status={dice.choice([400, 429, 500, 529])}")
        self.set_script(words)
        self.behaviour = dice.choices(["read", "leave", "stall"], [0.7, 0.25, 0.05])[0]
        self.leave_after = dice.randint(0, 4000)

    def set_script(self, words):
        self.script = "sandbox:" + ";".join(words)

    def cost(self):
        price = PRICES[self.model]
        return self.input * price[0] + self.output * price[1]

    def most(self, ending):
        """What a row may say at most: what the whole answer costs. Of an answer that its client has
        left, hidden work that could not be read to its end is charged at what was held for it.
        """
        is_hidden = "thinking" in self.script and ending in ("E8", "E15", "E18")
        price = PRICES[self.model]
        output = max(self.output + self.slack, HELD_OUTPUT if is_hidden else 0)
        return self.input * price[0] + output * price[1]

    def body(self):
        return json.dumps(
            {
                "model": self.model,
                "max_tokens": self.max_tokens,
                "stream": self.stream,
                "metadata": {"user_id": self.script},
                "tools": [{"name": "look", "input_schema": {"type": "object"}}],
                # About as long as it is said to be, so that what is held for it is enough.
                "messages": [{"role": "user", "content": "torture " * (self.input // 2)}],
            }
        )
