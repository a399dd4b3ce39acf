"""`make demo`: TensorFlow trained digits.keras for three epochs and stopped; midstream goes on, without TensorFlow.

Runs `midstream inspect` and `midstream train`, sets the loss of every epoch beside the one that TensorFlow's own
continuation had (truth.json), and draws both into OUTPUT/digits.svg. Needs nothing but Python.
"""

from __future__ import annotations

import argparse
import json
import math
import pathlib
import shlex
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
QUANTITIES = ("loss", "accuracy", "val_loss", "val_accuracy")


def run(command: list[str | pathlib.Path]) -> None:
    shown = [shorter(part) for part in command]
    print(f"\n$ {shlex.join(shown)}", flush=True)
    code = subprocess.run([str(part) for part in command]).returncode
    if code:
        raise SystemExit(f"demo: {shown[0]} {shown[1]} ended with exit code {code}.")


def shorter(path: str | pathlib.Path) -> str:
    """A path as one would type it from here."""
    if isinstance(path, pathlib.Path) and path.is_relative_to(pathlib.Path.cwd()):
        return str(path.relative_to(pathlib.Path.cwd()))
    return str(path)


def table(truth: dict, history: dict) -> tuple[str, float]:
    """The two histories side by side, and the largest difference of any quantity."""
    first = len(truth["before"]["loss"]) + 1
    lines = [
        "              loss                            validation loss                 accuracy on validation",
        "  epoch   TensorFlow   midstream    differ    TensorFlow   midstream    differ    TensorFlow   midstream",
    ]
    worst = 0.0
    for i in range(len(truth["after"]["loss"])):
        row = f"  {first + i:5d}"
        for name in ("loss", "val_loss"):
            theirs, ours = truth["after"][name][i], history[name][i]
            row += f"   {theirs:10.7f}  {ours:10.7f}   {abs(theirs - ours):7.1e}"
        row += f"   {truth['after']['val_accuracy'][i]:10.4f}  {history['val_accuracy'][i]:10.4f}"
        lines.append(row)
        worst = max(worst, *(abs(truth["after"][name][i] - history[name][i]) for name in QUANTITIES))
    return "\n".join(lines), worst


# ---- the picture

INK, QUIET, GRID = "#1f2430", "#6b7280", "#e5e7eb"
TENSORFLOW, TENSORFLOW_VALIDATION, MIDSTREAM = "#f59e0b", "#fcd9a0", "#1d4ed8"


