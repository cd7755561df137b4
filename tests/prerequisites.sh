#!/bin/sh
# Says, a line each, which of the named programs are missing and what to do about it. Ends 1 if one is.
# Installs the browser where it may: as root, with apt-get.
# usage: tests/prerequisites.sh PROGRAM…
missing=0

browser() { # installs Debian's packages; quiet unless it fails
    command -v apt-get >/dev/null && [ "$(id -u)" = 0 ] || return 1
    echo "installing chromium and chromium-driver (once)" >&2
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq >/dev/null && apt-get install -y -qq --no-install-recommends chromium chromium-driver >/dev/null
}

for program in "$@"; do
    command -v "$program" >/dev/null && continue
    case $program in chromium | chromedriver) browser && command -v "$program" >/dev/null && continue ;; esac
    case $program in
        cargo) advice="install Rust from https://rustup.rs; the version is in rust-toolchain.toml" ;;
        cc) advice="install a C compiler: gcc or clang; ring needs it" ;;
        go) advice="install Go from https://go.dev/dl: it builds the control plane" ;;
        node) advice="install Node.js from https://nodejs.org: it runs the second OAuth server" ;;
        npm) advice="it comes with Node.js" ;;
        chromium) advice="install Debian's packages chromium and chromium-driver: the portal is tested in a real browser" ;;
        chromedriver) advice="install Debian's package chromium-driver, of the same version as chromium" ;;
        pngquant) advice="install Debian's package pngquant: it makes the pictures small" ;;
        git | curl) advice="install it: it reads a published Secret in a test" ;;
        unshare) advice="install Debian's package util-linux: it mounts a Secret read-only in a test" ;;
        make) advice="install GNU make" ;;
        *) advice="install it" ;;
    esac
    echo "missing: $program ($advice)" >&2
    missing=1
done
exit "$missing"
