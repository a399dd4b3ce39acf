"""The bars: what a training step takes, PyTorch written by hand being 1."""

from __future__ import annotations

import html
import statistics

from nets import NETS

INK, QUIET, GRID = "#1f2430", "#6b7280", "#e5e7eb"
COLORS = {
    "midstream": "#1d4ed8",
    "module": "#93b4f5",
    "by_hand": "#9ca3af",
    "tensorflow": "#f59e0b",
    "keras_torch": "#fcd9a0",
}
LEFT, TOP, SCALE, BAR = 300, 84, 120, 15
MOST = 5.0  # times by hand; longer bars are cut and say how long they are


def text(
    x: float, y: float, words: str, size: int = 12, color: str = QUIET, anchor: str = "start", more: str = ""
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{color}" text-anchor="{anchor}" {more}>'
        f"{html.escape(words)}</text>"
    )


def group(y: float, net: str, found: dict[str, list[float]], names: list[str]) -> list[str]:
    unit = found["by_hand"] if "by_hand" in found else max(found.values(), key=statistics.median)
    out = [text(LEFT - 12, y + BAR * len(names) / 2 + 4, NETS[net].title, 13, INK, "end")]
    for i, name in enumerate(n for n in names if n in found):
        seconds = statistics.median(found[name])
        ratio = statistics.median(a / b for a, b in zip(found[name], unit, strict=True))  # as in the table
        length = min(ratio, MOST) * SCALE
        top = y + i * BAR
        out.append(f'<rect x="{LEFT}" y="{top:.1f}" width="{length:.1f}" height="{BAR - 3}" fill="{COLORS[name]}"/>')
        out.append(text(LEFT + length + 6, top + 10, f"{1e3 * seconds:.4g} ms  ({ratio:.2f})", 11))
    return out


def picture(times: dict[str, dict[str, list[float]]], contestants: dict[str, str], machine: str) -> str:
    names = list(contestants)
    step = BAR * len(names) + 22
    width, height = LEFT + int(MOST * SCALE) + 150, TOP + step * len(times) + 30
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="Inter, Helvetica Neue, Helvetica, Arial, DejaVu Sans, sans-serif">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        text(24, 32, "One training step, PyTorch by hand = 1 (shorter is better)", 18, INK, more='font-weight="700"'),
    ]
    x = 24.0
    for name, title in contestants.items():
        out.append(f'<rect x="{x}" y="50" width="12" height="12" fill="{COLORS[name]}"/>')
        out.append(text(x + 18, 61, title, 12, INK))
        x += 40 + 7.2 * len(title)
    bottom = TOP + step * len(times) - 14
    for k in range(int(MOST) + 1):
        at = LEFT + k * SCALE
        out.append(f'<line x1="{at}" y1="{TOP - 8}" x2="{at}" y2="{bottom}" stroke="{QUIET if k == 1 else GRID}"/>')
    for i, (net, found) in enumerate(times.items()):
        out += group(TOP + i * step, net, found, names)
    out.append(text(24, height - 12, machine, 11))
    return "\n".join([*out, "</svg>", ""])
