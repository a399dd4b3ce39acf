"""The networks that are measured, in Keras: compiled, with Adam, and saved with random weights.

python bench/nets.py DIRECTORY NAME...       writes NAME.keras and NAME.npz
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import sys
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")


@dataclasses.dataclass(frozen=True)
class Net:
    title: str
    build: Callable
    shape: tuple[int, ...]  # of one sample
    classes: int
    batch: int
    steps: int  # in one round


def mlp(k):
    model = k.Sequential([k.Input((64,))])
    for _ in range(8):
        model.add(k.layers.Dense(64, "relu"))
    model.add(k.layers.Dense(10))
    return model


def lstm(k):
    return k.Sequential(
        [k.Input((100, 64)), k.layers.LSTM(128, return_sequences=True), k.layers.LSTM(128), k.layers.Dense(10)]
    )


def transformer(k):
    x = inputs = k.Input((128, 256))
    for _ in range(4):
        attended = k.layers.MultiHeadAttention(8, 32)(x, x)
        x = k.layers.LayerNormalization(epsilon=1e-6)(k.layers.Add()([x, attended]))
        hidden = k.layers.Dense(256)(k.layers.Dense(1024, "relu")(x))
        x = k.layers.LayerNormalization(epsilon=1e-6)(k.layers.Add()([x, hidden]))
    return k.Model(inputs, k.layers.Dense(10)(k.layers.GlobalAveragePooling1D()(x)))


def mobilenet(k):
    return k.applications.MobileNetV2((96, 96, 3), weights=None, classes=10, classifier_activation=None)


def resnet(k):
    return k.applications.ResNet50(input_shape=(224, 224, 3), weights=None, classes=1000, classifier_activation=None)


def vgg(k):
    return k.applications.VGG16(input_shape=(224, 224, 3), weights=None, classes=1000, classifier_activation=None)


NETS = {
    "mlp": Net("MLP, 8 x 64, batch 32", mlp, (64,), 10, 32, 200),
    "lstm": Net("two LSTM(128), 100 steps, batch 32", lstm, (100, 64), 10, 32, 8),
    "transformer": Net("transformer, 4 layers, d 256, batch 8 x 128", transformer, (128, 256), 10, 8, 4),
    "mobilenet": Net("MobileNetV2, 96 x 96, batch 8", mobilenet, (96, 96, 3), 10, 8, 5),
    "resnet": Net("ResNet50, 224 x 224, batch 4", resnet, (224, 224, 3), 1000, 4, 2),
}
OPENED = {"resnet": "ResNet50 with Adam's slots", "vgg": "VGG16 with Adam's slots"}


def write(name: str, directory: pathlib.Path) -> None:
    import keras
    import numpy as np

    keras.utils.set_random_seed(0)
    model = vgg(keras) if name == "vgg" else NETS[name].build(keras)
    model.compile(keras.optimizers.Adam(1e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.optimizer.build(model.trainable_variables)
    model.save(directory / f"{name}.keras")
    if name == "vgg":
        return
    net = NETS[name]
    random = np.random.default_rng(0)
    n = net.batch * net.steps
    x = random.standard_normal((n, *net.shape), dtype="float32")
    np.savez(directory / f"{name}.npz", x=x, y=random.integers(0, net.classes, n, dtype="int32"))


if __name__ == "__main__":
    for name in sys.argv[2:]:
        write(name, pathlib.Path(sys.argv[1]))
