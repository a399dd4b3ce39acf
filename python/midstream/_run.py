"""A training where TensorFlow left it, from Python."""

from __future__ import annotations

import json
import os
import pathlib
import tempfile
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import nn

from midstream import _core
from midstream._module import build, save_module


def resume(
    path: str | os.PathLike,
    *,
    device: str = "cpu",
    random_step: int = 0,
    dtype: torch.dtype | None = None,
    train_step: str = "refuse",
    architecture: str | os.PathLike = "",
    loss: str = "",
    optimizer: str = "",
    learning_rate: float = 0,
) -> Run:
    """Opens a .keras or .h5 file and is where its training stopped: weights, slots, step, schedule, loss, metrics.

    `dtype`: compute in torch.float32 or torch.float64, whatever the file's is; what is saved has the file's again.

    `train_step`: what to do with a model class of your own, whose call() and train_step() are not in the file:
    "refuse", or "ignore" them and train the layers of its config with the compiled loss.

    `architecture`: for an .h5 file that holds weights alone, the model's configuration: a .json of model.to_json(), or a
    .keras or .h5 file of the same model. `loss`, `optimizer`, `learning_rate`: what the file does not say, by the names
    that compile() takes ("mse", "adam"). A loss overrules the file's in this run; so does a learning rate, unless the
    file has a schedule; an optimizer is for a file that names none.
    """
    dtype_name = str(dtype or "").removeprefix("torch.")
    return Run(_core.resume(os.fspath(path), device, random_step, dtype_name, train_step,
                            os.fspath(architecture), loss, optimizer, learning_rate))


def save(what: Run | nn.Module, path: str | os.PathLike) -> None:
    """Writes a copy of the file that a run or a module of midstream.load came from, with the present weights.

    It is the same kind of file: .keras or .h5, a SavedModel directory, a frozen graph, a checkpoint. Of a run Keras
    finds the optimizer too and goes on; what a file holds besides a module's weights stays as it was.
    """
    if isinstance(what, Run):
        what.core.save(os.fspath(path))
    else:
        save_module(what, path)


class _Lookup(torch.autograd.Function):
    @staticmethod
    def forward(ctx, weight, indices):
        ctx.save_for_backward(indices)
        ctx.size = weight.shape
        return nn.functional.embedding(indices, weight)

    @staticmethod
    def backward(ctx, gradient):
        (indices,) = ctx.saved_tensors
        # torch adds sparse tensors with contiguous values by merging equal rows where they happen to meet; of others it
        # keeps all entries, and a table may be looked up several times.
        rows, width = indices.numel(), ctx.size[1]
        values = gradient.new_empty(rows, width + 1)[:, :width].copy_(gradient.reshape(rows, width))
        return torch.sparse_coo_tensor(indices.reshape(1, rows), values, ctx.size, check_invariants=False), None


class OccurrenceEmbedding(nn.Embedding):
    """nn.Embedding whose weight's gradient is sparse, an entry for each index."""

    def forward(self, indices: torch.Tensor) -> torch.Tensor:
        return _Lookup.apply(self.weight, indices)


class Optimizer(torch.optim.Optimizer):
    """Keras' optimizer of the file, with its slots and its step, as a torch.optim.Optimizer.

    step() applies Keras' rule to the .grad of the model's parameters. Rate, decay and clipping are the file's; the rate
    can be set through `lr` of the parameter group where the file has no schedule.

    Keras 3 treats every occurrence of an embedding's row by itself, which a dense gradient has forgotten: from here on
    the model's nn.Embedding give sparse gradients, an entry for each occurrence.
    """

    def __init__(self, run: Run):
        self._run = run
        self._rate = run.core.learning_rate
        for module in run.model.modules():
            if isinstance(module, nn.Embedding):
                module.__class__ = OccurrenceEmbedding
        by_variable = {v: k for k, v in run.model.midstream_variables.items()}
        parameters = dict(run.model.named_parameters())
        self._ordered = [parameters.get(by_variable.get(name)) for name in run.core.trainable()]
        given = [p for p in self._ordered if p is not None]
        super().__init__(given, {"lr": self._rate})

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        rate = self.param_groups[0]["lr"]
        if rate != self._rate:  # set by the user since the last step
            self._run.core.learning_rate = rate
        self._run.core.apply_gradients([p.grad if p is not None else None for p in self._ordered])
        self._rate = self.param_groups[0]["lr"] = self._run.core.learning_rate
        return loss

    def add_param_group(self, param_group: dict) -> None:
        if self.param_groups:
            raise _core.UsageError("optimizer: Keras' optimizer has one rate for all parameters, and one group.")
        super().add_param_group(param_group)

    def _slots(self) -> dict[str, torch.Tensor]:
        return {k: v for k, v in self._run.core.tensors().items() if k.startswith("optimizer/")}

    def state_dict(self) -> dict:
        """torch's, and under "midstream" the slots, the step and the rate by name."""
        return {**super().state_dict(), "midstream": {k: v.detach() for k, v in self._slots().items()}}

    @torch.no_grad()
    def load_state_dict(self, state_dict: dict) -> None:
        given, own = state_dict.get("midstream", {}), self._slots()
        for name in sorted(given.keys() ^ own.keys()):
            held = "has no" if name in own else "has"
            raise _core.MismatchError(f"load_state_dict: the state {held} '{name}', unlike this run's optimizer.")
        for name, value in given.items():
            if value.shape != own[name].shape:
                raise _core.MismatchError(
                    f"load_state_dict: '{name}' is {list(value.shape)}, in this run {list(own[name].shape)}."
                )
        super().load_state_dict({k: v for k, v in state_dict.items() if k != "midstream"})
        for name, value in given.items():
            own[name].copy_(value)
        self._rate = self.param_groups[0]["lr"] = self._run.core.learning_rate


