"""LSTM, GRU, SimpleRNN, RNN over cells: all options, all masks, both Keras."""

import numpy as np
import pytest
from helpers.layers import same_as_keras, save
from helpers.oracle import floatx, keras, load_model, tf, tf_keras

from layers.sequences import BATCH, FEATURES, STEPS, normal, on_words, padded, words
from layers.several import outputs_of

MODULES = pytest.mark.parametrize("module", [keras, tf_keras], ids=["keras3", "tf_keras"])
CELLS = {
    "LSTM": {},
    "GRU": {"reset_after": True},
    "GRU-reset-before": {"reset_after": False},
    "SimpleRNN": {},
}
ALL_CELLS = pytest.mark.parametrize("cell", CELLS)

OPTIONS = [
    {},
    {"return_sequences": True},
    {"return_state": True},
    {"return_sequences": True, "return_state": True},
    {"go_backwards": True},
    {"go_backwards": True, "return_sequences": True, "return_state": True},
    {"use_bias": False, "return_sequences": True},
    {"unroll": True, "return_sequences": True},
]
ZERO_OUTPUT = [
    {"zero_output_for_mask": True},
    {"zero_output_for_mask": True, "return_sequences": True, "return_state": True},
    {"zero_output_for_mask": True, "return_sequences": True, "go_backwards": True},
]


def layer(cell: str, units: int = 4, **options):
    options = {**CELLS[cell], **options}
    return lambda k: getattr(k.layers, cell.split("-")[0])(units, **options)


@MODULES
@ALL_CELLS
@pytest.mark.parametrize("format", [".keras", ".h5"])
def test_options(module, cell, format):
    same_as_keras(outputs_of((STEPS, FEATURES), *(layer(cell, **o) for o in OPTIONS)), module=module, format=format)


@MODULES
@ALL_CELLS
def test_open_length(module, cell):
    same_as_keras(outputs_of((None, FEATURES), *(layer(cell, **o) for o in OPTIONS[:6])), module=module)


@MODULES
@ALL_CELLS
def test_masks(module, cell):
    """The embedding is not zero where the mask is false: what is skipped there must not leak."""
    same_as_keras(on_words(*(layer(cell, **o) for o in OPTIONS + ZERO_OUTPUT)), module=module, inputs=[words()])


@ALL_CELLS
def test_masks_of_open_length(cell):
    options = [o for o in OPTIONS + ZERO_OUTPUT if not o.get("unroll")]
    same_as_keras(on_words(*(layer(cell, **o) for o in options), length=None), inputs=[words()])


@ALL_CELLS
@pytest.mark.parametrize("rows", [[0], [4], [2, 3]], ids=["none-skipped", "all-skipped", "padded"])
def test_some_masks(cell, rows):
    same_as_keras(on_words(*(layer(cell, **o) for o in OPTIONS[:4])), inputs=[words()[rows]])


@MODULES
def test_the_mask_goes_on(module):
    def build(k):
        x = k.Input((STEPS, FEATURES))
        y = k.layers.Masking()(x)
        y = k.layers.LSTM(4, return_sequences=True)(y)
        y = k.layers.GRU(3, return_sequences=True)(y)
        return k.Model(x, k.layers.SimpleRNN(2)(y))

    same_as_keras(build, module=module, inputs=[padded()])


ACTIVATIONS = [
    ("relu", "sigmoid"),
    ("tanh", "hard_sigmoid"),
    ("linear", "tanh"),
    ("softsign", "softmax"),
    (None, "elu"),
]


@MODULES
@ALL_CELLS
@pytest.mark.parametrize("masked", [False, True])
def test_activations(module, cell, masked):
    """What no kernel knows runs as a loop."""
    made = []
    for activation, gate in ACTIVATIONS:
        options = (
            {"activation": activation}
            if cell == "SimpleRNN"
            else {"activation": activation, "recurrent_activation": gate}
        )
        for o in (OPTIONS[3], OPTIONS[5], OPTIONS[6]):
            made.append(layer(cell, **{**options, **o}))
        made.append(layer(cell, **options))
        made.append(layer(cell, **{**options, **ZERO_OUTPUT[1]}))
    if masked:
        same_as_keras(on_words(*made), module=module, inputs=[words()])
    else:
        same_as_keras(outputs_of((None, FEATURES), *made), module=module)


