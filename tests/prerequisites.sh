#!/bin/sh
# Says, a line each, which of the named programs are missing and what to do about it. Ends 1 if one is.
# usage: tests/prerequisites.sh PROGRAM…
missing=0
for program in "$@"; do
    command -v "$program" >/dev/null && continue
    case $program in
        cargo) advice="install Rust from https://rustup.rs; the version is in rust-toolchain.toml" ;;
        cc) advice="install a C compiler: gcc or clang; ring needs it" ;;
        go) advice="install Go from https://go.dev/dl: it builds the control plane" ;;
        node) advice="install Node.js from https://nodejs.org: it runs the second OAuth server" ;;
        npm) advice="it comes with Node.js" ;;
        make) advice="install GNU make" ;;
        *) advice="install it" ;;
    esac
    echo "missing: $program ($advice)" >&2
    missing=1
done
exit "$missing"
