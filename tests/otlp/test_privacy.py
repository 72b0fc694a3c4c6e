"""The tier of a project, decided by its file and its owner."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from time import process_time

import pytest

from ccagent.export.privacy import PROJECT_FILE, PROJECT_FILE_LIMIT, Policy, TierResolver, effective


class Time:
    """A clock turned by hand."""

    now = 1_000_000

    def __call__(self) -> int:
        """Milliseconds."""
        return self.now


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The root of a repository."""
    root = tmp_path / "repository"
    (root / ".git").mkdir(parents=True)
    (root / "src" / "deep").mkdir(parents=True)
    return root


def resolver(personal: int | None = 2, *, time: Time | None = None) -> TierResolver:
    return TierResolver(personal, time or Time(), network_mounts=lambda: ())


@pytest.mark.parametrize(
    ("project_tier", "by_personal"),
    [(None, [0, 0, 1, 2]), (0, [0, 0, 0, 0]), (1, [0, 0, 1, 1]), (2, [0, 0, 1, 2])],
)
def test_the_effective_tier_is_the_lower_one_and_needs_a_personal_act(
    project_tier: int | None, by_personal: list[int]
) -> None:
    assert [effective(project_tier, personal) for personal in (None, 0, 1, 2)] == by_personal


def test_a_file_at_the_git_root_bounds_every_folder_below(project: Path) -> None:
    (project / PROJECT_FILE).write_text("tier = 1\n")

    found = resolver()

    assert found.tier(str(project / "src" / "deep")) == 1
    assert "lowered" in found.notices[0]


def test_nothing_above_the_git_root_counts(project: Path) -> None:
    (project.parent / PROJECT_FILE).write_text("tier = 0\n")

    assert resolver().tier(str(project / "src")) == 2


def test_the_lowest_of_several_files_holds(project: Path) -> None:
    (project / PROJECT_FILE).write_text("tier = 0\n")
    (project / "src" / PROJECT_FILE).write_text("tier = 2\n")

    assert resolver().tier(str(project / "src" / "deep")) == 0


def test_the_file_of_a_project_bounds_its_worktrees_too(project: Path) -> None:
    (project / PROJECT_FILE).write_text("tier = 0\n")
    worktree = project / ".claude" / "worktrees" / "one"
    worktree.mkdir(parents=True)
    (worktree / ".git").write_text("gitdir: elsewhere\n")

    found = resolver()

    assert found.policy(str(worktree), str(project)).tier == found.tier(str(worktree), str(project)) == 0
    assert not found.allows(str(worktree), str(project))
    assert not found.allows(str(project), str(worktree))
    assert found.allows(str(worktree), str(worktree))
    assert not resolver(0).allows(str(worktree), str(worktree))


def test_without_a_file_the_personal_tier_holds(project: Path) -> None:
    assert [resolver(personal).tier(str(project)) for personal in (None, 0, 1, 2)] == [0, 0, 1, 2]
    assert resolver(1).tier(None) == 1
    assert resolver(1).tier("/no/such/folder") == 1


