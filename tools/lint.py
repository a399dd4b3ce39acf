"""The structure of the house, checked. `make lint` runs it, tests/test_structure.py its structural part.

torch       torch's headers only in the rooms that talk to PyTorch
downwards   a room includes only rooms below it (docs/design.md, section 4)
names       no room outside lower/ names a layer or an operator (string literals; exceptions below)
paths       no path of somebody's machine, no package host
tools       clang-format and ruff, where .venv has them
"""

from __future__ import annotations

import argparse
import ast
import pathlib
import re
import subprocess
import sys
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).resolve().parent.parent

# Room -> the rooms it may include (itself is understood). "facade" is src/*.cpp and include/midstream.
BELOW = {
    "base": "",
    "formats": "base",
    "graph": "base",
    "frontend": "base formats graph",
    "lower": "base formats graph frontend",
    "passes": "base graph",
    "libtorch": "base graph",
    "run": "base graph passes libtorch",
    "data": "base formats graph libtorch run",
    "train": "base formats graph frontend lower passes libtorch run data",
    "emit": "base formats graph frontend passes",
    "writeback": "base formats graph frontend",
    "parity": "base formats graph frontend lower passes libtorch run data train emit writeback",
    "facade": "base formats graph frontend lower passes libtorch run data train emit writeback parity",
    "cli": "base formats graph frontend lower passes libtorch run data train emit writeback parity facade",
    "python": "base formats graph frontend lower passes libtorch run data train emit writeback parity facade cli",
}
TORCH_ROOMS = {"libtorch", "run", "train", "data", "parity", "facade", "python"}

