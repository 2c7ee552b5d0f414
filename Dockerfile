# One image for the coordinator and the workers. What the arguments mean: docs/guides/containers.md
#
#   docker build -t penstock .
#   docker build -t penstock --build-arg EXTRAS=dedup --build-arg PACKAGES="transformers torch" .

ARG PYTHON=python:3.13-slim

FROM ${PYTHON} AS build
# A compiler for packages without a wheel. This stage is thrown away.
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends gcc g++ libc6-dev make tini >/dev/null
RUN python -m venv /opt/penstock
ENV PATH=/opt/penstock/bin:$PATH PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
# What it needs comes first, so that a change of the source does not install it again.
ARG EXTRAS=
ARG PACKAGES=
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
COPY pyproject.toml docker/requirements.py ./
RUN python requirements.py pyproject.toml "${EXTRAS}" > requirements.txt \
 && pip install --quiet --requirement requirements.txt ${PACKAGES}
COPY README.md LICENSE ./
COPY common common
COPY coordinator coordinator
COPY penstock penstock
COPY worker worker
RUN pip install --quiet --no-deps . && pip check

FROM ${PYTHON}
LABEL org.opencontainers.image.title="Penstock" \
      org.opencontainers.image.description="Coordinator and workers of synthetic-data pipelines on Redis Streams" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --uid 1000 --create-home penstock \
 && mkdir -p /output /work && chown penstock: /output /work && chmod 1777 /home/penstock
# Process 1: passes SIGTERM on, and takes leave of processes whose parent is gone.
COPY --from=build /usr/bin/tini-static /usr/local/bin/tini
COPY docker/as-owner-of /usr/local/bin/
COPY --from=build /opt/penstock /opt/penstock
COPY examples /work/examples
# The home is writable for any user, since any may be given: models and datasets are cached there.
ENV PATH=/opt/penstock/bin:$PATH HOME=/home/penstock PENSTOCK_CACHE_DIR=/output/cache PYTHONUNBUFFERED=1
WORKDIR /work
USER penstock
ENTRYPOINT ["tini", "--"]
CMD ["pipeline-coordinator", "--help"]
HEALTHCHECK --interval=30s --timeout=20s --start-period=60s --retries=3 CMD ["python", "-P", "-m", "common.health"]
