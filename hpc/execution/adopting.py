"""A campaign that starts with the records of an archive or of a results.h5: `noisy submit --from FILE|DIR`."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from hpc.console import Refused, count
from hpc.execution.executor import Request
from hpc.state.known import among, finished_by
from hpc.state.runs import State, classify
from jobs.adopted import NoResults, Results
from jobs.archived import SUMS, ArchiveError, unpacked, wrong_files
from jobs.campaign import Campaign
from jobs.files import publish
from jobs.image import parse
from jobs.manifest import ManifestError
from jobs.recorded import Recorded, Source, read_recorded
from jobs.shard import Shard
from jobs.typed import quoted, typed
from noisy.runs import Runs


@contextlib.contextmanager
def starting_from(path: Path | None, request: Request) -> Iterator[Request]:
    """The request with the records of an archive, or with those of the results.h5 in a campaign's folder.

    An archive is unpacked and compared with its digests first.

    Raises:
        Refused: it cannot be used.
    """
    if not path:
        yield request
        return
    try:
        with unpacked(path) as folder:
            results = _of_campaign(path, request) if _is_campaign(folder) else _of_archive(path, folder)
            print(_introduced(results, request.runs, str(path)), flush=True)
            yield replace(request, taken_over=results)
    except ArchiveError as error:
        raise Refused(f"--from: {error}") from error


def _is_campaign(folder: Path) -> bool:
    return Campaign(folder).manifest.exists() and not (folder / SUMS).exists()


def _of_campaign(folder: Path, request: Request) -> Results:
    campaign, renews = Campaign(folder), f"{typed('report')} {quoted(folder)}"
    try:
        results = Results.of(folder)
    except NoResults as error:
        raise Refused(f"--from {folder}: {error}; {renews} writes it, if the shards can be read") from error
    except ManifestError as error:
        raise Refused(f"--from: {error}") from error
    if folder.resolve() != request.campaign.folder.resolve():
        in_shards = finished_by(Recorded(results.recorded.campaign).updated(campaign.shard_paths()))
        n_more = int((~among(in_shards, np.sort(results.manifest.runs.run_id[results.finished()]))).sum())
        if n_more:
            print(f"note       its shards have {count(n_more, 'more finished run')}; {renews} brings them into results.h5")
    return results


def _of_archive(path: Path, folder: Path) -> Results:
    if path.is_dir() and not (folder / SUMS).exists():
        raise Refused(f"--from {path}: neither an archive nor the folder of a campaign")
    if problems := wrong_files(folder):
        raise Refused(f"--from {path}: {count(len(problems), 'file')} not as packed; nothing of it is used", problems)
    return Results.of(folder)


def _introduced(results: Results, runs: Runs, name: str) -> str:
    """A line of the plan: how many of the results are of the grid. runs: of the grid; name: where the results are."""
    finished = results.manifest.runs.run_id[results.finished()]
    n_in_grid = int((runs.places_of(finished) >= 0).sum())
    return f"from       {name}: {n_in_grid:,} of its {count(len(finished), 'finished run')} are in this grid"


def with_results(found: State, results: Results) -> State:
    """The state as it will be when these records are in the campaign's shards."""
    shards = _new_shards(results, found.runs, found.recorded)
    sources = [Source.of(Path(name), (0, 0, 0), Shard.of(Path(name), parse(content))) for name, content in shards]
    both = sorted([*found.recorded.sources, *sources], key=lambda source: source.name)
    return classify(found.runs, replace(found.known, recorded=Recorded.of(found.recorded.campaign, both)))


def adopt(campaign: Campaign, campaign_id: str, runs: Runs, results: Results) -> None:
    """Write records from elsewhere as shards: those of finished runs of the grid that the campaign has not done itself.

    Raises:
        OSError: there is no room, or the like. What was written is kept, and the same command goes on.
    """
    for name, content in _new_shards(results, runs, read_recorded(campaign, campaign_id)):
        publish(campaign.shards / name, content)


def _new_shards(results: Results, runs: Runs, recorded: Recorded) -> Iterator[tuple[str, bytes]]:
    places = results.finished()
    run_ids = results.manifest.runs.run_id[places]
    is_new = (runs.places_of(run_ids) >= 0) & ~among(run_ids, finished_by(recorded))
    for place, origin in enumerate(results.origins(places[is_new])):
        yield origin.adopted(recorded.campaign, place)
