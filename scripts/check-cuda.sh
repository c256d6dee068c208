#!/usr/bin/env bash
# Type-checks the CUDA implementation. Needs no GPU: the toolkit comes as Python packages (1.2 GB), kept in $TEXTNLP_CACHE.
# A toolkit that is installed already (CUDA_HOME) is used instead. About ten minutes of nvcc on two cores.
set -euo pipefail
cache=${TEXTNLP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/textnlp}
if [ -z "${CUDA_HOME:-}" ]; then
    venv=$cache/cuda-13.0
    if [ ! -e "$venv/complete" ]; then
        python3 -m venv "$venv"
        "$venv/bin/pip" install --quiet --disable-pip-version-check \
            nvidia-cuda-{nvcc,runtime,cccl,crt,nvrtc}==13.0.* nvidia-{nvvm,cublas}==13.0.* nvidia-curand==10.4.*
        touch "$venv/complete"
    fi
    CUDA_HOME=$(echo "$venv"/lib/python3*/site-packages/nvidia/cu13)
fi
export CUDA_HOME CUDA_PATH=$CUDA_HOME CUDA_ROOT=$CUDA_HOME CUDA_TOOLKIT_ROOT_DIR=$CUDA_HOME
export PATH=$CUDA_HOME/bin:$PATH CUDA_COMPUTE_CAP=${CUDA_COMPUTE_CAP:-90}
cargo check --package textnlp-engine --features cuda
