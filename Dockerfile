# The server in a container, with the shipped model and the page. CPU by default; for CUDA:
#   docker build --build-arg TORCH_INDEX_URL=https://download.pytorch.org/whl/cu126 -t diffuscope:cuda .
# Anyone who reaches the container reaches the server, so it needs a token:
#   docker run --rm -p 127.0.0.1:7860:7860 -e DIFFUSCOPE_TOKEN="$(openssl rand -hex 16)" -v "$PWD/runs:/data/runs" diffuscope

ARG PYTHON=3.11

# The wheel. Building it builds the page, with a Node from PyPI; nothing of that is in the final image.
FROM python:${PYTHON}-slim AS wheel
WORKDIR /src
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:${PYTHON}-slim
ARG TORCH_INDEX_URL=https://download.pytorch.org/whl/cpu
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1
COPY constraints.txt /tmp/constraints.txt
# torch first and by itself: it is the largest layer and changes least.
RUN pip install --constraint /tmp/constraints.txt --index-url "${TORCH_INDEX_URL}" --extra-index-url https://pypi.org/simple torch
COPY --from=wheel /wheels /wheels
RUN pip install --constraint /tmp/constraints.txt "$(ls /wheels/*.whl)[models,server,studies]" && rm -rf /wheels /tmp/constraints.txt

RUN useradd --create-home --uid 1000 diffuscope && mkdir -p /data/runs /data/studies && chown -R diffuscope /data
USER diffuscope
WORKDIR /data
VOLUME ["/data/runs", "/data/studies"]
ENV DIFFUSCOPE_HOST=0.0.0.0 DIFFUSCOPE_PORT=7860 DIFFUSCOPE_RUNS=/data/runs DIFFUSCOPE_STUDIES=/data/studies
EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(r.Request('http://127.0.0.1:' + os.environ['DIFFUSCOPE_PORT'] + '/api/health', headers={'Authorization': 'Bearer ' + os.environ.get('DIFFUSCOPE_TOKEN', '')}), timeout=4)"]
CMD ["diffuscope", "serve"]
