"""The C++ core of midstream. tests/python/test_stubs.py holds this against the module itself."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypedDict

from torch import Tensor

class Error(Exception):
    """What went wrong, where, and what to do, in one line. Every kind of it has a class below."""

class UnsupportedError(Error):
    """The file uses what midstream has no lowering for."""

class BadFileError(Error):
    """The file is damaged, or not what its name says."""

class BadDataError(Error):
    """The data do not fit the model."""

class MismatchError(Error):
    """Parts that belong together do not fit together: config and weights, shapes."""

class UsageError(Error):
    """Something was asked for that makes no sense here."""

class InternalError(Error):
    """A mistake of midstream's own."""

class OpenOptions:
    """What to run of a TensorFlow file that holds several graphs; nothing: its default signature. How to read Keras'."""

    def __init__(
        self,
        signature: str = "",
        function: str = "",
        shapes: Mapping[str, Sequence[int]] = {},
        architecture: str = "",
        ignore_train_step: bool = False,
    ) -> None: ...

class Model:
    """A model without its training. Made by open()."""

    def forward(self, inputs: Sequence[Tensor], training: bool = False) -> list[Tensor]:
        """Outputs, under autograd. In training the state (statistics, seeds) moves on."""

    def input_names(self) -> list[str]: ...
    def output_names(self) -> list[str]: ...
    def parameters(self) -> dict[str, Tensor]:
        """The trainable variables by their names in the file, in PyTorch's layout: the model's very tensors."""

    def state(self) -> dict[str, Tensor]:
        """The other variables."""

    def to_source(self, name: str, value: Tensor, /) -> Tensor:
        """A tensor in the layout of variable `name` (a gradient, say) in the layout that the file has."""

    def from_source(self, name: str, value: Tensor, /) -> Tensor:
        """The way back."""

    def text(self) -> str:
        """The graph as text, see docs/graph.md."""

class Run:
    """A model in the middle of its training. Made by resume()."""

    def train_step(
        self, x: Sequence[Tensor], y: Sequence[Tensor], sample_weight: Sequence[Tensor] = []
    ) -> list[tuple[str, float]]:
        """One step; running values of loss and metrics."""

    def test_step(
        self, x: Sequence[Tensor], y: Sequence[Tensor], sample_weight: Sequence[Tensor] = []
    ) -> list[tuple[str, float]]:
        """The same without an update."""

    def gradients(
        self, x: Sequence[Tensor], y: Sequence[Tensor], sample_weight: Sequence[Tensor] = []
    ) -> tuple[float, list[tuple[str, Tensor]]]:
        """Loss and gradients of the trainable variables; of embedding tables sparse and not coalesced."""

    def fit(
        self,
        data: str,
        epochs: int = 1,
        steps: int = 0,
        batch_size: int = 32,
        shuffle: bool = True,
        seed: int = 0,
        validation: str = "",
        checkpoint_dir: str = "",
        checkpoint_every: int = 0,
        resume: bool = False,
        progress: bool = True,
        class_weight: Mapping[int, float] = {},
    ) -> list[dict[str, float]]:
        """Trains on an .npz file; loss and metrics of every epoch. `steps`: this many batches instead of epochs."""

    def evaluate(self, data: str, batch_size: int = 32) -> list[tuple[str, float]]: ...
    def predict(self, x: Sequence[Tensor], batch_size: int = 32) -> list[Tensor]: ...
    def apply_gradients(self, gradients: Sequence[Tensor | None]) -> None:
        """The optimizer's step, in the order of trainable(). None: the variable stays as it is."""

    def finalize(self) -> None:
        """What Keras does when fit ends, and fit here: with use_ema the weights become their averages."""

    def save(self, path: str) -> None:
        """A copy of the run's file with the present weights, slots and step."""

    def reset_metrics(self) -> None: ...
    def tensors(self) -> dict[str, Tensor]:
        """Every variable by name: weights, state, "optimizer/<weight>/<slot>", "metrics/..."."""

    def trainable(self) -> list[str]:
        """Names of the trainable variables, in Keras' order."""

    def slot_name(self, weight: str, slot: str, /) -> str:
        """The name in tensors() of an optimizer's slot; empty if there is none."""

    def to_source(self, name: str, /) -> Tensor:
        """A variable in the layout that the file has."""

    def input_names(self) -> list[str]: ...
    def output_names(self) -> list[str]: ...
    def save_checkpoint(self, path: str, /) -> None: ...
    def load_checkpoint(self, path: str, /) -> None: ...
    @property
    def can_train(self) -> bool:
        """False when the file was never compiled."""

    @property
    def left_out_metrics(self) -> list[str]:
        """Metrics of compile() that have no lowering; the training is the same without them."""

    @property
    def compile_config(self) -> str:
        """Optimizer, losses and metrics as JSON, in Keras 3's words."""

    @property
    def iterations(self) -> int: ...
    @property
    def learning_rate(self) -> float:
        """At the present step. It cannot be set where the file has a schedule."""

    @learning_rate.setter
    def learning_rate(self, value: float, /) -> None: ...
    @property
    def restored_optimizer(self) -> bool:
        """False when the file held no state of the optimizer, which then starts fresh."""

