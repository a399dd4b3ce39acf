"""The comparisons that every oracle test rests on."""

import numpy as np
import pytest
from helpers.compare import Comparison, relative_error


def test_relative_error_is_relative_to_the_largest_magnitude():
    a = np.array([1000.0, 1.0])
    assert relative_error(a + [0.0, 1e-9], a) == pytest.approx(1e-12, rel=1e-3)
    assert relative_error(a, a) == 0.0
    assert relative_error(np.zeros(3), np.full(3, 1e-17), floor=1.0) == 1e-17


def test_relative_error_of_what_cannot_be_compared():
    assert relative_error(np.zeros(3), np.zeros((3, 1))) == np.inf
    assert relative_error([1.0, np.nan], [1.0, 2.0]) == np.inf
    assert relative_error([1.0, np.inf], [1.0, -np.inf]) == np.inf
    assert relative_error([1.0, np.nan, np.inf], [1.0, np.nan, np.inf]) == 0.0
    assert relative_error(np.zeros((0, 3)), np.zeros((0, 3))) == 0.0


def test_comparison_gathers_all_problems():
    compare = Comparison(tol=1e-12)
    compare.check("good", [1.0], [1.0])
    compare.check("first", [1.0, 2.0], [1.0, 2.5])
    compare.check("second", [1.0], [[1.0]])
    with pytest.raises(
        AssertionError, match=r"(?s)first: .* at \[1\] of \[2\].*second: .*shape \[1\], expected \[1, 1\]"
    ):
        compare.done()


def test_another_tolerance_needs_a_reason():
    from helpers.layers import same_as_keras

    with pytest.raises(ValueError, match="reason"):
        same_as_keras(lambda k: None, tol=1e-6)


def test_oracles_import_quietly_and_once():
    from helpers.oracle import floatx, keras, tf, tf_keras

    assert keras.backend.backend() == "tensorflow"
    assert tf.__version__.startswith("2.")
    with floatx("float64"):
        assert keras.layers.Dense(2).dtype == tf_keras.layers.Dense(2).dtype == "float64"
    assert keras.backend.floatx() == "float32"
