"""Classes and functions of the user's own, for files that name them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from midstream import _core

Weight = str | tuple[str, Sequence[int]]
_kept: list[Any] = []  # libraries and modules behind the operators, which live as long as the process


def register(
    name: str,
    what: Callable | None = None,
    *,
    weights: Mapping[str, Weight] | None = None,
    kind: str = "layer",
) -> Callable:
    """Says in PyTorch what a class or function of your own does that a file names; also a decorator.

        @midstream.register("my_package>Scale", weights={"gamma": "gamma"})
        class Scale(nn.Module):
            def __init__(self, config, shape):   # get_config() as the file has it; the input's shape, None: unknown
                super().__init__()
                self.gamma = nn.Parameter(torch.empty(shape[-1]))

            def forward(self, x):
                return x * self.gamma

    `name`: as the file has it, "package>Name" of register_keras_serializable, or the class's or function's name alone.

    kind "layer" (an nn.Module class, or any function that returns a module): called with the config and the shape of
    each input. `weights`: in the order in which Keras created them, the file's name of each ("dense/kernel" for a weight
    of a layer in the attribute `dense`) and the module's parameter or buffer; where the module has the axes in another
    order, a tuple with the permutation from the file's: {"kernel": ("linear.weight", (1, 0))}. Left out: all parameters
    of the module in its order, as the file has them. The weights are trained, their optimizer slots restored, both
    written back. forward must return one tensor and change none of its buffers.

    kind "activation": a function of a tensor. kind "loss": a function of y_true and y_pred that returns a loss for each
    sample, as Keras' own do, or one for all.

    What you register runs in this process only: `midstream` on the command line knows it by
    `python -m midstream --python FILE`, and generated source calls it.
    """
    if kind not in ("layer", "activation", "loss"):
        raise _core.UsageError(f"register: kind '{kind}' is none. Give \"layer\", \"activation\" or \"loss\".")
    if what is None:
        return lambda given: register(name, given, weights=weights, kind=kind) and given
    if not callable(what):
        raise _core.UsageError(f"register: for {name} a class or a function is wanted, {type(what).__name__} given.")
    operators: dict[tuple, tuple] = {}

    def describe(config_text: str, shapes: list[tuple[int | None, ...]]):
        key = (config_text, tuple(shapes))
        if key not in operators:
            if kind == "layer":
                operators[key] = _of_layer(name, what(json.loads(config_text), *shapes), weights)
            else:
                operators[key] = (_operator(name, lambda inputs, weights, training: what(*inputs)), [])
        return operators[key]

    getattr(_core, f"register_{kind}")(name, describe)
    return what


def _of_layer(name: str, module: nn.Module, weights: Mapping[str, Weight] | None):
    if not isinstance(module, nn.Module):
        raise TypeError(f"for the layer {name} an nn.Module is wanted, {type(module).__name__} made")
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    if weights is None:
        weights = {n.replace(".", "/"): n for n, _ in module.named_parameters()}
    described, taken = [], []
    for in_file, weight in weights.items():
        ours, permutation = (weight, ()) if isinstance(weight, str) else weight
        if ours not in tensors:
            raise ValueError(f"{in_file} is to be {ours}, but the module has only {', '.join(tensors) or 'no weights'}")
        shape = list(tensors[ours].shape)
        if permutation:
            if sorted(permutation) != list(range(len(shape))):
                raise ValueError(f"{in_file}: {tuple(permutation)} is no permutation of {len(shape)} axes")
            in_files = [0] * len(shape)
            for ours_axis, file_axis in enumerate(permutation):
                in_files[file_axis] = shape[ours_axis]
            shape = in_files
        described.append((in_file, shape, list(permutation), isinstance(tensors[ours], nn.Parameter)))
        taken.append(ours)
    left = [n for n, _ in module.named_parameters() if n not in taken]
    if left:
        raise ValueError(f"no array of the file is for the module's {', '.join(left)}; name it in `weights`")
    buffers = {n: b for n, b in module.named_buffers() if n not in taken}

    def call(inputs, values, training):
        module.train(training)
        here = {n: b.to(inputs[0].device) for n, b in buffers.items()}
        return torch.func.functional_call(module, {**here, **dict(zip(taken, values, strict=True))}, tuple(inputs))

    return _operator(name, call), described


def _operator(name: str, call: Callable) -> str:
    """An operator of PyTorch's dispatcher that calls `call`, on every device and under autograd."""
    op = f"{re.sub(r'[^A-Za-z0-9_]', '_', name)}_{len(_kept)}"
    library = torch.library.Library("midstream_user", "FRAGMENT")
    library.define(f"{op}(Tensor[] inputs, Tensor[] weights, bool training) -> Tensor")

    def kernel(inputs, weights, training):
        y = call(inputs, weights, training)
        if not isinstance(y, torch.Tensor):
            raise TypeError(f"what is registered for {name} returned {type(y).__name__}, a tensor is wanted")
        return y

    library.impl(op, kernel, "CompositeImplicitAutograd")
    _kept.append(library)
    return f"midstream_user::{op}"


