"""Names and values that would be commands where a shell read them, and files that others may write: nothing of them is run."""

import json
import os
import shlex
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hpc import submit
from tests import commands
from tests.campaigns import GRID, done
from tests.hpc.execution.slurm.test_programs import SACCTMGR, SCONTROL, SINFO
from tests.programs import programs, sacct, squeue

NAMES = ["it's", '"; touch owned; "', "$(touch owned)", "`touch owned`", "a b & touch owned #", "-x", "*?[a]{b,c}~!", "ü"]
VALUES = ["; touch owned", '"; rm -rf ~"', "$(touch owned)", "`touch owned`", "' ; touch owned ; '", "| tee owned", "-x", "ü"]
COMMAND_LINES = {  # options of hpc.submit -> part of the answer
    ("--limit", "0"): "'0': allowed: an integer of at least 1",
    ("--limit", "x"): "'x': allowed: an integer of at least 1",
    ("--runs-per-task", "-3"): "'-3': allowed: an integer of at least 1",
    ("--executor", "pbs"): "invalid choice: 'pbs'",
    ("--frobnicate",): "unrecognized arguments: --frobnicate",
    ("--output-dir", "a\nb"): "not possible: 'a\\nb'; allowed: the path of a folder, printable characters only",
    ("--output-dir", ""): "not possible: ''; allowed: the path of a folder",
    ("--data-dir", "\x1b[2J"): "not possible: '\\x1b[2J'",
    ("--output-dir", "a\udcff"): "not possible: 'a\\udcff'",
    ("--sbatch", "partition=x\nrm -rf ~"): "not possible: 'x\\nrm -rf ~'",
    ("--sbatch", "a b; rm -rf ~=1"): "not an option's name: 'a b; rm -rf ~'",
    ("--sbatch", "Ünnamed=1"): "not an option's name: '\\xdcnnamed' (with U+00DC LATIN CAPITAL LETTER U WITH DIAERESIS)",
    ("\u2013dry-run",): "unrecognized arguments: \\u2013dry-run (with U+2013 EN DASH)",
    ("--limit", "\u0663"): "'\\u0663' (with U+0663 ARABIC-INDIC DIGIT THREE): allowed: an integer of at least 1",
    ("--executor", "loc\u0430l"): "invalid choice: 'loc\\u0430l' (choose from",
    ("--output-dir", "a\u200bb"): "not possible: 'a\\u200bb' (with U+200B ZERO WIDTH SPACE); allowed: the path",
    ("--sbatch", "wrap=touch owned"): "an option that this program sets: 'wrap'",
    ("--sbatch", "job_name=x"): "an option that this program sets: 'job_name'",
    ("--sbatch", "outp=/etc/passwd"): "an option that this program sets: 'outp'",
    ("--sbatch", "signal=USR1"): "an option that this program sets: 'signal'",
    ("--executor", "local", "--test-only"): "--test-only: only with --executor slurm, and this runs with --executor local",
    (
        "--executor",
        "local",
        "--sbatch",
        "time=5",
        "--runs-per-task",
        "1",
    ): "--sbatch, --runs-per-task: only with --executor",
    ("--executor", "local", "--keep-feeding"): "--keep-feeding: only with --executor slurm",
}


