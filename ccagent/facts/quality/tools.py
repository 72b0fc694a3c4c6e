"""The tools that are known: what a run of each is, by its name and, where it has several, its verb."""

from __future__ import annotations

from typing import Final

from ccagent.facts.quality.kinds import BUILD, DEPLOY, LINT, TEST, TYPE_CHECK


def _named(kind: str, names: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), kind)


TOOLS: Final[dict[str, str]] = {
    **_named(TEST, "pytest py.test pytest-3 unittest nose2 jest vitest mocha ava tap jasmine testcafe wdio gotestsum"),
    **_named(TEST, "ginkgo rspec minitest cucumber phpunit pest codecept paratest ctest bats behave robot nox tox"),
    **_named(LINT, "eslint stylelint oxlint standard xo jshint shellcheck hadolint yamllint markdownlint actionlint"),
    **_named(LINT, "markdownlint-cli2 ansible-lint rubocop standardrb flake8 pylint bandit vulture codespell cppcheck"),
    **_named(LINT, "clang-tidy ktlint detekt swiftlint tflint phpcs golint staticcheck revive pydocstyle djlint knip"),
    **_named(TYPE_CHECK, "tsc vue-tsc tsgo mypy pyright basedpyright pyre svelte-check phpstan psalm sorbet"),
    **_named(BUILD, "make gmake ninja webpack rollup tsup esbuild mkdocs electron-builder wasm-pack msbuild ant"),
    **_named(DEPLOY, "vercel ansible-playbook surge gh-pages"),
}
"""Tools that do one thing whatever their words; `NOT` and the tables below have the exceptions."""

CHECKERS: Final[dict[str, tuple[str, ...]]] = {
    "black": ("--check", "--diff"),
    "isort": ("--check", "--check-only", "-c", "--diff"),
    "prettier": ("--check", "-c", "-l", "--list-different"),
    "gofmt": ("-l", "-d"),
    "gofumpt": ("-l", "-d"),
    "goimports": ("-l", "-d"),
    "shfmt": ("-d", "-l"),
    "rustfmt": ("--check",),
    "swiftformat": ("--lint",),
    "clang-format": ("--dry-run", "-n"),
    "php-cs-fixer": ("--dry-run",),
    "autopep8": ("--diff",),
    "pint": ("--test",),
}
"""Formatters judge (kind lint) with one of these words; without, they write."""