@MODULES
@ALL_CELLS
@pytest.mark.parametrize("gate", ["sigmoid", "hard_sigmoid"])
@pytest.mark.parametrize("masked", [False, True])
def test_initial_state(module, cell, gate, masked):
    """Keras 3 forgets the input's own mask here, Keras 2 does not; the mask goes on in both."""

    def build(k):
        x = k.Input((STEPS, FEATURES))
        states = [k.Input((4,)) for _ in range(2 if cell == "LSTM" else 1)]
        options = (
            {"recurrent_activation": gate}
            if cell != "SimpleRNN"
            else {"activation": {"sigmoid": "tanh"}.get(gate, gate)}
        )
        y = k.layers.Masking()(x) if masked else x
        outputs = [
            layer(cell, **options, **o)(k)(y, initial_state=states) for o in (OPTIONS[0], OPTIONS[3], OPTIONS[5])
        ]
        sequence = outputs[1][0]
        return k.Model([x, *states], [*outputs, k.layers.SimpleRNN(2)(sequence)])

    inputs = [padded(), normal(BATCH, 4), normal(BATCH, 4, seed=2)][: 3 if cell == "LSTM" else 2]
    same_as_keras(build, module=module, inputs=inputs)


@MODULES
def test_encoder_and_decoder(module):
    def build(k):
        source, target = k.Input((None, FEATURES)), k.Input((4, 2))
        _, *states = k.layers.LSTM(5, return_state=True)(source)
        return k.Model([source, target], k.layers.LSTM(5, return_sequences=True)(target, initial_state=states))

    same_as_keras(build, module=module)


@MODULES
@ALL_CELLS
def test_shared_layer(module, cell):
    def build(k):
        a, b = k.Input((STEPS, FEATURES)), k.Input((3, FEATURES))
        shared = layer(cell)(k)
        return k.Model([a, b], [shared(a), shared(b)])

    same_as_keras(build, module=module)


def test_regularizers_and_names():
    def build(k):
        x = k.Input((STEPS, FEATURES))
        y = k.layers.LSTM(3, name="first", kernel_regularizer="l2", recurrent_regularizer="l1", return_sequences=True)(
            x
        )
        return k.Model(x, k.layers.LSTM(3, name="second", bias_regularizer="l2")(y))

    same_as_keras(build)


def test_time_major():
    def build(k):
        x = k.Input(batch_shape=(STEPS, 3, FEATURES))
        outputs = [layer(c, time_major=True, **o)(k)(x) for c in CELLS for o in OPTIONS[:7]]
        outputs += [
            k.layers.Bidirectional(layer(c, time_major=True, return_sequences=True)(k))(x) for c in ("LSTM", "GRU")
        ]
        return k.Model(x, outputs)

    same_as_keras(build, module=tf_keras, inputs=[normal(STEPS, 3, FEATURES)])


def test_long_sequence():
    same_as_keras(
        outputs_of((200, FEATURES), *(layer(c, 6, return_sequences=True) for c in CELLS)),
        tol=1e-10,
        reason="200 steps: rounding grows along the recurrence and the weights' gradients sum over all of them",
    )


# --- cells


def cells_of(k):
    return [
        k.layers.LSTMCell(4),
        k.layers.GRUCell(3),
        k.layers.GRUCell(3, reset_after=False),
        k.layers.SimpleRNNCell(2),
    ]


@MODULES
@pytest.mark.parametrize("masked", [False, True])
def test_rnn_over_cells(module, masked):
    def made(options):
        def one(i):
            return lambda k: k.layers.RNN(cells_of(k)[i], **options)

        return [one(i) for i in range(4)]

    layers = [m for o in (OPTIONS[0], OPTIONS[3], OPTIONS[5]) for m in made(o)]
    if masked:
        same_as_keras(on_words(*layers), module=module, inputs=[words()])
    else:
        same_as_keras(outputs_of((STEPS, FEATURES), *layers), module=module)


# Keras 3 cannot open its own .h5 of a model with a mask that RNN takes as an argument ("Unknown layer: 'NotEqual'").
STACKED = [
    (module, format, masked)
    for module in (keras, tf_keras)
    for format in (".keras", ".h5")
    for masked in (False, True)
    if (module, format, masked) != (keras, ".h5", True)
]


