"""The job arrays of a submission, as they are in its record."""

from collections.abc import Iterable
from dataclasses import dataclass

from hpc.planning.workers import PlannedArray, Resources
from jobs.manifest import ManifestError


@dataclass(frozen=True)
class Array:
    """A job array of a submission; job_id is None until it is known.

    first_task, n_tasks: its elements may execute the tasks first_task, first_task + 1, ...; n_workers: the number of its
    elements, each of which is a worker that takes tasks (0: written by an earlier version, in which each element has one task
    of its own); waits_for: the jobs that have to end before it starts; is_sweep: whether it executes what killed workers left
    undone.
    """

    name: str
    first_task: int
    n_tasks: int
    parallel: int
    resources: Resources
    n_workers: int = 0
    job_id: str | None = None
    waits_for: tuple[str, ...] = ()
    is_sweep: bool = False

    @property
    def tasks(self) -> range:
        """The tasks that its elements may execute."""
        return range(self.first_task, self.first_task + self.n_tasks)

    @property
    def jobs(self) -> list[str]:
        """The names of its elements for the scheduler: JOB_INDEX, or JOB for an array of one, which is a plain job."""
        n_elements = self.n_workers or self.n_tasks
        return [f"{self.job_id}_{index}" for index in range(n_elements)] if n_elements > 1 else [f"{self.job_id}"]

    def task_of(self, index: int | None) -> int:
        """The task of an element, if each element has one of its own."""
        return self.first_task + (index or 0)

    def job_of(self, task: int) -> str:
        """The element of a task, if each element has one of its own."""
        return self.jobs[task - self.first_task]

    def has(self, job: str) -> bool:
        """Whether a job is one of its elements."""
        return self.job_id is not None and job.split("_")[0] == self.job_id


def array_name(campaign: str, number: int, place: int) -> str:
    """The name of an array, which no other array has.

    Raises:
        ManifestError: `campaign` is not a valid id. It becomes part of a shell script.
    """
    if not campaign.isalnum():
        raise ManifestError(f"campaign {campaign!r}: not an id; the first line of manifest.jsonl was changed")
    return f"{campaign}-{number:04d}-{place:02d}"


def arrays_of(
    campaign: str, number: int, n_tasks: int, planned: Iterable[PlannedArray], waits_for: str | None
) -> tuple[Array, ...]:
    """The records of planned arrays for `n_tasks` tasks. Arrays that wait for no other array wait for the job `waits_for`."""
    return tuple(
        Array(
            array_name(campaign, number, place),
            0,
            n_tasks,
            array.parallel,
            array.resources,
            array.n_workers,
            waits_for=(waits_for,) if waits_for and not array.after else (),
            is_sweep=array.is_sweep,
        )
        for place, array in enumerate(planned)
    )
