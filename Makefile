# CardMint. `make` lists the targets. Everything lives in .venv; nothing needs root.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO_CARDS ?= 200
DEMO_EXIT ?=
DEMO_DIR ?= .demo
CHAOS_EVENTS ?= 50000
CHAOS_SECONDS ?= 120
CHAOS_SEED ?=
FUZZ_SECONDS ?= 600
RUNS ?= 20
RENDERED ?= 300
CARDMINT_DATA ?= ../shared/data
TRAIN_MINUTES ?= 60
TRAIN_DIR ?= build/training
TRAIN_OUT ?= edge/cardmint_edge/models
TRAIN := .venv-train
IN_TRAINING = data=$$(realpath $(CARDMINT_DATA)) && run=$$(realpath -m $(TRAIN_DIR)/$(1)) && out=$$(realpath -m $(TRAIN_OUT)) && \
  python=$$(realpath -s $(TRAIN)/bin/python) && export PYTHONPATH=shared:edge:tests/lab && step="$$python -m cardmint_lab.training.$(1)" &&
LOCKED_OUT := --no-emit-package django --no-emit-package sqlparse \
  --no-emit-package cardmint-contracts --no-emit-package cardmint-edge --no-emit-package cardmint-cloud --no-emit-package cardmint-lab
# What PyTorch's build on PyPI asks for, 4 GB, to use a GPU, and cannot be imported without. Its build for processors alone,
# which requirements-cpu.txt names, is taken where pip finds it, and needs none of this.
GPU := triton cuda-bindings cuda-pathfinder cuda-toolkit nvidia-cublas nvidia-cuda-cupti nvidia-cuda-nvrtc nvidia-cuda-runtime \
  nvidia-cudnn-cu13 nvidia-cufft nvidia-cufile nvidia-curand nvidia-cusolver nvidia-cusparse nvidia-cusparselt-cu13 \
  nvidia-nccl-cu13 nvidia-nvjitlink nvidia-nvshmem-cu13 nvidia-nvtx
IMAGE ?= localhost/cardmint-cloud
IMAGE_BASE ?= docker.io/library/debian:trixie-slim
IMAGE_STORAGE ?= vfs
IMAGE_FLAGS ?=
BOX ?= build/box
FICTIONAL := build/fictional/pack.sqlite
WITH_BROKER = port=$$($(BIN)/python -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])') && \
  PATH="$$PATH:/usr/sbin" && { mosquitto -p $$port >/dev/null 2>&1 & trap "kill $$!" EXIT; sleep 1; } &&
COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
  --no-emit-index-url --no-emit-find-links $(LOCKED_OUT)
TRAIN_INSTALL = $(TRAIN)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary :all:
COMPILE_TRAINING = $(BIN)/uv pip compile --quiet --python-platform linux --python-version 3.11 --generate-hashes --no-header \
  --no-emit-index-url --no-emit-find-links

.PHONY: help
help:  ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | awk -F'\t' '{printf "  %-14s %s\n", $$1, $$2}'

.PHONY: install
install: $(VENV)/.installed  ## Make .venv with the four packages, their console scripts and the tools

