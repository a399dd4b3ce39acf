"""Frozen graphs in TensorFlow: run, differentiated by their constants, trained, and in float64."""

from __future__ import annotations

import pathlib
from collections.abc import Callable

import numpy as np

from helpers.oracle import tf


def read_frozen(path: pathlib.Path):
    graph_def = tf.compat.v1.GraphDef()
    graph_def.ParseFromString(pathlib.Path(path).read_bytes())
    return graph_def


def in_float64(graph_def):
    """The same graph with float64 in place of float32: the truth that both frameworks' float32 is measured against."""
    double, single = tf.float64.as_datatype_enum, tf.float32.as_datatype_enum
    out = tf.compat.v1.GraphDef()
    out.CopyFrom(graph_def)
    for node in out.node:
        for attr in node.attr.values():
            if attr.type == single:
                attr.type = double
            if attr.tensor.dtype == single:
                attr.tensor.CopyFrom(tf.make_tensor_proto(tf.make_ndarray(attr.tensor).astype("float64")))
    return out


def gradients_by_tf(graph_def, inputs: dict, weights: dict, variables: list[str]) -> dict[str, np.ndarray]:
    """The outputs named in `weights` and, of their weighted sum, the gradients by the constants `variables`."""
    with tf.Graph().as_default() as graph, tf.compat.v1.Session(graph=graph) as session:
        tf.import_graph_def(graph_def, name="")
        ys = {name: graph.get_tensor_by_name(f"{name}:0") for name in weights}
        by = [graph.get_tensor_by_name(f"{name}:0") for name in variables]
        terms = [tf.cast(tf.reduce_sum(y * tf.constant(weights[n], y.dtype)), tf.float64) for n, y in ys.items()]
        wanted = dict(ys)
        for name, v, g in zip(variables, by, tf.gradients(tf.add_n(terms), by) if by else [], strict=True):
            wanted[f"gradient:{name}"] = tf.zeros_like(v) if g is None else tf.convert_to_tensor(g)
        dtypes = {name: graph.get_tensor_by_name(f"{name}:0").dtype.as_numpy_dtype for name in inputs}
        return session.run(wanted, {f"{name}:0": np.asarray(x).astype(dtypes[name]) for name, x in inputs.items()})


def train_by_tf(graph_def, inputs: dict, output: str, loss: Callable, weights: list[str], rate: float, steps: int):
    """SGD over the imported graph, its constants `weights` variables: {name: value} after `steps`, and the losses."""
    values = {n.name: tf.make_ndarray(n.attr["value"].tensor) for n in graph_def.node if n.name in weights}
    variables = {name: tf.Variable(value) for name, value in values.items()}

    @tf.function
    def forward(xs, ws):
        mapped = {f"{name}:0": t for name, t in {**xs, **ws}.items()}
        (y,) = tf.import_graph_def(graph_def, input_map=mapped, return_elements=[f"{output}:0"], name="")
        return y

    losses = []
    for _ in range(steps):
        with tf.GradientTape() as tape:
            value = loss(
                forward(
                    {k: tf.constant(x) for k, x in inputs.items()}, {k: v.read_value() for k, v in variables.items()}
                )
            )
        for v, g in zip(variables.values(), tape.gradient(value, list(variables.values())), strict=True):
            v.assign_sub(rate * g)
        losses.append(float(value))
    return {name: v.numpy() for name, v in variables.items()}, losses
