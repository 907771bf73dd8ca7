"""The job arrays of a submission, as its record keeps them."""

from collections.abc import Iterable
from dataclasses import dataclass

from hpc.planning.workers import PlannedArray, Resources
from jobs.manifest import ManifestError


@dataclass(frozen=True)
class Array:
    """A job array of a submission; job_id is None until it is known.

    tasks: those that its elements may execute: first_task, first_task + 1, ...; n_workers: its elements, each a worker that
    takes tasks (0: of an earlier version: each element has one task of its own); waits_for: the jobs that have to end before it
    starts; is_sweep: whether it does what killed workers left behind.
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
        """Its tasks."""
        return range(self.first_task, self.first_task + self.n_tasks)

    @property
    def jobs(self) -> list[str]:
        """The scheduler's names of its elements: JOB_INDEX, or JOB for an array of one, which is a plain job."""
        n_elements = self.n_workers or self.n_tasks
        return [f"{self.job_id}_{index}" for index in range(n_elements)] if n_elements > 1 else [f"{self.job_id}"]

    def task_of(self, index: int | None) -> int:
        """The task of an element that has its own."""
        return self.first_task + (index or 0)

    def job_of(self, task: int) -> str:
        """The element that has this task for its own."""
        return self.jobs[task - self.first_task]

    def has(self, job: str) -> bool:
        """Whether a job is one of its elements."""
        return self.job_id is not None and job.split("_")[0] == self.job_id


def array_name(campaign: str, number: int, place: int) -> str:
    """The name that tells an array from all others.

    Raises:
        ManifestError: the campaign's id is not one; it becomes part of a shell script.
    """
    if not campaign.isalnum():
        raise ManifestError(f"campaign {campaign!r}: not an id; the first line of manifest.jsonl was changed")
    return f"{campaign}-{number:04d}-{place:02d}"


def arrays_of(
    campaign: str, number: int, n_tasks: int, planned: Iterable[PlannedArray], waits_for: str | None
) -> tuple[Array, ...]:
    """The records of arrays planned for so many tasks; those that wait for none of them wait for the job `waits_for`."""
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
