# An image that plays, on a CPU:
#   docker build --tag vdsm-glass .
#   docker run --rm --publish 127.0.0.1:8080:8080 vdsm-glass
# and in a browser the address that it prints, which holds a token. The page answers to the names of the own machine alone.
# PyTorch comes from its index for CPUs. Another index, say a mirror, or https://pypi.org/simple for a GPU:
#   docker build --build-arg TORCH_INDEX=https://pypi.org/simple --tag vdsm-glass .
FROM python:3.11-slim
WORKDIR /app
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN pip install --no-cache-dir "torch>=2.11,<2.16" "torchvision>=0.26,<0.30" --index-url "$TORCH_INDEX"
COPY pyproject.toml README.md LICENSE ./
COPY vdsm_glass vdsm_glass
COPY data_modules data_modules
COPY callbacks callbacks
COPY experiments experiments
RUN pip install --no-cache-dir --editable ".[play]"
RUN useradd --create-home player && chown player /app
USER player
EXPOSE 8080
CMD ["vdsm-glass", "play", "--host", "0.0.0.0", "--port", "8080", "--no-browser"]
