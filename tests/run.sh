#!/usr/bin/env bash
# Runs every test, level by level, and says how many ran. Ends with an error if one failed or a level was empty.
set -uo pipefail
cd "$(dirname "$0")/.."

tests/prerequisites.sh cargo cc go node npm make git tar curl unshare chromium chromedriver || exit 1

log=$(mktemp)
trap 'rm -f "$log"' EXIT
passed_all=0 failed_all=0 bad=0 summary=""

level() { # TITLE, then the command
    local title=$1 status passed failed
    shift
    echo "== $title: $*"
    "$@" 2>&1 | tee "$log"
    status=${PIPESTATUS[0]}
    # What a process of a test says may stand before it on the same line.
    passed=$(sed -n 's/.*test result: [a-zA-Z]*\. \([0-9]*\) passed; .*/\1/p' "$log" | awk '{ n += $1 } END { print n + 0 }')
    failed=$(sed -n 's/.*test result: .* \([0-9]*\) failed; .*/\1/p' "$log" | awk '{ n += $1 } END { print n + 0 }')
    summary+=$(printf '%-44s %5d passed, %d failed' "$title" "$passed" "$failed")$'\n'
    passed_all=$((passed_all + passed)) failed_all=$((failed_all + failed))
    if [ "$status" != 0 ]; then
        bad=1
        [ "$failed" != 0 ] || summary+="  ended with status $status before its tests could say why"$'\n'
    elif [ $((passed + failed)) = 0 ]; then
        bad=1
        summary+="  no test ran: that is a failure"$'\n'
    fi
}

echo "== build"
cargo build --locked --workspace --all-targets || exit 1
# Tests of upgrades begin with the previous release, which is built from its commit. Before the tests: some of them wait for it.
previous=$(grep --extended-regexp '^[0-9a-f]{40}$' tests/testbed/previous)
without=()
if git cat-file -e "$previous^{commit}" 2>/dev/null || git fetch --quiet --depth 1 origin "$previous"; then
    "${CARGO_TARGET_DIR:-target}/debug/bowline-testbed" build --previous || exit 1
else
    summary+="tests of upgrades are left out: this checkout has no commit $previous, and its origin gives none"$'\n'
    without=(--skip skew::)
fi

# On a full disk etcd ends and tests wait for it in vain, until all of them have timed out.
room() { # DIRECTORY: it must have 4 GiB left
    local free
    free=$(df -Pk "$1" | awk 'NR == 2 { print int($4 / 1024) }')
    [ "$free" -ge 4096 ] && return
    echo "$1 has $free MiB left; control planes of tests need up to 4096: remove other target directories" >&2
    exit 1
}
room "${TMPDIR:-/tmp}"
room "${CARGO_TARGET_DIR:-target}"

# Test binaries beside `browser`, `cluster` and `operator` are plain: no API server.
plain=()
for file in tests/*.rs; do
    [ -e "$file" ] && plain+=(--test "$(basename "$file" .rs)")
done

level "1+2 pure and wire" cargo test --locked --workspace --exclude bowline-testbed --lib --bins --no-fail-fast
# The same test once more, for its table: which entries do what with their providers.
level "2 entries against their providers' documents" cargo test --locked -p bowline-oauth --lib proof_tests -- --nocapture
summary+=$(sed -n 's/^proved: /  /p' "$log")$'\n'
level "5 golden files and module rules" cargo test --locked "${plain[@]}" --no-fail-fast
level "3 testbed, on a real API server" cargo test --locked -p bowline-testbed --no-fail-fast -- --include-ignored
level "3 rules and writes, on a real API server" cargo test --locked --test cluster --no-fail-fast -- --include-ignored
# These tests wait for tokens to age more than they work, so many of them run at once.
level "3 the operator as a process" cargo test --locked --test operator --no-fail-fast -- --include-ignored --test-threads 8 "${without[@]}"
# Each starts a Chromium of its own, so a few at a time.
level "4 browser" cargo test --locked --test browser --no-fail-fast -- --include-ignored --test-threads 3

echo
printf '%s' "$summary"
echo "$passed_all passed, $failed_all failed"
[ "$bad" = 0 ] && [ "$failed_all" = 0 ]
