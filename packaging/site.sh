#!/usr/bin/env bash
# Builds the documentation as a site with search: packaging/site.sh FOLDER
set -euo pipefail
out=$(realpath --canonicalize-missing "$1")
cd "$(dirname "$0")/.."
command -v mdbook >/dev/null || { echo "missing: mdbook (cargo install --locked mdbook --version ^0.5)" >&2; exit 1; }
pages=$(mktemp -d)
trap 'rm -rf "$pages"' EXIT
cp -r book.toml docs "$pages"
# What is not under docs/ is shown by the repository.
files=https://github.com/bowline-dev/bowline/blob/main
find "$pages/docs" -maxdepth 1 -name '*.md' -exec sed -i "s#](\.\./#]($files/#g" {} +
find "$pages/docs" -mindepth 2 -name '*.md' -exec sed -i "s#](\.\./\.\./#]($files/#g" {} +
mdbook build --dest-dir "$out" "$pages"
