"""Fixtures of all Python tests. What the tests share besides them is in tests/helpers."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

# Before anything imports TensorFlow or torch: quiet, the same arithmetic on every machine, no thread storm under xdist.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["CUDA_VISIBLE_DEVICES"] = os.environ.get("CUDA_VISIBLE_DEVICES", "")

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = pathlib.Path(os.environ.get("MIDSTREAM_BUILD", ROOT / "build"))

# The package of the build directory, not an installed one.
sys.path.insert(0, str(BUILD / "python"))


@pytest.fixture(scope="session")
def root() -> pathlib.Path:
    return ROOT


@pytest.fixture(scope="session")
def executable() -> pathlib.Path:
    path = BUILD / "midstream"
    if not path.exists():
        pytest.fail(f"{path.name} is not built in {BUILD.name}/: run `make build`.")
    return path


@pytest.fixture
def midstream(executable, tmp_path):
    """Runs the command in a fresh directory: midstream("inspect", file) -> CompletedProcess with text output.

    Fails the test when the exit code is not `code` (0 unless given; None: any).
    """

    def run(
        *arguments, code: int | None = 0, cwd=tmp_path, timeout: float = 600, **more
    ) -> subprocess.CompletedProcess:
        command = [str(executable), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=timeout, **more)
        assert code is None or done.returncode == code, (
            f"{' '.join(command)}: exit code {done.returncode}, expected {code}\n{done.stdout}{done.stderr}"
        )
        return done

    return run


@pytest.fixture(scope="session")
def corpus() -> pathlib.Path:
    """The folder of other people's model files; MIDSTREAM_CORPUS, or shared/corpus beside the repository."""
    given = os.environ.get("MIDSTREAM_CORPUS")
    path = pathlib.Path(given) if given else ROOT.parent / "shared" / "corpus"
    if not path.is_dir():
        if given:
            pytest.fail(f"MIDSTREAM_CORPUS={given} is not a directory.")
        pytest.skip("the corpus of real model files is not beside this checkout (set MIDSTREAM_CORPUS to its folder)")
    return path


def pytest_collection_modifyitems(config, items):
    """Tests of slices that are not finished are listed in unfinished.txt; `make test-unfinished` runs them alone."""
    listed = [
        line.split("#")[0].strip()
        for line in (pathlib.Path(__file__).parent / "unfinished.txt").read_text().splitlines()
        if line.split("#")[0].strip()
    ]
    only = bool(os.environ.get("MIDSTREAM_UNFINISHED"))
    chosen, left = [], []
    for item in items:
        unfinished = any(item.nodeid.startswith(prefix) for prefix in listed)
        (chosen if unfinished == only else left).append(item)
    items[:] = chosen
    config.hook.pytest_deselected(items=left)