VERBS: Final[dict[str, dict[str, str]]] = {
    "ruff": {"check": LINT},
    "biome": {"check": LINT, "lint": LINT, "ci": LINT},
    "deno": {"test": TEST, "lint": LINT, "check": TYPE_CHECK},
    "sqlfluff": {"lint": LINT},
    "buf": {"lint": LINT, "build": BUILD},
    "pre-commit": {"run": LINT},
    "trunk": {"check": LINT, "build": BUILD},
    "golangci-lint": {"run": LINT},
    "go": {"test": TEST, "vet": LINT, "build": BUILD, "install": BUILD},
    "cargo": {
        "test": TEST, "t": TEST, "nextest": TEST, "llvm-cov": TEST, "check": TYPE_CHECK, "c": TYPE_CHECK,
        "clippy": LINT, "build": BUILD, "b": BUILD, "publish": DEPLOY,
    },
    "playwright": {"test": TEST},
    "cypress": {"run": TEST},
    "karma": {"start": TEST},
    "ng": {"test": TEST, "lint": LINT, "build": BUILD, "e2e": TEST, "deploy": DEPLOY},
    "react-scripts": {"test": TEST, "build": BUILD},
    "vue-cli-service": {"test:unit": TEST, "lint": LINT, "build": BUILD},
    "next": {"build": BUILD, "lint": LINT},
    "nuxt": {"build": BUILD, "generate": BUILD, "typecheck": TYPE_CHECK},
    "vite": {"build": BUILD},
    "astro": {"build": BUILD, "check": TYPE_CHECK},
    "gatsby": {"build": BUILD},
    "parcel": {"build": BUILD},
    "storybook": {"build": BUILD},
    "expo": {"export": BUILD},
    "tauri": {"build": BUILD},
    "hugo": {"build": BUILD},
    "ty": {"check": TYPE_CHECK},
    "dmypy": {"run": TYPE_CHECK, "check": TYPE_CHECK},
    "flow": {"check": TYPE_CHECK},
    "dotnet": {"test": TEST, "build": BUILD, "publish": BUILD, "msbuild": BUILD},
    "xcodebuild": {"test": TEST, "build": BUILD, "archive": BUILD},
    "swift": {"test": TEST, "build": BUILD},
    "flutter": {"test": TEST, "analyze": LINT, "build": BUILD},
    "dart": {"test": TEST, "analyze": LINT, "compile": BUILD},
    "mix": {"test": TEST, "credo": LINT, "dialyzer": TYPE_CHECK, "compile": BUILD, "release": BUILD},
    "rebar3": {"ct": TEST, "eunit": TEST, "compile": BUILD, "dialyzer": TYPE_CHECK},
    "rails": {"test": TEST, "test:system": TEST, "assets:precompile": BUILD},
    "artisan": {"test": TEST},
    "meson": {"test": TEST, "compile": BUILD},
    "zig": {"test": TEST, "build": BUILD},
    "stack": {"test": TEST, "build": BUILD},
    "cabal": {"test": TEST, "build": BUILD},
    "dune": {"test": TEST, "runtest": TEST, "build": BUILD},
    "bazel": {"test": TEST, "build": BUILD},
    "bazelisk": {"test": TEST, "build": BUILD},
    "lein": {"test": TEST, "compile": BUILD, "uberjar": BUILD},
    "forge": {"test": TEST, "build": BUILD},
    "hardhat": {"test": TEST, "compile": BUILD},
    "manage.py": {"test": TEST},
    "setup.py": {"test": TEST, "build": BUILD, "bdist_wheel": BUILD, "sdist": BUILD},
    "hatch": {"test": TEST, "build": BUILD, "publish": DEPLOY},
    "uv": {"build": BUILD, "publish": DEPLOY},
    "poetry": {"build": BUILD, "publish": DEPLOY},
    "pdm": {"build": BUILD, "publish": DEPLOY},
    "flit": {"build": BUILD, "publish": DEPLOY},
    "twine": {"upload": DEPLOY},
    "gem": {"build": BUILD, "push": DEPLOY},
    "docker": {"build": BUILD, "push": DEPLOY},
    "podman": {"build": BUILD, "push": DEPLOY},
    "buildah": {"build": BUILD, "bud": BUILD, "push": DEPLOY},
    "packer": {"build": BUILD},
    "nix": {"build": BUILD},
    "skaffold": {"build": BUILD, "run": DEPLOY},
    "terraform": {"apply": DEPLOY, "destroy": DEPLOY, "validate": LINT},
    "tofu": {"apply": DEPLOY, "destroy": DEPLOY, "validate": LINT},
    "terragrunt": {"apply": DEPLOY, "destroy": DEPLOY},
    "pulumi": {"up": DEPLOY, "destroy": DEPLOY},
    "cdk": {"deploy": DEPLOY, "destroy": DEPLOY},
    "sam": {"deploy": DEPLOY, "build": BUILD},
    "serverless": {"deploy": DEPLOY},
    "sls": {"deploy": DEPLOY},
    "sst": {"deploy": DEPLOY},
    "wrangler": {"deploy": DEPLOY, "publish": DEPLOY},
    "firebase": {"deploy": DEPLOY},
    "netlify": {"deploy": DEPLOY, "build": BUILD},
    "fly": {"deploy": DEPLOY},
    "flyctl": {"deploy": DEPLOY},
    "kubectl": {"apply": DEPLOY, "replace": DEPLOY},
    "helm": {"install": DEPLOY, "upgrade": DEPLOY, "lint": LINT},
    "helmfile": {"apply": DEPLOY, "sync": DEPLOY},
    "eb": {"deploy": DEPLOY},
    "railway": {"up": DEPLOY},
    "kamal": {"deploy": DEPLOY, "setup": DEPLOY},
    "cap": {"deploy": DEPLOY},
    "gcloud": {"deploy": DEPLOY},
    "az": {"deploy": DEPLOY},
    "aws": {"deploy": DEPLOY, "update-function-code": DEPLOY},
    "goreleaser": {"release": DEPLOY, "build": BUILD},
    "eas": {"build": BUILD, "submit": DEPLOY},
}  # fmt: skip
ANYWHERE: Final = frozenset(("gcloud", "az", "aws", "cap", "xcodebuild", "setup.py"))
"""Tools whose verb may stand behind other words (`gcloud run deploy`)."""

