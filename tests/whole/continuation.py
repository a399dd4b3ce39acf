"""A model that Keras saved in the middle of its training, gone on with by midstream and by the Keras that loads it.

goes_on_as_keras does, in float64:
  1. Keras builds and compiles the model, trains it for BEFORE steps and saves it
  2. Keras loads the file and takes STEPS steps; midstream resumes the file and takes the same: losses and metrics agree
     at every step, and at the end all weights, statistics, optimizer slots and the step
  3. midstream saves its state, and Keras loads that file: it goes on for AFTER steps as the Keras of 2 goes on itself

Arrays are compared by their largest difference relative to their largest magnitude. What is zero in exact arithmetic (a
bias before a BatchNormalization, say, and its slots) is rounding noise in both: it is measured against NOISE times the
largest magnitude among the arrays of its kind.
"""

from __future__ import annotations

import dataclasses
import pathlib
import warnings
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from helpers.compare import Comparison, as_array, relative_error
from helpers.layers import NOISE, save, structure_like
from helpers.oracle import variable_name

TOLERANCE = 1e-9
BEFORE, STEPS, AFTER = 3, 50, 10
# The attributes by which Keras' optimizers list their slots in the order of the weights, and the slots' names.
SLOTS = {
    "momentums": "momentum",
    "_momentums": "momentum",
    "_velocities": "velocity",
    "_velocity_hats": "velocity_hat",
    "_accumulators": "accumulator",
    "_average_gradients": "average_gradient",
    "_model_variables_moving_average": "average",
    "_accumulated_gradients": "gradient_accumulator",
}


@dataclasses.dataclass
class Case:
    """build, optimizer: functions of a Keras module; data(rng, samples) -> (inputs, targets), lists of arrays."""

    build: Callable
    data: Callable
    optimizer: Callable
    loss: object
    metrics: object = None
    batch: int = 4
    more: dict = dataclasses.field(default_factory=dict)  # of compile()

    def compiled(self, module):
        module.utils.set_random_seed(1)
        model = self.build(module)
        named = {k: v(module) if callable(v) else v for k, v in {"loss": self.loss, "metrics": self.metrics}.items()}
        model.compile(optimizer=self.optimizer(module), **named, **self.more)
        return model

    def batches(self, steps: int, seed: int) -> list[tuple[list, list]]:
        x, y = self.data(np.random.default_rng(seed), steps * self.batch)
        parts = [slice(i * self.batch, (i + 1) * self.batch) for i in range(steps)]
        return [([a[s] for a in x], [a[s] for a in y]) for s in parts]


def one(values: Sequence):
    return values[0] if len(values) == 1 else list(values)


