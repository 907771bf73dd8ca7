"""What runs were measured to cost: read from the shards of all campaigns below one folder of results.

Only some shards are read, those of the newest campaigns first, since no more than some hundred runs count.
"""

import contextlib
import importlib.util
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hpc.planning.model import Observation
from hpc.planning.published import IMPORT_MB
from jobs.campaign import Campaign
from jobs.image import FINISHED, ShardError, is_sealed, parse
from jobs.manifest import ManifestError
from jobs.reading import read_regular
from jobs.recorded import Recorded
from noisy.runs import Runs
from noisy.spec import RunSpec, spec_of

CALIBRATION = ".calibration"  # the folder, beside the campaigns, of the campaigns that were made to measure
_TORCH = re.compile(r"torch (\S+)")
_MOST_FILES = 200  # that are read
_MOST_OF_CAMPAIGN, _MOST_OF_FILE = 80, 25
_NEWEST = 1000  # runs of a campaign that are looked at for its drift


def results_of(campaign: Campaign) -> Path:
    """The folder of results that a campaign is in."""
    return campaign.folder.absolute().parent


def observed(results: Path) -> list[Observation]:
    """Finished runs of the campaigns in a folder of results, and of its calibrations. What cannot be read is left out."""
    left, found = _MOST_FILES, list[Observation]()
    for campaign in _newest_first(results):
        with contextlib.suppress(ManifestError):
            paths = campaign.shard_paths()
            n_files = min(len(paths), left, _MOST_OF_CAMPAIGN)
            for place in np.linspace(0, len(paths) - 1, n_files).round().astype(int):  # all kinds and hosts, not the last alone
                found += _of_file(paths[place])
            left -= n_files
    return found


def of_campaign(recorded: Recorded, runs: Runs) -> list[Observation]:
    """The newest finished runs of a campaign, from what was read of it."""
    newest = np.argsort(-recorded.records["finished_at_s"], kind="stable")[:_NEWEST]
    newest = newest[recorded.is_finished[newest]]
    places = runs.places_of(recorded.records["run_id"][newest])
    found = []
    for record, place in zip(newest[places >= 0], places[places >= 0], strict=True):
        source = recorded.sources[int(recorded.source[record])]
        if (one := _observation(runs.at(int(place)), recorded.records[record], source.attributes, source.name)) is not None:
            found.append(one)
    return found


def assumed_import_mb() -> float:
    """Published memory of a process that has loaded the torch that is installed here. It does not load it."""
    found = importlib.util.find_spec("torch")
    has_cuda = not (found and found.origin) or (Path(found.origin).parent / "lib" / "libtorch_cuda.so").exists()
    return IMPORT_MB["cuda" if has_cuda else "cpu"]


def torch_of(versions: str) -> str:
    """The version of torch in the attribute `versions` of a shard; empty if it names none."""
    match = _TORCH.search(versions)
    return match[1] if match else ""


def _newest_first(results: Path) -> list[Campaign]:
    """Campaigns by the time of their last record."""
    found = []
    for parent in (results, results / CALIBRATION):
        with contextlib.suppress(OSError):
            for folder in os.scandir(parent):
                with contextlib.suppress(OSError):
                    campaign = Campaign(Path(folder.path))
                    found.append((campaign.shards.stat().st_mtime, campaign))
    return [campaign for _, campaign in sorted(found, key=lambda one: -one[0])]


def _of_file(path: Path) -> Iterator[Observation]:
    """The newest finished runs of a shard. A damaged one is left out: other commands name it."""
    try:
        content = read_regular(path)
        if not is_sealed(content):
            return
        attributes, runs, *_, intact = parse(content)
    except (OSError, ShardError):
        return
    rows = runs[intact & np.isin(runs["status"], np.array(FINISHED, "S"))][-_MOST_OF_FILE:]
    for row in rows:
        with contextlib.suppress(ValueError, TypeError):  # of a newer version of the code
            if (one := _observation(spec_of(row["spec"].decode()), row, attributes, path.name)) is not None:
                yield one


def _observation(run: RunSpec, row: np.void, attributes: Mapping[str, Any], name: str) -> Observation | None:
    """None if it was trained on a GPU or with others, or where its shard does not say how."""
    if attributes.get("device") != "cpu" or attributes.get("runs_together", 1) != 1:
        return None
    host, job = (str(attributes.get(key, "")) for key in ("host", "job"))
    return Observation(
        run,
        float(row["cpu_s"]),
        float(row["wall_s"]),
        float(row["peak_mem_mb"]),
        float(row["finished_at_s"]),
        host,
        str(attributes.get("cpu", "")),
        str(attributes.get("product_route", "")),
        torch_of(str(attributes.get("versions", ""))),
        int(attributes.get("cpu_threads", 1)),
        f"{host} {job or name.rpartition('-p')[0]}",
        float(attributes.get("import_mb", 0)),
        float(attributes.get("start_mb", 0)),
    )
