#!/usr/bin/env bash
# Builds the image for amd64 and arm64 without a container engine, as an OCI archive, and prints what came out. A second
# build of the same commit, with the same compilers, has the same digest.
# usage: packaging/image.sh [ARCHITECTURE…]
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# != 0 ] || set -- amd64 arm64
command -v buildah >/dev/null || { echo "missing: buildah (install Debian's package buildah)" >&2; exit 1; }
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH
out=${CARGO_TARGET_DIR:-target}/image-$version
name=bowline-image:$version
# Neither a kernel's overlay nor a user's container settings are needed: nothing runs in these images.
export STORAGE_DRIVER=${STORAGE_DRIVER:-vfs} BUILDAH_ISOLATION=chroot

mkdir -p "$out"
buildah manifest rm "$name" >/dev/null 2>&1 || true
for arch in "$@"; do
    packaging/rootfs.sh "$arch" "$out/$arch/out"
    # Its last stage takes what the script laid out, as it would take the stage before it.
    sed -n '/^FROM scratch/,$p' Dockerfile |
        buildah build --quiet --platform "linux/$arch" --build-context "build=$out/$arch" --build-arg VERSION="$version" \
            --timestamp "$SOURCE_DATE_EPOCH" --identity-label=false --manifest "$name" --file - "$out" >/dev/null
done
buildah manifest push --quiet --all --digestfile "$out/digest" "$name" "oci-archive:$out/bowline-$version.tar:$version"

echo "digest: $(cat "$out/digest")"
echo "archive: $out/bowline-$version.tar, $(stat -c %s "$out/bowline-$version.tar") bytes"
for arch in "$@"; do
    echo "$arch: binary $(stat -c %s "$out/$arch/out/usr/local/bin/bowline") bytes," \
        "components $(grep -c '"bom-ref": "' "$out/$arch/out/usr/share/bowline/bowline.cdx.json") in $out/$arch/out/usr/share/bowline/bowline.cdx.json"
done
# With nothing else around it, as somebody without rights: a program that is not static does not start here.
case $(uname -m) in x86_64) native=amd64 ;; aarch64) native=arm64 ;; *) native= ;; esac
for arch in "$@"; do
    [ "$arch" != "$native" ] || echo "$arch: $(unshare --user --root="$out/$arch/out" /usr/local/bin/bowline --version) runs"
done
echo "compilers: $(rustc --version), $(cc --version | head -1)"
