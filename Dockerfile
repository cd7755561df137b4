# The operator's image: docker build -t bowline . (podman and buildah take it as well). `make image` builds the same
# without a container engine.
FROM docker.io/library/rust:1.95.0-trixie@sha256:f49565f188ee00bc2a18dd418183f2c5f23ef7d6e691890517ed341a598f67c3 AS build
# The toolchain of the image, not another download for the sake of rustfmt and clippy.
ENV RUSTUP_TOOLCHAIN=1.95.0
RUN cargo install --locked cargo-cyclonedx --version 0.5.9
COPY . /src
ARG TARGETARCH
ARG SOURCE_DATE_EPOCH=0
# Each architecture is built on its own kind of machine, or by emulation.
RUN /src/packaging/rootfs.sh "$TARGETARCH" /out

FROM scratch
ARG VERSION=0.0.0
LABEL org.opencontainers.image.title="bowline" \
      org.opencontainers.image.source="https://github.com/bowline-dev/bowline" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION"
COPY --from=build /out/ /
# As in deploy/operator/deployment.yaml.
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/bowline"]
