"""Bidirectional and TimeDistributed."""

import pytest
from helpers.layers import same_as_keras
from helpers.oracle import keras, tf_keras

from layers.sequences import BATCH, FEATURES, STEPS, normal, on_words, padded, words
from layers.several import outputs_of

MODULES = pytest.mark.parametrize("module", [keras, tf_keras], ids=["keras3", "tf_keras"])
CELLS = {
    "LSTM": {},
    "GRU": {"reset_after": True},
    "GRU-reset-before": {"reset_after": False},
    "SimpleRNN": {"activation": "relu"},
    "LSTM-loop": {"recurrent_activation": "hard_sigmoid"},
}
ALL_CELLS = pytest.mark.parametrize("cell", CELLS)
MERGE_MODES = ["concat", "sum", "mul", "ave", None]


def inner(k, cell: str, units: int = 4, **options):
    return getattr(k.layers, cell.split("-")[0])(units, **{**CELLS[cell], **options})


def both_ways(cell: str, merge_mode="concat", backward=None, **options):
    def make(k):
        more = {"backward_layer": inner(k, cell, go_backwards=True, **{**options, **backward})} if backward else {}
        return k.layers.Bidirectional(inner(k, cell, **options), merge_mode=merge_mode, **more)

    return make


@MODULES
@ALL_CELLS
@pytest.mark.parametrize("format", [".keras", ".h5"])
def test_merge_modes(module, cell, format):
    made = [both_ways(cell, m, return_sequences=s) for m in MERGE_MODES for s in (False, True)]
    same_as_keras(outputs_of((STEPS, FEATURES), *made), module=module, format=format)


@MODULES
@ALL_CELLS
def test_masks(module, cell):
    made = [both_ways(cell, m, return_sequences=s) for m in MERGE_MODES for s in (False, True)]
    same_as_keras(on_words(*made), module=module, inputs=[words()])


@MODULES
@ALL_CELLS
@pytest.mark.parametrize("sequences", [False, True])
def test_returned_states(module, cell, sequences):
    made = [both_ways(cell, m, return_sequences=sequences, return_state=True) for m in ("concat", "sum", None)]
    same_as_keras(outputs_of((None, FEATURES), *made), module=module)


@ALL_CELLS
def test_returned_states_with_masks(cell):
    made = [both_ways(cell, return_sequences=s, return_state=True) for s in (False, True)]
    same_as_keras(on_words(*made), inputs=[words()])


@MODULES
@ALL_CELLS
@pytest.mark.parametrize("masked", [False, True])
def test_initial_state(module, cell, masked):
    def build(k):
        x = k.Input((STEPS, FEATURES))
        states = [k.Input((4,)) for _ in range(4 if cell.startswith("LSTM") else 2)]
        y = k.layers.Masking()(x) if masked else x
        made = [both_ways(cell, return_sequences=s, return_state=True)(k) for s in (False, True)]
        return k.Model([x, *states], [m(y, initial_state=states) for m in made])

    states = [normal(BATCH, 4, seed=s) for s in range(4 if cell.startswith("LSTM") else 2)]
    same_as_keras(build, module=module, inputs=[padded(), *states])


@MODULES
@ALL_CELLS
def test_own_backward_layer(module, cell):
    made = [
        both_ways(cell, backward={"activation": "tanh"}, return_sequences=True),
        both_ways(cell, backward={"use_bias": False}),
        both_ways(cell, "concat", backward={"units": 4}, return_sequences=True),
    ]
    same_as_keras(on_words(*made), module=module, inputs=[words()])


@MODULES
def test_backwards_first(module):
    def make(k):
        return k.layers.Bidirectional(
            k.layers.GRU(3, go_backwards=True, return_sequences=True),
            backward_layer=k.layers.GRU(3, return_sequences=True),
        )

    same_as_keras(on_words(make), module=module, inputs=[words()])


@MODULES
def test_two_bidirectional_layers(module):
    def build(k):
        x = k.Input((None,), dtype="int32")
        y = k.layers.Embedding(7, FEATURES, mask_zero=True)(x)
        y = k.layers.Bidirectional(k.layers.LSTM(4, return_sequences=True))(y)
        y = k.layers.Bidirectional(k.layers.LSTM(3), name="second")(y)
        return k.Model(x, k.layers.Dense(2)(y))

    same_as_keras(build, module=module, inputs=[words()])


def test_cells():
    def make(k):
        return k.layers.Bidirectional(k.layers.RNN(k.layers.GRUCell(3), return_sequences=True))

    same_as_keras(on_words(make), inputs=[words()])


def test_seeded_dropout():
    made = [
        both_ways("LSTM", dropout=0.3, seed=3),
        both_ways("GRU", recurrent_dropout=0.3, seed=4, return_sequences=True),
    ]
    same_as_keras(outputs_of((STEPS, FEATURES), *made))


# --- TimeDistributed

STEPWISE = [
    lambda k: k.layers.TimeDistributed(k.layers.Dense(4, activation="relu")),
    lambda k: k.layers.TimeDistributed(k.layers.Dense(4, use_bias=False)),
    lambda k: k.layers.TimeDistributed(k.layers.Reshape((FEATURES, 1))),
    lambda k: k.layers.TimeDistributed(k.layers.Activation("tanh")),
    lambda k: k.layers.TimeDistributed(k.layers.RepeatVector(2)),
]


@MODULES
@pytest.mark.parametrize("length", [STEPS, None])
@pytest.mark.parametrize("format", [".keras", ".h5"])
def test_time_distributed(module, length, format):
    same_as_keras(outputs_of((length, FEATURES), *STEPWISE), module=module, format=format)


@MODULES
def test_time_distributed_images(module):
    def conv(k):
        return k.layers.TimeDistributed(k.layers.Conv2D(2, 3, strides=2, padding="same"))

    def pool(k):
        return k.layers.TimeDistributed(k.layers.MaxPooling2D(2))

    def flat(k):
        return k.layers.TimeDistributed(k.layers.Flatten())

    same_as_keras(outputs_of((4, 6, 5, 3), conv, pool, flat), module=module)


@MODULES
def test_time_distributed_recurrent(module):
    def make(k):
        return k.layers.TimeDistributed(k.layers.LSTM(3))

    same_as_keras(outputs_of((4, 5, 2), make), module=module)


@MODULES
@pytest.mark.parametrize("format", [".keras", ".h5"])
def test_time_distributed_model(module, format):
    def make(k):
        inner = k.Input((5, 2))
        return k.layers.TimeDistributed(k.Model(inner, k.layers.Dense(3)(k.layers.GRU(4)(inner))))

    same_as_keras(outputs_of((4, 5, 2), make), module=module, format=format)


@MODULES
def test_time_distributed_masks(module):
    def build(k):
        x = k.Input((STEPS, FEATURES))
        y = k.layers.Masking()(x)
        y = k.layers.TimeDistributed(k.layers.Dense(4))(y)
        return k.Model(x, [y, k.layers.LSTM(3)(y)])

    same_as_keras(build, module=module, inputs=[padded()])


@MODULES
def test_time_distributed_batch_normalization(module):
    """Keras 3 normalizes step by step, and the statistics move once per step."""

    def make(k):
        return k.layers.TimeDistributed(k.layers.BatchNormalization(momentum=0.7))

    same_as_keras(outputs_of((4, FEATURES), make), module=module, batch=5)


def test_time_distributed_seeded_dropout():
    def make(k):
        return k.layers.TimeDistributed(k.layers.Dropout(0.4, seed=3))

    same_as_keras(outputs_of((4, FEATURES), make))
