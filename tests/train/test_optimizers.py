"""Every optimizer's rule against both Keras, given the same gradients: in float64 to the last bit."""

import json

import numpy as np
import pytest
import torch
from helpers.oracle import floatx, keras, tf, tf_keras

from train.probe import core, normal

KERAS3, KERAS2, LEGACY = "keras3", "tf_keras", "optimizer_v2"

# Slots in Keras 3's words, by the names of the others.
NAMES = {
    "m": "momentum",
    "v": "velocity",
    "vhat": "velocity_hat",
    "rms": "velocity",
    "mg": "average_gradient",
    "u": "norm",
    "accum_grad": "accumulated_grad",
    "accum_var": "accumulated_delta_var",
}
NAMES_OF = {("Adamax", "v"): "norm"}
# Their powers are what they are in a compiled training step, where TensorFlow's graph optimizer makes them roots.
COMPILED = ("Ftrl",)

SHAPES = [(3, 4), (5,), (2, 3, 1, 2), (6, 3)]
TABLE = 3  # the variable that gets occurrences of rows
STEPS = 4


def gradients(sparse: bool):
    out = []
    for step in range(STEPS):
        # Small ones too: the bias corrections and epsilons decide there.
        grads = [normal(*s, seed=100 * step + i) * (1e-4 if i == 1 else 1.0) for i, s in enumerate(SHAPES)]
        if sparse:
            rows = np.random.default_rng(step).integers(0, 4, 9)  # repeated rows; rows 4 and 5 are never hit
            grads[TABLE] = (normal(9, 3, seed=step) * 0.1, rows)
        out.append(grads)
    return out


def for_us(grad):
    if grad is None:
        return None
    if isinstance(grad, tuple):
        return torch.from_numpy(grad[0].copy()), torch.from_numpy(grad[1].copy())
    return torch.from_numpy(grad.copy())


def for_keras(grad, shape, dtype):
    if grad is None:
        return None
    if isinstance(grad, tuple):
        return tf.IndexedSlices(tf.constant(grad[0], dtype), tf.constant(grad[1]), tf.constant(shape, tf.int64))
    return tf.constant(grad, dtype)


def keras_optimizer(rules):
    return {KERAS3: keras.optimizers, KERAS2: tf_keras.optimizers, LEGACY: tf_keras.optimizers.legacy}[rules]


def run_keras(rules, name, config, steps, dtype="float64"):
    """Values of the variables, and slots by (variable, Keras 3's name)."""
    module = keras if rules == KERAS3 else tf_keras
    with floatx(dtype):
        values = [normal(*s, seed=50 + i) for i, s in enumerate(SHAPES)]
        if module is keras:
            variables = [keras.Variable(v, dtype=dtype, name=f"v{i}") for i, v in enumerate(values)]
        else:
            variables = [tf.Variable(v, dtype=dtype, name=f"v{i}") for i, v in enumerate(values)]
        optimizer = getattr(keras_optimizer(rules), name)(**config)
        if rules != LEGACY:
            optimizer.build(variables)

        def apply(grads):
            pairs = zip(grads, variables, strict=True)
            optimizer.apply_gradients([(g, v) for g, v in pairs if g is not None or module is keras])

        apply = tf.function(apply) if name in COMPILED else apply
        for grads in steps:
            apply([for_keras(g, v.shape, dtype) for g, v in zip(grads, variables, strict=True)])
        named = lambda slot: NAMES_OF.get((name, slot), NAMES.get(slot, slot))  # noqa: E731
        slots = {}
        for i, v in enumerate(variables):
            if rules == LEGACY:
                for slot in optimizer.get_slot_names():
                    slots[i, named(slot)] = optimizer.get_slot(v, slot).numpy()
            else:
                for s in optimizer.variables:
                    text = s.name if module is keras else s.name.removesuffix(":0")
                    if module is keras and text.startswith(f"v{i}_"):
                        slots[i, text.removeprefix(f"v{i}_")] = s.numpy()
                    elif module is not keras and text.endswith(f"/v{i}"):
                        slot = text.removesuffix(f"/v{i}").rsplit("/", 1)[-1]
                        slots[i, named(slot)] = s.numpy()
            if name == "Adafactor" and module is keras:  # these bear the variable's own name
                slots[i, "r"], slots[i, "c"] = optimizer._r[i].numpy(), optimizer._c[i].numpy()
        return [v.numpy() for v in variables], slots


