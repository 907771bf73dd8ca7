"""What reaches sbatch, and what becomes of arrays whose submitter died: real scripts of submitit, small programs on PATH."""

import os
import pickle
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import submitit

from hpc.console import Refused
from hpc.execution.slurm import batch
from hpc.execution.slurm.batch import adopt_orphans, is_without_room, job_id_in, output_of, rehearse, submit_arrays
from hpc.planning.tasks import Plan, plan
from hpc.planning.workers import PlannedArray, Resources
from hpc.state import submissions
from hpc.state.arrays import arrays_of
from hpc.state.scheduler import SchedulerError
from hpc.state.submissions import Submission
from jobs.campaign import Campaign
from jobs.taskfile import Task
from jobs.worker import Worker
from noisy.spec import Execution
from tests.programs import programs, squeue
from tests.specs import runs, spec

TASKS = [Task(i, "c0ffee", "abc", "/data", Execution(), runs(spec(repeat=i))) for i in range(5)]
PLAN = Plan(plan(runs(*(spec(repeat=i) for i in range(5))), 3, Execution(), runs_per_task=1).tasks, 3, Execution())
ARRAYS = [
    PlannedArray(3, Resources(2, 0, 1000, 10), parallel=2),
    PlannedArray(2, Resources(1, 1, 1049, 20), parallel=1, after=(0,), is_sweep=True),
]
SBATCH = """
folder=$(dirname "$0"); n=$(ls "$folder" | grep -c '^script')
cp "${@: -1}" "$folder/script$n"; echo "Submitted batch job $((17 + n))"
"""


@pytest.fixture
def campaign(tmp_path: Path) -> Campaign:
    made = Campaign(tmp_path / "campaign")
    made.submissions.mkdir(parents=True)
    return made


def claimed(campaign: Campaign, waits_for: str | None = None) -> Submission:
    arrays = arrays_of("c0ffee", 1, 5, ARRAYS, waits_for)
    submission = Submission.by_this_process(1, "c0ffee", "slurm", PLAN, arrays=arrays)
    submissions.claim(campaign, submission, TASKS)
    return submission


def lines(script: Path) -> set[str]:
    """The options of a script, without #SBATCH."""
    return {line.removeprefix("#SBATCH ") for line in script.read_text().splitlines() if line.startswith("#SBATCH")}


def test_what_is_asked_of_sbatch(campaign: Campaign, tmp_path: Path) -> None:
    submission = claimed(campaign, waits_for="9")
    with programs(tmp_path / "bin", sbatch=SBATCH, srun="true"):
        done = submit_arrays(campaign, submission, [(), (0,)], {"partition": "cpu", "exclusive": False, "mem": "1G"})
    first, second = (lines(tmp_path / "bin" / f"script{n}") for n in (0, 1))
    asked = {"--time=10", "--mem=954M", "--cpus-per-task=2", "--array=0-2%2", "--dependency=afterany:9", "--partition=cpu"}
    assert asked | {"--signal=B:USR2@60", "--requeue", "--job-name=c0ffee-0001-00"} <= first
    others = {"--time=20", "--mem=1001M", "--cpus-per-task=1", "--array=0-1%1", "--dependency=afterany:17", "--gres=gpu:1"}
    assert others | {"--job-name=c0ffee-0001-01"} <= second
    assert not any("exclusive" in line for line in first | second)
    assert [(array.job_id, array.waits_for) for array in done.arrays] == [("17", ("9",)), ("18", ("17",))]
    assert submissions.read(campaign, 1) == done


def test_each_id_is_on_disk_before_the_next_array(campaign: Campaign, tmp_path: Path) -> None:
    submission = claimed(campaign)
    second_fails = SBATCH.replace("cp ", '[ $n = 1 ] && { echo "sbatch: error: no room" >&2; exit 1; }; cp ')
    with programs(tmp_path / "bin", sbatch=second_fails, srun="true"), pytest.raises(Refused, match="no room"):
        submit_arrays(campaign, submission, [(), (0,)], {})
    assert [array.job_id for array in submissions.read(campaign, 1).arrays] == ["17", None]


@pytest.mark.parametrize(
    ("answer", "job_id"),
    [
        ("Submitted batch job 17\n", "17"),
        ("17\n", "17"),
        ("17;cluster\n", "17"),
        ("Submitted batch job 17 on cluster east\n", "17"),
        ("Your last job 4711 used 12 core hours\nSubmitted batch job 17\n", "17"),
        ("Submitted batch job 17\nYour budget: job 12\n", "17"),
        ("Your last job 4711 used 12 core hours\n", None),
        ("4711\n17\n", None),
        ("", None),
    ],
)
def test_the_id_is_taken_from_the_line_that_has_it(answer: str, job_id: str | None) -> None:
    assert job_id_in(answer) == job_id


