"""Which command lines are quality runs, of which kind and framework."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccagent.facts.quality.kinds import KINDS
from ccagent.facts.quality.runs import RUNS, runs
from ccagent.facts.quality.tasks import task_kind

LINES = (
    ("pytest", "test pytest"),
    ("pytest -q tests/test_a.py::test_b", "test pytest"),
    ("python -m pytest -x", "test pytest"),
    ("python3.11 -m pytest", "test pytest"),
    (".venv/bin/python -m pytest tests", "test pytest"),
    (".venv/bin/pytest", "test pytest"),
    ("uv run pytest", "test pytest"),
    ("uv run --extra dev --python 3.12 pytest -q", "test pytest"),
    ("uv run python -m pytest", "test pytest"),
    ("uv run -m pytest", "test pytest"),
    ("poetry run pytest", "test pytest"),
    ("pipenv run python -m pytest", "test pytest"),
    ("hatch run pytest", "test pytest"),
    ("conda run -n web pytest", "test pytest"),
    ("coverage run -m pytest", "test pytest"),
    ("PYTHONPATH=. DEBUG=1 pytest", "test pytest"),
    ("env A=b pytest", "test pytest"),
    ("cd web && pytest", "test pytest"),
    ("timeout 600 pytest -q", "test pytest"),
    ("time nice -n 5 pytest", "test pytest"),
    ("pytest 2>&1 | tail -5", "test pytest"),
    ("bash -lc 'cd x && pytest -q'", "test pytest"),
    ("docker compose exec -T web pytest", "test pytest"),
    ("docker run --rm -v .:/x image:1 pytest", "test pytest"),
    ("if pytest; then echo yes; fi", "test pytest"),
    ("python -m unittest discover", "test unittest"),
    ("python manage.py test shop", "test manage.py"),
    ("tox", "test tox"),
    ("tox -e lint", "lint tox"),
    ("nox -s tests", "test nox"),
    ("jest", "test jest"),
    ("npx jest --ci", "test jest"),
    ("node_modules/.bin/jest", "test jest"),
    ("npx vitest run", "test vitest"),
    ("pnpm exec vitest", "test vitest"),
    ("bunx vitest", "test vitest"),
    ("npx mocha", "test mocha"),
    ("npx -y playwright test --project=web", "test playwright"),
    ("npx cypress run", "test cypress"),
    ("node --test", "test node"),
    ("bun test", "test bun test"),
    ("deno test -A", "test deno test"),
    ("npm test", "test npm"),
    ("npm t", "test npm"),
    ("npm run test:unit -- --watch=false", "test npm"),
    ("npm --prefix web test", "test npm"),
    ("npm run lint", "lint npm"),
    ("npm run lint:fix", "lint npm"),
    ("npm run typecheck", "type_check npm"),
    ("npm run type-check", "type_check npm"),
    ("npm run format:check", "lint npm"),
    ("npm run build", "build npm"),
    ("npm run deploy", "deploy npm"),
    ("CI=1 npm run e2e", "test npm"),
    ("yarn test", "test yarn"),
    ("yarn lint", "lint yarn"),
    ("yarn workspace web build", "build yarn"),
    ("yarn eslint .", "lint eslint"),
    ("pnpm test", "test pnpm"),
    ("pnpm -r run build", "build pnpm"),
    ("pnpm --filter web test", "test pnpm"),
    ("pnpm build", "build pnpm"),
    ("bun run lint", "lint bun"),
    ("npx turbo run build", "build turbo"),
    ("npx nx test web", "test nx"),
    ("npx nx run web:lint", "lint nx"),
    ("go test ./...", "test go test"),
    ("go test -race -run TestX ./pkg", "test go test"),
    ("go vet ./...", "lint go vet"),
    ("go build -o /tmp/x ./cmd/x", "build go build"),
    ("gotestsum ./...", "test gotestsum"),
    ("gofmt -l .", "lint gofmt"),
    ("golangci-lint run --timeout=5m", "lint golangci-lint"),
    ("cargo test", "test cargo test"),
    ("cargo +nightly test", "test cargo test"),
    ("cargo nextest run", "test cargo nextest"),
    ("cargo clippy -- -D warnings", "lint cargo clippy"),
    ("cargo check", "type_check cargo check"),
    ("cargo build --release", "build cargo build"),
    ("cargo fmt --all -- --check", "lint cargo fmt"),
    ("mvn test", "test mvn"),
    ("./mvnw -q clean verify", "test mvn"),
    ("mvn clean package -DskipTests", "build mvn"),
    ("./gradlew test", "test gradle"),
    ("gradle :app:build", "build gradle"),
    ("./gradlew ktlintCheck", "lint gradle"),
    ("dotnet test", "test dotnet test"),
    ("dotnet build -c Release", "build dotnet build"),
    ("dotnet format --verify-no-changes", "lint dotnet format"),
    ("rspec", "test rspec"),
    ("bundle exec rspec spec/a_spec.rb", "test rspec"),
    ("bin/rails test", "test rails test"),
    ("bundle exec rubocop", "lint rubocop"),
    ("bundle exec rake test", "test rake"),
    ("vendor/bin/phpunit", "test phpunit"),
    ("php vendor/bin/phpunit --filter x", "test phpunit"),
    ("php artisan test", "test artisan"),
    ("composer test", "test composer"),
    ("vendor/bin/phpstan analyse", "type_check phpstan"),
    ("mix test", "test mix test"),
    ("mix credo --strict", "lint mix credo"),
    ("mix dialyzer", "type_check mix dialyzer"),
    ("mix compile --warnings-as-errors", "build mix compile"),
    ("mix format --check-formatted", "lint mix format"),
    ("swift test", "test swift test"),
    ("xcodebuild -scheme x test", "test xcodebuild test"),
    ("flutter test", "test flutter test"),
    ("ctest --output-on-failure", "test ctest"),
    ("bats tests", "test bats"),
    ("ruff check .", "lint ruff"),
    ("ruff .", "lint ruff"),
    ("uvx ruff check --fix", "lint ruff"),
    ("ruff format --check", "lint ruff format"),
    ("black --check .", "lint black"),
    ("isort --check-only .", "lint isort"),
    ("flake8 src", "lint flake8"),
    ("pylint src", "lint pylint"),
    ("eslint . --max-warnings 0", "lint eslint"),
    ("npx prettier --check .", "lint prettier"),
    ("npx biome ci", "lint biome ci"),
    ("shellcheck *.sh", "lint shellcheck"),
    ("pre-commit run -a", "lint pre-commit"),
    ("mypy src", "type_check mypy"),
    ("python -m mypy --strict src", "type_check mypy"),
    ("pyright", "type_check pyright"),
    ("npx tsc --noEmit -p .", "type_check tsc"),
    ("npx vue-tsc --noEmit", "type_check vue-tsc"),
    ("make", "build make"),
    ("make -j8 all", "build make"),
    ("make test", "test make"),
    ("make -C web lint", "lint make"),
    ("make check", "test make"),
    ("just lint", "lint just"),
    ("task build", "build task"),
    ("mise run test", "test mise"),
    ("mise run lint:go 2>&1 | tail", "lint mise"),
    ("mise exec -- golangci-lint run", "lint golangci-lint"),
    ("./scripts/test.sh", "test script"),
    ("bash scripts/lint.sh", "lint script"),
    ("next build", "build next build"),
    ("npx vite build", "build vite"),
    ("webpack --mode production", "build webpack"),
    ("python -m build", ""),
    ("docker build -t x .", "build docker build"),
    ("docker buildx build --push .", "build docker buildx build"),
    ("docker compose build web", "build docker compose build"),
    ("cmake --build build -j", "build cmake"),
    ("vercel --prod", "deploy vercel"),
    ("netlify deploy --prod", "deploy netlify deploy"),
    ("fly deploy", "deploy fly"),
    ("kubectl -n web apply -f x.yaml", "deploy kubectl apply"),
    ("helm upgrade --install web ./chart", "deploy helm upgrade"),
    ("terraform apply -auto-approve", "deploy terraform apply"),
    ("npx cdk deploy", "deploy cdk deploy"),
    ("npx serverless deploy", "deploy serverless"),
    ("docker push registry/x:1", "deploy docker push"),
    ("npm publish --access public", "deploy npm publish"),
    ("gcloud run deploy web", "deploy gcloud"),
    ("twine upload dist/*", "deploy twine"),
    ("make lint test", "lint make, test make"),
    ("ruff check . && mypy src && pytest -q", "lint ruff, type_check mypy, test pytest"),
    ("npm run lint; npm test", "lint npm, test npm"),
    ("go vet ./... && go test ./...", "lint go vet, test go test"),
    # what only looks so
    ("cat pytest.ini", ""),
    ("grep test", ""),
    ("grep -r 'npm test' .", ""),
    ('git commit -m "run tests"', ""),
    ("git commit -m \"$(cat <<'E'\npytest && mypy\nE\n)\"", ""),
    ("echo npm test", ""),
    ("echo 'pytest' > run.txt", ""),
    ("ls tests", ""),
    ("cd test && ls", ""),
    ("which pytest", ""),
    ("command -v eslint", ""),
    ("pip install pytest mypy", ""),
    ("npm install jest", ""),
    ("npm run dev", ""),
    ("npm start", ""),
    ("npm run format", ""),
    ("npm run test:setup", ""),
    ("pytest --version", ""),
    ("pytest --collect-only", ""),
    ("make -n test", ""),
    ("make clean", ""),
    ("make install", ""),
    ("mise run fmt", ""),
    ("ruff format .", ""),
    ("black .", ""),
    ("prettier --write .", ""),
    ("gofmt -w .", ""),
    ("go run ./cmd/test", ""),
    ("go test -c ./pkg", ""),
    ("cargo run -- test", ""),
    ("mix format", ""),
    ("mix deps.get", ""),
    ("docker ps", ""),
    ("docker run -it image", ""),
    ("kubectl get pods", ""),
    ("kubectl apply --dry-run=client -f x", ""),
    ("npm publish --dry-run", ""),
    ("terraform plan", ""),
    ("helm list", ""),
    ("tsc --version", ""),
    ("python test.py", ""),
    ("test -f x && echo yes", ""),
    ("[ -f pytest.ini ]", ""),
    ("sed -i s/jest/vitest/ package.json", ""),
    ("ls | xargs eslint", ""),
)


@pytest.mark.parametrize(("command", "expected"), LINES)
def test_a_command_line_has_its_runs(command: str, expected: str) -> None:
    assert ", ".join(f"{run.kind} {run.framework}" for run in runs(command)) == expected


@pytest.mark.parametrize(
    ("command", "passes", "fails"),
    [
        ("pytest", True, True),
        ("cd x && pytest", True, True),
        ("export A=1; pytest", True, True),
        ("pytest && echo done", True, True),
        ("pytest && git push", True, False),
        ("ls && pytest", True, False),
        ("ls; pytest", True, True),
        ("pytest | tail", False, False),
        ("set -o pipefail; pytest | tail", True, True),
        ("pytest; echo $?", False, False),
        ("set -e; pytest; ls", True, False),
        ("pytest || true", False, False),
        ("ls || pytest", False, False),
        ("pytest &", False, False),
        ("echo $(pytest)", False, False),
        ("if pytest; then ls; fi", False, False),
        ("yes | pytest", True, True),
    ],
)  # fmt: skip
def test_an_exit_code_proves_what_nothing_hides(command: str, passes: bool, fails: bool) -> None:
    (run,) = runs(command)

    assert (run.passes, run.fails) == (passes, fails)


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("pytest", ("", 0)),
        ("pytest | tail -5", ("tail", 5)),
        ("pytest 2>&1 | tail -n 20", ("tail", 20)),
        ("pytest | head", ("head", 10)),
        ("pytest | tee log", ("", 0)),
        ("pytest | tee log | tail -3", ("tail", 3)),
        ("pytest | grep failed", ("other", 0)),
        ("pytest | grep failed | tail -3", ("other", 0)),
        ("pytest | tail -c 100", ("tail", 0)),
    ],
)
def test_a_pipe_tells_which_part_of_the_output_is_left(command: str, expected: tuple[str, int]) -> None:
    (run,) = runs(command)

    assert (run.filter, run.lines) == expected


def test_a_run_knows_which_run_had_to_pass_before_it() -> None:
    assert [run.after for run in runs("ruff check . && mypy . && pytest; npm test && npm run build")] == [
        -1,
        0,
        1,
        -1,
        3,
    ]


def test_output_in_a_file_is_not_shown() -> None:
    assert [run.shown for run in runs("pytest > log; ruff check .")] == [False, True]


def test_a_line_keeps_a_bounded_number_of_runs() -> None:
    assert len(runs("pytest;" * 50)) == RUNS


@pytest.mark.parametrize(
    ("task", "kind"),
    [
        ("test", "test"), ("test:unit", "test"), ("unit-test", "test"), ("e2e", "test"), ("lint", "lint"),
        ("lint:fix", "lint"), ("check:types", "type_check"), ("typecheck", "type_check"), ("fmt-check", "lint"),
        ("build", "build"), ("docker-build", "build"), ("deploy:prod", "deploy"), ("release", "deploy"), ("fmt", None),
        ("dev", None), ("test:setup", None), ("seed-test-db", None), ("", None), ("contest", None), ("latest", None),
    ],
)  # fmt: skip
def test_a_task_is_what_its_name_says(task: str, kind: str | None) -> None:
    assert task_kind(task) == kind


@given(st.lists(st.sampled_from([line for line, _ in LINES] + ["&&", ";", "|", "||", "(", ")", "$("]), max_size=8))
def test_any_line_has_runs_of_known_kinds(pieces: list[str]) -> None:
    found = runs(" ".join(pieces))

    assert all(run.kind in KINDS and run.framework for run in found)
    assert all(-1 <= run.after < number for number, run in enumerate(found))
