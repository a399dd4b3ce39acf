"""Merge layers: broadcasting, ties, masks."""

import numpy as np
import pytest
from helpers.layers import same_as_keras
from helpers.oracle import keras, tf_keras

both = pytest.mark.parametrize("module", [keras, tf_keras], ids=["keras3", "tf_keras"])
NAMES = ["Add", "Average", "Maximum", "Minimum", "Multiply"]


def merged(names, *shapes):
    def build(k):
        xs = [k.Input(s) for s in shapes]
        return k.Model(xs, [getattr(k.layers, n)()(xs) for n in names])

    return build


@both
@pytest.mark.parametrize(
    "shapes", [[(4, 3)] * 2, [(4, 3)] * 3, [(4, 1), (4, 3)], [(3,), (4, 3)], [(1, 3), (4, 1), (3,)]], ids=str
)
def test_elementwise(module, shapes):
    same_as_keras(merged(NAMES, *shapes), module=module)


@both
def test_subtract(module):
    same_as_keras(merged(["Subtract"], (4, 3), (4, 3)), module=module)
    same_as_keras(merged(["Subtract"], (4, 3), (3,)), module=module)


@both
def test_ties(module):
    rng = np.random.default_rng(0)
    xs = [rng.integers(-1, 2, (5, 4)).astype("float64") for _ in range(3)]
    same_as_keras(merged(["Maximum", "Minimum"], (4,), (4,), (4,)), module=module, inputs=xs)


@both
@pytest.mark.parametrize("axis", [-1, 1, 2])
def test_concatenate(module, axis):
    def build(k):
        xs = [k.Input((4, 3)), k.Input((4, 3)), k.Input((4, 3))]
        return k.Model(xs, k.layers.Concatenate(axis=axis)(xs))

    same_as_keras(build, module=module)


DOTS = [
    ((4,), (4,), 1),
    ((4,), (4,), -1),
    ((4, 3), (4, 3), 1),
    ((4, 3), (4, 3), 2),
    ((4, 3), (3, 5), (2, 1)),
    ((3, 4), (5, 4), (2, 2)),
    ((4,), (4, 3), 1),
    ((2, 3, 4), (5, 4), (3, 2)),
    ((2, 4), (5, 4, 3), (-1, -2)),
]


@both
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("first, second, axes", DOTS, ids=str)
def test_dot(module, normalize, first, second, axes):
    def build(k):
        x, y = k.Input(first), k.Input(second)
        return k.Model([x, y], k.layers.Dot(axes=axes, normalize=normalize)([x, y]))

    same_as_keras(build, module=module)


@both
@pytest.mark.parametrize("name", [*NAMES, "Subtract", "Concatenate"])
@pytest.mark.parametrize("masked", [(True, True), (True, False)], ids=["both", "one"])
def test_masks(module, name, masked):
    """What comes out, and what mask goes on: a pooling that reads it follows."""
    rng = np.random.default_rng(0)
    xs = [rng.normal(size=(3, 5, 2)) for _ in range(2)]
    for x in xs:
        x[rng.random((3, 5)) < 0.4] = 0
        x[:, 0] = 1

    def build(k):
        i = [k.Input((5, 2)), k.Input((5, 2))]
        a = [k.layers.Masking()(x) if m else x for x, m in zip(i, masked, strict=True)]
        y = getattr(k.layers, name)()(a)
        return k.Model(i, [y, k.layers.GlobalAveragePooling1D()(y)])

    same_as_keras(build, module=module, inputs=xs)


@both
def test_mask_of_a_concatenation_in_time(module):
    rng = np.random.default_rng(0)
    xs = [rng.normal(size=(3, 4, 2)), rng.normal(size=(3, 5, 2))]
    for x in xs:
        x[rng.random(x.shape[:2]) < 0.4] = 0
        x[:, 0] = 1

    def build(k):
        i = [k.Input((None, 2)), k.Input((None, 2))]
        y = k.layers.Concatenate(axis=1)([k.layers.Masking()(x) for x in i])
        return k.Model(i, [y, k.layers.GlobalAveragePooling1D()(y)])

    same_as_keras(build, module=module, inputs=xs)
