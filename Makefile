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

# Under address and undefined-behaviour sanitizers: the C++ tests of the kernels, and tests of the
# operations with the CUDA twins, which are run on the CPU for it (csrc/tests/cuda_on_host).
CUDA_TESTS := tests/scene/test_adam.py $(addprefix tests/ops/test_,fill.py depth.py splat.py multiplane.py \
    multiplane_render.py project_depth.py warp_fields.py gaussians.py gaussian_stages.py \
    gaussian_gradients.py rolling_shutter.py stereo.py::test_matches_the_reference)
SANITIZERS = $(shell g++ -print-file-name=libasan.so) $(shell g++ -print-file-name=libubsan.so)
cpp-test: $(VENV)/.install
	$(BIN)/cmake -S . -B build/cpp -G Ninja -DCMAKE_MAKE_PROGRAM=$(abspath $(BIN))/ninja \
	    -DPython_EXECUTABLE=$(abspath $(BIN))/python -DSTEADYVIEW_CUDA=HOST \
	    -Dpybind11_DIR="$$($(BIN)/python -m pybind11 --cmakedir)" \
	    -DSTEADYVIEW_TESTS=ON -DSTEADYVIEW_SANITIZE=ON -DSTEADYVIEW_WERROR=ON
	$(BIN)/cmake --build build/cpp --target kernel_tests _C
	$(BIN)/ctest --test-dir build/cpp --output-on-failure -j 2
	LD_PRELOAD="$(SANITIZERS)" ASAN_OPTIONS=detect_leaks=0 \
	    STEADYVIEW_TEST_EXTENSION=$$(ls build/cpp/_C*.so) $(BIN)/python -m pytest -q -n 2 $(CUDA_TESTS)

bench: $(VENV)/.install
	for script in video motion path warp multiplane fill stereo gaussians fitting metrics stabilize; do \
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
