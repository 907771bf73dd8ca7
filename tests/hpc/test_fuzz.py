"""Damaged files of a finished campaign: every command prints a message, never hangs, and counts every record left.

FUZZ=500 python -m pytest tests/hpc/test_fuzz.py --numprocesses=0 -s
"""

import contextlib
import json
import os
import random
import re
import shutil
import stat
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from analysis.held import Refused
from analysis.merge import merge
from hpc.planning.retrying import Outcome, Reason
from hpc.state import outcomes
from jobs.campaign import Campaign
from jobs.files import publish
from jobs.image import FINISHED
from jobs.manifest import ManifestError, read_manifest
from jobs.recorded import read_recorded
from jobs.shard import read_shard
from tests import commands
from tests.hpc.damages import damage
from tests.rights import like_any_user

FUZZ = int(os.environ.get("FUZZ", "50"))
PER_TEST = 25
NEEDED = ("", "manifest.jsonl", "shards", "submissions")  # without these nothing can be said


@pytest.fixture(scope="module")
def every_file(finished: Campaign, tmp_path_factory: pytest.TempPathFactory) -> Campaign:
    """The finished campaign, with all kinds of files."""
    made = Campaign(tmp_path_factory.mktemp("fuzz") / "campaign")
    shutil.copytree(finished.folder, made.folder)
    shutil.copy(finished.folder.with_name("grid.yaml"), made.folder.parent)
    manifest = read_manifest(made.manifest)
    ids = manifest.runs.ids()
    outcomes.write(made, 1, [Outcome(0, ids[0], Reason.MEMORY, "OUT_OF_MEMORY", "n1", "17_0", 1000.5, 10)] * 2)
    publish(made.new_cancelled(2), f"{ids[0]}\n{ids[1]}\n".encode())
    publish(made.remembered, read_recorded(made, manifest.header.campaign).to_bytes())
    assert commands.call("analysis.report", "--no-figures", "--output-dir", made.folder).returncode == 0
    return made


def snapshot(folder: Path) -> dict[str, object]:
    """What is in a folder, to the byte; what is only remembered, aside."""

    def content(path: Path) -> object:
        mode = path.lstat().st_mode
        return mode, os.readlink(path) if stat.S_ISLNK(mode) else path.read_bytes() if stat.S_ISREG(mode) else None

    return {str(path): content(path) for path in folder.rglob("*") if path.name != ".recorded"}


def left(campaign: Campaign, whole: dict[str, tuple[bytes, set[str]]]) -> set[str]:
    """The run_ids that are done by shards on which nothing happened."""
    found = set[str]()
    for name, (content, run_ids) in whole.items():
        with contextlib.suppress(OSError):
            if stat.S_ISREG((campaign.shards / name).stat().st_mode) and (campaign.shards / name).read_bytes() == content:
                found |= run_ids
    return found


@pytest.fixture(scope="module")
def whole(every_file: Campaign) -> dict[str, tuple[bytes, set[str]]]:
    """Each shard: its bytes, and the run_ids that it says are done."""
    return {path.name: (path.read_bytes(), ids_of(path)) for path in every_file.shard_paths()}


def ids_of(path: Path) -> set[str]:
    """The run_ids that a shard says are done."""
    return {row["run_id"].decode() for row in read_shard(path).runs if row["status"].decode() in FINISHED}


@pytest.fixture
def tried() -> Iterator[Counter[str]]:
    """Counts, printed at the end."""
    counts = Counter[str]()
    yield counts
    print(f"\n{dict(sorted(counts.items()))}")


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, FUZZ, PER_TEST))
def test_no_damage_is_answered_by_a_traceback(
    first: int, every_file: Campaign, whole: dict, tried: Counter[str], tmp_path: Path, digits_dir: Path
) -> None:
    usual = json.loads(commands.call("hpc.status", "--json", "--output-dir", every_file.folder).stdout)
    assert (usual["done"], usual["missing"], usual["unreadable"]) == (8, 4, [])
    for seed in range(first, min(first + PER_TEST, FUZZ)):
        campaign = Campaign(tmp_path / f"{seed}" / "campaign")
        shutil.copytree(every_file.folder, campaign.folder)
        shutil.copy(every_file.folder.parent / "grid.yaml", campaign.folder.parent)
        if seed % 2:  # by a submit that was killed, so that nobody wrote down that its work has ended
            for path in campaign.submissions.glob("*/submission.json"):
                path.write_text(re.sub('"ended": "[^"]+"', '"ended": null', path.read_text()))
        what = damage(campaign, random.Random(seed))
        with like_any_user():
            expected = left(campaign, whole)
        before = snapshot(campaign.folder)
        try:
            with like_any_user():
                look(campaign, expected, usual, what, tried, digits_dir)
            assert snapshot(campaign.folder) == before, "a command that only looks wrote"
            with like_any_user():
                write_report(campaign, expected, what, tried, is_whole=seed % 10 == 0 or FUZZ > 100)
        except BaseException as error:
            raise AssertionError(f"seed {seed}: {what[1]} of {what[0]}: {error!r}") from error
        tried["damages"] += 1
        for path in (campaign.folder, *campaign.folder.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755)
        shutil.rmtree(campaign.folder.parent)


