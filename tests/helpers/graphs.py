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


def run(
    path, inputs: dict, weights: dict | None = None, *, training: bool = False, packed: bool = False, **which
) -> dict[str, np.ndarray]:
    """The outputs of a TensorFlow file by name, its gradients as "gradient:<input or variable>", and after a training
    run its variables as "variable:<name>".

    weights    by output name: sum(output * weight) is what is differentiated
    packed     weights in PyTorch's own memory order instead of the file's: which kernel computes a product, and in
               which order it adds, depends on that
    which      signature, function, shapes
    """
    import torch
    from midstream import _core

    model = _core.open(str(path), **which)
    variables = {**model.parameters(), **model.state()}
    if packed:
        for v in variables.values():
            v.data = v.data.contiguous()
    xs = {}
    for name in model.input_names():
        xs[name] = torch.tensor(np.array(inputs[name]))
        if xs[name].is_floating_point():
            xs[name].requires_grad_(True)
    outputs = dict(zip(model.output_names(), model.forward(list(xs.values()), training), strict=True))
    results = {name: as_array(y) for name, y in outputs.items()}
    terms = [
        (outputs[name] * torch.tensor(w)).sum() for name, w in (weights or {}).items() if outputs[name].requires_grad
    ]
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
    """function(*tensors) -> tensor, or a list of them; as a graph of known sizes and (`dynamic` None: both) with an
    unknown batch: the first axis of the first array, and of those that share it."""
    for unknown in (False, True) if dynamic is None else (dynamic,):
        _compare(function, arrays, unknown, tol, gradient)


def graph_of(function, arrays, unknown: bool):
    """The function as a list of tensors, traced: (function, names of its outputs, serialized GraphDef)."""
    batch = arrays[0].shape[:1]
    shapes = [[None, *a.shape[1:]] if unknown and batch and a.shape[:1] == batch else a.shape for a in arrays]
    specs = [
        tf.TensorSpec(shape, a.dtype, name=f"x{i}") for i, (shape, a) in enumerate(zip(shapes, arrays, strict=True))
    ]

    def flat(*xs):
        y = function(*xs)
        return list(y) if isinstance(y, (list, tuple)) else [y]

    concrete = tf.function(flat).get_concrete_function(*specs)
    names = [t.op.name for t in concrete.outputs]
    return flat, names, concrete.graph.as_graph_def().SerializeToString()


def by_tf(function, names, arrays, gradient: bool, weights: dict | None = None) -> tuple[dict, dict]:
    """TensorFlow's outputs, with `gradient:x0`, ... where it gives one (None where not); and the weights."""
    xs = [tf.constant(a) for a in arrays]
    watched = {f"gradient:x{i}": x for i, x in enumerate(xs) if x.dtype.is_floating}
    with tf.GradientTape() as tape:
        for x in watched.values():
            tape.watch(x)
        ys = dict(zip(names, function(*xs), strict=True))
        if weights is None:
            weights = weights_for({k: y.numpy() for k, y in ys.items()}) if gradient else {}
        total = sum(tf.reduce_sum(ys[k] * tf.constant(w, ys[k].dtype)) for k, w in weights.items())
    results = {k: y.numpy() for k, y in ys.items()}
    if weights and watched:
        for name, g in zip(watched, tape.gradient(total, list(watched.values())), strict=True):
            results[name] = None if g is None else as_array(g)
    return results, weights


def by_midstream(graph: bytes, arrays, weights: dict) -> dict[str, np.ndarray]:
    with tempfile.TemporaryDirectory() as directory:
        path = pathlib.Path(directory) / "graph.pb"
        path.write_bytes(graph)
        return run(path, {f"x{i}": a for i, a in enumerate(arrays)}, weights)


def pairs(ours: dict, theirs: dict):
    """(name, ours, theirs) of all that TensorFlow computed; a gradient that it has not must be absent or zero."""
    for name, wanted in theirs.items():
        given = ours.get(name)
        if not name.startswith("gradient:"):
            assert given is not None, f"no output {name} among {sorted(ours)}"
            assert given.dtype == wanted.dtype, f"{name} is {given.dtype}, expected {wanted.dtype}"
        elif wanted is None:
            assert given is None or not np.any(given), f"{name}: TensorFlow has none"
            continue
        yield name, np.zeros_like(wanted) if given is None else given, wanted


def _compare(function, arrays, unknown: bool, tol: float, gradient: bool) -> None:
    arrays = [np.asarray(a) for a in arrays]
    flat, names, graph = graph_of(function, arrays, unknown)
    theirs, weights = by_tf(flat, names, arrays, gradient)
    close = Comparison(tol)
    for name, given, wanted in pairs(by_midstream(graph, arrays, weights), theirs):
        close.check(name, given, wanted)
    close.done()


def no_worse_than_tf(function, truth, *arrays, gradient: bool = True, dynamic: bool = False) -> None:
    """For ops that TensorFlow has in float32 only. `truth` is the same in float64, of TensorFlow's other ops: midstream
    may be twice as far from it as TensorFlow's own float32 is, and a unit in the last place of the largest number."""
    arrays = [np.asarray(a) for a in arrays]
    double = [a.astype("float64") if a.dtype == np.float32 else a for a in arrays]
    flat, names, graph = graph_of(function, arrays, dynamic)
    theirs, weights = by_tf(flat, names, arrays, gradient)
    exact, _ = by_tf(graph_of(truth, double, False)[0], names, double, gradient, weights)
    problems = []
    for name, given, wanted in pairs(by_midstream(graph, arrays, weights), theirs):
        right = exact[name]
        mine, tfs = np.abs(given - right).max(), np.abs(wanted - right).max()
        bound = 2 * tfs + np.spacing(np.abs(right).max().astype("float32"))
        if not mine <= bound:
            problems.append(f"{name}: {mine:.2e} from the truth, TensorFlow {tfs:.2e}, allowed {bound:.2e}")
    assert not problems, "\n".join(problems)