@pytest.mark.parametrize(
    "text",
    [
        "tier = 3", "tier = true", "tier = '1'", "tier =", "\x00", "x" * (PROJECT_FILE_LIMIT + 1),
        f"tier = {'[' * 2_000}{']' * 2_000}", "tier = [\n" * 2_000, "tier = " + "9" * 5_000, ".".join("a" * 2_000) + " = 1",
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_understood_means_tier_0_and_says_so(project: Path, text: str) -> None:
    (project / PROJECT_FILE).write_text(text)

    found = resolver()

    assert found.tier(str(project)) == 0
    assert str(project / PROJECT_FILE) in found.notices[0]


HOSTILE = {
    "arrays in arrays": "tier = 1\na = " + "[\n" * 30_000,
    "tables in tables": "tier = 1\na = " + "{a=" * 300,
    "a key of many parts": "tier = 1\na" + ".a" * 30_000 + " = 1",
    "many keys of many parts": "\n".join(f"a{number}" + ".a" * 505 + " = 1" for number in range(60)),
    "many unknown keys": "".join(f"a{number} = 1\n" for number in range(6_000)),
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_file_that_is_made_to_do_harm_costs_little_and_nobody_falls(project: Path, text: str) -> None:
    (project / PROJECT_FILE).write_text(text[:PROJECT_FILE_LIMIT])
    found, began = resolver(), process_time()

    assert found.tier(str(project)) in (0, 2)

    assert process_time() - began < 3.0
    assert 1 <= len(found.notices) <= 64


def test_a_link_is_not_followed(project: Path) -> None:
    (project / "real.toml").write_text("tier = 2\n")
    (project / PROJECT_FILE).symlink_to(project / "real.toml")

    assert resolver().tier(str(project)) == 0


def test_a_pipe_in_its_place_does_not_stop_the_thread(project: Path) -> None:
    os.mkfifo(project / PROJECT_FILE)

    assert resolver().tier(str(project)) == 0


@pytest.mark.parametrize("key", ["endpoint = 'http://evil'", "[headers]\na = 'b'"])
def test_a_project_file_cannot_redirect_telemetry(project: Path, key: str) -> None:
    (project / PROJECT_FILE).write_text(f"tier = 1\n{key}\n")

    found = resolver(1)

    assert found.tier(str(project)) == 1
    assert "refused" in found.notices[0]


def test_an_answer_is_kept_for_a_minute(project: Path) -> None:
    time = Time()
    found = resolver(time=time)
    before = found.tier(str(project))
    (project / PROJECT_FILE).write_text("tier = 0\n")

    time.now += 59_000
    kept = found.tier(str(project))
    time.now += 2_000

    assert (before, kept, found.tier(str(project))) == (2, 2, 0)


def test_what_was_corrected_is_said_no_longer(project: Path) -> None:
    time = Time()
    found = resolver(time=time)
    (project / PROJECT_FILE).write_text("tier = seven\n")
    found.tier(str(project))
    found.tier(str(project / "src"))
    wrong = found.notices
    (project / PROJECT_FILE).write_text("tier = 2\n")

    time.now += 299_000
    kept = found.notices
    time.now += 2_000

    assert len(wrong) == 3  # the file, and either folder whose tier it lowers
    assert (kept, found.notices) == (wrong, [])


def test_a_bound_outlives_the_folder_that_it_went_with(project: Path) -> None:
    time = Time()
    found = resolver(time=time)
    (project / PROJECT_FILE).write_text("tier = 0\n")
    clone = project / "src" / "clone"
    (clone / ".git").mkdir(parents=True)
    (clone / PROJECT_FILE).write_text("tier = 0\n")
    before = found.tier(str(clone)), found.tier(str(project / "src" / "deep"))
    shutil.rmtree(project / "src")
    (project / PROJECT_FILE).unlink()

    after = []
    for _ in range(3):
        time.now += 61_000
        after.append((found.tier(str(clone)), found.tier(str(project / "src" / "deep"))))

    assert before == (0, 0)
    assert after == [(0, 2)] * 3  # the clone's file went with it, the project's was taken away


def test_a_network_mount_is_not_touched_and_means_tier_0(project: Path) -> None:
    found = TierResolver(2, Time(), network_mounts=lambda: (str(project),))

    assert found.tier(str(project / "src")) == 0
    assert "network mount" in found.notices[0]


KEY = "k" * 64


def policies(personal: int | None = 2, *, key: str | None = KEY) -> TierResolver:
    return TierResolver(personal, Time(), key=key, identity="ada", network_mounts=lambda: ())


def test_a_project_leaves_as_a_number_that_only_its_key_can_make(project: Path) -> None:
    path = str(project)

    found = policies().policy(path, path).project
    other_key = policies(key="x" * 64).policy(path, path).project

    assert found is not None
    assert (len(found), int(found, 16) >= 0) == (12, True)
    assert found == policies().policy(path, path).project
    assert found not in (other_key, policies().policy(path, path + "2").project)
    assert policies(key=None).policy(path, path).project is None


def test_the_projects_own_file_names_it_and_its_team(project: Path) -> None:
    (project / PROJECT_FILE).write_text('tier = 1\nproject = "shop"\nteam = "blue"\n')

    found = policies().policy(str(project / "src"), str(project))

    assert found == Policy(tier=1, project="shop", team="blue")


def test_a_worktree_gets_the_name_that_the_repository_has(project: Path, tmp_path: Path) -> None:
    worktree = tmp_path / "worktree"
    worktree.mkdir()
    (worktree / ".git").write_text("gitdir: elsewhere")
    (project / PROJECT_FILE).write_text('project = "shop"\n')

    assert policies().policy(str(worktree), str(project)).project == "shop"


def test_the_lower_tier_of_folder_and_project_holds(project: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    (other / ".git").mkdir(parents=True)
    (other / PROJECT_FILE).write_text("tier = 0\n")

    assert policies().policy(str(other), str(project)).tier == 0
    assert policies().policy(str(project), str(other)).tier == 0


def test_at_tier_0_there_are_no_names(project: Path) -> None:
    (project / PROJECT_FILE).write_text('tier = 0\nproject = "shop"\n')

    assert policies().policy(str(project), str(project)) == Policy(tier=0)
    assert policies(0).policy(None, "/elsewhere") == Policy(tier=0)


@pytest.mark.parametrize(("personal", "identity"), [(1, None), (2, "ada")])
def test_the_owner_is_named_at_tier_2_only(project: Path, personal: int, identity: str | None) -> None:
    assert policies(personal).policy(str(project), str(project)).identity == identity


def test_a_project_of_tier_1_does_not_name_its_owner(project: Path) -> None:
    (project / PROJECT_FILE).write_text("tier = 1\n")

    assert policies(2).policy(str(project), str(project)).identity is None


@pytest.mark.parametrize(
    "text", ["project = 7", "project = ''", "project = ' shop'", 'project = "a\\nb"', f"project = '{'x' * 65}'"]
)
def test_what_is_no_name_is_not_used_and_said(project: Path, text: str) -> None:
    (project / PROJECT_FILE).write_text(text)
    found = policies()

    assert found.policy(str(project), str(project)).project not in (None, "shop")
    assert "project is a text" in found.notices[0]


def test_an_unknown_key_is_said(project: Path) -> None:
    (project / PROJECT_FILE).write_text("teir = 0\n")
    found = policies()

    assert found.tier(str(project)) == 2
    assert "'teir' means nothing there" in found.notices[0]


def test_the_files_that_took_part_are_known(project: Path) -> None:
    (project / PROJECT_FILE).write_text("tier = 1\n")
    found = policies()

    found.tier(str(project / "src"))

    assert found.files == {str(project / PROJECT_FILE): 1}
