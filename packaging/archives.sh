#!/usr/bin/env bash
# Packs the plug-in for each platform, with its license and man pages, and lists the archives' checksums. The same files
# give the same archives.
# usage: packaging/archives.sh VERSION PROGRAMS MAN FOLDER (PROGRAMS has a folder OS-ARCHITECTURE for each platform)
set -euo pipefail
version=$1 programs=$2 man=$3 out=$4
license=$(dirname "$0")/../LICENSE
: "${SOURCE_DATE_EPOCH:?set it to the time of the commit}"

mkdir -p "$out"
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
for folder in "$programs"/*/; do
    platform=$(basename "$folder")
    rm -rf "${stage:?}"/*
    install "$folder"kubectl-bowline* "$stage"
    install -m 644 "$license" "$stage/LICENSE"
    install -D -m 644 -t "$stage/man" "$man"/kubectl-bowline*.1
    tar --sort=name --format=ustar --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner -C "$stage" -cf - \
        LICENSE man $(cd "$stage" && echo kubectl-bowline*) |
        gzip -n >"$out/kubectl-bowline_${version}_${platform/-/_}.tar.gz"
done
cd "$out"
sha256sum -- *.tar.gz >checksums.txt
