# A worker. The torch of the index brings its CUDA libraries, so the host needs the driver and the container toolkit only.
# Build from the project's folder:
#   docker build -f docker/worker.Dockerfile -t richregime-worker .
# BASE: an image with apt, or with Python 3.11 or newer and its venv module. NVIDIA's makes the toolkit refuse a driver that
# is too old, with words; without GPUs, python:3.11-slim is smaller.
ARG BASE=nvidia/cuda:12.8.1-base-ubuntu24.04
FROM ${BASE} AS python
# hadolint ignore=DL3008
RUN command -v python3 > /dev/null || { apt-get update \
    && apt-get install -y --no-install-recommends python3 python3-venv ca-certificates \
    && rm -rf /var/lib/apt/lists/*; }

FROM python AS built
WORKDIR /app
RUN python3 -m venv /opt/venv
COPY pyproject.toml constraints.txt ./
RUN python3 -c "import tomllib; \
project = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
print('\n'.join(project['dependencies'] + project['optional-dependencies']['s3']))" > requirements.txt \
    && /opt/venv/bin/pip install --no-cache-dir -c constraints.txt -r requirements.txt
COPY . .
RUN /opt/venv/bin/pip install --no-cache-dir --no-deps -e . \
    && /opt/venv/bin/python -m compileall -q /app \
    && rm -rf /opt/venv/lib/python3*/site-packages/pip /opt/venv/bin/pip*

FROM python
RUN groupadd --gid 10001 richregime \
    && useradd --no-log-init --uid 10001 --gid 10001 --home-dir /data --shell /usr/sbin/nologin richregime \
    && install --directory --owner=10001 --group=10001 /data
COPY --from=built /opt/venv /opt/venv
COPY --from=built /app /app
WORKDIR /app
USER 10001:10001
# The root may be read-only: what is written goes to /data and /tmp.
ENV PATH=/opt/venv/bin:$PATH RICHREGIME_HOME=/data RICHREGIME_LOG_FORMAT=json \
    NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    MPLCONFIGDIR=/tmp/matplotlib PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
VOLUME /data
# A worker that is told to stop saves its runs first.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=20s --timeout=5s --start-period=180s --retries=3 \
    CMD ["sh", "-c", "test -n \"$(find /tmp/seen -mmin -1)\""]
CMD ["python", "-m", "workers.entry", "--device", "cpu", "--seen-file", "/tmp/seen"]