@pytest.mark.slow
def test_damages_are_answered_by_real_processes(every_file: Campaign, tmp_path: Path) -> None:
    """As a user sees it, in a folder whose name the terminal cannot show."""
    campaign = Campaign(tmp_path / "caf\xe9")
    shutil.copytree(every_file.folder, campaign.folder)
    (campaign.submission(1) / "submission.json").write_text("[" * 10**5)
    campaign.outcomes(2).unlink(missing_ok=True)
    os.mkfifo(campaign.outcomes(2))
    command = [sys.executable, "-m", "hpc.status", "--output-dir", campaign.folder]
    for encoding in ("ascii", "utf-8"):
        env = {**os.environ, "PYTHONIOENCODING": encoding}
        shown = subprocess.run(command, cwd=commands.ROOT, env=env, capture_output=True, timeout=60)
        assert (shown.returncode, shown.stderr.count(b"\n")) == (1, 2)
        assert b"not the record of a submission (nested too deeply)" in shown.stderr
        assert b"outcomes.jsonl: cannot be read (not a regular file)" in shown.stderr
        assert ("caf\xe9" in shown.stdout.decode()) == (encoding == "utf-8")


@pytest.mark.slow
def test_a_log_that_cannot_be_read_is_named(every_file: Campaign, tmp_path: Path) -> None:
    campaign = Campaign(tmp_path / "campaign")
    shutil.copytree(every_file.folder, campaign.folder)
    (path,), log = campaign.shard_paths("0001-00000-"), campaign.log(1, 0)
    for make, said in ((os.mkfifo, "cannot be read: not a regular file"), (lambda path: None, "no output yet")):
        log.unlink()
        make(log)
        done = commands.call("hpc.logs", min(ids_of(path)), "--output-dir", campaign.folder)
        assert done.returncode == 0 and f"-- {log}\n   ({said})\n" in done.stdout
        log.touch()


def look(
    campaign: Campaign, expected: set[str], usual: dict, what: tuple[str, str], tried: Counter[str], digits_dir: Path
) -> None:
    """Commands that write nothing."""
    where = ("--output-dir", campaign.folder)
    grid = ("--grid", campaign.folder.parent / "grid.yaml", "--data-dir", digits_dir, "--executor", "local")
    shown, json_shown, logged, cancelled, planned = (
        commands.call("hpc.status", *where),
        commands.call("hpc.status", "--json", *where),
        commands.call("hpc.logs", "--failed", *where),
        commands.call("hpc.cancel", "--yes", *where),
        commands.call("hpc.submit", "--dry-run", *grid, *where),
    )
    for done in (shown, json_shown, logged, cancelled, planned):
        code, err = done.returncode, done.stderr
        assert code in (0, 1, 2), code
        if code == 2:
            assert re.fullmatch(r"error: .{1,900}\n", err), err
            assert what[0] in NEEDED or what[1] == "swapped" or "update the code" in err, err
        assert max(map(len, err.splitlines()), default=0) < 1000, "a line that nobody reads"
    found = json.loads(json_shown.stdout or "{}")
    tried["refused" if shown.returncode == 2 else "named" if shown.returncode or found["unreadable"] else "harmless"] += 1
    assert (shown.returncode == 0) == (json_shown.returncode == 0)
    if json_shown.returncode != 2:
        assert found["done"] >= len(expected), "records are lost"
        is_unknown = what[0].startswith("shards/") and what[1] == "gone"  # of a submit that was killed, this shows nowhere
        is_said = {**found, "other_code": []} == usual  # a changed name of the code is said, in a note
        assert json_shown.returncode == 1 or is_unknown or is_said, "something is hidden"
        assert all(line in shown.stderr for line in found["unreadable"])
    if planned.returncode != 2:
        n_done = re.search(r"(\d+) of the grid's \d+ are done|Nothing to submit: (\d+) of", planned.stdout)
        assert n_done and int(n_done[1] or n_done[2]) >= len(expected), "records would be made again"


def write_report(campaign: Campaign, expected: set[str], what: tuple[str, str], tried: Counter[str], is_whole: bool) -> None:
    """The report, or at least what it reads."""
    if is_whole:
        figures = [] if FUZZ > 100 else ["--no-figures"]
        done = commands.call("analysis.report", *figures, "--output-dir", campaign.folder)
        code, out, err = done.returncode, done.stdout, done.stderr
        tried[f"reports {code}"] += 1
        assert code in (0, 1) or re.fullmatch(r"error: .{1,900}\n", err), err
        n_done = re.search(r": (\d+) of \d+ runs done", out)
        is_refused = code == 2 or "nothing was written" in err
        assert is_refused or (n_done and int(n_done[1]) >= len(expected)), out
        return
    try:
        merged = merge(campaign, campaign.folder / "results.h5")
    except (ManifestError, Refused, OSError):  # Refused: the last report has more
        tried["merges refused"] += 1
        return
    assert int(merged.runs["status"].isin(FINISHED).sum()) >= len(expected)