class Run:
    """run.model, run.optimizer: share their tensors with the C++ loop behind fit."""

    def __init__(self, core: _core.Run):
        self.core = core
        self._model: nn.Module | None = None
        self._optimizer: Optimizer | None = None

    @property
    def model(self) -> nn.Module:
        """The model as generated nn.Module; its parameters are the run's own tensors."""
        if self._model is None:
            self._model = build(_core.convert_run(self.core))
            self._model.midstream_of_run = True
        return self._model

    @property
    def optimizer(self) -> Optimizer:
        if self._optimizer is None:
            self._optimizer = Optimizer(self)
        return self._optimizer

    @property
    def step(self) -> int:
        return self.core.iterations

    @property
    def learning_rate(self) -> float:
        return self.core.learning_rate

    @property
    def compile_config(self) -> dict | None:
        """Optimizer, losses and metrics as the file names them, in Keras 3's words."""
        return json.loads(self.core.compile_config)

    def train_step(self, x, y, sample_weight=None) -> dict[str, float]:
        """One step on one batch; loss and metrics of the batches since the last reset, as Keras' fit prints them."""
        return dict(self.core.train_step(tensors(x), tensors(y), tensors(sample_weight)))

    def fit(self, data, epochs: int = 1, **options) -> list[dict[str, float]]:
        """Trains by the C++ loop. `data`: an .npz path, (x, y) arrays, or an iterable of (x, y[, sample_weight]).

        options: batch_size, steps, shuffle, seed, validation, checkpoint_dir, checkpoint_every, resume, progress,
        class_weight (not for an iterable, which makes its own batches). Returns loss and metrics of every epoch.
        """
        if isinstance(data, (str, os.PathLike)):
            return self.core.fit(os.fspath(data), epochs=epochs, **options)
        if isinstance(data, tuple) and len(data) == 2:
            with tempfile.TemporaryDirectory() as directory:
                path = pathlib.Path(directory) / "data.npz"
                write_npz(path, data[0], data[1], self)
                return self.core.fit(str(path), epochs=epochs, **options)
        if options:
            raise _core.UsageError(f"fit on an iterable of batches takes no {', '.join(options)}.")
        history = [self._epoch(data) for _ in range(epochs)]
        self.core.finalize()
        return history

    def _epoch(self, batches: Iterable) -> dict[str, float]:
        self.core.reset_metrics()
        logs: dict[str, float] = {}
        for batch in batches:
            logs = self.train_step(*batch)
        return logs

    def evaluate(self, data: str | os.PathLike, batch_size: int = 32) -> dict[str, float]:
        return dict(self.core.evaluate(os.fspath(data), batch_size))

    def predict(self, x, batch_size: int = 32):
        out = self.core.predict(tensors(x), batch_size)
        return out[0] if len(out) == 1 else out


def tensors(values) -> list[torch.Tensor]:
    if values is None:
        return []
    return [v if isinstance(v, torch.Tensor) else tensor(v) for v in listed(values)]


def listed(values) -> Sequence:
    """One for each input. A list of str is one input of strings."""
    if not isinstance(values, (list, tuple)) or (values and all(isinstance(v, (str, bytes)) for v in values)):
        return [values]
    return values


def tensor(value) -> torch.Tensor:
    array = np.ascontiguousarray(value)
    return strings(array) if array.dtype.kind in "USO" else torch.from_numpy(array)


def strings(values) -> torch.Tensor:
    """Strings (str, bytes, lists and numpy arrays of them) as midstream's models take them: as bytes in UTF-8,
    uint8[..., width], filled up with zeros."""
    array = np.asarray(values)
    if array.dtype.kind == "O" and not all(isinstance(v, (str, bytes)) for v in array.flat):
        raise _core.BadDataError("strings: holds objects that are no str. Give numpy.asarray(x, dtype=str).")
    coded = [v if isinstance(v, bytes) else str(v).encode() for v in array.flat]
    width = max(map(len, coded), default=0) or 1
    flat = np.array(coded, dtype=f"S{width}")
    return torch.from_numpy(flat.view(np.uint8).reshape(*array.shape, width).copy())


def write_npz(path: pathlib.Path, x, y, run: Run) -> None:
    arrays: dict[str, np.ndarray] = {}

    def add(kind: str, values, names: Sequence[str]) -> None:
        for name, value in zip(names, listed(values), strict=True):
            array = np.asarray(value)
            if array.dtype.kind == "O" and all(isinstance(v, str) for v in array.flat):
                array = array.astype(str)
            arrays[f"{kind}:{name}"] = array

    add("x", x, run.core.input_names())
    add("y", y, run.core.output_names())
    np.savez(path, **arrays)