def test_an_id_that_is_not_clear_is_found_by_name(campaign: Campaign, tmp_path: Path) -> None:
    names = {"c0ffee-0001-00": 17, "c0ffee-0001-01": 18}
    listed = "".join(f"*{name}*)\n{squeue(f'{job}|0|PENDING|None|{name}')};;\n" for name, job in names.items())
    with programs(tmp_path / "bin", sbatch="echo job 4711 was good", squeue=f'case "$*" in\n{listed}esac', srun="true"):
        done = submit_arrays(campaign, claimed(campaign), [(), (0,)], {})
    assert [array.job_id for array in done.arrays] == ["17", "18"]


def test_what_sbatch_says_is_shown_whole(campaign: Campaign, tmp_path: Path) -> None:
    refuses = "echo 'lab: your group has no hours left'; echo 'sbatch: error: Unspecified error, invalid account' >&2; exit 1"
    with programs(tmp_path / "bin", sbatch=refuses, srun="true"), pytest.raises(Refused) as refused:
        submit_arrays(campaign, claimed(campaign), [(), (0,)], {})
    assert "no hours left" in str(refused.value)
    assert "Unspecified error" in str(refused.value)
    assert "change account in slurm: of the grid, or with --sbatch KEY=VALUE" in str(refused.value)


@pytest.mark.parametrize(
    "said",
    [
        "Socket timed out on send/recv operation",
        "Rate limit exceeded, please retry later",
        "MaxJobCount limit reached",
        "Controller is in standby mode, try a different controller",
        "Message receive failure",
    ],
)
def test_a_controller_that_is_busy_is_no_refusal(campaign: Campaign, tmp_path: Path, said: str) -> None:
    busy = f"echo 'sbatch: error: Batch job submission failed: {said}' >&2; exit 1"
    with programs(tmp_path / "bin", sbatch=busy, srun="true"), pytest.raises(SchedulerError, match=said):
        submit_arrays(campaign, claimed(campaign), [(), (0,)], {})


def test_what_workers_need_is_on_disk_before_sbatch_is_called(campaign: Campaign, tmp_path: Path) -> None:
    """The script, started as Slurm starts it, puts the input of its array where submitit looks for it, and once only."""
    logs = campaign.submission(1) / "logs"
    submission = claimed(campaign)
    with programs(tmp_path / "bin", sbatch=f'ls {shlex.quote(str(logs))} > "$(dirname "$0")/seen"\n{SBATCH}', srun="true"):
        submit_arrays(campaign, submission, [(), (0,)], {})
    assert {f"c0ffee-0001-{array}.pkl" for array in ("00", "01")} <= set((tmp_path / "bin" / "seen").read_text().split())
    script = (tmp_path / "bin" / "script1").read_text().splitlines()
    before = "\n".join(script[: script.index("# command")])
    environment = {**os.environ, "SLURM_ARRAY_JOB_ID": "31", "SLURM_JOB_ID": "33", "SLURM_ARRAY_TASK_ID": "1"}
    subprocess.run(["bash", "-e"], input=before, env=environment, text=True, check=True)
    taken = logs / "31_1_submitted.pkl"
    worker = submitit.helpers.DelayedSubmission.load(taken).function
    assert worker == Worker(str(campaign.folder), 1, 5, 20, 20, 1049, is_sweep=True, waited_for=("17",))
    assert len(pickle.dumps(worker)) < 1000
    taken.write_bytes(b"of the next attempt")
    subprocess.run(["bash", "-e"], input=before, env=environment, text=True, check=True)
    assert taken.read_bytes() == b"of the next attempt"


def orphaned(campaign: Campaign, is_alive: bool = False) -> Submission:
    submission = claimed(campaign)
    if not is_alive:
        submission = replace(submission, process=replace(submission.process, start_ticks=1))
        submissions.write(campaign, submission)
    return submission


