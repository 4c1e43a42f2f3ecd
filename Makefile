# What a newcomer needs: `make demo` and `make test`. Both make .venv themselves.
PYTHON ?= python3
# On Linux, PyPI's plain torch wheel carries CUDA; any torch >= 2.9 that is already in .venv is kept.
TORCH ?= torch==2.13.0
VENV := .venv
BIN := $(VENV)/bin
BUILD_TOOLS := scikit-build-core pybind11 ninja "cmake>=3.26"
EXAMPLE := examples/handheld.mp4

.PHONY: demo test install check format bench cpp-test clean

demo: $(VENV)/.demo
	mkdir -p demo
	$(BIN)/steadyview stabilize $(EXAMPLE) -o demo/steady.mp4 --report --compare --overwrite
	@echo
	@echo "Open demo/steady.mp4, demo/steady_compare.mp4 and demo/steady_report.html"

test: $(VENV)/.install
	$(BIN)/python -m pytest -n 2 --dist loadscope

install: $(VENV)/.install

check: $(VENV)/.install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python tools/check_layers.py
	git ls-files '*.h' '*.cpp' '*.cu' | xargs $(BIN)/clang-format --dry-run --Werror

format: $(VENV)/.install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	git ls-files '*.h' '*.cpp' '*.cu' | xargs $(BIN)/clang-format -i

# The kernels under address and undefined-behaviour sanitizers, without Python or torch.
cpp-test: $(VENV)/.install
	$(BIN)/cmake -S . -B build/cpp -G Ninja -DCMAKE_MAKE_PROGRAM=$(abspath $(BIN))/ninja \
	    -DPython_EXECUTABLE=$(abspath $(BIN))/python -DSTEADYVIEW_PYTHON=OFF \
	    -DSTEADYVIEW_TESTS=ON -DSTEADYVIEW_SANITIZE=ON -DSTEADYVIEW_WERROR=ON
	$(BIN)/cmake --build build/cpp
	$(BIN)/ctest --test-dir build/cpp --output-on-failure

bench: $(VENV)/.install
	for script in video motion path stereo warp stabilize; do \
	    $(BIN)/python benchmarks/$$script.py --json benchmarks/results/$$script.json || exit 1; done

clean:
	rm -rf $(VENV) build demo

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# The demo needs neither torch nor the developers' tools.
$(VENV)/.demo: pyproject.toml | $(BIN)/python
	test -f $(VENV)/.install || { $(BIN)/pip install -q $(BUILD_TOOLS) && \
	    $(BIN)/pip install -q --no-build-isolation -e .; }
	touch $@

$(VENV)/.install: pyproject.toml | $(BIN)/python
	$(BIN)/pip install -q $(BUILD_TOOLS)
	$(BIN)/python -c "import torch" 2>/dev/null || $(BIN)/pip install -q $(TORCH)
	$(BIN)/pip install -q --no-build-isolation -e ".[dev]"
	touch $@
