"""Why a task waits, in words: the reasons of squeue in the sources of Slurm 22.05 and 26.05."""

import re

_CANCEL = "cancel it (noisy cancel) and submit with another"
_RELEASE = "scontrol release JOB lets it start"

# Part of a reason -> (what it means, what helps; empty if the task starts by itself). The first match counts.
_REASONS = (
    (r"^(None|Priority|Resources|Prolog|Cleaning|SchedDefer|FedJobLock)$", "its turn has not come", ""),
    (r"MpiPorts|PoweredUpNodes|ImexChannels|BurstBuffer(Resources|StageIn)", "other jobs use what it needs", ""),
    (r"^JobArrayTaskLimit$", "max_workers workers are already at work", ""),
    (r"^Dependency$", "another array of the campaign comes first", ""),
    (r"DependencyNeverSatisfied", "the job that it depends on did not end as required", f"{_CANCEL} dependency"),
    (r"JobHeldUser", "held by a user", _RELEASE),
    (r"JobHeldAdmin", "held by an administrator", "ask the site"),
    (r"held|special exit|JobHoldMaxRequeue", "held when it was queued again", f"see whether the node is well; {_RELEASE}"),
    (r"BeginTime", "it starts at a set time, or is queued again", ""),
    (r"BurstBufferOperation", "its burst buffer failed", "ask the site"),
    (r"^Reserv.*([Dd]eleted|[Ii]nvalid)", "its reservation is gone or not valid", f"{_CANCEL} reservation"),
    (r"MaxMemPerLimit|Mem\w*Per(Job|Node)", "it asks for more memory than the site allows for a job", f"{_CANCEL} mem"),
    (
        r"Grp(?!\w*Run)\w*(Minutes|Wall)",
        "the account's hours are used up, or nearly so",
        "ask the site, or take another account",
    ),
    (r"Wall|TimeLimit", "it asks for more time than is allowed", f"{_CANCEL} time, partition or qos"),
    (r"PartitionNodeLimit|NodesPerJob|NodePerJob", "it asks for more nodes than is allowed", f"{_CANCEL} nodes"),
    (r"^Partition(Down|Inactive)", "the partition accepts no jobs", f"{_CANCEL} partition, or wait for the site"),
    (r"^PartitionConfig|not in group permitted", "the partition does not allow such a job", f"{_CANCEL} partition"),
    (r"Per(Job|Node)", "it asks for more than the site allows for a job", f"{_CANCEL} request"),
    (r"QOSMin", "it asks for less than its QOS requires", f"{_CANCEL} request or qos"),
    (r"Invalid(Account|QOS)|(Account|QOS)NotAllowed", "the account or QOS is not valid here", f"{_CANCEL} account or qos"),
    (r"BadConstraints", "no node has what it asks for", f"{_CANCEL} constraint"),
    (r"Assoc|QOS|Max\w+Per(Account|User)|AccountingPolicy", "other jobs use up a limit of the account or QOS", ""),
    (r"ReqNodeNotAvail|NodeDown|Reserv|Maint|^Constraints", "the nodes that it may use are down or reserved", ""),
    (r"Licenses", "all licences are in use", ""),
)


def in_words(reason: str) -> str:
    """A reason of squeue with its meaning; if the task does not start by itself, also what helps."""
    for pattern, meaning, help_ in _REASONS:
        if re.search(pattern, reason):
            return f"{reason}: {meaning}" + (f". It does not start by itself: {help_}" if help_ else "")
    return reason
