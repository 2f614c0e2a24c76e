"""Bar charts as SVG, readable on a light and on a dark page."""

import math
from html import escape

WIDTH, LABELS, RIGHT, STEP = 760, 230, 150, 30
STYLE = """
    text { font: 13px system-ui, sans-serif; fill: #24292f }
    .title { font-size: 16px; font-weight: 600 }
    .axis { font-size: 12px; fill: #57606a }
    .bar { fill: #8c959f } .ours { fill: #0969da }
    .grid { stroke: #d0d7de } .goal { stroke: #bc4c00; stroke-width: 2 }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3 } .axis { fill: #9da7b1 } .bar { fill: #6e7681 } .ours { fill: #58a6ff }
      .grid { stroke: #30363d } .goal { stroke: #f0883e }
    }
"""


class Panel:
    """Bars of one unit. A row is (label, value, text, whether it is ours, goal or None)."""

    def __init__(self, title, axis, rows, is_log=False):
        self.title, self.axis, self.rows, self.is_log = title, axis, rows, is_log
        top = max(max(value, goal or 0) for _, value, _, _, goal in rows)
        bottom = min(value for _, value, _, _, _ in rows)
        # The shortest bar is to be seen too.
        self.low = 10 ** math.floor(math.log10(0.8 * bottom)) if is_log else 0
        self.high = 10 ** math.ceil(math.log10(top)) if is_log else math.ceil(top)

    @property
    def height(self):
        return 70 + STEP * len(self.rows)

    def x(self, value):
        room = WIDTH - LABELS - RIGHT
        if self.is_log:
            return LABELS + room * math.log(value / self.low) / math.log(self.high / self.low)
        return LABELS + room * value / self.high

    def ticks(self):
        if self.is_log:
            powers = range(round(math.log10(self.low)), 1 + round(math.log10(self.high)))
            return [10**power for power in powers]
        step = max(1, round(self.high / 6))
        return range(0, self.high + 1, step)

    def draw(self, y):
        yield text(12, y + 18, self.title, kind="title")
        top, bottom = y + 34, y + 34 + STEP * len(self.rows)
        for tick in self.ticks():
            yield line(self.x(tick), top, bottom, "grid")
            yield text(self.x(tick), bottom + 16, f"{tick:,}", kind="axis", anchor="middle")
        yield text(12, bottom + 16, self.axis, kind="axis")
        for index, (label, value, words, is_ours, goal) in enumerate(self.rows):
            row, width = top + 6 + STEP * index, max(1, self.x(value) - LABELS)
            kind = "bar ours" if is_ours else "bar"
            yield text(LABELS - 8, row + 13, label, anchor="end")
            yield (
                f'<rect class="{kind}" x="{LABELS}" y="{row}" width="{width:.1f}" height="18"'
                ' rx="2"/>'
            )
            if goal:
                yield line(self.x(goal), row - 3, row + 21, "goal")
            end = max(LABELS + width, self.x(goal) if goal else 0)
            yield text(end + 8, row + 13, words)


def text(x, y, words, kind=None, anchor="start"):
    name = f' class="{kind}"' if kind else ""
    return f'<text{name} x="{x:.1f}" y="{y}" text-anchor="{anchor}">{escape(words)}</text>'


def line(x, top, bottom, kind):
    return f'<line class="{kind}" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{bottom}"/>'


def chart(panels):
    lines, y = [], 8
    for panel in panels:
        lines += panel.draw(y)
        y += panel.height
    titles = escape("; ".join(panel.title for panel in panels))
    size = f'viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" height="{y}"'
    body = "\n".join(f"  {each}" for each in lines)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">\n  <title>{titles}</title>\n'
        f"  <style>{STYLE}  </style>\n{body}\n</svg>\n"
    )


GOALS = [
    ("cpu_json_call_us", "JSON call", 4),
    ("cpu_burst_event_us", "event of a burst, with its call", 1.6),
    ("cpu_paced_event_us", "event at 50 events/s", 1.25),
]
PEERS = [
    ("nginx", "nginx"),
    ("haproxy", "haproxy"),
    ("envoy", "envoy"),
    ("sluice", "Sluice, with billing"),
    ("portkey", "Portkey"),
    ("litellm", "LiteLLM"),
    ("litellm-rust", "LiteLLM, LITELLM_RUST=1"),
]


def beside_nginx(figures):
    ratios = [(label, figures[name]["ratios"]["sluice"], goal) for name, label, goal in GOALS]
    rows = [
        (label, ratio, f"{ratio:.2f} × (goal {goal:g} ×)", True, goal)
        for label, ratio, goal in ratios
    ]
    return Panel("Sluice's processor time as a multiple of nginx's", "1 = nginx; line: goal", rows)


def digits(value):
    return 1 if value < 100 else 0


def beside_peers(figures, name, title):
    rows = [
        (
            label,
            figures[name][relay],
            f"{figures[name][relay]:,.{digits(figures[name][relay])}f} µs",
            relay == "sluice",
            None,
        )
        for relay, label in PEERS
        if relay in figures[name]
    ]
    return Panel(title, "µs, logarithmic", rows, is_log=True)


def write_charts(figures, folder):
    folder.mkdir(exist_ok=True)
    (folder / "nginx.svg").write_text(chart([beside_nginx(figures)]))
    if len(figures["cpu_json_call_us"]) > 4:
        panels = [
            beside_peers(figures, "cpu_json_call_us", "Processor time of a JSON call"),
            beside_peers(
                figures, "cpu_paced_event_us", "Processor time of an event at 50 events/s"
            ),
        ]
        (folder / "peers.svg").write_text(chart(panels))
