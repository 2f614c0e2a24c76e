"""Request bodies in the shape and the sizes of the coding CLI 2.1.332, made by rule and never
stored.

What was seen on the wire: twelve tools of 32 KB without a mark; a system prompt of three blocks,
the first of which names the client's version, the other two marked; a first message, and behind it
a system message of 9 KB; one mark on the last block. In later turns that block has lost its mark
and become a string; each turn adds an answer and what the tools said.
"""

import json
import random

CLIENT = "x-anthropic-billing-header: cc_version=2.1.332.18b; cc_entrypoint=sdk-cli;"

# Name and size of each tool, as JSON.
TOOLS = [
    ("Agent", 5372),
    ("Bash", 3965),
    ("Edit", 1006),
    ("ListAgents", 2020),
    ("Read", 1975),
    ("ReportFindings", 2533),
    ("ScheduleWakeup", 5017),
    ("Skill", 1846),
    ("ToolSearch", 1475),
    ("Workflow", 5806),
    ("DeferredToolPlaceholder", 214),
    ("Write", 663),
]

BETAS = (
    "claude-code-20250219,interleaved-thinking-2025-05-14,context-management-2025-06-27,per-turn-control-2026-07-01,"
    "mid-conversation-tool-changes-2026-07-01,thinking-token-count-2026-05-13,advanced-tool-use-2025-11-20,effort-2025-11-24"
)

WORDS = [
    "the",
    "file",
    "is",
    "read",
    "before",
    "it",
    "changes",
    "and",
    "a",
    "test",
    "says",
    "what",
    "was",
    "broken",
    "in",
    "this",
    "function",
    "when",
    "its",
    "caller",
    "returns",
    "an",
    "error",
    "because",
    "nothing",
    "waits",
    "for",
    "the",
    "lock",
    "that",
    "another",
    "worker",
    "holds",
    "until",
    "the",
    "connection",
    "ends",
    "so",
    "that",
    "every",
    "request",
    "is",
    "counted",
]

# What tools bring home: prose, code, numbers, hashes, and now and then another script.
KINDS = ("prose", "prose", "code", "code", "numbers", "hash", "script")


def headers(key):
    """The head of a request, as the CLI sends it."""
    return {
        "accept": "application/json",
        "accept-encoding": "gzip, deflate, br, zstd",
        "anthropic-beta": BETAS,
        "anthropic-dangerous-direct-browser-access": "true",
        "anthropic-version": "2023-06-01",
        "content-type": "application/json",
        "user-agent": "claude-cli/2.1.332 (external, sdk-cli)",
        "x-api-key": key,
        "x-app": "cli",
        "x-stainless-retry-count": "0",
        "x-stainless-timeout": "600",
    }


def encode(body):
    """The bytes of a body: compact, and other scripts as they are, as JavaScript writes JSON."""
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()


class Writer:
    """Texts of a given size. The same seed writes the same texts."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def prose(self):
        return " ".join(self.random.choices(WORDS, k=14)).capitalize() + "."

    def code(self):
        a, b, c = self.random.choices(WORDS, k=3)
        return f"    let {a}_{b} = self.{c}.get(&{a})?; // {b} of {c}"

    def numbers(self):
        number, part = self.random.randrange(10**6), self.random.random()
        return f"{number:>7}  {part:.6f}  2026-11-{self.random.randrange(10, 30)}T12:00:00Z"

    def hash(self):
        return f"{self.random.getrandbits(256):064x}  src/{self.random.choice(WORDS)}.rs"

    def script(self):
        return self.random.choice(
            (
                "шлюз открыт, вода уходит",
                "水门慢慢打开，船队通过",
                "Schleusenwärter öffnen große Tore",
            )
        )

    def text(self, size, kinds=KINDS):
        """Lines of so many bytes together, as they stand in JSON."""
        lines, length = [], 0
        while length < size:
            line = getattr(self, self.random.choice(kinds))()
            lines.append(line)
            length += len(json.dumps(line, ensure_ascii=False).encode())
        return "\n".join(lines).encode()[:size].decode(errors="ignore")


class Conversation:
    """A conversation as the CLI sends it again with each turn, and one turn longer each time."""

    def __init__(self, model, seed, ttl=None, client=None):
        self.writer = Writer(seed)
        self.mark = {"type": "ephemeral"} | ({"ttl": ttl} if ttl else {})
        # What the conversations of one client share. Upstream caches it for all of them.
        common = Writer(f"tools and system of {client or seed}")
        self.fields = {
            "model": model,
            "messages": None,
            "system": [
                {"type": "text", "text": CLIENT},
                {
                    "type": "text",
                    "text": "You are a coding CLI, played by a test of this gateway.......",
                    "cache_control": self.mark,
                },
                {"type": "text", "text": common.text(6900, ("prose",)), "cache_control": self.mark},
            ],
            "tools": [self.tool(common, name, size) for name, size in TOOLS],
            "metadata": None,
            "max_tokens": 128000,
            "thinking": {"type": "adaptive", "display": "omitted"},
            "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
            "output_config": {"effort": "medium"},
            "stream": True,
        }
        self.messages = [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": self.writer.text(570, ("prose",))},
                    {"type": "text", "text": "hi"},
                ],
            },
            {
                "role": "system",
                "content": common.text(9060, ("prose", "code")),
                "output_config": {"effort": "medium"},
            },
        ]

    @staticmethod
    def tool(writer, name, size):
        schema = {
            "type": "object",
            "properties": {"path": {"type": "string"}},
            "required": ["path"],
        }
        tool = {"name": name, "description": "", "input_schema": schema}
        tool["description"] = writer.text(max(size - len(encode(tool)) - 30, 40), ("prose",))
        return tool

    def turn(self, size):
        """Adds the model's call of a tool, and so many bytes that the tool found."""
        call = f"toolu_{self.writer.random.getrandbits(96):024x}"
        self.messages += [
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "", "signature": self.writer.hash()},
                    {"type": "text", "text": self.writer.prose()},
                    {
                        "type": "tool_use",
                        "id": call,
                        "name": "Read",
                        "input": {"path": f"src/{self.writer.random.choice(WORDS)}.rs"},
                    },
                ],
            },
            {
                "role": "user",
                "content": [
                    {
                        "tool_use_id": call,
                        "type": "tool_result",
                        "content": self.writer.text(max(size - 600, 1)),
                    }
                ],
            },
        ]

    def grow_to(self, size):
        """One turn that makes the body so many bytes."""
        self.turn(size - len(self.body("")))

    def body(self, script):
        """The bytes of the request. `script` is for the sandbox, where the CLI names device and
        session.
        """
        last = self.messages[-1]
        content = last["content"]
        if isinstance(content, str):
            content = [{"type": "text", "text": content}]
        marked = {**last, "content": [*content[:-1], {**content[-1], "cache_control": self.mark}]}
        user = f"sandbox:{script}"
        fields = {
            **self.fields,
            "messages": [*self.messages[:-1], marked],
            "metadata": {"user_id": user},
        }
        return encode(fields)
