#!/usr/bin/env bash
# Runs the tests that need an API server against every older release that is supported, one after the other, and says what
# each came to. Each control plane takes minutes to build, the first time.
# usage: tests/matrix.sh [RELEASE…]
set -uo pipefail
cd "$(dirname "$0")/.."

tests/prerequisites.sh cargo cc go node npm git tar curl unshare || exit 1
[ $# != 0 ] || set -- 1.33 1.34 1.35

# The releases are named here, so nobody's own cluster or programs may take their place.
unset BOWLINE_KUBECONFIG BOWLINE_TESTBED KUBEBUILDER_ASSETS
cargo build --locked --workspace --bins || exit 1
log=$(mktemp)
trap 'rm -f "$log"' EXIT
bad=0 summary=""
for release in "$@"; do
    assets=$(cargo run --locked -q -p bowline-testbed -- build --release "$release") || exit 1
    echo "== $(basename "$assets")"
    KUBEBUILDER_ASSETS=$assets cargo test --locked --test cluster --test operator --no-fail-fast -- \
        --include-ignored --test-threads 12 2>&1 | tee "$log"
    status=${PIPESTATUS[0]}
    counts=$(awk '/^test result:/ { passed += $4; failed += $6 } END { print passed + 0 " passed, " failed + 0 " failed" }' "$log")
    summary+="$(basename "$assets"): $counts"$'\n'
    [ "$status" = 0 ] || bad=1
    [ "${counts%% *}" != 0 ] || bad=1
done

echo
printf '%s' "$summary"
exit "$bad"
