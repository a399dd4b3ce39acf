"""same_as_keras: a model built by Keras, opened by midstream, compared in forward and all gradients.

    def test_dense_without_bias():
        same_as_keras(lambda k: k.Sequential([k.Input((5,)), k.layers.Dense(3, use_bias=False)]))

What it does, in float64, for each mode (inference and training) anew:
  1. build(k) makes the model; every float weight gets random values (a bias of zeros hides mistakes), and it is saved
  2. Keras loads the file, runs it and differentiates sum(output * cotangent), with random cotangents, by every
     trainable variable and every float input
  3. midstream opens the same file and does the same
  4. outputs, gradients (in TensorFlow's layout), and after the training mode the state (BatchNorm's statistics) agree
"""

from __future__ import annotations

import pathlib
import tempfile
import warnings
from collections.abc import Callable, Sequence

import numpy as np

from helpers.compare import Comparison, as_array
from helpers.oracle import floatx, keras, load_model, tf, variable_name

TOLERANCE = 1e-12
# A gradient that is zero in exact arithmetic (of a bias before a BatchNormalization, say) is rounding noise in both
# frameworks. Noise is measured against this part of the largest gradient of the whole model.
NOISE = 1e-3


def same_as_keras(
    build: Callable,
    *,
    module=keras,
    inputs: Sequence[np.ndarray] | dict[str, np.ndarray] | None = None,
    format: str | None = None,
    modes: Sequence[bool] = (False, True),
    dtype: str = "float64",
    tol: float = TOLERANCE,
    reason: str | None = None,
    batch: int = 3,
    length: int = 5,
    seed: int = 0,
    randomize: bool = True,
    input_gradients: bool = True,
    parameter_gradients: bool = True,
    check: Callable | None = None,
) -> float:
    """Fails unless midstream computes what Keras computes; returns the largest relative error seen.

    build      k -> model, where k is `keras` or `tf_keras` (argument `module`)
    inputs     arrays in the order of model.inputs, or by input name; made up for float inputs, where the batch is
               `batch` and other open sizes are `length`. Integer inputs must be given.
    format     ".keras" or ".h5"; ".keras" unless given
    tol        another tolerance needs a `reason`, one line
    check      called as check(mode, keras_model, core_model) at the end of each mode, for what is special
    """
    if tol != TOLERANCE and not reason:
        raise ValueError("another tolerance than 1e-12 needs a reason")
    worst = 0.0
    rng = np.random.default_rng(seed)
    with floatx(dtype), tempfile.TemporaryDirectory() as directory:
        path = pathlib.Path(directory) / f"model{format or '.keras'}"
        module.utils.set_random_seed(seed)
        model = build(module)
        if randomize:
            randomize_weights(model, rng)
        save(model, path)
        given = as_list(model, inputs) if inputs is not None else make_inputs(model, rng, batch, length)
        for training in modes:
            worst = max(
                worst,
                compare_mode(module, path, given, training, rng, tol, input_gradients, parameter_gradients, check),
            )
    return worst


