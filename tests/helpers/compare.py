"""Comparing arrays: the largest difference relative to the largest magnitude."""

from __future__ import annotations

import numpy as np


def as_array(value) -> np.ndarray:
    """A torch tensor, TensorFlow tensor, IndexedSlices or anything numpy takes."""
    if hasattr(value, "detach"):
        value = value.detach()
        value = value.to_dense() if value.is_sparse else value
        return value.cpu().numpy()
    if hasattr(value, "dense_shape"):  # IndexedSlices: occurrences are added up
        import tensorflow as tf

        value = tf.convert_to_tensor(value)
    return np.asarray(value)


def relative_error(ours, theirs, floor: float = 0.0) -> float:
    """max |ours - theirs| / max(|ours|, |theirs|, floor); inf where shapes differ or not-finite values do."""
    ours, theirs = as_array(ours), as_array(theirs)
    if ours.shape != theirs.shape:
        return np.inf
    if ours.size == 0:
        return 0.0
    kind = np.result_type(ours, theirs, np.float64)
    ours, theirs = ours.astype(kind), theirs.astype(kind)
    odd = ~np.isfinite(ours) | ~np.isfinite(theirs)
    if odd.any():
        if not np.array_equal(ours[odd], theirs[odd], equal_nan=True):
            return np.inf
        ours, theirs = ours[~odd], theirs[~odd]
        if ours.size == 0:
            return 0.0
    difference = np.abs(ours - theirs).max()
    scale = max(np.abs(ours).max(), np.abs(theirs).max(), floor)
    return float(difference / scale) if difference else 0.0


def describe(ours, theirs) -> str:
    """Where two arrays differ most, for a message."""
    ours, theirs = as_array(ours), as_array(theirs)
    if ours.shape != theirs.shape:
        return f"shape {list(ours.shape)}, expected {list(theirs.shape)}"
    difference = np.abs(ours.astype(np.float64) - theirs.astype(np.float64))
    worst = np.unravel_index(np.argmax(np.nan_to_num(difference, nan=np.inf)), difference.shape)
    return f"{ours[worst]!r}, expected {theirs[worst]!r} at {[int(i) for i in worst]} of {list(ours.shape)}"


class Comparison:
    """Gathers every difference, so that one failing test shows all of them."""

    def __init__(self, tol: float, floor: float = 0.0):
        self.tol, self.floor = tol, floor
        self.problems: list[str] = []
        self.worst = 0.0

    def check(self, what: str, ours, theirs, floor: float | None = None) -> None:
        error = relative_error(ours, theirs, self.floor if floor is None else floor)
        self.worst = max(self.worst, error)
        if not error <= self.tol:
            self.problems.append(f"{what}: relative error {error:.2e} > {self.tol:.0e}: {describe(ours, theirs)}")

    def done(self) -> None:
        assert not self.problems, "\n" + "\n".join(self.problems)
