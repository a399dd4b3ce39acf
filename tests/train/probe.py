"""Single parts of training, ours and Keras', side by side in float64."""

from __future__ import annotations

import json

import numpy as np
import torch
from helpers.oracle import floatx, is_legacy, tf


def core():
    from midstream import _core

    return _core.probe


def tensor(value):
    if value is None:
        return None
    array = np.asarray(value)
    return torch.from_numpy(array.copy()) if array.ndim else torch.tensor(array.item(), dtype=torch.float64)


def normal(*shape, seed: int = 0, scale: float = 1.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape) * scale


def probabilities(*shape, seed: int = 0) -> np.ndarray:
    p = np.exp(normal(*shape, seed=seed, scale=2))
    return p / p.sum(-1, keepdims=True)


def one_hot(classes: int, *shape, seed: int = 0) -> np.ndarray:
    return np.eye(classes)[np.random.default_rng(seed).integers(0, classes, shape)]


def our_loss(module, name, config, y_true, y_pred, *, mask=None, weight=None, activation="", dtype="float64"):
    value, gradient = core().loss(
        json.dumps({"class_name": name, "config": config}),
        not is_legacy(module),
        dtype,
        activation,
        tensor(y_true),
        tensor(y_pred),
        tensor(mask),
        tensor(weight),
    )
    return value.numpy(), gradient.numpy()


def keras_loss(module, name, config, y_true, y_pred, *, mask=None, weight=None, activation="", dtype="float64"):
    """As in a model's training step: after the activation, with the mask of the predictions."""
    with floatx(dtype):
        loss = getattr(module.losses, name)(**config)
        if is_legacy(module):
            from tf_keras.src.engine import compile_utils

            compute = compile_utils.LossesContainer(loss)
        else:
            compute = loss
        variable = tf.Variable(y_pred)
        with tf.GradientTape() as tape:
            p = tf.identity(variable)
            if activation:
                p = getattr(module.activations, activation)(p)
            if mask is not None:
                p._keras_mask = tf.constant(mask)
            w = None if weight is None else tf.constant(weight)
            value = compute(tf.constant(y_true), p, sample_weight=w)
            total = tf.reduce_sum(value)
        gradient = tape.gradient(total, variable)
        return value.numpy(), np.zeros_like(y_pred) if gradient is None else gradient.numpy()