def save(model, path: pathlib.Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save(path)


def randomize_weights(model, rng: np.random.Generator) -> None:
    """Every float variable near its initial value; variances stay positive, seeds and counters as they are."""
    for variable in model.variables if hasattr(model, "variables") else model.weights:
        value = as_array(variable)
        name = variable_name(variable)
        if not np.issubdtype(value.dtype, np.floating) or "seed" in name:
            continue
        noise = rng.normal(size=value.shape)
        value = 0.5 + np.abs(noise) if "variance" in name else value + 0.3 * noise
        variable.assign(value.astype(as_array(variable).dtype))


def as_list(model, inputs) -> list[np.ndarray]:
    if isinstance(inputs, dict):
        return [inputs[tensor.name.split(":")[0]] for tensor in model.inputs]
    return list(inputs)


def make_inputs(model, rng: np.random.Generator, batch: int, length: int) -> list[np.ndarray]:
    made = []
    for tensor in model.inputs:
        dtype = tf.as_dtype(tensor.dtype)
        if not dtype.is_floating:
            raise ValueError(f"input {tensor.name} is {dtype.name}: give `inputs`")
        shape = [batch, *(length if size is None else int(size) for size in tensor.shape[1:])]
        made.append(rng.normal(size=shape).astype(dtype.as_numpy_dtype))
    return made


def compare_mode(
    module, path, inputs, training, rng, tol, input_gradients, parameter_gradients, check: Callable | None
) -> float:
    import midstream._core as core
    import torch

    mode = "training" if training else "inference"

    # Before anything runs: a layer may change its weights in a training call.
    model, core_model = load_model(module, path), core.open(str(path))
    variables = list(model.trainable_variables)
    parameters = parameters_of(module, variables, core_model) if parameter_gradients else []

    # Keras
    fed = [tf.convert_to_tensor(x) for x in inputs]
    with tf.GradientTape(persistent=True) as tape:
        watched = [x for x in fed if x.dtype.is_floating and input_gradients]
        for x in watched:
            tape.watch(x)
        theirs = tf.nest.flatten(model(structure_like(model, fed), training=training))
        cotangents = [rng.normal(size=y.shape).astype(y.dtype.as_numpy_dtype) for y in theirs]
        total = tf.add_n([tf.reduce_sum(y * c) for y, c in zip(theirs, cotangents, strict=True)])
    values = [v.value if hasattr(v, "path") else v for v in variables]
    their_parameter_gradients = [
        as_array_or_zeros(g, v) for g, v in zip(tape.gradient(total, values) if values else [], values, strict=True)
    ]
    their_input_gradients = [
        as_array_or_zeros(tape.gradient(total, x), x) if any(x is w for w in watched) else None for x in fed
    ]
    del tape

    # midstream
    tensors = [torch.from_numpy(np.ascontiguousarray(x)) for x in inputs]
    for t in tensors:
        if t.is_floating_point() and input_gradients:
            t.requires_grad_()
    ours = core_model.forward(tensors, training)
    compare = Comparison(tol)
    assert len(ours) == len(theirs), f"{mode}: {len(ours)} outputs, expected {len(theirs)}"
    for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        compare.check(f"{mode}: output {i}", a, b)

    wanted = [*(tensor for _, tensor in parameters), *(t for t in tensors if t.requires_grad)]
    differentiable = [(y, c) for y, c in zip(ours, cotangents, strict=True) if y.requires_grad]
    if wanted and differentiable:
        total = sum((y * torch.from_numpy(np.asarray(c))).sum() for y, c in differentiable)
        gradients = list(torch.autograd.grad(total, wanted, allow_unused=True))
    else:
        gradients = [None] * len(wanted)
    gradients = [torch.zeros_like(w) if g is None else g for g, w in zip(gradients, wanted, strict=True)]

    magnitudes = [
        np.abs(g).max() for g in [*their_parameter_gradients, *their_input_gradients] if g is not None and g.size
    ]
    floor = NOISE * max([1.0, *magnitudes])
    for (name, _), variable, expected in zip(
        parameters, variables if parameters else [], their_parameter_gradients if parameters else [], strict=True
    ):
        gradient = gradients.pop(0)
        gradient = gradient.to_dense() if gradient.is_sparse else gradient
        ours_g = core_model.to_source(name, gradient)
        compare.check(f"{mode}: gradient of {variable_name(variable)}", ours_g, expected, floor)
    for i, (t, theirs_g) in enumerate(zip(tensors, their_input_gradients, strict=True)):
        if t.requires_grad:
            compare.check(f"{mode}: gradient of input {i}", gradients.pop(0), theirs_g, floor)

    compare_state(mode, model, core_model, compare)
    compare.done()
    if check:
        check(mode, model, core_model)
    return compare.worst


def structure_like(model, tensors):
    """One tensor alone, several as the model's own structure."""
    if len(tensors) == 1 and not isinstance(getattr(model, "input", None), (dict, list, tuple)):
        return tensors[0]
    own = getattr(model, "_inputs_struct", None)
    if own is None:
        own = getattr(model, "_nested_inputs", None)
    return tf.nest.pack_sequence_as(own, tensors) if own is not None else tensors


def as_array_or_zeros(gradient, like) -> np.ndarray:
    return np.zeros(like.shape, like.dtype.as_numpy_dtype) if gradient is None else as_array(gradient)


def parameters_of(module, variables, core_model) -> list[tuple[str, object]]:
    """(name, tensor) of midstream's parameters in the order of Keras' trainable variables, found by name.

    Keras 2 names variables without the models around them, and not always once, and Keras 3 puts a Sequential's name
    before those that it reads from an .h5 file: there the values find them.
    """
    names = [variable_name(v) for v in variables]
    parameters = core_model.parameters()
    if sorted(names) == sorted(parameters):
        return [(name, parameters[name]) for name in names]
    wanted, has = f"expected {sorted(names)}", f"parameters {sorted(parameters)}"
    assert len(names) == len(parameters), f"{has}, {wanted}"
    found, left = [], dict(parameters)
    for variable in variables:
        value = as_array(variable)
        same = [n for n, p in left.items() if np.array_equal(as_array(core_model.to_source(n, p.detach())), value)]
        assert same, f"{has} hold no {variable_name(variable)}, {wanted}"
        found.append((same[0], left.pop(same[0])))
    return found


def compare_state(mode: str, model, core_model, compare: Comparison) -> None:
    state = core_model.state()
    for variable in model.non_trainable_variables:
        if not hasattr(variable, "name"):  # the vocabulary of a lookup in tf_keras
            continue
        name = variable_name(variable)
        if name in state and "seed" not in name:
            compare.check(f"{mode}: state {name}", state[name], variable)
