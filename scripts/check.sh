#!/usr/bin/env bash
# All checks, in the order in which they are cheap; the first that fails ends it. --fast leaves out slow tests.
set -euo pipefail
cd "$(dirname "$0")/.."

python="${PYTHON:-.venv/bin/python}"
tests=()
case "${1:-}" in
    "") ;;
    --fast) tests=(-m "not slow and not rotel and not collector") ;;
    *)
        echo "usage: scripts/check.sh [--fast]" >&2
        exit 2
        ;;
esac

step() { printf '\n== %s\n' "$*"; "$@"; }

step "$python" -m ruff format --check .
step "$python" -m ruff check .
step "$python" -m mypy
for script in scripts/generate_*.py; do
    step "$python" "$script" --check
done
step "$python" -m pytest -n auto --dist loadfile "${tests[@]}"
