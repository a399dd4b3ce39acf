"""TensorFlow files run by TensorFlow and by midstream, compared in forward and all gradients.

def test_tanh():
    same_as_tf(lambda x: tf.tanh(x), normal(3, 4))
"""

from __future__ import annotations

import pathlib
import tempfile

import numpy as np

from helpers.compare import Comparison, as_array
from helpers.oracle import tf

TOLERANCE = 1e-12


def run(path, inputs: dict, weights: dict | None = None, *, training: bool = False, **which) -> dict[str, np.ndarray]:
    """The outputs of a TensorFlow file by name, its gradients as "gradient:<input or variable>", and after a training
    run its variables as "variable:<name>".

    weights    by output name: sum(output * weight) is what is differentiated
    which      signature or function
    """
    import torch
    from midstream import _core

    model = _core.open(str(path), **which)
    xs = {}
    for name in model.input_names():
        xs[name] = torch.tensor(np.array(inputs[name]))
        if xs[name].is_floating_point():
            xs[name].requires_grad_(True)
    outputs = dict(zip(model.output_names(), model.forward(list(xs.values()), training)))
    results = {name: as_array(y) for name, y in outputs.items()}
    terms = [
        (outputs[name] * torch.tensor(w)).sum() for name, w in (weights or {}).items() if outputs[name].requires_grad
    ]
    variables = {**model.parameters(), **model.state()}
    if terms:
        sum(terms).backward()
        for name, x in xs.items():
            if x.grad is not None:
                results[f"gradient:{name}"] = as_array(x.grad)
        for name, v in variables.items():
            if v.grad is not None:
                results[f"gradient:{name}"] = as_array(model.to_source(name, v.grad))
    if training:
        for name, v in variables.items():
            results[f"variable:{name}"] = as_array(model.to_source(name, v))
    return results


def normal(*shape, dtype="float64", seed=0):
    return np.random.default_rng(seed + sum(shape)).normal(size=shape).astype(dtype)


def weights_for(outputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What every float output is multiplied with before it is summed and differentiated."""
    rng = np.random.default_rng(1)
    return {
        k: rng.normal(size=np.shape(v)).astype(v.dtype) for k, v in outputs.items() if np.asarray(v).dtype.kind == "f"
    }


def same_as_tf(function, *arrays, tol: float = TOLERANCE, dynamic: bool | None = None, gradient: bool = True) -> None:
    """function(*tensors) -> tensor, or a list of them; as a graph of known sizes and (`dynamic` None: both) with an unknown
    batch: the first axis of the first array, and of those that share it."""
    for unknown in (False, True) if dynamic is None else (dynamic,):
        _compare(function, arrays, unknown, tol, gradient)


def _compare(function, arrays, unknown: bool, tol: float, gradient: bool) -> None:
    arrays = [np.asarray(a) for a in arrays]
    batch = arrays[0].shape[:1]
    shapes = [[None, *a.shape[1:]] if unknown and batch and a.shape[:1] == batch else a.shape for a in arrays]
    specs = [tf.TensorSpec(shape, a.dtype, name=f"x{i}") for i, (shape, a) in enumerate(zip(shapes, arrays))]

    def flat(*xs):
        y = function(*xs)
        return list(y) if isinstance(y, (list, tuple)) else [y]

    concrete = tf.function(flat).get_concrete_function(*specs)
    names = [t.op.name for t in concrete.outputs]
    xs = [tf.constant(a) for a in arrays]
    watched = [x for x in xs if x.dtype.is_floating]
    with tf.GradientTape() as tape:
        for x in watched:
            tape.watch(x)
        theirs = dict(zip(names, flat(*xs)))
        weights = weights_for({k: y.numpy() for k, y in theirs.items()}) if gradient else {}
        total = sum(tf.reduce_sum(theirs[k] * tf.constant(w)) for k, w in weights.items())
    gradients = iter(tape.gradient(total, watched) if watched and weights else [])
    with tempfile.TemporaryDirectory() as directory:
        path = pathlib.Path(directory) / "graph.pb"
        path.write_bytes(concrete.graph.as_graph_def().SerializeToString())
        ours = run(path, {f"x{i}": a for i, a in enumerate(arrays)}, weights)
    close = Comparison(tol)
    for name, y in theirs.items():
        assert name in ours, f"no output {name} among {sorted(ours)}"
        assert ours[name].dtype == y.numpy().dtype, f"{name} is {ours[name].dtype}, expected {y.numpy().dtype}"
        close.check(name, ours[name], y.numpy())
    for i, x in enumerate(xs):
        if not x.dtype.is_floating or not weights:
            continue
        wanted, given = next(gradients), ours.get(f"gradient:x{i}")
        if wanted is None:
            assert given is None or not np.any(given), f"gradient of x{i}: TensorFlow has none"
            continue
        close.check(f"gradient of x{i}", np.zeros(x.shape) if given is None else given, tf.convert_to_tensor(wanted))
    close.done()