DEEP: Final[dict[tuple[str, ...], str]] = {
    ("docker", "buildx", "build"): BUILD,
    ("docker", "buildx", "bake"): BUILD,
    ("docker", "image", "build"): BUILD,
    ("docker", "compose", "build"): BUILD,
    ("docker", "compose", "push"): DEPLOY,
    ("docker", "stack", "deploy"): DEPLOY,
    ("docker-compose", "build"): BUILD,
    ("kubectl", "set", "image"): DEPLOY,
    ("kubectl", "rollout", "restart"): DEPLOY,
    ("vercel", "build"): BUILD,
    ("cargo", "fmt", "--check"): LINT,
    ("cargo", "fmt", "--", "--check"): LINT,
    ("cargo", "fmt", "--all", "--check"): LINT,
    ("cargo", "fmt", "--all", "--", "--check"): LINT,
    ("ruff", "format", "--check"): LINT,
    ("ruff", "format", "--diff"): LINT,
    ("mix", "format", "--check-formatted"): LINT,
    ("deno", "fmt", "--check"): LINT,
    ("dart", "format", "--set-exit-if-changed"): LINT,
    ("dotnet", "format", "--verify-no-changes"): LINT,
    ("dotnet", "nuget", "push"): DEPLOY,
    ("terraform", "fmt", "-check"): LINT,
    ("bun", "test"): TEST,
    ("bun", "build"): BUILD,
    ("node", "--test"): TEST,
    ("cmake", "--build"): BUILD,
    ("nix", "flake", "check"): TEST,
    ("git", "push", "heroku"): DEPLOY,
}
"""Several words in this order, with any others between."""
DEEP_NAMES: Final = frozenset(path[0] for path in DEEP)

NOT: Final = frozenset(("--version", "--help", "--collect-only", "--co", "--dry-run", "--fixtures", "--showConfig"))
NOT_AFTER: Final[dict[str, frozenset[str]]] = {
    "tsc": frozenset(("-v", "--init", "-h", "--watch", "-w")),
    "make": frozenset(("-n", "-v", "-h")),
    "eslint": frozenset(("--init", "-v", "-h", "--print-config")),
    "playwright": frozenset(("--list",)),
    "pytest": frozenset(("-h", "-V", "--markers")),
    "tox": frozenset(("-l", "list")),
    "nox": frozenset(("-l", "--list")),
    "mkdocs": frozenset(("serve", "new", "gh-deploy")),
    "vercel": frozenset("dev env login logout link ls list logs pull inspect whoami domains alias project".split()),
    "phpstan": frozenset(("clear-result-cache",)),
    "webpack": frozenset(("serve", "--watch")),
    "jest": frozenset(("--listTests", "--init", "--clearCache")),
    "vitest": frozenset(("list", "init")),
    "go": frozenset(("-c", "-h")),  # go test -c builds only
}
VALUED: Final = frozenset(
    (
        "-n -C -f -p -F -w -c --namespace --context --file --prefix --filter --dir --workspace"
        " --manifest-path --profile --project --cwd --config --kubeconfig -H -R --directory -j --jobs"
        " --makefile -I -T -O -chdir"
    ).split()
)
"""Options before a verb or task whose value is the next word; nearly the same in all tools."""