@pytest.mark.parametrize("options", COMMAND_LINES, ids=repr)
def test_a_wrong_command_line_is_refused(options: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        submit.main(["--grid", str(tmp_path / "grid.yaml"), *options])
    assert stop.value.code == 2
    assert COMMAND_LINES[options] in capsys.readouterr().err.splitlines()[-1]
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("way", ["names of folders", "values of options"])
def test_no_command_gets_into_the_batch_script(way: str, tmp_path: Path, digits_dir: Path) -> None:
    """Real scripts of submitit, run by a real shell up to the last command, whose arguments are looked at."""
    (tmp_path / "grid.yaml").write_text(GRID)
    for i, hostile in enumerate(NAMES if way == "names of folders" else VALUES):
        here = tmp_path / str(i)
        here.mkdir()
        out = here / (hostile if way == "names of folders" else "campaign")
        options = ["--data-dir", str(digits_dir), "--yes"] + (
            ["--sbatch", f"comment={hostile}"] if way != "names of folders" else []
        )
        submitted = submit_to_small_programs(here, "--grid", tmp_path / "grid.yaml", f"--output-dir={out}", *options)
        assert submitted.returncode == 0, submitted.stderr
        script = (here / "script").read_text()
        head, last = script.split("# setup\n")[0], script.strip().splitlines()[-1]
        assert all(line.startswith("#") or not line for line in head.splitlines())
        assert last.startswith("exec ")
        shown = script.replace(last, "printf '%s\\n' " + last.removeprefix("exec "))
        printed = subprocess.run(["bash", "-c", shown], cwd=here, capture_output=True, text=True, check=True)
        assert printed.stderr == ""
        assert printed.stdout.splitlines()[-1] == str(out / "submissions/0001/logs")
        assert sorted(path.name for path in here.iterdir()) == sorted(["bin", "script", out.name])


def submit_to_small_programs(here: Path, *arguments: object) -> subprocess.CompletedProcess:
    """Run hpc.submit with a Slurm of small programs, of which sbatch keeps the script that it is given."""
    sbatch = f'cp "${{@: -1}}" {shlex.quote(str(here / "script"))}; echo Submitted batch job 17'
    scripts = {"sbatch": sbatch, "srun": "true", "squeue": squeue(), "sacct": sacct(), "scancel": "true"}
    with programs(here / "bin", **scripts, scontrol=SCONTROL, sinfo=SINFO, sacctmgr=SACCTMGR):
        return commands.call("hpc.submit", "--executor", "slurm", "--no-calibrate", *arguments)


@pytest.mark.parametrize("name", ["100%A", "a\\b"])
def test_a_folder_that_sbatch_would_take_for_another_is_refused(name: str, tmp_path: Path, digits_dir: Path) -> None:
    (tmp_path / "grid.yaml").write_text(GRID)
    (tmp_path / "here").mkdir()
    out = tmp_path / "here" / name
    refused = submit_to_small_programs(
        tmp_path, "--grid", tmp_path / "grid.yaml", "--output-dir", out, "--data-dir", digits_dir
    )
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: output_dir: not possible on Slurm: ")
    assert not out.exists()


@pytest.mark.parametrize("changed", ["manifest.jsonl", "submissions/0001/submission.json"])
def test_what_others_wrote_into_the_campaign_does_not_become_a_command(changed: str, tmp_path: Path, digits_dir: Path) -> None:
    (tmp_path / "grid.yaml").write_text(GRID)
    out = tmp_path / "campaign"
    command = ("--grid", tmp_path / "grid.yaml", "--output-dir", out, "--data-dir", digits_dir, "--runs-per-task", 4)
    assert submit_to_small_programs(tmp_path, *command, "--limit", 1).returncode == 0
    text = (out / changed).read_text()
    key = '"campaign":"' if changed == "manifest.jsonl" else '"job_id": "'
    (out / changed).write_text(text.replace(key, key + r"\ntouch owned\n"))
    (tmp_path / "script").unlink()
    refused = submit_to_small_programs(tmp_path, *command)
    assert "Traceback" not in refused.stderr
    if changed == "manifest.jsonl":
        assert (refused.returncode, (tmp_path / "script").exists()) == (2, False)
    else:  # it is left out, with the run that it may be at work on
        assert "submissions/0001/submission.json: not the record of a submission (job ids" in refused.stderr
        assert "7 to run; 0 of the grid's 8 are done" in refused.stdout
        assert "owned" not in (tmp_path / "script").read_text()


@pytest.mark.slow
def test_a_local_campaign_in_a_folder_of_any_name(tmp_path: Path, digits_dir: Path, umask: Callable[[int], None]) -> None:
    """Its deadline is met, kept in the submission and told in status."""
    (tmp_path / "grid.yaml").write_text(GRID)
    out = tmp_path / "".join(NAMES)
    data_dir = tmp_path / ("data" + "".join(NAMES))
    data_dir.symlink_to(digits_dir)
    umask(0o027)
    submitted = commands.submit(tmp_path / "grid.yaml", out, data_dir, "--limit", 6, "--deadline", "1h")
    assert submitted.returncode == 0, submitted.stderr
    assert len(done(out)) == 6
    assert "deadline   1 worker will do; the end by then is expected, not promised" in submitted.stdout
    assert json.loads((out / "submissions/0001/submission.json").read_text())["deadline"] == "3600 s"
    found = json.loads(commands.call("hpc.status", "--output-dir", out, "--json").stdout)
    assert found["deadlines"] == []
    following = submitted.stdout.splitlines()[-1].removeprefix("Next: ")  # as a user pastes it
    told = subprocess.run(["bash", "-c", f'noisy() {{ printf "%s\\n" "$@"; }}; {following}'], cwd=tmp_path, capture_output=True)
    again = commands.submit_command(tmp_path / "grid.yaml", out, data_dir)
    assert told.stdout.decode().splitlines() == ["submit", *map(str, again[1:]), "--limit", "6", "--deadline", "1h"]
    assert commands.call("analysis.report", "--no-figures", "--output-dir", out).returncode == 0
    assert sorted(os.listdir(tmp_path)) == sorted(["grid.yaml", out.name, data_dir.name])
    assert {rights(path) for path in [out, *out.rglob("*")]} == {"folder 750", "file 640"}


@pytest.mark.parametrize("mask", [0o002, 0o077])
def test_on_slurm_only_the_folder_of_the_pickles_is_private(
    mask: int, tmp_path: Path, digits_dir: Path, umask: Callable[[int], None]
) -> None:
    (tmp_path / "grid.yaml").write_text(GRID)
    out = tmp_path / "campaign"
    umask(mask)
    options = ("--grid", tmp_path / "grid.yaml", "--output-dir", out, "--data-dir", digits_dir)
    assert submit_to_small_programs(tmp_path, *options).returncode == 0
    private = out / "submissions/0001/logs"
    assert rights(private) == "folder 700"
    others = {rights(path) for path in [out, *out.rglob("*")] if private not in (path, *path.parents)}
    assert others == {f"folder {0o777 & ~mask:o}", f"file {0o666 & ~mask:o}"}


def test_no_pickle_is_taken_from_a_folder_of_another_user(tmp_path: Path, digits_dir: Path) -> None:
    (tmp_path / "grid.yaml").write_text(GRID)
    out = tmp_path / "campaign"
    options = ("--grid", tmp_path / "grid.yaml", "--output-dir", out, "--data-dir", digits_dir)
    assert submit_to_small_programs(tmp_path, *options).returncode == 0
    folder = out / "submissions/0001/logs"
    if os.geteuid() == 0:
        os.chown(folder, 1, 1)
    else:
        folder.rename(tmp_path / "ours")
        folder.symlink_to("/etc")
    refused = subprocess.run(["bash", tmp_path / "script"], capture_output=True, text=True)
    assert (refused.returncode, refused.stderr) == (77, "error: the folder of the inputs is not yours\n")


@pytest.fixture
def umask() -> Iterator[Callable[[int], None]]:
    """Sets the umask for the rest of the test."""
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


def rights(path: Path) -> str:
    return f"{'folder' if path.is_dir() else 'file'} {stat.S_IMODE(path.stat().st_mode):o}"


@pytest.mark.parametrize("run_id", ["../../../etc/passwd", "", "$(touch owned)", "a/b"])
def test_a_run_id_is_no_path(run_id: str, tmp_path: Path, digits_dir: Path) -> None:
    (tmp_path / "grid.yaml").write_text(GRID)
    options = ("--grid", tmp_path / "grid.yaml", "--output-dir", tmp_path / "campaign", "--data-dir", digits_dir)
    assert submit_to_small_programs(tmp_path, *options).returncode == 0
    refused = commands.call("hpc.logs", run_id, "--output-dir", tmp_path / "campaign")
    assert refused.returncode == 2
    assert f"run_id: {run_id!r} matches" in refused.stderr
