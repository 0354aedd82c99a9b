# A worker. torch from the package index includes its CUDA libraries, so the host needs only the
# driver and the container toolkit. Build from the project's folder:
#   docker build -f docker/worker.Dockerfile -t richregime-worker .
# BASE: an image with apt, or with Python 3.11 or newer and its venv module. With NVIDIA's image the
# toolkit reports a driver that is too old; without GPUs, python:3.11-slim is smaller.
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
COPY client/pyproject.toml client/
COPY docker/list_requirements.py docker/
RUN python3 docker/list_requirements.py > requirements.txt \
    && /opt/venv/bin/pip install --no-cache-dir -c constraints.txt -r requirements.txt
COPY . .
RUN /opt/venv/bin/pip install --no-cache-dir --no-deps -e ./client -e . \
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
# The root file system may be read-only: a worker writes to /data and /tmp only.
ENV PATH=/opt/venv/bin:$PATH RICHREGIME_HOME=/data RICHREGIME_LOG_FORMAT=json \
    NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    MPLCONFIGDIR=/tmp/matplotlib PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
VOLUME /data
# At SIGTERM a worker saves its runs before it stops.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=20s --timeout=5s --start-period=180s --retries=3 \
    CMD ["sh", "-c", "test -n \"$(find /tmp/seen -mmin -1)\""]
CMD ["python", "-m", "workers.entry", "--device", "cpu", "--seen-file", "/tmp/seen"]
