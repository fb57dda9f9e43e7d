# Two stages: the first has pip and leaves a virtual environment, the second runs it as nobody's
# root, on a read-only root file system, without needing a shell.
ARG PYTHON=3.11

FROM python:${PYTHON}-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
# What is pinned changes less often than the sources, and so has a layer of its own.
COPY requirements.lock ./
RUN ["python3", "-m", "venv", "/opt/mailquay"]
RUN ["/opt/mailquay/bin/python", "-m", "pip", "install", "-q", "--no-compile", "--require-hashes", "--no-deps", "-r", "requirements.lock"]
COPY pyproject.toml README.md ./
COPY providers ./providers
COPY gateway ./gateway
RUN ["/opt/mailquay/bin/python", "-m", "pip", "install", "-q", "--no-compile", "--no-build-isolation", "--no-deps", "."]
# Compiled by hash and not by time: the same sources give the same files, and a root file system
# that cannot be written costs no start.
RUN ["/opt/mailquay/bin/python", "-m", "compileall", "-q", "-j", "0", "--invalidation-mode", "unchecked-hash", "/opt/mailquay/lib"]
RUN ["/opt/mailquay/bin/python", "-m", "pip", "uninstall", "-q", "-y", "hatchling", "editables", "packaging", "pathspec", "pluggy", "tomlkit", "trove-classifiers"]
# Nothing that stays may have needed them.
RUN ["/opt/mailquay/bin/python", "-m", "pip", "check"]
RUN ["/opt/mailquay/bin/python", "-m", "pip", "uninstall", "-q", "-y", "pip", "setuptools"]
RUN ["install", "-d", "-m", "0750", "-o", "10001", "-g", "10001", "/rootfs/var/lib/mailquay"]

FROM python:${PYTHON}-slim
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Mailquay" \
      org.opencontainers.image.description="SMTP relay gateway: takes letters durably and hands them to your e-mail provider" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
ENV PATH=/opt/mailquay/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    MAILQUAY_SPOOL__URL=sqlite:////var/lib/mailquay/spool.db \
    MAILQUAY_LOG__FORMAT=json
COPY --from=build /opt/mailquay /opt/mailquay
COPY --from=build --chown=10001:10001 /rootfs/var/lib/mailquay /var/lib/mailquay
USER 10001:10001
WORKDIR /var/lib/mailquay
VOLUME ["/var/lib/mailquay"]
EXPOSE 2525 8025
# The daemon starts no other process and answers SIGTERM itself: it can be process 1.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s --retries=3 CMD ["mailquay", "ready"]
ENTRYPOINT ["mailquay"]
CMD ["serve"]
