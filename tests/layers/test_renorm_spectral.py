"""BatchNormalization with renorm=True, and SpectralNormalization."""

import types
import zipfile

import h5py
import numpy as np
import pytest
from helpers.layers import same_as_keras
from helpers.oracle import floatx, keras, tf_keras
from whole.continuation import Case, goes_on_as_keras

from layers.several import outputs_of

CLIPPING = {"rmin": 0.8, "rmax": 1.1, "dmax": 0.3}


def shared(**options):
    """A layer that is called twice hands its statistics on."""

    def build(k):
        x, y = k.Input((4, 3)), k.Input((4, 3))
        layer = k.layers.BatchNormalization(renorm=True, **options)
        return k.Model([x, y], [layer(x), layer(y)])

    return build


def test_renorm():
    makers = [
        lambda k: k.layers.BatchNormalization(renorm=True),
        lambda k: k.layers.BatchNormalization(renorm=True, renorm_clipping=CLIPPING, renorm_momentum=0.8, momentum=0.7),
        lambda k: k.layers.BatchNormalization(renorm=True, scale=False, center=False, epsilon=0.1),
        lambda k: k.layers.BatchNormalization(renorm=True, scale=False, axis=1),
        lambda k: k.layers.BatchNormalization(renorm=True, trainable=False),
    ]
    same_as_keras(outputs_of((4, 3), *makers))
    same_as_keras(shared(momentum=0.5, renorm_clipping=CLIPPING), format=".h5")


def test_renorm_of_tf_keras():
    """Its own arithmetic mixes float32 into the layer, which therefore is one of float32."""
    makers = [
        lambda k: k.layers.BatchNormalization(renorm=True, renorm_momentum=0.8),
        lambda k: k.layers.BatchNormalization(renorm=True, renorm_clipping=CLIPPING, scale=False),
    ]
    for format in (".keras", ".h5"):
        same_as_keras(outputs_of((4, 3), *makers), module=tf_keras, format=format, dtype="float32", tol=2e-5,
                      reason="float32 alone works in tf_keras")  # fmt: skip


@pytest.fixture
def legacy_input_spec(monkeypatch):
    """tf_keras' SpectralNormalization takes InputSpec from tf.keras, which is Keras 3 where both are installed."""
    from tf_keras.src.layers.normalization import spectral_normalization as module

    ours = types.SimpleNamespace(TensorShape=module.tf.TensorShape, keras=tf_keras)
    for name in ("cond", "reduce_all", "equal", "reshape", "math", "matmul", "stop_gradient"):
        setattr(ours, name, getattr(module.tf, name))
    monkeypatch.setattr(module, "tf", ours)
    # Nor does it find the class again when it reads a file.
    with tf_keras.utils.custom_object_scope({"SpectralNormalization": module.SpectralNormalization}):
        yield


def spectral(inner, **options):
    return lambda k: k.layers.SpectralNormalization(inner(k), **options)


SPECTRAL = [
    spectral(lambda k: k.layers.Conv2D(3, (2, 3), strides=2)),
    spectral(
        lambda k: k.layers.Dense(4, use_bias=False, kernel_regularizer="l2", activation="tanh"), power_iterations=3
    ),
    spectral(lambda k: k.layers.Conv2DTranspose(2, 2)),
]


@pytest.mark.parametrize("format", [".keras", ".h5"])
@pytest.mark.parametrize("module", [keras, tf_keras], ids=["keras3", "tf_keras"])
def test_spectral_normalization(module, format, legacy_input_spec):
    same_as_keras(outputs_of((5, 4, 3), *SPECTRAL), module=module, format=format)


def test_spectral_normalization_of_an_embedding_and_a_shared_layer():
    def build(k):
        words, x = k.Input((3,)), k.Input((4,))  # whole numbers would make Keras cast what comes out to them
        layer = k.layers.SpectralNormalization(k.layers.Dense(4))
        embedded = k.layers.SpectralNormalization(k.layers.Embedding(5, 4))(words)
        return k.Model([words, x], [embedded, layer(layer(x))])

    same_as_keras(build, inputs=[np.array([[0, 1, 4], [2, 2, 0.0]]), np.random.default_rng(0).normal(size=(2, 4))])


def normalized_model(k):
    L = k.layers
    x = image = k.Input((6, 5, 3))
    x = L.SpectralNormalization(L.Conv2D(4, 3, use_bias=False, kernel_regularizer="l2"))(x)
    if k is keras:  # tf_keras' renorm knows no float64
        x = L.BatchNormalization(renorm=True, renorm_clipping=CLIPPING, momentum=0.9)(x)
    return k.Model(image, L.SpectralNormalization(L.Dense(2))(L.Flatten()(x)))


@pytest.mark.parametrize("module, ending", [(keras, ".keras"), (tf_keras, ".h5")], ids=["keras3", "tf_keras"])
def test_training_goes_on(module, ending, tmp_path, legacy_input_spec):
    """Every step changes the kernels twice. A .keras file has them at two places each, which are both written."""
    data = lambda rng, n: ([rng.normal(size=(n, 6, 5, 3))], [rng.normal(size=(n, 2))])  # noqa: E731
    case = Case(normalized_model, data, lambda k: k.optimizers.Adam(0.01), "mse")
    with floatx("float64"):
        goes_on_as_keras(case, module, tmp_path, ending)
    if ending == ".keras":
        with zipfile.ZipFile(tmp_path / "ours.keras") as archive, h5py.File(archive.open("model.weights.h5")) as file:
            for layer in ("spectral_normalization", "spectral_normalization_1"):
                both = [file[f"layers/{layer}/{inner}vars/0"][()] for inner in ("", "layer/")]
                np.testing.assert_array_equal(*both)