$(VENV)/.installed: requirements-dev.txt shared/pyproject.toml edge/pyproject.toml cloud/pyproject.toml tests/lab/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "make install: $(PYTHON) is older than 3.11; name a newer one: make install PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
	  { echo "make install: $(PYTHON) comes without venv; on Debian and Ubuntu: apt install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary :all: -r requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e shared -e edge -e cloud -e tests/lab
	@touch $@

.PHONY: demo
demo: install  ## Run the whole system here: DEMO_CARDS=40 DEMO_EXIT=1 scans 40 cards, checks and leaves
	@$(BIN)/cardmint-lab demo --cards $(DEMO_CARDS) --folder $(DEMO_DIR) $(if $(DEMO_EXIT),--exit)

.PHONY: check
check: install  ## The fast checks: lint, types, imports, unit tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -q -m "not integration and not system and not data"

.PHONY: test
test: install  ## Everything that CI runs
	bash .ci/test

.PHONY: test-repeat
test-repeat: install  ## Run the tests that use greenlets RUNS=20 times on a busy machine, and count the runs that ended
	$(BIN)/python -m tests.repeat --runs $(RUNS) tests/cloud/test_web.py tests/cloud/test_live.py tests/cloud/test_queries.py tests/edge/test_page_browser.py -m greenlets

.PHONY: crash
crash: install  ## Rebuild the station's disk for 15,000 power cuts and open each: CARDMINT_CRASHES=15000
	CARDMINT_CRASHES=$${CARDMINT_CRASHES:-15000} $(BIN)/pytest -q -s --timeout 3600 -o faulthandler_timeout=3600 tests/edge/test_crash.py

.PHONY: kills
kills: install  ## Kill the running station at 300 random moments: CARDMINT_KILLS=300
	CARDMINT_KILLS=$${CARDMINT_KILLS:-300} $(BIN)/pytest -q -s --timeout 7200 -o faulthandler_timeout=7200 tests/edge/test_run.py -k killed

.PHONY: phone
phone: install  ## Send PHOTOS=500 photos of 12 MP through the page for phones while the network drops five times
	CARDMINT_PHOTOS=$${PHOTOS:-500} $(BIN)/pytest -q -s -n0 --timeout 3600 -o faulthandler_timeout=3600 tests/edge/test_phone.py -k network

.PHONY: histories
histories: install  ## Run HISTORIES=1000 random histories of copied and restored disks, databases and forged receipts
	CARDMINT_HISTORIES=$${HISTORIES:-1000} $(BIN)/pytest -q -s --timeout 3600 -o faulthandler_timeout=3600 tests/edge/test_histories.py

.PHONY: captures
captures: install  ## Run CAPTURES=200 random histories of a watched folder and of a tethered camera: each card counts once
	CARDMINT_CAPTURES=$${CAPTURES:-200} $(BIN)/pytest -q -s -n0 --timeout 3600 tests/edge/test_capture_histories.py

.PHONY: drain
drain: install $(FICTIONAL)  ## Let a station that was offline for DRAIN=10000 cards find its cloud again
	$(WITH_BROKER) $(BIN)/cardmint-lab station drain --pack $(FICTIONAL) --port $$port --backlog $${DRAIN:-10000}

.PHONY: soak
soak: install $(FICTIONAL)  ## Run a station for SOAK=20000 cards and watch its memory
	$(WITH_BROKER) $(BIN)/cardmint-lab station soak --pack $(FICTIONAL) --port $$port --cards $${SOAK:-20000}

$(FICTIONAL):
	$(BIN)/cardmint-lab fictional --out $(dir $@)

.PHONY: chaos
chaos: install  ## Send CHAOS_EVENTS=50000 while everything fails for CHAOS_SECONDS=120, with both brokers; then copy, restore and forge; CHAOS_SEED=
	$(BIN)/cardmint-lab chaos --events $(CHAOS_EVENTS) --seconds $(CHAOS_SECONDS) $(if $(CHAOS_SEED),--seed $(CHAOS_SEED))
	$(BIN)/cardmint-lab chaos --events $(CHAOS_EVENTS) --seconds $(CHAOS_SECONDS) $(if $(CHAOS_SEED),--seed $(CHAOS_SEED)) --broker iotcore
	$(BIN)/cardmint-lab copies --seconds $(CHAOS_SECONDS) $(if $(CHAOS_SEED),--seed $(CHAOS_SEED))

.PHONY: bounds
bounds: install $(FICTIONAL)  ## Send hostile input to every process, and print the most memory of each
	$(BIN)/cardmint-lab bounds --pack $(FICTIONAL)

.PHONY: fuzz
fuzz: install  ## Fuzz every decoder of what comes from outside, guided by coverage, for FUZZ_SECONDS=600 together
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary :all: -r tests/fuzz/requirements.txt
	$(BIN)/python -m tests.fuzz.run --seconds $(FUZZ_SECONDS)

.PHONY: sbom
sbom: install  ## List all packages that station and cloud are shipped with, with versions and hashes (CycloneDX): build/sbom-*.json
	@mkdir -p build
	test -x build/sbom/bin/python || $(BIN)/python -m venv build/sbom
	build/sbom/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary :all: -r tests/sbom/requirements.txt
	build/sbom/bin/python -W ignore -m cyclonedx_py requirements --pyproject edge/pyproject.toml --output-reproducible --validate --output-file build/sbom-edge.json edge/requirements.txt
	build/sbom/bin/python -W ignore -m cyclonedx_py requirements --pyproject cloud/pyproject.toml --output-reproducible --validate --output-file build/sbom-cloud.json cloud/requirements-image.txt

.PHONY: format
format: install  ## Format the code and mend what ruff can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: lock
lock: install  ## Compile the hash-pinned requirements again
	$(COMPILE) --output-file shared/requirements.txt shared/pyproject.toml
	$(COMPILE) --no-emit-package asgiref --output-file edge/requirements.txt shared/pyproject.toml edge/pyproject.toml
	$(COMPILE) --no-emit-package asgiref --extra second-look --output-file edge/requirements-second-look.txt shared/pyproject.toml edge/pyproject.toml
	$(COMPILE) --output-file cloud/requirements.txt shared/pyproject.toml cloud/pyproject.toml
	$(COMPILE) --output-file tests/fuzz/requirements.txt tests/fuzz/requirements.in
	$(COMPILE) --output-file tests/sbom/requirements.txt tests/sbom/requirements.in
	$(COMPILE_TRAINING) --output-file tests/lab/cardmint_lab/training/requirements-gpu.txt tests/lab/cardmint_lab/training/requirements.in
	$(COMPILE_TRAINING) $(addprefix --no-emit-package ,$(GPU)) --output-file tests/lab/cardmint_lab/training/requirements.txt tests/lab/cardmint_lab/training/requirements.in
	$(COMPILE) --extra local --extra archive --output-file requirements-dev.txt requirements-dev.in shared/pyproject.toml edge/pyproject.toml cloud/pyproject.toml tests/lab/pyproject.toml
	$(COMPILE) --constraint requirements-dev.txt --extra archive --output-file cloud/requirements-image.txt cloud/requirements-image.in shared/pyproject.toml cloud/pyproject.toml

.PHONY: evaluate
evaluate: install  ## Measure recognition on labelled photos, beside baselines and targets: CARDMINT_DATA=DIR RENDERED=300
	@mkdir -p build
	$(BIN)/cardmint-edge catalogue build --cards $(CARDMINT_DATA)/catalogue --images $(CARDMINT_DATA)/references --out build/pack.sqlite
	$(BIN)/cardmint-lab recognition evaluate --pack build/pack.sqlite --photos $(CARDMINT_DATA)/photos --baselines --report build/evaluation.html
	$(BIN)/cardmint-lab recognition evaluate --pack build/pack.sqlite --photos $(CARDMINT_DATA)/photos-2
	@rm -f build/samples.jsonl
	$(BIN)/cardmint-lab recognition collect --pack build/pack.sqlite --photos $(CARDMINT_DATA)/photos --photos $(CARDMINT_DATA)/photos-2 \
	  --images $(CARDMINT_DATA)/references --least-width 450 --count $(RENDERED) --out build/samples.jsonl
	$(BIN)/cardmint-lab recognition targets --samples build/samples.jsonl

.PHONY: train-reader
train-reader: install $(TRAIN)/.installed  ## Train the reader further and convert it: TRAIN_MINUTES=60, CARDMINT_DATA=DIR
	$(call IN_TRAINING,reader) \
	  $$step.shards --data $$data --out $$run $(if $(SMOKE),--shards 1 --lines 96 --held-out 32) && \
	  $(BIN)/python -m cardmint_lab.training.reader.cuts --data $$data --out $$run $(if $(SMOKE),--scans 6 --copies 2) && \
	  $$step.warm_start --model edge/cardmint_edge/models/reader.tflite --data $$run --out $$run && \
	  $$step.train --data $$run --out $$run --minutes $(TRAIN_MINUTES) $(if $(SMOKE),--steps 2) && \
	  $$step.convert --checkpoint $$run/checkpoint.pt --held-out $$run/held-out.npz --out $$out

.PHONY: train-corners
train-corners: $(TRAIN)/.installed  ## Train the finder of cards further and convert it: TRAIN_MINUTES=60, CARDMINT_DATA=DIR
	$(call IN_TRAINING,corners) \
	  $$step.scenes --data $$data --out $$run $(if $(SMOKE),--files 1 --scenes 16 --held-out 8) && \
	  $$step.warm_start --model edge/cardmint_edge/models/corners.tflite --data $$run --out $$run && \
	  $$step.train --data $$run --out $$run --minutes $(TRAIN_MINUTES) $(if $(SMOKE),--steps 2) && \
	  $$step.convert --checkpoint $$run/checkpoint.pt --held-out $$run/held-out.npz --out $$out

.PHONY: train-embedding
train-embedding: $(TRAIN)/.installed  ## Train the embedding again and convert it: TRAIN_MINUTES=60, CARDMINT_DATA=DIR
	$(call IN_TRAINING,embedding) \
	  $$step.views --data $$data --out $$run $(if $(SMOKE),--files 1 --views 48 --scans 24) && \
	  $$step.train --data $$run --out $$run --minutes $(TRAIN_MINUTES) $(if $(SMOKE),--steps 2) && \
	  $$step.convert --checkpoint $$run/checkpoint.pt --held-out $$run/held-out.npz --out $$out

.PHONY: train-languages
train-languages: install  ## Count the letters of cards' texts by language again: CARDMINT_DATA=DIR
	$(BIN)/python -m cardmint_lab.training.trigrams --data $(CARDMINT_DATA)/tcgdex --out $(TRAIN_OUT)

.PHONY: train-smoke
train-smoke: install $(TRAIN)/.installed  ## Each training, a few steps long, from the data to a model that the station loads
	rm -rf build/smoke
	PYTHONPATH=shared:edge:tests/lab $(TRAIN)/bin/python -m pytest -q -c /dev/null --rootdir . --noconftest tests/edge/test_training.py
	$(MAKE) --no-print-directory train-corners train-reader train-embedding SMOKE=1 TRAIN_DIR=build/smoke TRAIN_OUT=build/smoke/models
	$(BIN)/python -c 'from pathlib import Path; from cardmint_edge.adapters import models as m; \
	  folder = Path("build/smoke/models"); print("loaded:", m.CardFinder(folder).version, "|", m.TextReader(folder).version, "|", m.PictureEmbedder(folder).version)'

$(TRAIN)/.installed: tests/lab/cardmint_lab/training/requirements.txt
	$(PYTHON) -m venv $(TRAIN)
	@$(TRAIN_INSTALL) -r tests/lab/cardmint_lab/training/requirements-cpu.txt 2>/dev/null || true
	$(TRAIN_INSTALL) -r $<
	$(TRAIN)/bin/python -c 'import torch' 2>/dev/null || $(TRAIN_INSTALL) -r tests/lab/cardmint_lab/training/requirements-gpu.txt
	@touch $@

.PHONY: wheels
wheels: install  ## Build the wheels that ansible/ puts on stations and fly.toml into the image
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation -w build/wheels ./shared ./edge ./cloud

.PHONY: image
image:  ## Build the cloud's image with buildah: IMAGE= its name, IMAGE_BASE= Debian's, IMAGE_FLAGS= more for buildah
	buildah --storage-driver $(IMAGE_STORAGE) bud --isolation chroot --build-arg BASE=$(IMAGE_BASE) $(IMAGE_FLAGS) -t $(IMAGE) -f cloud/Containerfile .

.PHONY: image-test
image-test: install image  ## Build the image, start it, and try every command of cardmint-cloud in it
	CARDMINT_IMAGE=$(IMAGE) CARDMINT_IMAGE_STORAGE=$(IMAGE_STORAGE) $(BIN)/pytest -q -s -n0 --timeout 1800 -o faulthandler_timeout=1800 tests/system/test_image.py

.PHONY: boot-test
boot-test: install wheels $(FICTIONAL)  ## Apply the Ansible roles to a Debian that boots in namespaces: root, debootstrap; BOX= its cached system
	CARDMINT_BOX=$(BOX) $(BIN)/pytest -q -s -n0 --timeout 1800 -o faulthandler_timeout=1800 tests/system/test_boot.py

.PHONY: clean
clean:  ## Remove the environment, the demo's data and the tools' caches
	rm -rf $(VENV) $(TRAIN) build $(DEMO_DIR) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage*