def run_ours(rules, name, config, steps, dtype="float64"):
    config = {**config, "rules": rules}
    if "learning_rate" in config and not isinstance(config["learning_rate"], float):
        schedule = config["learning_rate"]
        config["learning_rate"] = {"class_name": type(schedule).__name__, "config": schedule.get_config()}
    kind = getattr(torch, dtype)
    variables = [torch.from_numpy(normal(*s, seed=50 + i)).to(kind) for i, s in enumerate(SHAPES)]

    def cast(g):
        g = for_us(g)
        if g is None:
            return None
        return (g[0].to(kind), g[1]) if isinstance(g, tuple) else g.to(kind)

    out = core().optimizer(
        json.dumps({"class_name": name, "config": config}),
        rules == KERAS3,
        dtype,
        variables,
        [[cast(g) for g in grads] for grads in steps],
    )
    return {k: v.numpy() for k, v in out.items()}


def same_bits(rules, name, config=None, *, sparse=False, steps=None, ulps=0, relative=0, without=()):
    config = {"learning_rate": 0.01, **(config or {})}
    steps = steps or gradients(sparse)
    theirs, slots = run_keras(rules, name, config, steps)
    ours = run_ours(rules, name, config, steps)

    def check(what, a, b):
        if relative:
            np.testing.assert_allclose(a, b, rtol=relative, atol=relative * np.abs(b).max(), err_msg=what)
        elif ulps:
            np.testing.assert_array_max_ulp(a, b, ulps)
        else:
            worst = np.abs(a - b).max()
            assert np.array_equal(a, b), f"{what}: {np.sum(a != b)} of {a.size} differ, by up to {worst:.2e}"

    for (i, slot), value in slots.items():
        if slot not in without:
            check(f"slot {slot} of v{i}", ours[f"optimizer/v{i}/{slot}"], value)
    for i, value in enumerate(theirs):
        check(f"v{i}", ours[f"v{i}"], value)
    assert ours["optimizer/iteration"] == len(steps)


ALL = [
    ("SGD", {}),
    ("SGD", {"momentum": 0.9}),
    ("SGD", {"momentum": 0.9, "nesterov": True}),
    ("Adam", {}),
    ("Adam", {"amsgrad": True}),
    ("Adam", {"beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-3}),
    ("RMSprop", {}),
    ("RMSprop", {"centered": True}),
    ("RMSprop", {"momentum": 0.7}),
    ("RMSprop", {"momentum": 0.7, "centered": True, "rho": 0.8}),
    ("Adagrad", {}),
    ("Adagrad", {"initial_accumulator_value": 0.0, "epsilon": 1e-3}),
    ("Adadelta", {"learning_rate": 1.0}),
    ("Adamax", {}),
    ("Nadam", {}),
]
# Norms and matrix products are sums, whose order is nobody's business: not bit for bit.
WHOLE = [
    ("Lamb", {}),
    ("Lamb", {"beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-3, "weight_decay": 0.03, "use_ema": True}),
    ("Adafactor", {}),
    ("Adafactor", {"learning_rate": 0.9, "beta_2_decay": -0.6, "clip_threshold": 0.5, "weight_decay": 0.03}),
    ("Adafactor", {"relative_step": False, "learning_rate": 0.9, "epsilon_1": 1e-6, "epsilon_2": 0.1}),
]
WHOLE_KERAS3 = [
    ("Muon", {}),
    ("Muon", {"nesterov": False, "ns_steps": 3, "rms_rate": None, "weight_decay": None, "adam_lr_ratio": 0.5}),
    ("Muon", {"exclude_layers": ["v[03]$"], "adam_weight_decay": None, "muon_a": 3.0, "momentum": 0.8}),
    ("Adafactor", {"gradient_accumulation_steps": 2, "clipvalue": 0.1}),
]
FREE = [
    ("ScheduleFreeAdamW", {}),
    ("ScheduleFreeAdamW", {"warmup_steps": 3, "beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-3, "weight_decay": 0.02}),
]
NEW = [
    ("AdamW", {}),
    ("AdamW", {"weight_decay": 0.1, "amsgrad": True}),
    ("Lion", {}),
]
FTRL = [
    ("Ftrl", {}),
    (
        "Ftrl",
        {
            "l1_regularization_strength": 0.01,
            "l2_regularization_strength": 0.1,
            "l2_shrinkage_regularization_strength": 0.01,
            "beta": 0.1,
        },
    ),
]


def ids(cases):
    return [f"{name}-{'-'.join(config) or 'plain'}" for name, config in cases]


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "rows"])
@pytest.mark.parametrize("rules", [KERAS3, KERAS2])
@pytest.mark.parametrize("name, config", ALL + NEW + FTRL, ids=ids(ALL + NEW + FTRL))
def test_rule(rules, name, config, sparse):
    same_bits(rules, name, config, sparse=sparse)


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "rows"])
@pytest.mark.parametrize("name, config", ALL + FTRL, ids=ids(ALL + FTRL))
def test_legacy_rule(name, config, sparse):
    same_bits(LEGACY, name, config, sparse=sparse)


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "rows"])
def test_rules_over_whole_variables(sparse):
    # A sum of n squares is off by n/2 ulps at most, and Muon's iteration makes differences grow, by 3.4 a round.
    for rules, cases in ((KERAS3, WHOLE + WHOLE_KERAS3), (KERAS2, WHOLE[2:])):
        for name, config in cases:
            same_bits(rules, name, config, sparse=sparse, relative=1e-12)


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "rows"])
@pytest.mark.parametrize("name, config", FREE, ids=ids(FREE))
def test_schedule_free(name, config, sparse):
    same_bits(KERAS3, name, config, sparse=sparse)