class Panel:
    """One set of axes: epochs across, a quantity upwards, from the lowest of `ticks` to the highest."""

    def __init__(
        self, left: float, top: float, width: float, height: float, epochs: int, ticks: list[float], log: bool
    ):
        self.left, self.top, self.width, self.height = left, top, width, height
        self.epochs, self.ticks, self.log = epochs, ticks, log
        self.out: list[str] = []

    def x(self, epoch: float) -> float:
        return self.left + (epoch - 0.5) / self.epochs * self.width

    def y(self, value: float) -> float:
        scale = math.log if self.log else float
        low, high = scale(self.ticks[0]), scale(self.ticks[-1])
        return self.top + self.height * (high - scale(max(value, self.ticks[0]))) / (high - low)

    def text(self, x: float, y: float, text: str, size=12, color=QUIET, anchor="middle", weight="normal") -> None:
        self.out.append(
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{color}" text-anchor="{anchor}" '
            f'font-weight="{weight}">{text}</text>'
        )

    def line(self, x1: float, y1: float, x2: float, y2: float, color=GRID, more="") -> None:
        self.out.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{color}" {more}/>')

    def axes(self, title: str, handover: float) -> None:
        right, bottom = self.left + self.width, self.top + self.height
        self.out.append(
            f'<rect x="{self.x(handover):.1f}" y="{self.top}" width="{right - self.x(handover):.1f}" '
            f'height="{self.height}" fill="#eff4ff"/>'
        )
        for value in self.ticks:
            self.line(self.left, self.y(value), right, self.y(value))
            self.text(self.left - 8, self.y(value) + 4, f"{value:g}", anchor="end")
        for epoch in range(1, self.epochs + 1):
            self.text(self.x(epoch), bottom + 18, str(epoch))
        self.line(self.x(handover), self.top, self.x(handover), bottom, QUIET, 'stroke-dasharray="4 4"')
        self.line(self.left, bottom, right, bottom, QUIET)
        self.text(self.left + self.width / 2, bottom + 38, "epoch")
        self.text(self.left, self.top - 14, title, size=15, color=INK, anchor="start", weight="600")

    def curve(self, first: int, values: list[float], color: str, width: float, dots=False, dash="") -> None:
        points = [(self.x(first + i), self.y(v)) for i, v in enumerate(values)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        style = f'stroke-dasharray="{dash}"' if dash else ""
        self.out.append(
            f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="{width}" '
            f'stroke-linejoin="round" stroke-linecap="round" {style}/>'
        )
        if dots:
            self.out += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.2" fill="{color}"/>' for x, y in points]


def axis_ticks(values: list[float], log: bool) -> list[float]:
    """Round numbers around the values: 1-2-5 steps on a logarithmic axis, tenths up to 1 on the other."""
    if not log:
        return [i / 10 for i in range(int(min(values) * 10), 11)]
    steps = [m * 10.0**e for e in range(-8, 6) for m in (1, 2, 5)]
    low = max(i for i, s in enumerate(steps) if s <= min(values))
    high = min(i for i, s in enumerate(steps) if s >= max(values))
    return steps[low : high + 1]


def picture(truth: dict, history: dict, worst: float) -> str:
    before, after = truth["before"], truth["after"]
    done = len(before["loss"])
    epochs = done + len(after["loss"])
    ticks = {name: axis_ticks(before[name] + after[name] + before["val_" + name] + after["val_" + name], name == "loss")
             for name in ("loss", "accuracy")}  # fmt: skip
    panels = [
        (Panel(64, 84, 400, 270, epochs, ticks["loss"], log=True), "Loss (logarithmic)", "loss"),
        (Panel(540, 84, 400, 270, epochs, ticks["accuracy"], log=False), "Accuracy", "accuracy"),
    ]
    width, height = 980, 470
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="Inter, Helvetica Neue, Helvetica, Arial, DejaVu Sans, sans-serif">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
    ]
    for panel, title, quantity in panels:
        panel.axes(title, done + 0.5)
        for name, color, dash in (("val_" + quantity, TENSORFLOW_VALIDATION, "7 6"), (quantity, TENSORFLOW, "")):
            panel.curve(1, before[name] + after[name], color, 8)
            panel.curve(done + 1, history[name], MIDSTREAM, 2, dots=True, dash=dash)
        label = panel.top + (18 if panel.log else panel.height - 12)
        panel.text(panel.x(done + 0.5) - 8, label, "TensorFlow stops", anchor="end")
        panel.text(panel.x(done + 0.5) + 8, label, "midstream goes on", color=MIDSTREAM, anchor="start")
        out += panel.out
    legend = Panel(0, 0, 1, 1, 1, [0, 1], log=False)
    y = 428
    legend.line(64, y, 96, y, TENSORFLOW, 'stroke-width="8" stroke-linecap="round"')
    legend.text(108, y + 4, "TensorFlow", color=INK, anchor="start")
    legend.line(196, y, 228, y, TENSORFLOW_VALIDATION, 'stroke-width="8" stroke-linecap="round"')
    legend.text(240, y + 4, "on validation data", color=INK, anchor="start")
    legend.line(394, y, 426, y, MIDSTREAM, 'stroke-width="2"')
    legend.out.append(f'<circle cx="410" cy="{y}" r="3.2" fill="{MIDSTREAM}"/>')
    legend.text(436, y + 4, "midstream", color=INK, anchor="start")
    legend.line(520, y, 552, y, MIDSTREAM, 'stroke-width="2" stroke-dasharray="7 6"')
    legend.out.append(f'<circle cx="536" cy="{y}" r="3.2" fill="{MIDSTREAM}"/>')
    legend.text(562, y + 4, "on validation data", color=INK, anchor="start")
    legend.text(940, y + 4, f"largest difference {worst:.1e}", color=INK, anchor="end", weight="600")
    legend.text(64, 36, "digits.keras: the same training, continued in PyTorch", 18, INK, "start", "700")
    return "\n".join([*out, *legend.out, "</svg>", ""])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--midstream", type=pathlib.Path, default=ROOT / "build" / "midstream")
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "build" / "demo")
    arguments = parser.parse_args()
    midstream, output = arguments.midstream.absolute(), arguments.output.absolute()
    output.mkdir(parents=True, exist_ok=True)

    truth = json.loads((HERE / "truth.json").read_text())
    epochs = len(truth["after"]["loss"])
    run([midstream, "inspect", HERE / "digits.keras"])
    run(
        [
            *(midstream, "train", HERE / "digits.keras"),
            *("--data", HERE / "train.npz", "--validation", HERE / "test.npz"),
            *("--epochs", str(epochs), "--batch-size", str(truth["batch_size"]), "--no-shuffle"),
            *("-o", output / "digits.keras", "--history", output / "history.json"),
        ]
    )
    history = json.loads((output / "history.json").read_text())
    for name in QUANTITIES:
        if len(history.get(name, [])) != epochs:
            raise SystemExit(f"demo: history.json holds no {epochs} values of {name}.")

    text, worst = table(truth, history)
    versions = truth["written_by"]
    print(f"\nTensorFlow {versions['tensorflow']} (recorded) and midstream, from the same file, on the same batches:\n")
    print(text)
    print(f"\nThe largest difference of any number is {worst:.1e}.")
    (output / "digits.svg").write_text(picture(truth, history, worst))
    print(f"The curves: {shorter(output / 'digits.svg')}\nThe model, for Keras: {shorter(output / 'digits.keras')}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
