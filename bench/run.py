"""`make bench`: a training step, and opening big files, beside PyTorch by hand, TensorFlow and Keras on torch.

    bench/run.py [--only mlp,resnet,open] [--rounds N] [--quick] [--results DIRECTORY]

Every contestant is a process of its own. They take turns, one epoch each, round after round, so that what else the
machine does hits all of them alike; a number is the median of its rounds, a ratio the median of the rounds' ratios. The
networks' files are made by Keras in a temporary directory. Writes results.md and results.svg.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.metadata
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(HERE))

from nets import NETS, OPENED  # noqa: E402
from picture import picture  # noqa: E402

THREADS = os.environ.get("MIDSTREAM_BENCH_THREADS", "2")
CONTESTANTS = {
    "midstream": "midstream train",
    "module": "midstream.load",
    "by_hand": "PyTorch by hand",
    "tensorflow": "TensorFlow fit",
    "keras_torch": "Keras on torch fit",
}
# (ours, theirs, at most, nets)
GOALS = [
    ("midstream", "by_hand", 1.05, ("lstm", "transformer", "mobilenet", "resnet")),
    ("midstream", "by_hand", 0.7, ("mlp",)),
    ("midstream", "tensorflow", 0.8, tuple(NETS)),
]


@dataclasses.dataclass
class Bench:
    build: pathlib.Path
    files: pathlib.Path
    shared: bool  # others work on this machine

    @property
    def program(self) -> pathlib.Path:
        return self.build / "bench" / "midstream_bench"

    def environment(self, backend: str = "torch") -> dict[str, str]:
        path = os.pathsep.join([str(self.build / "python"), str(HERE)])
        return {
            **os.environ,
            "MIDSTREAM_BENCH_THREADS": THREADS,
            "OMP_NUM_THREADS": THREADS,
            "MKL_NUM_THREADS": THREADS,
            # Threads that spin at barriers wait for others' time slices where cores are few and busy.
            **({"OMP_WAIT_POLICY": "passive"} if self.shared else {}),
            "KERAS_BACKEND": backend,
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "CUDA_VISIBLE_DEVICES": "",
            "PYTHONPATH": path,
        }

    def python(self, *arguments: str | pathlib.Path) -> list[str]:
        return [sys.executable, *map(str, arguments)]

    def make(self, names: list[str]) -> None:
        command = self.python(HERE / "nets.py", self.files, *names)
        done = subprocess.run(command, env=self.environment("tensorflow"), capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"bench: making the networks failed:\n{done.stderr[-2000:]}")

    def command(self, contestant: str, net: str) -> tuple[list[str], str]:
        if contestant == "midstream":
            files = [self.files / f"{net}.keras", self.files / f"{net}.npz"]
            return [str(self.program), "train", *map(str, files), str(NETS[net].batch)], "torch"
        kind = contestant if contestant in ("module", "by_hand") else "keras"
        backend = "tensorflow" if contestant == "tensorflow" else "torch"
        return self.python(HERE / "worker.py", kind, self.files, net), backend


class Contestant:
    """A process that runs one epoch whenever it is told to."""

    def __init__(self, bench: Bench, name: str, net: str):
        command, backend = bench.command(name, net)
        self.name = name
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self.process = subprocess.Popen(
            command,
            env=bench.environment(backend),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
        )

    def answer(self) -> dict:
        line = self.process.stdout.readline()
        if not line:
            self.errors.seek(0)
            raise SystemExit(f"bench: {self.name} ended:\n{self.errors.read()[-2000:]}")
        return json.loads(line)

    def epoch(self) -> dict[str, float]:
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return self.answer()

    def stop(self) -> None:
        self.process.stdin.close()
        self.process.wait()


Times = dict[str, list[float]]  # of each contestant, seconds for one step in each round


def measure(bench: Bench, net: str, contestants: list[str], rounds: int) -> tuple[Times, Times]:
    """Elapsed time, and the processors' time."""
    processes = [Contestant(bench, name, net) for name in contestants]
    for process in processes:  # they get ready side by side
        process.answer()
    times: Times = {name: [] for name in contestants}
    processor: Times = {name: [] for name in contestants}
    for _ in range(rounds):
        for process in processes:
            found = process.epoch()
            times[process.name].append(found["seconds"])
            processor[process.name].append(found["processor"])
    for process in processes:
        process.stop()
    return times, processor


def ratio(times: Times, ours: str, theirs: str) -> float:
    return statistics.median(a / b for a, b in zip(times[ours], times[theirs], strict=True))


