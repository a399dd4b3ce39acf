"""TensorFlow and both Keras, imported once per process, quiet and deterministic.

from helpers.oracle import keras, tf, tf_keras
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import keras
    import tensorflow as tf
    import tf_keras

tf.config.threading.set_intra_op_parallelism_threads(1)
tf.config.threading.set_inter_op_parallelism_threads(1)
tf.config.set_visible_devices([], "GPU")
tf.get_logger().setLevel("ERROR")

__all__ = ["floatx", "is_legacy", "keras", "load_model", "tf", "tf_keras", "variable_name"]


def is_legacy(module) -> bool:
    """Whether it is Keras 2 (tf_keras)."""
    return module is tf_keras


@contextlib.contextmanager
def floatx(dtype: str) -> Iterator[None]:
    """The default float type of both Keras; the names of layers start from 1 again."""
    before = keras.backend.floatx(), tf_keras.backend.floatx()
    for module in (keras, tf_keras):
        module.backend.clear_session()
        module.backend.set_floatx(dtype)
    try:
        yield
    finally:
        keras.backend.set_floatx(before[0])
        keras.config.set_dtype_policy(before[0])  # Keras 3 made a policy of `dtype` at the first layer, and keeps it
        tf_keras.backend.set_floatx(before[1])


def load_model(module, path):
    """The model as a Keras that opens the file would go on with it: seed counters start at 0."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return module.models.load_model(path, compile=False)


def variable_name(variable) -> str:
    """The variable's path in its model, "encoder/dense/kernel"."""
    return getattr(variable, "path", variable.name.removesuffix(":0"))
