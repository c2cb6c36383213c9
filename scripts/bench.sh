#!/usr/bin/env bash
# Measures side by side and keeps the table: results/<commit>-<time>.md. Arguments go to the benchmark (`--help`).
set -euo pipefail
cd "$(dirname "$0")/.."

mkdir -p results
commit=$(git describe --always --dirty 2>/dev/null || echo unknown)
file=results/$commit-$(date -u +%Y%m%dT%H%M%SZ).md
cargo bench --bench side_by_side -- "$@" | tee "$file"
echo "kept in $file"
