# make demo   set up, build, and train the example to its end       make test    set up, build, run every test
# make build  build/midstream and the Python package in build/python make bench   measure against PyTorch and TensorFlow
# make lint   format check, ruff, the structure of the rooms          make format  clang-format and ruff format
# A libtorch of your own: make build CMAKE_PREFIX_PATH=/where/it/is. More: BUILD=directory, CMAKE_ARGS=-D..., PYTEST_ARGS=..., BENCH_ARGS=--quick
BUILD ?= build
PYTHON := .venv/bin/python
CMAKE_ARGS ?=
PYTEST_ARGS ?=
CTEST_ARGS ?=
BENCH_ARGS ?=

ifdef CMAKE_PREFIX_PATH
torch_args = -DCMAKE_PREFIX_PATH=$(CMAKE_PREFIX_PATH)
else
torch_args = -DPython_EXECUTABLE=$(CURDIR)/$(PYTHON)
endif

.PHONY: all build demo test test-cpp test-python test-unfinished coverage corpus bench format lint clean setup-build setup-test configure
all: build

setup-build:
	@tools/setup.sh build
setup-test:
	@tools/setup.sh test

# CMake runs again by itself when one of its files changes; here only for a new directory or other arguments.
configure: setup-build
	@mkdir -p $(BUILD)
	@echo '$(torch_args) $(CMAKE_ARGS)' | cmp -s - $(BUILD)/arguments && test -e $(BUILD)/build.ninja || { \
	  cmake -S . -B $(BUILD) -G Ninja $(torch_args) $(CMAKE_ARGS) --log-level=WARNING && \
	  echo '$(torch_args) $(CMAKE_ARGS)' > $(BUILD)/arguments; }

build: configure
	@cmake --build $(BUILD) --target product

demo: build
	@$(PYTHON) examples/digits/demo.py --midstream $(BUILD)/midstream --output $(BUILD)/demo

test: test-cpp test-python

test-cpp: setup-test configure
	@cmake --build $(BUILD)
	@ctest --test-dir $(BUILD) --output-on-failure --no-tests=ignore -j 2 $(CTEST_ARGS)

test-python: test-cpp
	@MIDSTREAM_BUILD=$(abspath $(BUILD)) $(PYTHON) -m pytest -n 2 --dist worksteal $(PYTEST_ARGS)

# What tests/unfinished.txt lists.
test-unfinished: setup-test configure
	@cmake --build $(BUILD)
	@MIDSTREAM_UNFINISHED=1 MIDSTREAM_BUILD=$(abspath $(BUILD)) $(PYTHON) -m pytest -n 2 --dist worksteal $(PYTEST_ARGS)

# What of Keras and tf_keras has a lowering: docs/coverage.md.
coverage: setup-test build
	@$(PYTHON) tools/coverage.py --midstream $(BUILD)/midstream --write

# What midstream makes of a folder of model files: make corpus CORPUS=directory
corpus: build
	@.venv/bin/python -c 'import torch, numpy' && MIDSTREAM_BUILD=$(abspath $(BUILD)) $(PYTHON) tools/corpus.py $(CORPUS) $(CORPUS_ARGS)

bench: build
	@tools/setup.sh bench
	@cmake --build $(BUILD) --target midstream_bench
	@MIDSTREAM_BUILD=$(abspath $(BUILD)) $(PYTHON) bench/run.py $(BENCH_ARGS)

format:
	@tools/setup.sh lint
	@git ls-files -co --exclude-standard '*.h' '*.cpp' | xargs -r .venv/bin/clang-format -i
	@.venv/bin/ruff check --fix --quiet . || true
	@.venv/bin/ruff format --quiet .

lint:
	@tools/setup.sh lint
	@$(PYTHON) tools/lint.py

clean:
	rm -rf $(BUILD)
