"""The six learning-rate schedules, to the last float32 bit of what a compiled training step computes."""

import json

import numpy as np
import pytest
from helpers.oracle import keras, tf, tf_keras

from train.probe import core

CASES = [
    ("ExponentialDecay", {"initial_learning_rate": 0.1, "decay_steps": 7, "decay_rate": 0.9}),
    ("ExponentialDecay", {"initial_learning_rate": 0.1, "decay_steps": 7, "decay_rate": 0.9, "staircase": True}),
    ("InverseTimeDecay", {"initial_learning_rate": 0.1, "decay_steps": 11, "decay_rate": 0.7}),
    ("InverseTimeDecay", {"initial_learning_rate": 0.1, "decay_steps": 11, "decay_rate": 0.7, "staircase": True}),
    ("PiecewiseConstantDecay", {"boundaries": [3, 10], "values": [0.3, 0.03, 0.003]}),
    ("PolynomialDecay", {"initial_learning_rate": 0.1, "decay_steps": 30}),
    ("PolynomialDecay", {"initial_learning_rate": 0.1, "decay_steps": 13, "power": 0.5, "cycle": True}),
    ("CosineDecay", {"initial_learning_rate": 0.1, "decay_steps": 37}),
    ("CosineDecay", {"initial_learning_rate": 0.1, "decay_steps": 37, "alpha": 0.1}),
    ("CosineDecay", {"initial_learning_rate": 0.01, "decay_steps": 37, "warmup_target": 0.1, "warmup_steps": 9}),
    (
        "CosineDecay",
        {"initial_learning_rate": 0.0, "decay_steps": 37, "warmup_target": 0.1, "warmup_steps": 9, "alpha": 0.05},
    ),
    ("CosineDecayRestarts", {"initial_learning_rate": 0.1, "first_decay_steps": 7}),
    (
        "CosineDecayRestarts",
        {"initial_learning_rate": 0.1, "first_decay_steps": 7, "t_mul": 1.0, "m_mul": 0.9, "alpha": 0.1},
    ),
]


@pytest.mark.parametrize("module", [keras, tf_keras], ids=["keras3", "tf_keras"])
@pytest.mark.parametrize("name, config", CASES, ids=[f"{n}-{i}" for i, (n, c) in enumerate(CASES)])
def test_schedule(module, name, config):
    steps = list(range(60)) + [100, 1000, 12345]
    schedule = getattr(module.optimizers.schedules, name)(**config)
    compiled = tf.function(lambda step: schedule(step))
    theirs = np.array([compiled(tf.Variable(s, dtype=tf.int64)).numpy() for s in steps])
    assert theirs.dtype == np.float32
    ours = np.array(core().schedule(json.dumps({"class_name": name, "config": config}), steps)).astype(np.float32)
    np.testing.assert_array_equal(ours, theirs)
