"""Why a task waits, in words: the reasons that squeue gives, as in Slurm's src/common/slurm_protocol_defs.c (22.05)."""

import re

_CANCEL = "cancel it (python -m hpc.cancel) and submit with another"
_RELEASE = "scontrol release JOB starts it again"

# Part of a reason -> (what it means, what helps; empty if the task starts by itself). The first that fits is taken.
_REASONS = (
    (r"^None$|^Priority$|^Resources$|^Prolog$|^Cleaning$", "its turn has not come", ""),
    (r"^JobArrayTaskLimit$", "max_workers tasks are at work", ""),
    (r"^Dependency$", "another array of the campaign comes first", ""),
    (r"DependencyNeverSatisfied", "the job that it waits for did not end as asked", f"{_CANCEL} dependency"),
    (r"JobHeldUser", "held by a user", _RELEASE),
    (r"JobHeldAdmin", "held by an administrator", "ask the site"),
    (r"held|JobHoldMaxRequeue", "held after it failed to start", f"see whether the node is well; {_RELEASE}"),
    (r"BeginTime", "it starts at a set time, or is queued again", ""),
    (r"MaxMemPerLimit|PerJob\w*Mem|Mem\w*PerJob", "it asks for more memory than the site allows a job", f"{_CANCEL} mem"),
    (r"Wall|TimeLimit", "it asks for more time than is allowed", f"{_CANCEL} time, partition or qos"),
    (r"PartitionNodeLimit|NodesPerJob|NodePerJob", "it asks for more nodes than the partition allows", f"{_CANCEL} nodes"),
    (r"^Partition(Down|Inactive)", "the partition takes no jobs", f"{_CANCEL} partition, or wait for the site"),
    (r"PerJob", "it asks for more than the site allows a job", f"{_CANCEL} request"),
    (
        r"Invalid(Account|QOS)|(Account|QOS)NotAllowed|QOSJobLimit",
        "the account or QOS is not valid here",
        f"{_CANCEL} account or qos",
    ),
    (r"BadConstraints", "no node has what it asks for", f"{_CANCEL} constraint"),
    (
        r"(Assoc|QOS)\w*(Minutes|RunMins)",
        "the account's hours are used up, or nearly so",
        "ask the site, or take another account",
    ),
    (r"Assoc|QOS|MaxJobs|MaxCpu", "a limit of the user's account or QOS is reached by other jobs", ""),
    (r"ReqNodeNotAvail|NodeDown|Reserv|Maint", "the nodes that it may use are down or reserved", ""),
    (r"Licenses", "all licences are in use", ""),
)


def in_words(reason: str) -> str:
    """A reason of squeue with what it means and, where the task never starts by itself, what helps."""
    for pattern, meaning, help_ in _REASONS:
        if re.search(pattern, reason):
            return f"{reason}: {meaning}" + (f". It does not start by itself: {help_}" if help_ else "")
    return reason
