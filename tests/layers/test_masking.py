"""Masking, and how masks travel through models."""

import numpy as np
import pytest
from helpers.compare import Comparison
from helpers.layers import same_as_keras, save
from helpers.oracle import floatx, keras, tf_keras

from layers.sequences import FEATURES, STEPS, normal, padded, words

MODULES = pytest.mark.parametrize("module", [keras, tf_keras], ids=["keras3", "tf_keras"])


def masked_model(value):
    def build(k):
        x = k.Input((None, FEATURES))
        y = k.layers.Masking(mask_value=value)(x)
        return k.Model(x, [y, k.layers.LSTM(4, return_sequences=True)(y)])

    return build


def partly(value):
    x = padded()
    x[x == 0] = value
    x[0, 0, 0] = value  # not masked: the other features differ
    return x


@pytest.mark.parametrize("value", [0.0, 0.1, -1.0, 3])
@pytest.mark.parametrize(
    ("module", "format"),
    [(keras, ".keras"), (tf_keras, ".keras"), (tf_keras, ".h5")],
    ids=["keras3", "tf_keras", "tf_keras.h5"],
)
def test_masking(module, format, value):
    same_as_keras(masked_model(value), module=module, inputs=[partly(value)], format=format)


@pytest.mark.parametrize("value", [0.0, 0.1, -1.0, 3])
def test_masking_in_a_file_that_keras_3_writes_and_cannot_open(value, tmp_path):
    import midstream._core as core
    import torch

    with floatx("float64"):
        model = masked_model(value)(keras)
        save(model, tmp_path / "model.h5")
        with pytest.raises(ValueError, match="Unknown layer: 'NotEqual'"):
            keras.models.load_model(tmp_path / "model.h5")
        compare = Comparison(1e-12)
        ours = core.open(str(tmp_path / "model.h5")).forward([torch.from_numpy(partly(value))], False)
        for i, (y, wanted) in enumerate(zip(ours, model(partly(value)), strict=True)):
            compare.check(f"output {i}", y, wanted)
        compare.done()


@MODULES
def test_masking_of_images(module):
    def build(k):
        x = k.Input((4, 3, 2))
        return k.Model(x, k.layers.Masking()(x))

    x = normal(3, 4, 3, 2)
    x[0, 1:3] = 0
    same_as_keras(build, module=module, inputs=[x])


@MODULES
@pytest.mark.parametrize(
    "between",
    [
        lambda k: k.layers.Dense(3, activation="tanh"),
        lambda k: k.layers.Dropout(0.0),
        lambda k: k.layers.Activation("relu"),
        lambda k: k.layers.LayerNormalization(),
        lambda k: k.layers.TimeDistributed(k.layers.Dense(3)),
        lambda k: k.layers.Bidirectional(k.layers.LSTM(3, return_sequences=True)),
        lambda k: k.layers.GRU(3, return_sequences=True),
        lambda k: k.layers.GRU(3, return_sequences=True, go_backwards=True),
    ],
    ids=lambda f: "",
)
def test_masks_pass_through(module, between):
    def after(k):
        return k.layers.GRU(2)

    def build(k):
        x = k.Input((STEPS,), dtype="int32")
        y = k.layers.Embedding(7, FEATURES, mask_zero=True)(x)
        return k.Model(x, after(k)(between(k)(y)))

    same_as_keras(build, module=module, inputs=[words()])


@MODULES
def test_merged_masks(module):
    def build(k):
        a, b = k.Input((STEPS,), dtype="int32"), k.Input((STEPS,), dtype="int32")
        e = k.layers.Embedding(7, FEATURES, mask_zero=True)
        x, y = e(a), e(b)
        merged = [k.layers.Add()([x, y]), k.layers.Concatenate()([x, y]), k.layers.Multiply()([x, y])]
        return k.Model([a, b], [k.layers.LSTM(3)(m) for m in merged])

    same_as_keras(build, module=module, inputs=[words(), np.roll(words(1), 2, axis=0)])


@MODULES
def test_a_mask_given_by_name(module):
    def build(k):
        x, m = k.Input((STEPS, FEATURES)), k.Input((STEPS,), dtype="bool")
        y = k.layers.LSTM(4, return_sequences=True)(x, mask=m)
        z = k.layers.Bidirectional(k.layers.GRU(3, return_sequences=True))(x, mask=m)
        return k.Model([x, m], [y, z, k.layers.GRU(2, recurrent_activation="hard_sigmoid")(x, mask=m)])

    same_as_keras(build, module=module, inputs=[normal(6, STEPS, FEATURES), words() != 0])
