"""Layers over strings, and a model trained on strings."""

import numpy as np
import pytest
import torch
from helpers.oracle import floatx, keras, load_model, tf, tf_keras

import midstream as ms

both = pytest.mark.parametrize("module", [keras, tf_keras], ids=["keras3", "tf_keras"])
TEXTS = np.array(
    ["The cat sat.", "a DOG, a cat!", "", "the\tthe  bird's né  \n", "zebra [UNK] cat dog-dog", "sat sat the cat bird"]
)
WORDS = ["the", "cat", "sat", "dog", "né", "a"]
LABELS = np.array([0, 1, 1, 0, 1, 0])


def compare(build, x, tmp_path, module, dtype="float64", printed=True):
    with floatx(dtype):
        path = tmp_path / "model.keras"
        build(module).save(path)
        outputs = load_model(module, path)(tf.constant(x), training=False)
    expected = outputs if isinstance(outputs, (list, tuple)) else [outputs]
    bytes_ = ms.strings(x) if x.dtype.kind == "U" else torch.from_numpy(x)
    ours = ms._core.open(str(path)).forward([bytes_], False)
    for i, (a, b) in enumerate(zip(ours, expected, strict=True)):
        np.testing.assert_array_equal(a.numpy(), np.asarray(b), err_msg=f"output {i}")
    if printed:
        model_outputs = ms.load(path)(bytes_)
        model_outputs = model_outputs if isinstance(model_outputs, (list, tuple)) else [model_outputs]
        for a, b in zip(model_outputs, expected, strict=True):
            np.testing.assert_array_equal(a.numpy(), np.asarray(b))


def floats(k, x, layers):
    return k.Model(x, [k.layers.Rescaling(1.0)(layer(x)) for layer in layers])


@both
def test_text_vectorization(module, tmp_path):
    def build(k):
        make = k.layers.TextVectorization
        adapted = make(output_mode="count")
        adapted.adapt(TEXTS)
        layers = [
            make(vocabulary=WORDS),
            make(vocabulary=WORDS, output_sequence_length=3),
            make(vocabulary=WORDS, standardize="lower", output_sequence_length=7),
            make(vocabulary=WORDS, standardize="strip_punctuation"),
            make(vocabulary=["a", "c", "é", " "], split="character", standardize=None),
            make(vocabulary=[*WORDS, "the cat", "sat the"], ngrams=2),
            make(vocabulary=["the cat", "sat sat the"], ngrams=2),
            make(vocabulary=WORDS, output_mode="multi_hot"),
            make(vocabulary=WORDS, output_mode="count", max_tokens=11, pad_to_max_tokens=True),
            adapted,
        ]
        return floats(k, k.Input((1,), dtype="string"), layers)

    compare(build, TEXTS[:, None], tmp_path, module)


@both
def test_string_lookup(module, tmp_path):
    def build(k):
        make = k.layers.StringLookup
        layers = [
            make(vocabulary=WORDS),
            make(vocabulary=WORDS, mask_token=""),
            make(vocabulary=["", "[UNK]", *WORDS], mask_token=""),
            make(vocabulary=WORDS, output_mode="multi_hot"),
            make(vocabulary=WORDS, output_mode="count", mask_token=""),
        ]
        return floats(k, k.Input((3,), dtype="string"), layers)

    x = np.array([["the", "cat", ""], ["né", "[UNK]", "sat"], ["a", "cat", "a"]])
    compare(build, x, tmp_path, module)
    hashed = lambda k: floats(  # noqa: E731
        k, k.Input((3,), dtype="string"), [k.layers.StringLookup(vocabulary=WORDS, num_oov_indices=5)]
    )
    compare(hashed, x, tmp_path, module, printed=False)


@both
def test_hashing(module, tmp_path):
    make = lambda k: [  # noqa: E731
        k.layers.Hashing(1000),
        k.layers.Hashing(1000, salt=[133, 137]),
        k.layers.Hashing(997, salt=7),
        k.layers.Hashing(5, output_mode="multi_hot"),
    ]
    # One string of every length: FarmHash has a rule for each range.
    long = np.array([["x" * (n % 7) + "".join(chr(97 + (i * n) % 26) for i in range(n))[n % 7 :]] for n in range(200)])
    text = lambda k: floats(  # noqa: E731
        k, k.Input((1,), dtype="string"), [*make(k), k.layers.Hashing(9, mask_value=str(long[1, 0]))]
    )
    compare(text, long, tmp_path, module, printed=False)
    numbers = lambda k: floats(  # noqa: E731
        k, k.Input((2,), dtype="int64"), [*make(k), k.layers.Hashing(9, mask_value=3)]
    )
    compare(numbers, np.array([[1, 2], [-5, 3], [123456789012, 0]]), tmp_path, module, printed=False)


def classifier(k):
    k.utils.set_random_seed(1)
    model = k.Sequential(
        [
            k.Input((1,), dtype="string"),
            k.layers.TextVectorization(vocabulary=WORDS, output_sequence_length=4),
            k.layers.Embedding(8, 5),
            k.layers.Flatten(),
            k.layers.Dense(2),
        ]
    )
    loss = k.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(k.optimizers.Adam(0.01), loss)
    return model


@both
def test_from_strings_to_a_trained_file(module, midstream, tmp_path):
    """By the command and from Python, from arrays of str and of bytes: where Keras' fit comes to."""
    with floatx("float64"):
        model = classifier(module)
        x = TEXTS[:, None]
        model.fit(tf.constant(x), LABELS, batch_size=2, shuffle=False, verbose=0)
        model.save(tmp_path / "model.keras")
        np.savez(tmp_path / "data.npz", x=TEXTS, y=LABELS)
        midstream(
            "train", "model.keras", "--data", "data.npz", "--no-shuffle", "--batch-size", 2, "--epochs", 2,
            "-o", "trained.keras",
        )  # fmt: skip
        model.fit(tf.constant(x), LABELS, batch_size=2, shuffle=False, verbose=0, epochs=2)
        trained = load_model(module, tmp_path / "trained.keras")
        for a, b in zip(trained.get_weights(), model.get_weights(), strict=True):
            if np.asarray(b).dtype.kind == "f":
                np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)
        run = ms.resume(tmp_path / "model.keras")
        run.fit((list(map(str, TEXTS)), LABELS), epochs=2, batch_size=2, shuffle=False, progress=False)
        expected = model.predict(tf.constant(x), verbose=0)
        np.testing.assert_allclose(run.predict(TEXTS), expected, rtol=1e-11)
        np.testing.assert_allclose(run.predict(list(map(str, TEXTS))), expected, rtol=1e-11)
        np.savez(tmp_path / "in.npz", x=np.char.encode(TEXTS, "utf-8"))
        midstream("predict", "trained.keras", "--data", "in.npz", "-o", "out.npz")
        np.testing.assert_allclose(np.load(tmp_path / "out.npz")["y"], expected, rtol=1e-11)


def test_what_is_refused_names_the_way_out(tmp_path):
    path = tmp_path / "model.keras"
    classifier(keras).save(path)
    run = ms.resume(path)
    with pytest.raises(ms.BadDataError, match="wants strings"):
        run.predict(np.zeros((2, 1, 3)))
    with pytest.raises(ms.BadDataError, match="dtype=str"):
        run.predict(np.array([None, 3], dtype=object))
    np.savez(tmp_path / "objects.npz", x=np.array(["a", "b"], dtype=object), y=np.zeros(2))
    with pytest.raises(ms.BadFileError, match="dtype=str"):
        run.fit(tmp_path / "objects.npz")
