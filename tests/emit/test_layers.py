"""Every layer, printed: the same outputs as Keras, and the same after a step of training."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.oracle import tf_keras

from emit.emitted import emitted_text, same_as_keras

TOKENS = np.array([[3, 7, 0, 9, 2], [1, 0, 0, 0, 0], [4, 5, 6, 7, 8], [0, 0, 0, 0, 0]], "int32")


def over(shape, *layers):
    """A model that applies the layers (functions of keras.layers) one after the other."""

    def build(k):
        return k.Sequential([k.Input(shape), *(layer(k.layers) for layer in layers)])

    return build


IMAGE, SEQUENCE, VECTOR = (9, 8, 4), (None, 4), (6,)
LAYERS = {
    "dense": over(VECTOR, lambda L: L.Dense(5, activation="tanh", use_bias=False)),
    "dense_rank4": over(IMAGE, lambda L: L.Dense(5)),
    "conv1d_causal": over(SEQUENCE, lambda L: L.Conv1D(5, 3, padding="causal", dilation_rate=2)),
    "conv2d_same_even": over(IMAGE, lambda L: L.Conv2D(5, (2, 4), padding="same", strides=2)),
    "conv2d_open": over((None, None, 3), lambda L: L.Conv2D(4, 3, padding="same", strides=2)),
    "conv2d_groups": over(IMAGE, lambda L: L.Conv2D(6, 3, groups=2, dilation_rate=2)),
    "depthwise": over(IMAGE, lambda L: L.DepthwiseConv2D(3, depth_multiplier=2, padding="same")),
    "separable": over(IMAGE, lambda L: L.SeparableConv2D(5, 3, padding="same")),
    "separable_twice": over(IMAGE, lambda L: L.SeparableConv2D(4, 3), lambda L: L.SeparableConv2D(4, 3)),
    "transpose_same": over(IMAGE, lambda L: L.Conv2DTranspose(3, 3, strides=2, padding="same")),
    "transpose_valid": over(IMAGE, lambda L: L.Conv2DTranspose(3, 2, strides=3, output_padding=1)),
    "batch_norm_2": over(VECTOR, lambda L: L.BatchNormalization(scale=False)),
    "batch_norm_without_bias": over(IMAGE, lambda L: L.BatchNormalization(center=False)),
    "batch_norm_plain": over(IMAGE, lambda L: L.BatchNormalization(center=False, scale=False), lambda L: L.Dense(2)),
    "batch_norm_3": over(SEQUENCE, lambda L: L.BatchNormalization(momentum=0.9)),
    "batch_norm_axis1": over(IMAGE, lambda L: L.BatchNormalization(axis=1)),
    "batch_renorm": over(
        SEQUENCE, lambda L: L.BatchNormalization(renorm=True, renorm_clipping={"rmax": 1.1, "dmax": 0.3})
    ),
    "spectral_norm": over(IMAGE, lambda L: L.SpectralNormalization(L.Conv2D(3, 2), power_iterations=2)),
    "adaptive_pools": over(
        IMAGE, lambda L: L.AdaptiveMaxPooling2D((5, 8)), lambda L: L.AdaptiveAveragePooling2D((3, 5))
    ),
    "group_norm": over(IMAGE, lambda L: L.GroupNormalization(2, scale=False), lambda L: L.GroupNormalization(4)),
    "layer_norm": over(SEQUENCE, lambda L: L.LayerNormalization(center=False)),
    "layer_norm_axes": over(IMAGE, lambda L: L.LayerNormalization(axis=[1, 2])),
    "unit_norm": over(IMAGE, lambda L: L.UnitNormalization(axis=[1, 2])),
    "max_pool_same": over(IMAGE, lambda L: L.MaxPooling2D(3, 2, padding="same")),
    "max_pool_stride1": over(IMAGE, lambda L: L.MaxPooling2D(2, 1, padding="same")),
    "average_pool_same": over(IMAGE, lambda L: L.AveragePooling2D((2, 3), padding="same")),
    "pool1d": over(SEQUENCE, lambda L: L.MaxPooling1D(2), lambda L: L.AveragePooling1D(2)),
    "global_pools": over(IMAGE, lambda L: L.GlobalMaxPooling2D(keepdims=True), lambda L: L.GlobalAveragePooling2D()),
    "padding": over(IMAGE, lambda L: L.ZeroPadding2D(((1, 2), (0, 3))), lambda L: L.Cropping2D(((0, 1), (2, 0)))),
    "upsampling": over(IMAGE, lambda L: L.UpSampling2D(2)),
    "upsampling_bilinear": over(IMAGE, lambda L: L.UpSampling2D(2, interpolation="bilinear")),
    "resizing": over(
        IMAGE, lambda L: L.Resizing(7, 5, "bicubic"), lambda L: L.Resizing(5, 9, "lanczos3", antialias=True)
    ),
    "resizing_nearest": over(IMAGE, lambda L: L.Resizing(7, 5, "nearest"), lambda L: L.CenterCrop(3, 4)),
    "resizing_open": over((None, None, 3), lambda L: L.Resizing(7, 5, pad_to_aspect_ratio=True)),
    "discretization": over(VECTOR, lambda L: L.Discretization([-0.5, 0.5], output_mode="count"), lambda L: L.Dense(2)),
    "stft_spectrogram": over((20, 2), lambda L: L.STFTSpectrogram(frame_length=8)),
    "mel_spectrogram": over(
        (40,), lambda L: L.MelSpectrogram(16, 8, num_mel_bins=4, sampling_rate=100, power_to_db=False)
    ),
    "random_images": over(
        IMAGE,
        lambda L: L.RandomTranslation(0.0, 0.0),
        lambda L: L.RandomBrightness(0.0, (-9, 9)),
        lambda L: L.Conv2D(2, 3),
    ),
    "reshapes": over(IMAGE, lambda L: L.Permute((3, 1, 2)), lambda L: L.Reshape((6, -1)), lambda L: L.Flatten()),
    "prelu": over(IMAGE, lambda L: L.PReLU(shared_axes=[1, 2])),
    "activations": over(
        VECTOR, lambda L: L.LeakyReLU(), lambda L: L.ELU(), lambda L: L.ReLU(6.0), lambda L: L.Softmax()
    ),
    "more_activations": over(
        VECTOR,
        *(
            lambda L, name=name: L.Activation(name)
            for name in ("selu", "softplus", "softsign", "silu", "mish", "hard_silu")
        ),
    ),
    "rescaling": over(IMAGE, lambda L: L.Rescaling(1 / 255, offset=[0.1, 0.2, 0.3, 0.4])),
    "normalization": over(VECTOR, lambda L: L.Normalization(mean=[0.1] * 6, variance=[2.0] * 6), lambda L: L.Dense(2)),
    "lstm": over(SEQUENCE, lambda L: L.LSTM(5)),
    "lstm_other_activation": over(SEQUENCE, lambda L: L.LSTM(5, activation="relu")),
    "gru": over(SEQUENCE, lambda L: L.GRU(5, return_sequences=True, use_bias=False)),
    "gru_reset_before": over(SEQUENCE, lambda L: L.GRU(5, reset_after=False)),
    "simple_rnn": over(SEQUENCE, lambda L: L.SimpleRNN(5, activation="relu")),
    "bidirectional_sum": over(SEQUENCE, lambda L: L.Bidirectional(L.GRU(5, return_sequences=True), merge_mode="sum")),
    "time_distributed": over((None, 6), lambda L: L.TimeDistributed(L.Dense(3, activation="relu"))),
    "conv_lstm": over(
        (3, 6, 5, 2),
        lambda L: L.ConvLSTM2D(2, (3, 2), return_sequences=True),
        lambda L: L.ConvLSTM2D(2, 2, padding="same"),
    ),
    "time_distributed_conv": over((3, 6, 6, 2), lambda L: L.TimeDistributed(L.Conv2D(3, 3))),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layer(midstream, tmp_path, name):
    length = 9 if name == "conv2d_open" else 6
    # float32 where Keras computes in it: resizing and moving images, and the edges of mel bands, whose small differences are divided by.
    float32 = name.startswith("resizing") or name in ("upsampling_bilinear", "mel_spectrogram", "random_images")
    same_as_keras(midstream, tmp_path, LAYERS[name], length=length, tol=2e-6 if float32 else 1e-10)


MASKED = {
    "lstm": lambda L: L.LSTM(5, return_sequences=True),
    "gru": lambda L: L.GRU(5),
    "simple_rnn": lambda L: L.SimpleRNN(5),
    "bidirectional": lambda L: L.Bidirectional(L.GRU(5)),
    "pooling": lambda L: L.GlobalAveragePooling1D(),
    "time_distributed": lambda L: L.TimeDistributed(L.Dense(3)),
}


@pytest.mark.parametrize("name", MASKED)
def test_under_a_mask(midstream, tmp_path, name):
    def build(k):
        tokens = k.Input((None,), dtype="int32", name="tokens")
        x = k.layers.Embedding(12, 4, mask_zero=True)(tokens)
        return k.Model(tokens, MASKED[name](k.layers)(x))

    same_as_keras(midstream, tmp_path, build, inputs=[TOKENS])


def test_attention_with_masks_and_two_inputs(midstream, tmp_path):
    def build(k):
        L = k.layers
        tokens, memory = k.Input((None,), dtype="int32", name="tokens"), k.Input((None, 6), name="memory")
        x = L.Embedding(12, 8, mask_zero=True)(tokens)
        x = L.MultiHeadAttention(2, 4)(x, x, use_causal_mask=True)
        x = L.MultiHeadAttention(2, 3, value_dim=5)(x, memory)
        return k.Model([tokens, memory], L.Dense(2)(x))

    memory = np.random.default_rng(0).normal(size=(4, 3, 6))
    same_as_keras(midstream, tmp_path, build, inputs=[TOKENS, memory])


@pytest.mark.filterwarnings("ignore:Layer .* was passed an input with a mask")  # Keras says so of its own layers inside
def test_grouped_query_attention(midstream, tmp_path):
    def build(k):
        tokens = k.Input((None,), dtype="int32", name="tokens")
        x = k.layers.Embedding(12, 8, mask_zero=True)(tokens)
        x = k.layers.GroupQueryAttention(3, 4, 2, use_gate=True)(x, x)
        return k.Model(tokens, k.layers.GroupQueryAttention(3, 4, 1)(x, x, use_causal_mask=True))

    same_as_keras(midstream, tmp_path, build, inputs=[TOKENS])


def test_locally_connected(midstream, tmp_path):
    layers = [
        lambda L: L.LocallyConnected2D(3, (3, 2)),
        lambda L: L.LocallyConnected2D(2, 2, implementation=2, padding="same"),
        lambda L: L.LocallyConnected2D(2, 3, implementation=3),
    ]
    same_as_keras(midstream, tmp_path, over((6, 5, 2), *layers), module=tf_keras)


def test_layers_of_keras_3(midstream, tmp_path):
    """RMSNormalization, and one table for rows and scores."""

    def build(k):
        L = k.layers
        tokens = k.Input((None,), dtype="int32", name="tokens")
        embedding = L.ReversibleEmbedding(12, 8, logit_soft_cap=3.0)
        x = L.RMSNormalization()(embedding(tokens))
        return k.Model(tokens, embedding(x, reverse=True))

    same_as_keras(midstream, tmp_path, build, inputs=[TOKENS])


def test_merge_layers(midstream, tmp_path):
    def build(k):
        L = k.layers
        a, b = k.Input((6,), name="a"), k.Input((6,), name="b")
        both = [L.Add(), L.Subtract(), L.Multiply(), L.Average(), L.Maximum(), L.Minimum()]
        merged = [layer([a, b]) for layer in both] + [L.Dot(axes=1)([a, b])]
        return k.Model([a, b], L.Dense(3)(L.Concatenate()(merged)))

    same_as_keras(midstream, tmp_path, build)


def test_states_in_and_out(midstream, tmp_path):
    """An encoder's states start the decoder."""

    def build(k):
        L = k.layers
        source, target = k.Input((None, 3), name="source"), k.Input((None, 3), name="target")
        _, h, c = L.LSTM(4, return_state=True)(source)
        y = L.LSTM(4, return_sequences=True)(target, initial_state=[h, c])
        return k.Model([source, target], L.Dense(2)(y))

    same_as_keras(midstream, tmp_path, build)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_states_in_and_out_under_a_mask(midstream, tmp_path, bidirectional):
    """The encoder's last cell state is that of the last valid step."""

    def build(k):
        L = k.layers
        source, target = k.Input((None,), name="source", dtype="int32"), k.Input((None, 3), name="target")
        encoder = L.LSTM(4, return_state=True)
        h = L.Embedding(10, 3, mask_zero=True)(source)
        y, *states = L.Bidirectional(encoder)(h) if bidirectional else encoder(h)
        if bidirectional:
            states = [L.Add()([states[0], states[2]]), L.Add()([states[1], states[3]])]
        y = L.LSTM(4, return_sequences=True)(target, initial_state=states)
        return k.Model([source, target], L.Dense(2)(y))

    target = np.random.default_rng(1).normal(size=(4, 6, 3))
    same_as_keras(midstream, tmp_path, build, inputs=[TOKENS, target])
    assert "MaskedLSTMWithStates" in emitted_text(tmp_path)


