# Two commands for a newcomer: `make demo` and `make test`. Each sets up .venv by itself.
PYTHON ?= python3.11
BIN := .venv/bin

.PHONY: demo test test-ci test-all test-isa check lite lite-fuzz web bench bench-training clean

demo: .venv/installed
	$(BIN)/albert demo

test: .venv/installed-dev
	$(BIN)/python -m pytest -m "not slow and not ci" -n auto --dist loadfile --no-loadscope-reorder

test-ci: .venv/installed-dev build/node
	$(BIN)/python -m pytest -m "ci and not slow" -n auto --dist loadfile --no-loadscope-reorder

test-all: .venv/installed-dev
	$(BIN)/python -m pytest

# The tests whose numbers depend on the processor, on several processors played by this one: what PyTorch and oneDNN may
# use, what the tests see of it (tests/played), and whether kernels are compiled. `make test-isa-avx2` plays one.
PLAYED := avx2 avx512 avx512-bf16 uncompiled
NUMBERS := tests/compute tests/engine tests/export tests/finetuning tests/machine tests/model tests/predict tests/tasks \
	tests/training --ignore=tests/training/test_kill.py \
	tests/pretraining/test_objective.py tests/evaluation/test_attacks.py \
	tests/evaluation/test_comprehension.py tests/parity/test_transformers.py tests/serve/test_endpoints.py \
	tests/test_entities.py tests/test_guide.py tests/test_readme.py tests/test_starter.py tests/cli/test_cli.py tests/cli/test_demo.py

test-isa: $(PLAYED:%=test-isa-%)

test-isa-avx2: export ATEN_CPU_CAPABILITY = avx2
test-isa-avx2: export ONEDNN_MAX_CPU_ISA = AVX2
test-isa-avx2: export ALBERT_TEST_WITHOUT = amx avx512 avx_vnni
test-isa-avx512: export ONEDNN_MAX_CPU_ISA = AVX512_CORE
test-isa-avx512: export ALBERT_TEST_WITHOUT = amx avx512_bf16 avx512_fp16 avx512_vnni avx_vnni
test-isa-avx512-bf16: export ONEDNN_MAX_CPU_ISA = AVX512_CORE_BF16
test-isa-avx512-bf16: export ALBERT_TEST_WITHOUT = amx avx512_fp16
test-isa-uncompiled: export ALBERT_COMPILE = 0
$(PLAYED:%=test-isa-%): test-isa-%: .venv/installed-dev
	$(BIN)/python -m pytest -m "not slow" -n auto --dist loadfile --no-loadscope-reorder $(NUMBERS)

check: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_floors.py

# onnxruntime-web, for tests under node. Where it cannot be had they are skipped.
build/node:
	-npm install --prefix $@ --no-audit --no-fund --ignore-scripts onnxruntime-web@1.30.0

# albert-lite, the engine without torch: the library, then its tests, also on emulated ARM (docs/edge.md).
lite: .venv/installed-dev
	cmake -S lite -B build/lite
	cmake --build build/lite
	$(BIN)/python -m pytest -m "not slow" tests/lite

# albert-lite for browsers, which `albert export --to web` copies: one thread, with SIMD. It is part of the package.
web:
	@command -v emcmake > /dev/null || { echo "make web needs emscripten: apt install emscripten"; exit 1; }
	emcmake cmake -S lite -B build/web
	cmake --build build/web
	gzip -9 -n < build/web/albert_lite.wasm > src/albert/export/page/albert_lite.wasm.gz

# A million mutated models and texts under AddressSanitizer and UBSan: about an hour.
lite-fuzz: .venv/installed-dev
	cmake -S lite -B build/lite-sanitized -DALBERT_LITE_SANITIZE=ON
	cmake --build build/lite-sanitized
	$(BIN)/python lite/fuzz/models.py build/lite-models
	build/lite-sanitized/fuzz 1000000 1 build/lite-models/*

bench: .venv/installed-peers
	$(BIN)/python benchmarks/inference.py --short

bench-training: .venv/installed-dev
	$(BIN)/python benchmarks/training_step.py
	$(BIN)/python benchmarks/pretraining.py

clean:
	rm -rf .venv build .pytest_cache .mypy_cache .ruff_cache .hypothesis

# Packages that come as source are built in an environment of their own: their set-up may ask for more than is here.
export PIP_USE_PEP517 := 1

# A clone may sit anywhere and be installed again after a change of pyproject.toml.
.venv/bin/pip:
	$(PYTHON) -m venv .venv

.venv/installed: pyproject.toml | .venv/bin/pip
	$(BIN)/pip install --quiet --editable .
	touch $@

.venv/installed-dev: pyproject.toml | .venv/bin/pip
	$(BIN)/pip install --quiet --editable ".[dev]"
	touch $@ .venv/installed

.venv/installed-peers: pyproject.toml | .venv/bin/pip
	$(BIN)/pip install --quiet --editable ".[peers]"
	touch $@ .venv/installed
