# The operator's image: docker build -t bowline:0.1.0 . (podman and buildah take it as well)
FROM docker.io/library/rust:1.95.0-trixie AS build
# The toolchain of the image, not another download for the sake of rustfmt and clippy.
ENV RUSTUP_TOOLCHAIN=1.95.0
COPY . /src
# Without debug information it is a fifth of the size; panics still say where.
RUN cargo install --locked --path /src --root /out --bin bowline \
    && strip --strip-debug /out/bin/bowline

FROM docker.io/library/debian:trixie-slim
# Providers are checked against the system's certificates.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /out/bin/bowline /usr/local/bin/bowline
# As in deploy/operator/deployment.yaml.
USER 65532:65532
ENTRYPOINT ["bowline"]