class _Converted(TypedDict):
    source: str
    class_name: str
    tensors: dict[str, Tensor]  # by key of the state_dict
    variables: dict[str, str]  # key of the state_dict -> name in the file

def open(
    path: str,
    signature: str = "",
    function: str = "",
    shapes: Mapping[str, Sequence[int]] = {},
    architecture: str = "",
) -> Model: ...
def resume(
    path: str,
    device: str = "cpu",
    random_step: int = 0,
    dtype: str = "",
    train_step: str = "refuse",
    architecture: str = "",
    loss: str = "",
    optimizer: str = "",
    learning_rate: float = 0,
) -> Run: ...
def convert(path: str, which: OpenOptions, exact_random: bool = False) -> _Converted:
    """The generated source of a file's model, and its tensors."""

def convert_run(run: Run, exact_random: bool = False) -> _Converted:
    """The same of a run: the tensors are the run's own."""

def save_variables(source: str, which: OpenOptions, values: Mapping[str, Tensor], path: str) -> None:
    """A copy of the file `source` with other values, given by the variables' names and in PyTorch's layout."""

def register_layer(name: str, callback: Callable[..., tuple[str, list]]) -> None:
    """`callback` takes the config as JSON and the inputs' shapes; gives an operator and (name, shape, permutation,
    trainable) of each weight. See midstream.register."""

def register_activation(name: str, callback: Callable[..., tuple[str, list]]) -> None: ...
def register_loss(name: str, callback: Callable[..., tuple[str, list]]) -> None: ...
def command_line(arguments: Sequence[str]) -> int:
    """The `midstream` command in this process; returns the exit code."""

class probe:
    """A submodule: parts of training by themselves, for tests. Descriptions are JSON, {"class_name", "config"}."""

    @staticmethod
    def loss(
        description: str,
        keras3: bool,
        floatx: str,
        activation: str,
        y_true: Tensor,
        y_pred: Tensor,
        mask: Tensor | None,
        weight: Tensor | None,
        /,
    ) -> tuple[Tensor, Tensor]:
        """The loss and its gradient by y_pred, of which `activation` ("", "softmax", "sigmoid") is taken first."""

    @staticmethod
    def metric(
        description: str,
        keras3: bool,
        floatx: str,
        batches: Sequence[tuple[Tensor, Tensor, Tensor | None, Tensor | None]],
        /,
    ) -> Tensor:
        """The result after all batches (y_true, y_pred, mask, weight)."""

    @staticmethod
    def schedule(description: str, steps: Sequence[int], /) -> list[float]:
        """Learning rates at the given steps."""

    @staticmethod
    def regularizer(description: str, keras3: bool, w: Tensor, /) -> tuple[Tensor, Tensor]:
        """The penalty and its gradient."""

    @staticmethod
    def constraint(description: str, keras3: bool, w: Tensor, /) -> Tensor: ...
    @staticmethod
    def optimizer(
        description: str,
        keras3: bool,
        floatx: str,
        variables: Sequence[Tensor],
        steps: list[list[Tensor | tuple[Tensor, Tensor] | None]],
        /,
    ) -> dict[str, Tensor]:
        """All variables ("v0", "optimizer/v0/momentum") after the steps; a gradient may be (values, indices)."""