@pytest.mark.parametrize(("is_alive", "ids"), [(False, ["17", None]), (True, [None, None])])
def test_orphans_are_adopted_unless_their_submit_lives(
    campaign: Campaign, tmp_path: Path, is_alive: bool, ids: list[str | None]
) -> None:
    orphaned(campaign, is_alive)
    with programs(tmp_path / "bin", squeue=squeue(*(f"17|{index}|PENDING|None|c0ffee-0001-00" for index in (0, 1)))):
        adopt_orphans(campaign)
    assert [array.job_id for array in submissions.read(campaign, 1).arrays] == ids


def test_a_rehearsal_hands_the_same_script_to_sbatch(campaign: Campaign, tmp_path: Path) -> None:
    answer = "sbatch: Job 1 to start at 2026-01-01T00:00:00"
    sbatch = f'cat > "$(dirname "$0")/script"; echo "{answer}" >&2'
    arrays = arrays_of("rehearsal", 0, 5, ARRAYS[:1], None)
    with programs(tmp_path / "bin", sbatch=sbatch, srun="true"):
        ((array, said, is_accepted),) = rehearse(campaign, arrays, {})
    assert (array, said, is_accepted) == (arrays[0], answer, True)
    assert {"--array=0-2%2", "--mem=954M"} <= lines(tmp_path / "bin" / "script")
    assert not (campaign.folder / "submissions" / "0000").exists()


def test_submitit_is_as_it_was(campaign: Campaign, tmp_path: Path) -> None:
    """All that is used of submitit's insides, beside what its documentation promises: another version may have changed it."""
    version = f"submitit {submitit.__version__} has changed what hpc/execution/slurm/batch.py relies on"
    array = arrays_of("c0ffee", 1, 5, ARRAYS, None)[0]
    with programs(tmp_path / "bin", srun="true"):
        script = batch.script_of(campaign, 1, array, {}).strip().splitlines()
    assert "#SBATCH --array=0-2%2" in script, version
    assert script[-1].startswith("exec ") and " -u -m submitit.core._submit " in script[-1], version
    paths = submitit.core.utils.JobPaths(tmp_path, "17_2", 0)
    assert (paths.submitted_pickle.name, paths.stdout) == ("17_2_submitted.pkl", output_of(tmp_path, "17_2")), version


def test_lines_before_python_and_another_python(campaign: Campaign, tmp_path: Path) -> None:
    array = arrays_of("c0ffee", 1, 5, ARRAYS, None)[0]
    with programs(tmp_path / "bin", srun="true"):
        script = batch.script_of(campaign, 1, array, {"setup": ["module load python/3.11"], "python": "/opt/my python"})
    assert "\nmodule load python/3.11\n" in script
    assert "\nexec '/opt/my python' -u -m submitit.core._submit " in script
    assert "wckey" not in script


@pytest.mark.parametrize(
    ("most", "taken"),
    [(9, [(3, 5), (2, 5)]), (4, [(3, 5), (1, 5)]), (3, [(3, 5)]), (2, [(1, 2)]), (0, [])],
)
def test_where_slurm_takes_no_more_half_is_tried(
    campaign: Campaign, tmp_path: Path, most: int, taken: list[tuple[int, int]]
) -> None:
    """A sbatch with a limit on the jobs of a user. Fewer workers take fewer tasks; a sweep takes all."""
    sbatch = f"""
folder=$(dirname "$0"); n=$(grep -oP '(?<=--array=0-)[0-9]+' "$1" || echo 0)
n=$((n + 1 + $(cat "$folder/n" 2>/dev/null || echo 0)))
if [ $n -gt {most} ]; then
    echo 'sbatch: error: AssocMaxSubmitJobLimit' >&2
    echo 'sbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job submit limit, ...)' >&2; exit 1
fi
echo $n > "$folder/n"; echo Submitted batch job $((16 + n))
"""
    with programs(tmp_path / "bin", sbatch=sbatch, srun="true"):
        done = submit_arrays(campaign, claimed(campaign), [(), (0,)], {})
    assert [(array.n_workers, array.n_tasks) for array in done.arrays] == taken
    assert all(array.job_id for array in done.arrays)
    assert submissions.read(campaign, 1) == done


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("QOSMaxSubmitJobPerUserLimit", True),
        (
            "AssocGrpSubmitJobsLimit\nJob violates accounting/QOS policy (job submit limit, user's size and/or time limits)",
            True,
        ),
        ("Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)", True),
        ("QOSMaxWallDurationPerJobLimit\nJob violates accounting/QOS policy (job submit limit, ...)", False),
        ("Invalid account", False),
    ],
)
def test_a_limit_on_submitted_jobs_is_told_from_others(said: str, answer: bool) -> None:
    assert is_without_room(said) == answer
