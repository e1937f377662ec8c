# For a machine with NVIDIA GPUs and their driver:
#   docker build -t hyperjax .
#   docker run --gpus all -v "$PWD/runs:/runs" hyperjax \
#       deep-sea run --size 50 --num-seeds 256 --output /runs/deep_sea_50
FROM python:3.12-slim
WORKDIR /hyperjax
COPY . .
RUN pip install --no-cache-dir '.[experiments,atari,bsuite]' 'jax[cuda13]'
ENTRYPOINT ["hyperjax"]
