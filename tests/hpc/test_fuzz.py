"""Whatever happens to a finished campaign's files: every command answers in words, hangs nowhere, and counts every record left.

FUZZ=500 python -m pytest tests/hpc/test_fuzz.py --numprocesses=0 -s
"""

import contextlib
import io
import json
import os
import random
import re
import shutil
import signal
import stat
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from analysis import report
from analysis.held import Refused
from analysis.merge import merge
from hpc import cancel, logs, status, submit
from hpc.planning.retrying import Outcome, Reason
from hpc.state import outcomes
from jobs.campaign import Campaign
from jobs.files import publish
from jobs.image import FINISHED
from jobs.manifest import ManifestError, read_manifest
from jobs.recorded import read_recorded
from jobs.shard import read_shard
from tests import commands
from tests.campaigns import GRID
from tests.hpc.damages import damage
from tests.rights import like_any_user

FUZZ = int(os.environ.get("FUZZ", "100"))
PER_TEST = 25
HANGS_S = 60
NEEDED = ("", "manifest.jsonl", "shards", "submissions")  # without these nothing can be said


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, digits_dir: Path) -> Campaign:
    """Two real submissions of 4 runs each; 4 more runs were never submitted. All kinds of files are there."""
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "grid.yaml").write_text(GRID.replace("repeats: 2", "repeats: 3"))
    made = Campaign(folder / "campaign")
    for _ in range(2):
        done = commands.submit(folder / "grid.yaml", made.folder, digits_dir, "--limit", 4)
        assert done.returncode == 0, done.stderr
    manifest = read_manifest(made.manifest)
    ids = manifest.runs.ids()
    outcomes.write(made, 1, [Outcome(0, ids[0], Reason.MEMORY, "OUT_OF_MEMORY", "n1", "17_0", 1000.5, 10)] * 2)
    publish(made.new_cancelled(2), f"{ids[0]}\n{ids[1]}\n".encode())
    publish(made.remembered, read_recorded(made, manifest.header.campaign).to_bytes())
    assert call(report.main, "--output-dir", made.folder)[0] == 0
    return made


def call(command: Callable[[list[str]], None], *arguments: object) -> tuple[int, str, str]:
    """Exit status, output and errors of a command, called in this process."""

    def hangs(*_: object) -> None:
        raise AssertionError("it hangs")

    out, err = io.StringIO(), io.StringIO()
    before = signal.signal(signal.SIGALRM, hangs)
    signal.alarm(HANGS_S)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as ended:
            command([*map(str, arguments)])
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    assert isinstance(ended.value.code, int)
    return ended.value.code, out.getvalue(), err.getvalue()


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
def whole(finished: Campaign) -> dict[str, tuple[bytes, set[str]]]:
    """Each shard: its bytes, and the run_ids that it says are done."""
    return {path.name: (path.read_bytes(), ids_of(path)) for path in finished.shard_paths()}


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
    first: int, finished: Campaign, whole: dict, tried: Counter[str], tmp_path: Path, digits_dir: Path
) -> None:
    usual = json.loads(call(status.main, "--json", "--output-dir", finished.folder)[1])
    assert (usual["done"], usual["missing"], usual["unreadable"]) == (8, 4, [])
    for seed in range(first, min(first + PER_TEST, FUZZ)):
        campaign = Campaign(tmp_path / f"{seed}" / "campaign")
        shutil.copytree(finished.folder, campaign.folder)
        shutil.copy(finished.folder.parent / "grid.yaml", campaign.folder.parent)
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
def test_damages_are_answered_by_real_processes(finished: Campaign, tmp_path: Path) -> None:
    """As a user sees it, in a folder whose name the terminal cannot show."""
    campaign = Campaign(tmp_path / "caf\xe9")
    shutil.copytree(finished.folder, campaign.folder)
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


def test_a_log_that_cannot_be_read_is_named(finished: Campaign, tmp_path: Path) -> None:
    campaign = Campaign(tmp_path / "campaign")
    shutil.copytree(finished.folder, campaign.folder)
    (path,), log = campaign.shard_paths("0001-00000-"), campaign.log(1, 0)
    for make, said in ((os.mkfifo, "cannot be read: not a regular file"), (lambda path: None, "no output yet")):
        log.unlink()
        make(log)
        code, out, _ = call(logs.main, min(ids_of(path)), "--output-dir", campaign.folder)
        assert code == 0 and f"-- {log}\n   ({said})\n" in out
        log.touch()


def look(
    campaign: Campaign, expected: set[str], usual: dict, what: tuple[str, str], tried: Counter[str], digits_dir: Path
) -> None:
    """Commands that write nothing."""
    where = ("--output-dir", campaign.folder)
    grid = ("--grid", campaign.folder.parent / "grid.yaml", "--data-dir", digits_dir, "--executor", "local")
    shown, json_shown, logged, cancelled, planned = (
        call(status.main, *where),
        call(status.main, "--json", *where),
        call(logs.main, "--failed", *where),
        call(cancel.main, "--yes", *where),
        call(submit.main, "--dry-run", *grid, *where),
    )
    for code, _, err in (shown, json_shown, logged, cancelled, planned):
        assert code in (0, 1, 2), code
        if code == 2:
            assert re.fullmatch(r"error: .{1,900}\n", err), err
            assert what[0] in NEEDED or what[1] == "swapped" or "update the code" in err, err
        assert max(map(len, err.splitlines()), default=0) < 1000, "a line that nobody reads"
    tried["refused" if shown[0] == 2 else "named" if shown[0] or json.loads(json_shown[1])["unreadable"] else "harmless"] += 1
    assert (shown[0] == 0) == (json_shown[0] == 0)
    if json_shown[0] != 2:
        found = json.loads(json_shown[1])
        assert found["done"] >= len(expected), "records are lost"
        is_unknown = what[0].startswith("shards/") and what[1] == "gone"  # of a submit that was killed, this shows nowhere
        assert json_shown[0] == 1 or is_unknown or found == usual, "something is hidden"
        assert all(line in shown[2] for line in found["unreadable"])
    if planned[0] != 2:
        n_done = re.search(r"of the grid's \d+, (\d+) are done|Nothing to submit: (\d+) of", planned[1])
        assert n_done and int(n_done[1] or n_done[2]) >= len(expected), "records would be made again"


def write_report(campaign: Campaign, expected: set[str], what: tuple[str, str], tried: Counter[str], is_whole: bool) -> None:
    """The report, or at least what it reads."""
    if is_whole:
        code, out, err = call(report.main, "--output-dir", campaign.folder)
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
