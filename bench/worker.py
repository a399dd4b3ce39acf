"""One contestant in a process of its own: reads lines from stdin, answers each with a line of JSON.

    python bench/worker.py by_hand|module|keras DIRECTORY NET   -> {"seconds": .., "processor": ..} a step
    python bench/worker.py opens FILE                               (once)    -> {"seconds": .., "peak": bytes}

TensorFlow or torch under Keras is chosen by KERAS_BACKEND, as always.
"""

from __future__ import annotations

import json
import os
import pathlib
import resource
import sys
import time
from collections.abc import Callable

import numpy as np
from nets import NETS

THREADS = int(os.environ.get("MIDSTREAM_BENCH_THREADS", "2"))


def torch_loop(model, name: str, directory: pathlib.Path) -> Callable[[], int]:
    import torch
    from torch.nn import functional as F

    torch.set_num_threads(THREADS)
    data = np.load(directory / f"{name}.npz")
    x, y = torch.from_numpy(data["x"]), torch.from_numpy(data["y"]).long()
    batch = NETS[name].batch
    optimizer = torch.optim.Adam(model.parameters(), 1e-3, eps=1e-7, fused=True)
    model.train()

    def epoch() -> int:
        total = 0.0
        for i in range(0, len(x), batch):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x[i : i + batch]), y[i : i + batch])
            loss.backward()
            optimizer.step()
            total += loss.item()  # as fit reports it
        return len(x) // batch

    return epoch


def by_hand(name: str, directory: pathlib.Path) -> Callable[[], int]:
    import by_hand

    return torch_loop(by_hand.build(name), name, directory)


def module(name: str, directory: pathlib.Path) -> Callable[[], int]:
    import midstream

    return torch_loop(midstream.load(directory / f"{name}.keras"), name, directory)


def keras_fit(name: str, directory: pathlib.Path) -> Callable[[], int]:
    if os.environ["KERAS_BACKEND"] == "tensorflow":
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    else:
        import torch

        torch.set_num_threads(THREADS)
    import keras

    model = keras.models.load_model(directory / f"{name}.keras")
    data = np.load(directory / f"{name}.npz")
    x, y = data["x"], data["y"]
    batch = NETS[name].batch

    def epoch() -> int:
        model.fit(x, y, batch_size=batch, shuffle=False, verbose=0)
        return len(x) // batch

    return epoch


def answer(value: dict) -> None:
    print(json.dumps(value), flush=True)


def serve(epoch: Callable[[], int]) -> None:
    epoch()  # traces, compiles, allocates
    answer({"ready": True})
    for _ in sys.stdin:
        start, processor = time.perf_counter(), time.process_time()
        steps = epoch()
        processor = time.process_time() - processor
        answer({"seconds": (time.perf_counter() - start) / steps, "processor": processor / steps})


def opens(path: str) -> None:
    """Keras on torch opens a file; importing is not counted."""
    import keras
    import torch

    torch.set_num_threads(THREADS)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    keras.models.load_model(path)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    answer({"seconds": seconds, "peak": peak * 1024, "before": before * 1024})


def main(kind: str, *more: str) -> None:
    if kind == "opens":
        return opens(*more)
    directory, name = pathlib.Path(more[0]), more[1]
    make = {"by_hand": by_hand, "module": module, "keras": keras_fit}[kind]
    return serve(make(name, directory))


if __name__ == "__main__":
    main(*sys.argv[1:])
