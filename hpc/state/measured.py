"""Measured costs of runs, from the shards of all campaigns in one folder of results.

Only some shards are read, those of the newest campaigns first, because a few hundred runs are enough.
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

CALIBRATION = ".calibration"  # the folder of calibration campaigns, beside the other campaigns
_TORCH = re.compile(r"torch (\S+)")
_MOST_FILES = 200  # files that are read at most
_MOST_OF_CAMPAIGN, _MOST_OF_FILE = 80, 25
_NEWEST = 1000  # runs of a campaign from which its drift is computed


def results_of(campaign: Campaign) -> Path:
    """The folder of results that a campaign is in."""
    return campaign.folder.absolute().parent


def observed(results: Path) -> list[Observation]:
    """Finished runs of the campaigns in a folder of results and of its calibrations. Files that cannot be read are left out.

    A record counts once, also if it was copied with its campaign, or taken over by another one.
    """
    left, found = _MOST_FILES, list[Observation]()
    for campaign in _newest_first(results):
        with contextlib.suppress(ManifestError):
            paths = campaign.shard_paths()
            n_files = min(len(paths), left, _MOST_OF_CAMPAIGN)
            for place in (
                np.linspace(0, len(paths) - 1, n_files).round().astype(int)
            ):  # of all kinds and hosts, not only the last ones
                found += _of_file(paths[place])
            left -= n_files
    return list({(one.run, one.finished_at_s, one.cpu_s, one.host): one for one in found}.values())


def of_campaign(recorded: Recorded, runs: Runs) -> list[Observation]:
    """The newest finished runs of a campaign, from records that were already read."""
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
    """Published memory, in 10**6 bytes, of a process that has loaded the torch installed here. Does not load torch."""
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
    """The newest finished runs of a shard; none if it is damaged (other commands report that)."""
    try:
        content = read_regular(path)
        if not is_sealed(content):
            return
        attributes, runs, *_, intact = parse(content)
    except (OSError, ShardError):
        return
    rows = runs[intact & np.isin(runs["status"], np.array(FINISHED, "S"))][-_MOST_OF_FILE:]
    for row in rows:
        with contextlib.suppress(ValueError, TypeError):  # written by a newer version of the code
            if (one := _observation(spec_of(row["spec"].decode()), row, attributes, path.name)) is not None:
                yield one


def _observation(run: RunSpec, row: np.void, attributes: Mapping[str, Any], name: str) -> Observation | None:
    """The observation of one record; None if the run was trained on a GPU or with others, or if its shard does not say."""
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