# Where names may stand, and why. Prefixes of paths.
NAMES_ALLOWED = {
    "src/lower/": "what an op means",
    "src/libtorch/": "shape rules of operators and the registration of our own",
    "src/emit/print_table": "how an operator is spelt in Python",
    "src/graph/builder": "the Builder's short forms (b.add, b.permute) are names of operators",
    "src/graph/int": "the Builder's integer arithmetic is calls of our own host operators",
    "src/frontend/keras/keras1": "what Keras 1 called things, brought to the canonical form",
    "src/frontend/keras/layer_config": "what versions of Keras meant by the same entry, brought to the canonical form",
}
# Structure rather than arithmetic: containers, and what a TensorFlow graph is held together by.
STRUCTURE = set(
    """
    Model Sequential Functional InputLayer Layer
    Placeholder PlaceholderWithDefault Const VarHandleOp VariableV2 Variable ReadVariableOp AssignVariableOp NoOp
    PartitionedCall StatefulPartitionedCall If StatelessIf While StatelessWhile Case StatelessCase
    Switch Merge Enter Exit NextIteration LoopCond RefSwitch RefMerge RefEnter RefExit RefNextIteration
    SaveV2 RestoreV2 Assign
    """.split()
)
KERAS_LAYERS = """
    Activation ActivityRegularization AdaptiveAveragePooling1D AdaptiveAveragePooling2D AdaptiveAveragePooling3D
    AdaptiveMaxPooling1D AdaptiveMaxPooling2D AdaptiveMaxPooling3D Add AdditiveAttention AlphaDropout Attention Average
    AveragePooling1D AveragePooling2D AveragePooling3D BatchNormalization BatchNormalizationV1 BatchNormalizationV2
    Bidirectional CategoryEncoding CenterCrop Concatenate Conv1D Conv2D Conv3D Conv1DTranspose Conv2DTranspose
    Conv3DTranspose Convolution1D Convolution2D Convolution3D ConvLSTM1D ConvLSTM2D ConvLSTM3D Cropping1D Cropping2D
    Cropping3D CuDNNGRU CuDNNLSTM Dense DepthwiseConv1D DepthwiseConv2D Discretization Dot Dropout ELU EinsumDense
    Embedding Flatten GRU GRUCell GaussianDropout GaussianNoise GlobalAveragePooling1D GlobalAveragePooling2D
    GlobalAveragePooling3D GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D GroupNormalization
    GroupQueryAttention HashedCrossing Hashing IntegerLookup LSTM LSTMCell Lambda LayerNormalization LeakyReLU
    LocallyConnected1D LocallyConnected2D Masking MaxPooling1D MaxPooling2D MaxPooling3D Maximum MelSpectrogram Minimum
    MultiHeadAttention Multiply Normalization PReLU Permute RMSNormalization RNN RandomBrightness RandomContrast
    RandomCrop RandomFlip RandomHeight RandomRotation RandomTranslation RandomWidth RandomZoom ReLU RepeatVector
    Rescaling Reshape Resizing SeparableConv1D SeparableConv2D SeparableConvolution1D SeparableConvolution2D SimpleRNN
    SimpleRNNCell Softmax SpatialDropout1D SpatialDropout2D SpatialDropout3D SpectralNormalization StackedRNNCells
    StringLookup Subtract SyncBatchNormalization TextVectorization ThresholdedReLU TimeDistributed UnitNormalization
    UpSampling1D UpSampling2D UpSampling3D ZeroPadding1D ZeroPadding2D ZeroPadding3D
"""
TF_OPS = """
    Abs Acos Acosh Add AddN AddV2 All Any ArgMax ArgMin Asin Asinh AssignAddVariableOp AssignSubVariableOp Atan Atan2
    Atanh AvgPool AvgPool3D BatchMatMul BatchMatMulV2 BatchToSpaceND BiasAdd Bitcast BroadcastArgs BroadcastTo Cast Ceil
    Cholesky Complex Concat ConcatV2 Conv2D Conv2DBackpropInput Conv3D Conv3DBackpropInputV2 Cos Cosh CropAndResize
    CudnnRNN Cumprod Cumsum DepthToSpace DepthwiseConv2dNative Digamma Div DivNoNan Einsum Elu EnsureShape Equal Erf
    Erfc Exp ExpandDims Expm1 ExtractImagePatches Fill Floor FloorDiv FloorMod FusedBatchNorm FusedBatchNormV2
    FusedBatchNormV3 Gather GatherNd GatherV2 Greater GreaterEqual Identity IdentityN InvertPermutation IsFinite IsInf
    IsNan L2Loss LRN LSTMBlockCell LeakyRelu Less LessEqual Lgamma Log Log1p LogSoftmax LogicalAnd LogicalNot LogicalOr
    MatMul MatrixBandPart Max MaxPool MaxPool3D MaxPoolWithArgmax Maximum Mean Min Minimum MirrorPad Mul Multinomial Neg
    NonMaxSuppressionV3 NotEqual OneHot OnesLike Pack Pad PadV2 Pow PreventGradient Prod RandomStandardNormal
    RandomUniform RandomUniformInt Range Rank RealDiv Reciprocal Relu Relu6 ResizeBilinear ResizeNearestNeighbor
    ResourceGather ReverseSequence ReverseV2 Roll Round Rsqrt ScatterNd Select SelectV2 Selu Shape ShapeN Sigmoid Sign
    Sin Sinh Size Softmax SoftmaxCrossEntropyWithLogits Softplus Softsign SpaceToBatchND SpaceToDepth
    SparseSoftmaxCrossEntropyWithLogits Split SplitV Sqrt Square SquaredDifference Squeeze StatelessRandomGetAlg
    StatelessRandomGetKeyCounter StatelessRandomNormalV2 StatelessRandomUniformV2 StopGradient StridedSlice Sub Sum Svd
    Tan Tanh TensorArrayGatherV3 TensorArrayReadV3 TensorArrayScatterV3 TensorArrayV3 TensorArrayWriteV3
    TensorListFromTensor TensorListGetItem TensorListReserve TensorListSetItem TensorListStack TensorScatterUpdate Tile
    TopKV2 Transpose Unpack UnsortedSegmentSum Where ZerosLike
"""
LAYERS = set(KERAS_LAYERS.split()) - STRUCTURE
NAMES = LAYERS | set(TF_OPS.split()) - STRUCTURE

MACHINE_PATH = re.compile(r"(?<![\w.$}])/(?:home|root|Users|work|mnt|srv)/[\w.]+")
PACKAGE_HOST = re.compile(r"\b(?:pypi\.org|pythonhosted\.org|download\.pytorch\.org|--(?:extra-)?index-url)")
OPERATOR = re.compile(r"^(?:aten|midstream)::\w")
CPP_TOKEN = re.compile(
    r'//[^\n]*|/\*.*?\*/|R"(?P<delimiter>[^()\s]*)\((?P<raw>.*?)\)(?P=delimiter)"|"(?P<text>(?:[^"\\\n]|\\.)*)"|\'(?:[^\'\\\n]|\\.)+\'',
    re.S,
)
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)


def tracked() -> list[pathlib.Path]:
    out = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, check=True
    ).stdout.decode()
    return [ROOT / name for name in sorted(out.split("\0")) if name and (ROOT / name).is_file()]


