"""Comparing the printed source with Keras: the same outputs, and still the same after a step of training.

One plain SGD step in both frameworks, then the outputs again: that agrees only if every gradient (a module that trains
differently would show) and every statistic that training updates agrees.
"""

from __future__ import annotations

import importlib.util
import pathlib
import sys
from collections.abc import Callable, Sequence
from types import ModuleType

import numpy as np
import torch
from helpers.compare import relative_error
from helpers.layers import make_inputs, randomize_weights, save, structure_like
from helpers.oracle import floatx, keras, load_model, tf

RATE = 0.05


def load_source(directory: pathlib.Path, name: str = "emitted_model") -> ModuleType:
    """directory/model.py as a module of that name, so that pickle finds its classes."""
    spec = importlib.util.spec_from_file_location(name, directory / "model.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def flat(outputs) -> list[torch.Tensor]:
    return list(outputs) if isinstance(outputs, tuple) else [outputs]


def keras_step(model, inputs: Sequence[np.ndarray], cotangents: list[np.ndarray]) -> None:
    fed = [tf.convert_to_tensor(x) for x in inputs]
    with tf.GradientTape() as tape:
        outputs = tf.nest.flatten(model(structure_like(model, fed), training=True))
        loss = tf.add_n([tf.reduce_sum(y * c) for y, c in zip(outputs, cotangents, strict=True)])
    variables = list(model.trainable_variables)
    values = [v.value if hasattr(v, "path") else v for v in variables]
    for v, g in zip(variables, tape.gradient(loss, values), strict=True):
        if g is not None:
            v.assign(v - RATE * tf.convert_to_tensor(g))


def torch_step(model: torch.nn.Module, inputs: list[torch.Tensor], cotangents: list[np.ndarray]) -> None:
    model.train()
    loss = sum((y * torch.from_numpy(c)).sum() for y, c in zip(flat(model(*inputs)), cotangents, strict=True))
    parameters = [p for p in model.parameters() if p.requires_grad]
    if parameters:
        loss.backward()
        torch.optim.SGD(parameters, lr=RATE).step()
    model.eval()


def same_as_keras(
    midstream: Callable,
    directory: pathlib.Path,
    build: Callable,
    *,
    module=keras,
    inputs: Sequence[np.ndarray] | None = None,
    step: bool = True,
    tol: float = 1e-10,
    batch: int = 3,
    length: int = 5,
) -> ModuleType:
    """Fails unless the source printed for the model that build(module) makes computes and trains as Keras."""
    rng = np.random.default_rng(0)
    path = directory / "model.keras"
    with floatx("float64"):
        module.utils.set_random_seed(0)
        original = build(module)
        randomize_weights(original, rng)
        save(original, path)
        midstream("convert", path, "-o", directory / "out")
        emitted = load_source(directory / "out")
        ours = emitted.load().eval()
        theirs = load_model(module, path)
        given = list(inputs) if inputs is not None else make_inputs(original, rng, batch, length)
        tensors = [torch.from_numpy(np.ascontiguousarray(x)) for x in given]

        def compare(when: str) -> None:
            with torch.no_grad():
                mine = flat(ours(*tensors))
            fed = structure_like(theirs, [tf.convert_to_tensor(x) for x in given])
            expected = tf.nest.flatten(theirs(fed, training=False))
            for i, (a, b) in enumerate(zip(mine, expected, strict=True)):
                error = relative_error(a, b)
                assert error <= tol, f"output {i} {when}: relative error {error:.2e}\n{emitted_text(directory)}"

        compare("as loaded")
        if step:
            sizes = [y.shape for y in flat(ours(*tensors))]
            cotangents = [rng.normal(size=tuple(s)) / np.sqrt(np.prod(s)) for s in sizes]
            keras_step(theirs, given, cotangents)
            torch_step(ours, tensors, cotangents)
            compare("after a step of training")
    return emitted


def emitted_text(directory: pathlib.Path) -> str:
    return (directory / "out" / "model.py").read_text()
