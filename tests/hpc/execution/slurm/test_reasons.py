"""Why tasks wait, in words."""

import pytest

from hpc.execution.slurm.reasons import in_words


@pytest.mark.parametrize(
    "reason",
    [
        *("None", "Priority", "Resources", "JobArrayTaskLimit", "Dependency", "AssocMaxJobsLimit", "Licenses", "QOSJobLimit"),
        *("AssocGrpCPURunMinutesLimit", "QOSGrpMemoryRunMinutes", "MaxGRESRunMinsPerUser", "MaxNodePerAccount", "Constraints"),
        *("SchedDefer", "FedJobLock", "MpiPortsBusy", "MaxPoweredUpNodes", "NvidiaImexChannels", "BurstBufferStageIn"),
        *("ReqNodeNotAvail, UnavailableNodes:n[1-2]", "Reservation"),
    ],
)
def test_a_task_that_starts_by_itself_gets_no_advice(reason: str) -> None:
    assert in_words(reason).startswith(f"{reason}: ")
    assert "does not start" not in in_words(reason)


@pytest.mark.parametrize(
    ("reason", "help_"),
    [
        ("MaxMemPerLimit", "another mem"),
        ("QOSMaxMemoryPerJob", "another mem"),
        ("QOSMaxWallDurationPerJobLimit", "another time, partition or qos"),
        ("PartitionTimeLimit", "another time, partition or qos"),
        ("PartitionDown", "another partition"),
        ("PartitionInactive", "another partition"),
        ("PartitionNodeLimit", "another nodes"),
        ("DependencyNeverSatisfied", "another dependency"),
        ("launch failed requeued held", "scontrol release JOB"),
        ("JobHoldMaxRequeue", "scontrol release JOB"),
        ("job requeued in special exit state", "scontrol release JOB"),
        ("JobHeldUser", "scontrol release JOB"),
        ("JobHeldAdmin", "ask the site"),
        ("AssocGrpCPUMinutesLimit", "another account"),
        ("QOSMaxCpuPerJobLimit", "another request"),
        ("AssocMaxNodePerJobLimit", "another nodes"),
        ("InvalidQOS", "another account or qos"),
        ("BadConstraints", "another constraint"),
        ("AssocGrpWallLimit", "another account"),
        ("QOSMaxGRESPerNode", "another request"),
        ("AssocMaxMemPerNode", "another mem"),
        ("QOSMinCpuNotSatisfied", "another request or qos"),
        ("PartitionConfig", "another partition"),
        ("ReservationDeleted", "another reservation"),
        ("Reservation ours is invalid", "another reservation"),
        ("BurstBufferOperation", "ask the site"),
    ],
)
def test_a_task_that_never_starts_by_itself_gets_advice(reason: str, help_: str) -> None:
    assert f"It does not start by itself: {in_words(reason).split('by itself: ')[-1]}" in in_words(reason)
    assert help_ in in_words(reason)


def test_a_reason_of_a_later_slurm_is_shown_as_it_is() -> None:
    assert in_words("SomethingNew") == "SomethingNew"