def test_frozen_layers_stay_frozen(midstream, tmp_path):
    def build(k):
        model = over(IMAGE, lambda L: L.Conv2D(3, 3), lambda L: L.BatchNormalization(), lambda L: L.Conv2D(2, 3))(k)
        model.layers[0].trainable = False
        model.layers[1].trainable = False
        return model

    same_as_keras(midstream, tmp_path, build)
    assert emitted_text(tmp_path).count(".requires_grad_(False)") == 2
    assert "FrozenBatchNorm2d" in emitted_text(tmp_path)


@pytest.mark.parametrize("seed", [None, 7])
def test_dropout_is_torchs(midstream, tmp_path, seed):
    def build(k):
        L = k.layers
        x = image = k.Input(IMAGE)
        x = L.SpatialDropout2D(0.25, seed=seed)(L.Conv2D(3, 3)(x))
        x = L.Dropout(0.5, seed=seed)(L.Flatten()(x))
        x = L.GaussianNoise(0.1, seed=seed)(x)
        return k.Model(image, L.Dense(2)(x))

    emitted = same_as_keras(midstream, tmp_path, build, step=False)
    text = emitted_text(tmp_path)
    assert "nn.Dropout(0.5)" in text and "Dropout2d(0.25)" in text.replace("ChannelDropout(", "Dropout2d(")
    import torch

    model = emitted.load().train()
    x = torch.rand(2, 9, 8, 4, dtype=torch.float64)
    assert not torch.equal(model(x), model(x))