def room_of(path: str) -> str | None:
    """The room of a file of the repository or of an include; None for tests, tools and others."""
    parts = path.split("/")
    if parts[0] == "include" or parts[0] == "midstream":
        return "facade"
    if parts[0] == "python":
        return "python"
    if parts[0] == "src":
        return "facade" if len(parts) == 2 else parts[1]
    return None


def cpp_strings(source: str) -> Iterator[tuple[int, str]]:
    """(offset, content) of every string literal; #include lines and comments are not literals."""
    for match in CPP_TOKEN.finditer(source):
        content = match["raw"] if match["raw"] is not None else match["text"]
        line_start = source.rfind("\n", 0, match.start()) + 1
        if content is not None and not INCLUDE.match(source[line_start : match.end()]):
            yield match.start(), content


def python_strings(source: str) -> Iterator[tuple[int, str]]:
    lines = [0]
    for line in source.splitlines(keepends=True):
        lines.append(lines[-1] + len(line))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield lines[node.lineno - 1] + node.col_offset, node.value


class Findings:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def add(self, path: str, source: str, offset: int, check: str, message: str) -> None:
        number = source.count("\n", 0, offset) + 1
        self.lines.append(f"{path}:{number}: [{check}] {message}")


def check_includes(path: str, source: str, found: Findings) -> None:
    room = room_of(path)
    if room is None:
        return
    if room not in BELOW:
        found.add(path, source, 0, "downwards", f"src/{room} is no room that tools/lint.py knows: add it to BELOW.")
        return
    for match in INCLUDE.finditer(source):
        target = match[2]
        if re.match(r"(torch|ATen|c10)/", target):
            if room not in TORCH_ROOMS:
                found.add(path, source, match.start(), "torch", f"{room} must not see PyTorch's headers: {target}")
        elif match[1] == '"' and "/" in target:
            other = room_of(target) if target.startswith("midstream/") else room_of("src/" + target)
            if other and other != room and other not in BELOW[room].split():
                found.add(path, source, match.start(), "downwards", f"{room} must not include {other}: {target}")


def check_names(path: str, source: str, found: Findings) -> None:
    if room_of(path) is None or any(path.startswith(prefix) for prefix in NAMES_ALLOWED):
        return
    # "Mean" and "Sum" are metrics there, and TensorFlow's ops only elsewhere.
    names = LAYERS if path.startswith("src/frontend/keras/") else NAMES
    strings = python_strings(source) if path.endswith((".py", ".pyi")) else cpp_strings(source)
    for offset, content in strings:
        name = re.sub(r"^(?:keras|tf)\.", "", content)
        if name in names or OPERATOR.match(content):
            found.add(path, source, offset, "names", f'"{content}" is named outside lower/.')


def check_paths(path: str, source: str, found: Findings) -> None:
    if path == "tools/lint.py":
        return
    for pattern, message in ((MACHINE_PATH, "a path of one machine"), (PACKAGE_HOST, "a package host")):
        for match in pattern.finditer(source):
            found.add(path, source, match.start(), "paths", f"{message}: {match[0]}")


def structure() -> list[str]:
    found = Findings()
    for file in tracked():
        path = file.relative_to(ROOT).as_posix()
        try:
            source = file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        check_paths(path, source, found)
        if path.endswith((".h", ".cpp")):
            check_includes(path, source, found)
        if path.endswith((".h", ".cpp", ".py", ".pyi")):
            check_names(path, source, found)
    return found.lines


def tools() -> bool:
    """Runs the formatters in checking mode; False when one of them complains. A tool that is not there is skipped."""
    bin_directory = pathlib.Path(sys.executable).parent
    cpp = [str(p) for p in tracked() if p.suffix in (".h", ".cpp")]
    commands = [
        ["clang-format", "--dry-run", "--Werror", "--ferror-limit=1", *cpp] if cpp else [],
        ["ruff", "check", "--quiet", "."],
        ["ruff", "format", "--check", "--quiet", "."],
    ]
    good = True
    for command in filter(None, commands):
        program = bin_directory / command[0]
        if not program.exists():
            print(f"lint: {command[0]} is not in {bin_directory.name}/: skipped")
            continue
        good &= subprocess.run([str(program), *command[1:]], cwd=ROOT).returncode == 0
    return good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--structure", action="store_true", help="only the structural checks")
    arguments = parser.parse_args()
    lines = structure()
    for line in lines:
        print(line)
    good = not lines
    if not arguments.structure:
        good &= tools()
    print("lint: ok" if good else f"lint: {len(lines)} structural findings")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
