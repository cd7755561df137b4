#!/usr/bin/env bash
# Lays out everything that the image contains: a static binary, its list of components, and the certificates of public
# authorities. The same sources and compilers give the same bytes, wherever they are and whenever this runs.
# usage: packaging/rootfs.sh amd64|arm64 FOLDER
set -euo pipefail
umask 022
cd "$(dirname "$0")/.."
: "${SOURCE_DATE_EPOCH:?set it to the time of the commit}"
export SOURCE_DATE_EPOCH
arch=$1 root=$2
case $arch in amd64) cpu=x86_64 ;; arm64) cpu=aarch64 ;; *) echo "no such architecture: $arch" >&2 && exit 2 ;; esac
target=$cpu-unknown-linux-musl
built=${CARGO_TARGET_DIR:-$PWD/target}

# Debian's and Ubuntu's package ca-certificates, without what this machine trusts besides.
authorities=/usr/share/ca-certificates/mozilla
[ -d "$authorities" ] || { echo "missing: $authorities (install the package ca-certificates)" >&2; exit 1; }
command -v cargo-cyclonedx >/dev/null ||
    { echo "missing: cargo-cyclonedx (cargo install --locked cargo-cyclonedx --version 0.5.9)" >&2; exit 1; }
rustup target list --installed | grep -qx "$target" || rustup target add "$target"

# ring has C code that needs no C library. Another processor's code comes from clang, which every build of it can write.
compiler=cc
[ "$(uname -m)" = "$cpu" ] || compiler=clang
export "CC_${target//-/_}=$compiler"
# Rust has musl and a linker with it. No path of this machine may be in the binary.
flags=(-Clinker=rust-lld -Clink-self-contained=yes --remap-path-prefix="$PWD=/src" --remap-path-prefix="$built=/target"
    --remap-path-prefix="${CARGO_HOME:-$HOME/.cargo}=/cargo")
CARGO_ENCODED_RUSTFLAGS=$(IFS=$'\x1f' && echo "${flags[*]}")
export CARGO_ENCODED_RUSTFLAGS
cargo build --locked --profile image --target "$target" --bin bowline

# It writes a file beside each Cargo.toml. With the time given, there is no random number in it either.
name=bowline-$arch.cdx
cargo cyclonedx --quiet --format json --target "$target" --override-filename "$name"

rm -rf "$root"
install -D "$built/$target/image/bowline" "$root/usr/local/bin/bowline"
mkdir -p "$root/usr/share/bowline"
sed "s#$PWD#/src#g" "$name.json" >"$root/usr/share/bowline/bowline.cdx.json"
find . -name "$name.json" -not -path './target/*' -delete
mkdir -p "$root/etc/ssl/certs"
(export LC_ALL=C && cat "$authorities"/*.crt) >"$root/etc/ssl/certs/ca-certificates.crt"
