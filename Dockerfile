# Two stages: the first has pip and leaves a virtual environment, the second runs it as nobody's
# root, on a read-only root file system, without needing a shell.
ARG PYTHON=3.11

FROM python:${PYTHON}-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
RUN ["apt-get", "update", "-qq"]
RUN ["apt-get", "install", "-qq", "-y", "--no-install-recommends", "binutils"]
# What is pinned changes less often than the sources, and so has a layer of its own.
COPY requirements.lock ./
RUN ["python3", "-m", "venv", "/opt/mailquay"]
RUN ["/opt/mailquay/bin/python", "-m", "pip", "install", "-q", "--no-compile", "--require-hashes", "--no-deps", "-r", "requirements.lock"]
COPY pyproject.toml README.md ./
COPY providers ./providers
COPY gateway ./gateway
RUN ["/opt/mailquay/bin/python", "-m", "pip", "install", "-q", "--no-compile", "--no-build-isolation", "--no-deps", "."]
RUN ["/opt/mailquay/bin/python", "-m", "pip", "uninstall", "-q", "-y", "hatchling", "editables", "packaging", "pathspec", "pluggy", "tomlkit", "trove-classifiers"]
# Nothing that stays may have needed them.
RUN ["/opt/mailquay/bin/python", "-m", "pip", "check"]
RUN ["/opt/mailquay/bin/python", "-m", "pip", "uninstall", "-q", "-y", "pip", "setuptools"]
# Libraries bring tests, sources of what is compiled, programs of their own, and colours for five
# hundred languages: an eighth of all, and nothing that a gateway loads.
RUN ["find", "/opt/mailquay/lib", "-depth", "(", "-path", "*/tests/*", "-o", "-path", "*/testing/*", "-o", "-name", "*.py[xi]", "-o", "-name", "*.pxd", "-o", "-path", "*/pygments/lexers/[a-z]*.py", "!", "-name", "python.py", "-o", "-path", "*/pygments/lexers/*_builtins.py", ")", "-delete"]
RUN ["find", "/opt/mailquay/bin", "-type", "f", "!", "-name", "mailquay", "-delete"]
# A quarter of all were debugging symbols. Psycopg's were taken out by those who packed it.
RUN ["find", "/opt/mailquay/lib", "-name", "*.so", "!", "-path", "*/psycopg*", "-exec", "strip", "--strip-debug", "{}", "+"]
# Compiled by hash and not by time: the same sources give the same files, and a root file system
# that cannot be written costs no start.
RUN ["/opt/mailquay/bin/python", "-m", "compileall", "-q", "-j", "0", "--invalidation-mode", "unchecked-hash", "/opt/mailquay/lib"]
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
