"""Several layers tested as the outputs of one model: one file saved, one comparison of all values and gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence


def outputs_of(shape: Sequence[int | None], *layers: Callable, **input_options) -> Callable:
    """A `build` for same_as_keras: the model x -> [layer(x) for each]. A layer is k -> layer."""

    def build(k):
        x = k.Input(shape, **input_options)
        return k.Model(x, [layer(k)(x) for layer in layers])

    return build