@pytest.mark.parametrize("rules", [KERAS3, KERAS2])
@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "rows"])
@pytest.mark.parametrize("name", ["SGD", "Adam", "RMSprop"])
@pytest.mark.parametrize("clip", [{"clipvalue": 0.25}, {"clipnorm": 0.5}, {"global_clipnorm": 0.7}, {"clipnorm": 1e6}])
def test_clipping(rules, name, clip, sparse):
    # Norms are sums, whose order is nobody's business: with these numbers they are exact in any order.
    def exact(g):
        if isinstance(g, tuple):
            return np.round(g[0] * 64) / 64, g[1]
        return np.round(g * 8) / 8

    steps = [[exact(g) for g in grads] for grads in gradients(sparse)]
    same_bits(rules, name, clip, steps=steps)


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "rows"])
@pytest.mark.parametrize("rules", [KERAS3, KERAS2])
@pytest.mark.parametrize("name", ["SGD", "Adam", "Lion"])
def test_weight_decay(rules, name, sparse):
    same_bits(rules, name, {"weight_decay": 0.03}, sparse=sparse)


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "rows"])
@pytest.mark.parametrize("rules", [KERAS3, KERAS2])
@pytest.mark.parametrize("every", [None, 1, 3])
def test_moving_average(rules, every, sparse):
    same_bits(rules, "Adam", {"use_ema": True, "ema_momentum": 0.9, "ema_overwrite_frequency": every}, sparse=sparse)


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "rows"])
@pytest.mark.parametrize("name", ["SGD", "Adam", "Nadam"])
@pytest.mark.parametrize("more", [{}, {"use_ema": True, "ema_overwrite_frequency": 2}, {"clipvalue": 0.1}])
def test_gradient_accumulation(name, more, sparse):
    same_bits(KERAS3, name, {"gradient_accumulation_steps": 2, **more}, sparse=sparse)


def test_variables_without_gradient_stay():
    steps = gradients(False)
    for grads in steps:
        grads[1] = None
    with pytest.warns(UserWarning, match="Gradients do not exist"):
        same_bits(KERAS3, "Adam", {"weight_decay": 0.01}, steps=steps)


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_legacy_decay(decay):
    same_bits(LEGACY, "Adam", {"decay": decay}, sparse=True)


def test_schedule_in_a_rule():
    with floatx("float64"):
        schedule = keras.optimizers.schedules.PiecewiseConstantDecay([1, 2], [0.1, 0.01, 0.001])
    same_bits(KERAS3, "Adam", {"learning_rate": schedule})


@pytest.mark.parametrize("rules", [KERAS3, KERAS2])
def test_big_variables_are_cut_and_small_ones_joined(rules, monkeypatch):
    """Across the sizes at which OptimizerStep changes its ways."""
    sizes = [(70000,), (33000, 2), (5,), (7, 3)]
    monkeypatch.setattr("train.test_optimizers.SHAPES", sizes)
    steps = [[normal(*s, seed=10 * k + i) for i, s in enumerate(sizes)] for k in range(2)]
    same_bits(rules, "Adam", {"weight_decay": 0.01}, steps=steps)
