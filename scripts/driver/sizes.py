"""How much each test of `scripts/bench` does."""

SIZES = {
    # Shows that it runs.
    "smoke": {
        "rounds": 1,
        "calls": 64,
        "whole_streams": 10,
        "burst_streams": 32,
        "long_bursts": 4,
        "long_burst_events": 500,
        "paced": 10,
        "paced_seconds": 1,
        "held": 20,
        "given_back_seconds": 1,
        "long_mb": 2,
        "one_by_one": 20,
        "open_rate": 50,
        "open_seconds": 1,
        "large_bodies": 1,
        "statement_calls": 20,
        "flush_seconds": 1.5,
    },
    # Minutes.
    "quick": {
        "rounds": 5,
        "calls": 1000,
        "whole_streams": 150,
        "burst_streams": 400,
        "long_bursts": 8,
        "long_burst_events": 20_000,
        "paced": 200,
        "paced_seconds": 3,
        "held": 500,
        "given_back_seconds": 60,
        "long_mb": 20,
        "one_by_one": 300,
        "open_rate": 200,
        "open_seconds": 5,
        "large_bodies": 3,
        "statement_calls": 200,
        "flush_seconds": 11,
    },
    # Those of the goals.
    "full": {
        "rounds": 9,
        "calls": 5000,
        "whole_streams": 500,
        "burst_streams": 1000,
        "long_bursts": 16,
        "long_burst_events": 50_000,
        "paced": 500,
        "paced_seconds": 10,
        "held": 2000,
        "given_back_seconds": 60,
        "long_mb": 50,
        "one_by_one": 5000,
        "open_rate": 200,
        "open_seconds": 30,
        "large_bodies": 5,
        "statement_calls": 1000,
        "flush_seconds": 11,
    },
}

# Whoever spends milliseconds on a call gets fewer, so that a run ends.
SHARES = {"litellm": 0.04, "litellm-rust": 0.04, "portkey": 0.2}
