"""What TensorFlow did before midstream came along, and what it would have done afterwards.

Trains a small convolutional network on scikit-learn's handwritten digits for EPOCHS_BEFORE epochs and saves it in the
middle of its training, Adam's slots and step counter included. Then TensorFlow itself goes on for EPOCHS_AFTER epochs,
and what it found is recorded as the truth that `make demo` compares with. Needs tensorflow, keras and scikit-learn; the
files it writes are in the repository, so the demo needs none of them.

    digits.keras       the model in midstream
    train.npz test.npz the data, as `fit` was given them: x [n, 8, 8, 1] float32 in 0..1, y [n] int32
    truth.json         history before and after, the loss of the first steps after
    truth_weights.npz  TensorFlow's weights at the end of its own continuation, by variable path
"""

import json
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import numpy as np
import sklearn.datasets
from keras import layers

HERE = pathlib.Path(__file__).resolve().parent
BATCH_SIZE = 32
EPOCHS_BEFORE, EPOCHS_AFTER = 3, 5
FIRST_STEPS = 20


def digits():
    """1,437 images to train on, 360 to test with; pixels 0..16 brought to 0..1."""
    data = sklearn.datasets.load_digits()
    x = (data.images[..., None] / 16.0).astype("float32")
    y = data.target.astype("int32")
    order = np.random.default_rng(0).permutation(len(x))
    train, test = order[:1437], order[1437:]
    return (x[train], y[train]), (x[test], y[test])


def network():
    return keras.Sequential(
        [
            layers.Input((8, 8, 1), name="image"),
            layers.Conv2D(16, 3, padding="same", use_bias=False, name="conv_1"),
            layers.BatchNormalization(momentum=0.9, name="norm_1"),
            layers.Activation("relu", name="relu_1"),
            layers.MaxPooling2D(2, name="pool_1"),
            layers.Conv2D(32, 3, padding="same", activation="relu", name="conv_2"),
            layers.BatchNormalization(momentum=0.9, name="norm_2"),
            layers.MaxPooling2D(2, name="pool_2"),
            layers.Flatten(name="flatten"),
            layers.Dense(32, activation="relu", name="hidden"),
            layers.Dense(10, activation="softmax", name="digit"),
        ],
        name="digits",
    )


def fit(model, train, test, epochs):
    # shuffle=False: the same batches in the same order, so that the continuations can be compared.
    history = model.fit(
        *train, batch_size=BATCH_SIZE, epochs=epochs, shuffle=False, validation_data=test, verbose=0
    ).history
    return {name: [float(value) for value in values] for name, values in history.items()}


def first_step_losses(path, train):
    """The loss of each of the first steps by itself (fit reports running means)."""
    model = keras.models.load_model(path)
    losses = []
    for step in range(FIRST_STEPS):
        batch = slice(step * BATCH_SIZE, (step + 1) * BATCH_SIZE)
        model.reset_metrics()
        losses.append(float(model.train_on_batch(train[0][batch], train[1][batch], return_dict=True)["loss"]))
    return losses


def main():
    keras.utils.set_random_seed(1)
    train, test = digits()
    np.savez_compressed(HERE / "train.npz", x=train[0], y=train[1])
    np.savez_compressed(HERE / "test.npz", x=test[0], y=test[1])

    model = network()
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate=5e-4),
        loss=keras.losses.SparseCategoricalCrossentropy(),
        metrics=["accuracy"],
    )
    before = fit(model, train, test, EPOCHS_BEFORE)
    model.save(HERE / "digits.keras")

    # From the file and not from the live model: what anybody can go on from.
    model = keras.models.load_model(HERE / "digits.keras")
    after = fit(model, train, test, EPOCHS_AFTER)
    np.savez_compressed(
        HERE / "truth_weights.npz", **{v.path: v.numpy() for v in model.variables if "seed" not in v.path}
    )

    import tensorflow as tf

    truth = {
        "written_by": {"tensorflow": tf.__version__, "keras": keras.__version__},
        "batch_size": BATCH_SIZE,
        "before": before,
        "after": after,
        "first_step_losses": first_step_losses(HERE / "digits.keras", train),
    }
    (HERE / "truth.json").write_text(json.dumps(truth, indent=1) + "\n")
    print(json.dumps(truth, indent=1))


if __name__ == "__main__":
    main()