def load(module, path: pathlib.Path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return module.models.load_model(path)


def train(model, batches) -> list[dict[str, float]]:
    """Every step's loss and metrics."""
    logs = []
    for x, y in batches:
        model.reset_metrics()
        logs.append(model.train_on_batch(structure_like(model, list(x)), one(y), return_dict=True))
    return logs


def train_run(run, batches) -> list[dict[str, float]]:
    logs = []
    for x, y in batches:
        run.core.reset_metrics()
        logs.append(run.train_step(x, y))
    return logs


def step_of(model) -> int:
    """Gradients taken; those that are accumulated for one step count by themselves."""
    return int(model.optimizer._iterations.numpy())


def saved_mid_run(case: Case, module, path: pathlib.Path):
    model = case.compiled(module)
    model.run_eagerly = True  # a graph is not worth its tracing for a few steps; the file does not say so
    train(model, case.batches(BEFORE, seed=7))
    save(model, path)
    model.run_eagerly = False
    return model


def arrays_of(model) -> Iterator[tuple[str, str, np.ndarray]]:
    """(kind, name, value) of the weights, statistics and slots of a Keras model."""
    for variable in model.weights:
        if "seed" not in variable_name(variable):
            yield "weight", variable_name(variable), as_array(variable)
    kinds = {SLOTS[a]: getattr(model.optimizer, a) for a in SLOTS if getattr(model.optimizer, a, None)}
    for kind, slots in kinds.items():
        for variable, slot in zip(model.trainable_variables, slots, strict=True):
            yield kind, f"{kind} of {variable_name(variable)}", as_array(slot)
    assert sum(map(len, kinds.values())) == sum(v.shape != () for v in model.optimizer.variables)


def names_of(model, run) -> list[str]:
    """The run's names of arrays_of(model), when both have just opened the same file: the trainable ones stand in Keras'
    order, the others have Keras' names or, where Keras 2 has names of its own, the same values."""
    core = run.core
    trainable = core.trainable()
    names = dict(zip([id(v) for v in model.trainable_variables], trainable, strict=True))
    state = [n for n in core.tensors() if not n.startswith(("optimizer/", "metrics/")) and n not in trainable]
    found = []
    for variable in model.weights:
        if "seed" in variable_name(variable):
            continue
        if id(variable) not in names:
            value, own = as_array(variable), variable_name(variable)
            same = [n for n in state if np.array_equal(as_array(core.to_source(n)), value)]
            name = own if own in state else same[0] if same else None
            assert name, f"no {own} among {state}"
            state.remove(name)
            names[id(variable)] = name
        found.append(names[id(variable)])
    kinds = [SLOTS[a] for a in SLOTS if getattr(model.optimizer, a, None)]
    slots = [core.slot_name(name, kind) for kind in kinds for name in trainable]
    assert all(slots), f"slots {slots} of {kinds}"
    ours = {n for n in core.tensors() if n.startswith("optimizer/") and core.tensors()[n].dim() > 0}
    assert ours == set(slots), "slots that Keras does not have"
    return found + slots


def compare_arrays(ours: Sequence[np.ndarray], theirs: Sequence[tuple[str, str, np.ndarray]]) -> Comparison:
    compare = Comparison(TOLERANCE)
    magnitude: dict[str, float] = {}
    for kind, _, value in theirs:
        magnitude[kind] = max(magnitude.get(kind, 0.0), float(np.abs(value).max(initial=0)))
    for value, (kind, name, expected) in zip(ours, theirs, strict=True):
        compare.check(name, value, expected, NOISE * magnitude[kind])
    return compare


def compare_logs(ours: list[dict], theirs: list[dict]) -> None:
    """Loss and metrics, step by step. A difference that grows from rounding, a factor a step, is the model's own
    sensitivity; one that is there at once is a mistake."""
    errors = [
        {key: relative_error(mine[key], value) for key, value in wanted.items()} | {"keys": set(mine) ^ set(wanted)}
        for mine, wanted in zip(ours, theirs, strict=True)
    ]
    for step, found in enumerate(errors, 1):
        assert not found.pop("keys"), f"logs {sorted(ours[0])}, expected {sorted(theirs[0])}"
        bad = {key: error for key, error in found.items() if not error <= TOLERANCE}
        history = [f"{max(e.values()):.0e}" for e in errors[:step]]
        assert not bad, f"step {step}: relative errors {bad}; {ours[step - 1]}, expected {theirs[step - 1]}: {history}"


def goes_on_as_keras(case: Case, module, directory: pathlib.Path, ending: str) -> float:
    """Returns the largest relative error of the state after STEPS steps."""
    import midstream

    path, written = directory / f"model{ending}", directory / f"ours{ending}"
    saved_mid_run(case, module, path)
    theirs, run = load(module, path), midstream.resume(path)
    assert run.core.restored_optimizer and run.step == step_of(theirs)
    names = names_of(theirs, run)

    batches = case.batches(STEPS + AFTER, seed=8)
    expected = train(theirs, batches[:STEPS])
    compare_logs(train_run(run, batches[:STEPS]), expected)
    assert run.step == step_of(theirs)
    compare = compare_arrays([as_array(run.core.to_source(n)) for n in names], list(arrays_of(theirs)))
    compare.done()

    midstream.save(run, written)
    again = load(module, written)
    assert step_of(again) == run.step
    compare_logs(train(again, batches[STEPS:]), train(theirs, batches[STEPS:]))
    compare_arrays([value for *_, value in arrays_of(again)], list(arrays_of(theirs))).done()
    return compare.worst
