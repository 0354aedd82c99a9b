# A worker. The torch of the index brings its CUDA libraries, so the host needs the driver and the container toolkit only;
# without a GPU the same image serves the queue `cpu`. Build from the project's folder:
#   docker build -f docker/worker.Dockerfile -t richregime-worker .
ARG BASE=python:3.11-slim
FROM ${BASE}

WORKDIR /app
COPY pyproject.toml constraints.txt ./
RUN python -c "import tomllib; \
print('\n'.join(tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies']))" > requirements.txt \
    && pip install --no-cache-dir -c constraints.txt -r requirements.txt

COPY . .
RUN pip install --no-cache-dir --no-deps . \
    && useradd --create-home --uid 10001 richregime \
    && mkdir /data && chown richregime /data
USER richregime
ENV RICHREGIME_HOME=/data NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
VOLUME /data
# A worker that is told to stop saves its runs first.
STOPSIGNAL SIGTERM
CMD ["python", "-m", "workers.main", "--queue", "cpu"]
