"""What midstream makes of a folder of model files: each opened, run, trained 3 steps, written back, converted.

    tools/corpus.py DIRECTORY            prints a line for each file, and totals
    tools/corpus.py DIRECTORY --json F   writes the table as JSON too

Data are random. A file counts as opened only when its outputs are finite, as written only when the file written is read
again with the step it should have. Every file gets a process of its own, so that one which crashes or hangs is a line
of the table.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import pathlib
import pickle
import select
import signal
import sys
import tempfile
import time
import traceback

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(pathlib.Path(os.environ.get("MIDSTREAM_BUILD", ROOT / "build")) / "python"))

import midstream  # noqa: E402
import torch  # noqa: E402
from midstream import _core  # noqa: E402

STAGES = ("opened", "trained", "written", "converted")
BATCH, UNKNOWN = 2, 8


def model_files(folder: pathlib.Path):
    """Keras files, SavedModel directories, frozen graphs and checkpoints."""
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".keras", ".h5", ".hdf5") and "inputs_and_outputs" not in path.name:
            yield "Keras", path
        elif path.name in ("saved_model.pb", "saved_model.pbtxt"):
            yield "SavedModel", path.parent
        elif path.suffix == ".pb" and path.parent.name != "assets":
            yield "GraphDef", path
        elif path.suffix == ".meta":
            yield "checkpoint", path.with_suffix("")


def random_input(shape, dtype, largest):
    shape = [BATCH if i == 0 else UNKNOWN if d is None or d < 0 else d for i, d in enumerate(shape)]
    rng = np.random.default_rng(0)
    if dtype.startswith(("int", "uint")):
        return torch.from_numpy(rng.integers(0, largest, shape)).to(getattr(torch, dtype))
    if dtype == "bool":
        return torch.ones(shape, dtype=torch.bool)
    return torch.from_numpy(rng.standard_normal(shape)).to(getattr(torch, dtype))


def configuration_beside(path: pathlib.Path) -> str:
    """"x_config.json" for "x_weights.h5"."""
    beside = path.with_name(path.name.replace("_weights.h5", "_config.json").replace("_weights.h5", ".json"))
    return str(beside) if beside != path and beside.exists() else ""


def keras_file(path: pathlib.Path, folder: pathlib.Path) -> list[str]:
    """The stages that it went through; an error ends them."""
    from midstream import _run

    done: list[str] = []
    architecture = configuration_beside(path)
    program = _core.open(str(path), architecture=architecture)
    found = midstream.inspect(path, architecture=architecture)
    x = [random_input(p["shape"], p["dtype"], 2) for p in found["inputs"]]  # indices: every table has two rows
    try:
        y = program.forward(x)
    except midstream.BadDataError:  # indices as float32, as old files have them
        x = [(v > 1).to(v.dtype) for v in x]
        y = program.forward(x)
    assert all(torch.isfinite(v).all() for v in y if v.is_floating_point()), "the outputs are not finite"
    done.append("opened")
    if found.get("optimizer") is not None:
        run = midstream.resume(path)
        losses = [loss["class_name"] if loss else "" for loss in found["losses"]]
        targets = []
        for v, loss in zip(run.core.predict(x, BATCH), losses, strict=True):
            if loss.startswith("Sparse"):
                targets.append(torch.zeros(v.shape[:-1], dtype=torch.int64))
            else:
                targets.append(torch.softmax(torch.randn(v.shape, dtype=v.dtype), -1) if v.dim() else v)
        before = run.step
        for _ in range(3):
            run.core.reset_metrics()
            run.train_step(_run.tensors(x), targets)
        done.append("trained")
        with tempfile.TemporaryDirectory() as written:
            to = pathlib.Path(written) / f"out{path.suffix if path.suffix != '.hdf5' else '.h5'}"
            midstream.save(run, to)
            again = midstream.resume(to)
            assert again.step in (before + 3, 0), f"step {again.step} in the file written, {before + 3} wanted"
        done.append("written")
    model = midstream.load(path, architecture=architecture)
    ours = model(*x)
    for a, b in zip(_run.tensors(ours if not isinstance(ours, dict) else list(ours.values())), y, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    done.append("converted")
    return done


def graph_file(path: pathlib.Path, folder: pathlib.Path) -> list[str]:
    _core.open(str(path))
    done = ["opened"]
    midstream.load(path)
    return [*done, "converted"]


def in_a_process(work, path, folder, limit):
    """(stages, error text) of work(path) in a fork, which may crash or hang."""
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(r)
        stages, error = [], ""
        try:
            torch.set_num_threads(1)
            stages = work(path, folder)
        except BaseException as e:  # noqa: BLE001  (the table has it)
            error = f"{type(e).__name__}: {e}"
            if not isinstance(e, (midstream.Error, AssertionError)):
                error += " | " + traceback.format_exc().splitlines()[-2].strip()
        with os.fdopen(w, "wb") as out:
            pickle.dump((stages, error), out)
        os._exit(0)
    os.close(w)
    with os.fdopen(r, "rb") as answer:
        ready, _, _ = select.select([answer], [], [], limit)
        data = answer.read() if ready else b""
    if not ready:
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    if data:
        return pickle.loads(data)
    return [], f"took more than {limit} s" if not ready else f"CRASH: {os.waitstatus_to_exitcode(status)}"


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("directory", type=pathlib.Path)
    arguments.add_argument("--json", type=pathlib.Path)
    arguments.add_argument("--kind", choices=("Keras", "SavedModel", "GraphDef", "checkpoint"))
    arguments.add_argument("--limit", type=float, default=120, help="seconds for a file")
    options = arguments.parse_args()
    table = []
    for kind, path in model_files(options.directory):
        if options.kind and kind != options.kind:
            continue
        start = time.monotonic()
        stages, error = in_a_process(keras_file if kind == "Keras" else graph_file, path, options.directory, options.limit)
        name = str(path.relative_to(options.directory))
        error = error.replace(f"{options.directory}/", "")
        refused = error.startswith(("UnsupportedError", "BadFileError", "MismatchError", "UsageError"))
        table.append({"kind": kind, "file": name, "stages": stages, "error": error, "refused": refused})
        print(f"{time.monotonic() - start:5.1f} s  {kind:10} {name}  {' '.join(stages) or '-'}", flush=True)
        if error:
            print(f"         {'refused' if refused else 'FAILED'}: {error[:600]}", flush=True)
    print()
    for kind in sorted({row["kind"] for row in table}):
        rows = [row for row in table if row["kind"] == kind]
        counts = collections.Counter(stage for row in rows for stage in row["stages"])
        parts = [f"{stage} {counts[stage]}" for stage in STAGES if counts[stage]]
        failed = sum(bool(row["error"]) and not row["refused"] for row in rows)
        print(f"{kind:10} {len(rows)} files: {', '.join(parts)}; refused {sum(r['refused'] for r in rows)}, failed {failed}")
    if options.json:
        options.json.write_text(json.dumps(table, indent=1) + "\n")
    return 1 if any(row["error"] and not row["refused"] for row in table) else 0


if __name__ == "__main__":
    sys.exit(main())