def opening(bench: Bench, name: str, rounds: int) -> dict[str, dict[str, float]]:
    path = str(bench.files / f"{name}.keras")
    ways = {
        "read": [str(bench.program), "read", path],
        "open": [str(bench.program), "open", path],
        "keras": bench.python(HERE / "worker.py", "opens", path),
    }
    found: dict[str, list[dict]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, command in ways.items():
            done = subprocess.run(command, env=bench.environment(), capture_output=True, text=True)
            if done.returncode:
                raise SystemExit(f"bench: {way} {name} failed:\n{done.stderr[-2000:]}")
            found[way].append(json.loads(done.stdout))
    out = {way: {k: statistics.median(f[k] for f in all_) for k in all_[0]} for way, all_ in found.items()}
    out["read"]["size"] = pathlib.Path(path).stat().st_size
    return out


# ---- what is said about it


def step_table(times: dict[str, Times], what: str = "one training step, ms") -> str:
    lines = [
        f"| {what} | " + " | ".join(CONTESTANTS.values()) + " | train / by hand | train / TensorFlow |",
        "|---|" + "--:|" * (len(CONTESTANTS) + 2),
    ]
    for net, found in times.items():
        cells = [f"{1e3 * statistics.median(found[c]):.2f}" if c in found else "-" for c in CONTESTANTS]
        cells += [f"{ratio(found, 'midstream', c):.2f}" if c in found else "-" for c in ("by_hand", "tensorflow")]
        lines.append(f"| {NETS[net].title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def goal_table(times: dict[str, Times]) -> str:
    lines = ["| goal | at most | found | |", "|---|--:|--:|---|"]
    for ours, theirs, most, nets in GOALS:
        for net in nets:
            if net not in times or theirs not in times[net]:
                continue
            found = ratio(times[net], ours, theirs)
            what = f"{net}: {CONTESTANTS[ours]} / {CONTESTANTS[theirs]}"
            lines.append(f"| {what} | {most} | {found:.2f} | {'reached' if found <= most else 'missed'} |")
    return "\n".join(lines)


def open_table(opened: dict[str, dict]) -> str:
    lines = [
        "| opening | size | reading the bytes | midstream | and touching every byte | Keras on torch |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for name, found in opened.items():
        read, ours, keras = found["read"], found["open"], found["keras"]

        def grown(way: dict, peak: str = "peak") -> str:
            return f"{(way[peak] - way['before']) / 1e6:.0f} MB"

        lines.append(
            f"| {OPENED[name]} | {read['size'] / 1e6:.0f} MB | {read['seconds']:.2f} s, {grown(read)} "
            f"| {ours['seconds']:.2f} s, {grown(ours)} | {ours['touched']:.2f} s, {grown(ours, 'peak_touched')} "
            f"| {keras['seconds']:.2f} s, {grown(keras)} |"
        )
    return "\n".join(lines)


def machine() -> str:
    model = platform.processor() or platform.machine()
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    packages = ", ".join(f"{p} {importlib.metadata.version(p)}" for p in ("torch", "tensorflow", "keras"))
    return f"{model}, {os.cpu_count()} cores, {THREADS} threads each; {packages}; Python {platform.python_version()}"


def report(times: dict, processor: dict, opened: dict, rounds: int, shared: bool) -> str:
    parts = [f"{machine()}. Medians of {rounds} rounds, in which all take turns."]
    if shared:
        load = ", ".join(f"{x:.1f}" for x in os.getloadavg())
        parts.append(
            f"Others worked on the machine meanwhile (load {load}): read the ratios, and the processors' time."
        )
    if times:
        parts += [step_table(times), goal_table(times)]
        parts += [
            "The same in processor time, all threads together:",
            step_table(processor, "one training step, CPU ms"),
        ]
    if opened:
        parts += [
            open_table(opened),
            "Memory is the growth of the peak resident size while opening; imports before it do not count.",
        ]
    return "\n\n".join(parts) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join([*NETS, "open"]), help="nets and `open`, separated by commas")
    parser.add_argument("--contestants", default=",".join(CONTESTANTS))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="two rounds, without VGG16")
    parser.add_argument(
        "--shared-machine", action="store_true", help="others work on this machine: threads do not spin"
    )
    parser.add_argument("--results", type=pathlib.Path, default=HERE / "results")
    parser.add_argument(
        "--files", type=pathlib.Path, help="keep the networks' files here, and use those that are there"
    )
    arguments = parser.parse_args()
    build = pathlib.Path(os.environ.get("MIDSTREAM_BUILD", ROOT / "build")).resolve()
    only = arguments.only.split(",")
    rounds = 2 if arguments.quick else arguments.rounds
    nets = [n for n in NETS if n in only]
    opened_names = [n for n in OPENED if not (arguments.quick and n == "vgg")] if "open" in only else []
    with tempfile.TemporaryDirectory(prefix="midstream-bench-") as directory:
        bench = Bench(
            build, arguments.files.resolve() if arguments.files else pathlib.Path(directory), arguments.shared_machine
        )
        bench.files.mkdir(parents=True, exist_ok=True)
        missing = [n for n in dict.fromkeys(nets + opened_names) if not (bench.files / f"{n}.keras").exists()]
        if missing:
            bench.make(missing)
        times, processor = {}, {}
        for net in nets:
            times[net], processor[net] = measure(bench, net, arguments.contestants.split(","), rounds)
            print(step_table({net: times[net]}).splitlines()[-1], flush=True)
        opened = {name: opening(bench, name, min(rounds, 3)) for name in opened_names}
    text = report(times, processor, opened, rounds, arguments.shared_machine)
    print("\n" + text)
    arguments.results.mkdir(parents=True, exist_ok=True)
    (arguments.results / "results.md").write_text(text)
    if times:
        (arguments.results / "results.svg").write_text(picture(times, CONTESTANTS, machine()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
