"""What of the public API of the installed Keras and tf_keras has a lowering, and what a test names.

    tools/coverage.py           prints the table
    tools/coverage.py --write   writes docs/coverage.md
    tools/coverage.py --check   fails where a name of docs/coverage.md has fallen back

The names come from walking the packages, the lowerings from `midstream ops`, the tests from the sources under tests/.
"""

from __future__ import annotations

import argparse
import inspect
import os
import pathlib
import re
import subprocess
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
ROOT = pathlib.Path(__file__).resolve().parents[1]
TABLE = ROOT / "docs" / "coverage.md"

# Not in any file as such, or nothing that could be computed elsewhere.
BASES = {
    "layers": {"Layer", "Wrapper", "InputSpec", "AbstractRNNCell"},
    "losses": {"Loss", "Reduction"},
    "metrics": {"Metric", "MeanMetricWrapper"},
    "optimizers": {"Optimizer", "OptimizerMap"},
    "schedules": {"LearningRateSchedule"},
    "regularizers": {"Regularizer"},
    "constraints": {"Constraint"},
}
EXCEPTIONS = {
    "FlaxLayer": "holds a Python function of another framework",
    "JaxLayer": "holds a Python function of another framework",
    "TorchModuleWrapper": "holds a pickled PyTorch module",
}
STATES = ("named in a test", "lowering, no test", "missing", "exception")


def lowerings(program: str) -> dict[str, set[str]]:
    out: dict[str, set[str]] = {}
    listing = subprocess.run([program, "ops", "--frontend", "keras"], capture_output=True, text=True, check=True)
    for line in listing.stdout.splitlines():
        if not line.startswith(" "):
            kind = line.split(" ")[0].removeprefix("keras.").removeprefix("optimizers.")
            out[kind] = set()
        else:
            out[kind].add(line.strip())
    # What the front end takes apart by itself.
    out["layers"] |= {"InputLayer"}
    out["activations"] |= {"swish", "hard_swish"}
    return out


def public(module, base) -> dict[str, str]:
    """Class -> the name that files have; aliases (Convolution2D) are the same class."""
    out = {}
    for _, cls in inspect.getmembers(module, inspect.isclass):
        if issubclass(cls, base):
            out[cls.__name__] = cls.__name__
    return out


def kinds(k):
    schedules = k.optimizers.schedules
    return {
        "layers": (k.layers, k.layers.Layer),
        "losses": (k.losses, k.losses.Loss),
        "metrics": (k.metrics, k.metrics.Metric),
        "optimizers": (k.optimizers, k.optimizers.Optimizer),
        "schedules": (schedules, schedules.LearningRateSchedule),
        "regularizers": (k.regularizers, k.regularizers.Regularizer),
        "constraints": (k.constraints, k.constraints.Constraint),
    }


def tested_names() -> set[str]:
    words: set[str] = set()
    for path in (ROOT / "tests").rglob("*.py"):
        text = path.read_text()
        words |= set(re.findall(r"[A-Z][A-Za-z0-9]+", text)) | set(re.findall(r"[a-z][a-z0-9_]+", text))
    return words


def rows(program: str) -> list[tuple[str, str, str, str]]:
    """(package, kind, name, state), sorted."""
    import keras
    import tf_keras

    known, tested = lowerings(program), tested_names()
    out = []
    for package in (keras, tf_keras):
        for kind, (module, base) in kinds(package).items():
            for name in public(module, base):
                if name in BASES[kind]:
                    continue
                if name in EXCEPTIONS:
                    state = "exception"
                elif name not in known[kind]:
                    state = "missing"
                else:
                    state = "named in a test" if name in tested else "lowering, no test"
                out.append((package.__name__, kind, name, state))
        for name, function in inspect.getmembers(package.activations, inspect.isfunction):
            if name in ("get", "serialize", "deserialize", "serialize_keras_object", "deserialize_keras_object"):
                continue
            names = {name, function.__name__}
            state = "missing"
            if names & known["activations"]:
                state = "named in a test" if names & tested else "lowering, no test"
            out.append((package.__name__, "activations", name, state))
    return sorted(set(out))


def text_of(table: list[tuple[str, str, str, str]]) -> str:
    lines = [
        "# Coverage",
        "",
        "Made by `make coverage` from the public API of the installed packages. A name is *named in a test*",
        "where a test of this repository names it, *lowering, no test* where it computes but no test names it, and",
        "*missing* where a file with it is refused by name.",
        "",
        "| package | kind | " + " | ".join(STATES) + " |",
        "|---|---|" + "---|" * len(STATES),
    ]
    groups = sorted({(p, k) for p, k, _, _ in table})
    for package, kind in groups:
        counts = [sum(1 for row in table if row[:2] == (package, kind) and row[3] == s) for s in STATES]
        lines.append(f"| {package} | {kind} | " + " | ".join(map(str, counts)) + " |")
    for state in STATES[1:3]:
        lines += ["", f"## {state.capitalize()}", ""]
        for package, kind in groups:
            names = [row[2] for row in table if row[:2] == (package, kind) and row[3] == state]
            if names:
                lines.append(f"- {package}.{kind}: {', '.join(names)}")
    lines += ["", "## Exceptions", ""] + [f"- {name}: {why}" for name, why in sorted(EXCEPTIONS.items())]
    return "\n".join(lines) + "\n"


def fallen_back(table: list[tuple[str, str, str, str]], recorded: str) -> list[str]:
    """Names that are missing now and were not in the recorded table."""
    section = recorded.split("\n## Missing\n", 1)[-1].split("\n## ", 1)[0]
    missing = set()
    for line in section.splitlines():
        if line.startswith("- "):
            group, names = line[2:].split(": ", 1)
            missing |= {f"{group}: {name}" for name in names.split(", ")}
    return [f"{p}.{k}: {n}" for p, k, n, s in table if s == "missing" and f"{p}.{k}: {n}" not in missing]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--midstream", default=str(ROOT / "build" / "midstream"))
    arguments = parser.parse_args()
    table = rows(arguments.midstream)
    if arguments.check:
        lost = fallen_back(table, TABLE.read_text())
        for name in lost:
            print(f"coverage: {name} has fallen back to missing")
        return 1 if lost else 0
    if arguments.write:
        TABLE.write_text(text_of(table))
    print(text_of(table))
    return 0


if __name__ == "__main__":
    sys.exit(main())
