"""The structural part of `make lint`, so that a wrong include fails the tests too."""

import subprocess
import sys


def run_lint(directory):
    return subprocess.run(
        [sys.executable, "tools/lint.py", "--structure"], cwd=directory, capture_output=True, text=True
    )


def test_the_rooms_keep_their_rules(root):
    done = run_lint(root)
    assert done.returncode == 0, done.stdout + done.stderr


def test_lint_finds_what_it_looks_for(tmp_path, root):
    files = {
        "src/graph/a.cpp": '#include <torch/torch.h>\n#include "run/b.h"\n',
        "src/passes/b.cpp": 'auto layer = "Conv2D";  // "Dense" in a comment is fine\nauto op = "aten::add.Tensor";\n',
        "src/lower/math/c.cpp": 'auto op = "aten::add.Tensor";\n',
        "python/midstream/d.py": 'LAYER = "keras.LSTM"\n',
        "docs/e.md": "see /" + "home/somebody/file\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "lint.py").write_text((root / "tools" / "lint.py").read_text())
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    done = run_lint(tmp_path)
    assert done.returncode == 1
    found = [line.split("] ")[0] for line in done.stdout.splitlines()[:-1]]
    assert found == [
        "docs/e.md:1: [paths",
        "python/midstream/d.py:1: [names",
        "src/graph/a.cpp:1: [torch",
        "src/graph/a.cpp:2: [downwards",
        "src/passes/b.cpp:1: [names",
        "src/passes/b.cpp:2: [names",
    ]