@pytest.mark.parametrize("module, format, masked", STACKED)
def test_stacked_cells(module, masked, format):
    def made(options):
        return lambda k: k.layers.RNN(k.layers.StackedRNNCells(cells_of(k)), **options)

    layers = [made(o) for o in ({}, {"return_sequences": True}, {"return_sequences": True, "go_backwards": True})]
    if masked:
        same_as_keras(on_words(*layers), module=module, inputs=[words()], format=format)
    else:
        same_as_keras(outputs_of((STEPS, FEATURES), *layers), module=module, format=format)


# --- dropout and kept states: call after call

DROPOUT = [{"dropout": 0.3}, {"recurrent_dropout": 0.4}, {"dropout": 0.2, "recurrent_dropout": 0.3}]


# Keras 3's SimpleRNN leaves its seed out of its config: whoever loads the file draws anew.
SEEDED = [c for c in CELLS if c != "SimpleRNN"]


@pytest.mark.parametrize("cell", SEEDED)
@pytest.mark.parametrize("masked", [False, True])
def test_seeded_dropout(cell, masked):
    made = [layer(cell, seed=i, **d, **o) for i, d in enumerate(DROPOUT) for o in (OPTIONS[0], OPTIONS[3], OPTIONS[5])]
    if masked:
        same_as_keras(on_words(*made), inputs=[words()])
    else:
        same_as_keras(outputs_of((STEPS, FEATURES), *made))


def call_after_call(module, build, inputs, modes, tmp_path, reset=False):
    import midstream._core as core
    import torch

    with floatx("float64"):
        save(build(module), tmp_path / "model.keras")
        theirs, ours = load_model(module, tmp_path / "model.keras"), core.open(str(tmp_path / "model.keras"))
        for training, x in zip(modes, inputs, strict=True):
            expected = tf.nest.flatten(theirs(x, training=training))
            got = ours.forward([torch.from_numpy(x)], training)
            for a, b in zip(got, expected, strict=True):
                np.testing.assert_allclose(a.detach().numpy(), np.asarray(b), rtol=1e-12, atol=1e-13)


def test_seeded_dropout_call_after_call(tmp_path):
    """Recurrent cells draw in inference, too: the counters advance there as well."""
    made = [layer(c, seed=i, **d) for c in SEEDED for i, d in enumerate(DROPOUT)]
    modes = [True, True, False, True, False, False, True]
    inputs = [normal(3, STEPS, FEATURES, seed=i) for i in range(len(modes))]
    call_after_call(keras, outputs_of((STEPS, FEATURES), *made), inputs, modes, tmp_path)


@MODULES
def test_dropout_without_a_seed(module):
    made = [layer(c, **d) for c in CELLS for d in DROPOUT]
    same_as_keras(outputs_of((STEPS, FEATURES), *made), module=module, modes=(False,))


@MODULES
def test_dropout_without_a_seed_drops(module, tmp_path):
    import midstream._core as core
    import torch

    save(
        outputs_of(
            (1, 50), lambda k: k.layers.SimpleRNN(50, dropout=0.25, kernel_initializer="identity", activation="linear")
        )(module),
        tmp_path / "m.keras",
    )
    y = core.open(str(tmp_path / "m.keras")).forward([torch.ones(200, 1, 50)], True)[0].detach()
    assert set(np.unique(y.numpy())) == {0.0, np.float32(1 / 0.75)}
    assert abs((y == 0).double().mean() - 0.25) < 0.02


@MODULES
@pytest.mark.parametrize("masked", [False, True])
def test_stateful(module, masked, tmp_path):
    def build(k):
        x = k.Input(batch_shape=(BATCH, STEPS, FEATURES))
        y = k.layers.Masking()(x) if masked else x
        made = [layer(c, stateful=True, **o)(k)(y) for c in CELLS for o in (OPTIONS[0], OPTIONS[3])]
        both = k.layers.Bidirectional(k.layers.GRU(3, stateful=True, return_sequences=True))(y)
        return k.Model(x, [*made, both])

    modes = [False, True, False, True]
    call_after_call(module, build, [padded(seed=i) for i in range(4)], modes, tmp_path)
