"""Whole models as users write them, small: name -> function of a Keras module."""

from __future__ import annotations


def digits(k):
    L = k.layers
    return k.Sequential(
        [
            k.Input((8, 8, 1)),
            L.Conv2D(8, 3, padding="same", activation="relu"),
            L.BatchNormalization(),
            L.MaxPooling2D(),
            L.Conv2D(16, 3, padding="same", strides=2),
            L.ReLU(),
            L.Flatten(),
            L.Dense(10, activation="softmax"),
        ],
        name="digits",
    )


def resnet50(k):
    return k.applications.ResNet50(weights=None, input_shape=(64, 64, 3), classes=10)


def mobilenet_v2(k):
    return k.applications.MobileNetV2(weights=None, input_shape=(32, 32, 3), classes=10)


def bilstm(k):
    L = k.layers
    tokens = k.Input((None,), dtype="int32", name="tokens")
    x = L.Embedding(50, 8, mask_zero=True)(tokens)
    x = L.Bidirectional(L.LSTM(6, return_sequences=True))(x)
    x = L.Bidirectional(L.LSTM(5))(x)
    x = L.Dense(8, activation="relu")(x)
    return k.Model(tokens, L.Dense(1, activation="sigmoid")(x), name="bilstm")


def transformer(k):
    L = k.layers
    tokens = k.Input((None,), dtype="int32", name="tokens")
    x = L.Embedding(50, 16)(tokens)
    for _ in range(4):
        x = L.LayerNormalization(epsilon=1e-6)(L.Add()([x, L.Dropout(0.0)(L.MultiHeadAttention(4, 4)(x, x))]))
        f = L.Dense(16)(L.Dense(32, activation="relu")(x))
        x = L.LayerNormalization(epsilon=1e-6)(L.Add()([x, f]))
    x = L.GlobalAveragePooling1D()(x)
    return k.Model(tokens, L.Dense(3)(x), name="transformer")


def unet(k):
    L = k.layers

    def double_conv(x, filters, name):
        for i in (1, 2):
            x = L.Conv2D(filters, 3, padding="same", name=f"{name}_conv{i}")(x)
            x = L.BatchNormalization(name=f"{name}_bn{i}")(x)
            x = L.Activation("relu", name=f"{name}_relu{i}")(x)
        return x

    x = image = k.Input((16, 16, 3), name="image")
    skips = []
    for i, filters in enumerate((4, 8, 16)):
        x = double_conv(x, filters, f"down{i}")
        skips.append(x)
        x = L.MaxPooling2D(name=f"pool{i}")(x)
    x = double_conv(x, 32, "middle")
    for i, filters in reversed(list(enumerate((4, 8, 16)))):
        x = L.Conv2DTranspose(filters, 2, strides=2, name=f"up{i}_t")(x)
        x = double_conv(L.Concatenate(name=f"up{i}_cat")([x, skips[i]]), filters, f"up{i}")
    return k.Model(image, L.Conv2D(1, 1, activation="sigmoid", name="out")(x), name="unet")


def two_headed(k):
    """One tower, called twice, and two outputs."""
    L = k.layers
    tower = k.Sequential(
        [k.Input((12,)), L.Dense(8, activation="relu"), L.BatchNormalization(), L.Dense(4)], name="tower"
    )
    left, right = k.Input((12,), name="left"), k.Input((12,), name="right")
    x, y = tower(left), tower(right)
    same = L.Dense(1, activation="sigmoid", name="same")(L.Subtract()([x, y]))
    kind = L.Dense(3, name="kind")(L.Concatenate()([x, y]))
    return k.Model([left, right], [same, kind], name="two_headed")


def wavenet(k):
    L = k.layers
    x = sound = k.Input((None, 2), name="sound")
    x = L.Conv1D(6, 2, padding="causal")(x)
    skips = []
    for i in range(6):
        d = 2 ** (i % 3)
        gate = L.Multiply()(
            [
                L.Conv1D(6, 2, padding="causal", dilation_rate=d, activation="tanh")(x),
                L.Conv1D(6, 2, padding="causal", dilation_rate=d, activation="sigmoid")(x),
            ]
        )
        skips.append(L.Conv1D(6, 1)(gate))
        x = L.Add()([x, skips[-1]])
    x = L.Conv1D(4, 1, activation="relu")(L.Activation("relu")(L.Add()(skips)))
    return k.Model(sound, L.Conv1D(2, 1)(x), name="wavenet")


def grus(k):
    L = k.layers
    x = sequence = k.Input((7, 5), name="sequence")
    x = L.GRU(6, return_sequences=True)(x)
    x = L.GRU(6, reset_after=False, return_sequences=True)(x)
    x = L.SimpleRNN(4, return_sequences=True)(x)
    x = L.GRU(3, return_sequences=True, go_backwards=True)(x)
    return k.Model(sequence, L.LSTM(4, use_bias=False)(x), name="grus")


def mlp(k):
    """Regularizers, a constraint, an activity regularizer, a normalization adapted to nothing in particular."""
    L, r = k.layers, k.regularizers
    return k.Sequential(
        [
            k.Input((6,)),
            L.Normalization(mean=[0.1] * 6, variance=[1.5] * 6),
            L.Dense(8, activation="tanh", kernel_regularizer=r.L2(1e-2), activity_regularizer=r.L1(1e-3)),
            L.Dense(7, activation="relu", kernel_constraint=k.constraints.MaxNorm(1.5), bias_regularizer=r.L1(1e-3)),
            L.Dense(6, activation="selu"),
            L.Dense(4, activation="softmax"),
        ],
        name="mlp",
    )


def autoencoder(k):
    """Two models within a model."""
    L = k.layers
    image = k.Input((8, 8, 2), name="image")
    x = L.LeakyReLU()(L.SeparableConv2D(4, 3, strides=2, padding="same")(image))
    x = L.PReLU(shared_axes=[1, 2])(L.DepthwiseConv2D(3, padding="same", depth_multiplier=2)(x))
    encoder = k.Model(image, L.Dense(5)(L.Flatten()(L.AveragePooling2D(2)(x))), name="encoder")
    code = k.Input((5,), name="code")
    x = L.UpSampling2D(2)(L.Reshape((2, 2, 4))(L.Dense(16, activation="elu")(code)))
    x = L.Conv2DTranspose(2, 3, strides=2, padding="same", activation="sigmoid")(x)
    decoder = k.Model(code, x, name="decoder")
    return k.Model(image, decoder(encoder(image)), name="autoencoder")
