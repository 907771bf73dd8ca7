"""A campaign that starts with the records of an archive: `noisy submit --from FILE`."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from hpc.console import Refused, count
from hpc.execution.executor import Request
from hpc.state.known import among, finished_by
from hpc.state.runs import State, classify
from jobs.adopted import Archive
from jobs.archived import ArchiveError, unpacked, wrong_files
from jobs.campaign import Campaign
from jobs.files import publish
from jobs.image import parse
from jobs.recorded import Recorded, Source, read_recorded
from jobs.shard import Shard
from noisy.runs import Runs


@contextlib.contextmanager
def starting_from(path: Path | None, request: Request) -> Iterator[Request]:
    """The request with the records of an archive, which is unpacked and compared with its digests first.

    Raises:
        Refused: it cannot be used.
    """
    if not path:
        yield request
        return
    try:
        with unpacked(path) as folder:
            if problems := wrong_files(folder):
                raise Refused(f"--from {path}: {count(len(problems), 'file')} not as packed; nothing of it is used", problems)
            archive = Archive.of(folder)
            print(_introduced(archive, request.runs, str(path)), flush=True)
            yield replace(request, archive=archive)
    except ArchiveError as error:
        raise Refused(f"--from: {error}") from error


def _introduced(archive: Archive, runs: Runs, name: str) -> str:
    """A line of the plan: how much of an archive is in the grid. runs: of the grid; name: of the archive."""
    finished = archive.manifest.runs.run_id[archive.finished()]
    n_in_grid = int((runs.places_of(finished) >= 0).sum())
    return f"archive    {name}: {n_in_grid:,} of its {count(len(finished), 'finished run')} are in this grid"


def with_archive(found: State, archive: Archive) -> State:
    """The state as it will be when the records of an archive are in the campaign's shards."""
    shards = _new_shards(archive, found.runs, found.recorded)
    sources = [Source.of(Path(name), (0, 0, 0), Shard.of(Path(name), parse(content))) for name, content in shards]
    both = sorted([*found.recorded.sources, *sources], key=lambda source: source.name)
    return classify(found.runs, replace(found.known, recorded=Recorded.of(found.recorded.campaign, both)))


def adopt(campaign: Campaign, campaign_id: str, runs: Runs, archive: Archive) -> None:
    """Write the records of an archive as shards, those of finished runs of the grid that the campaign has not done itself.

    Raises:
        OSError: there is no room, or the like. What was written is kept, and the same command goes on.
    """
    for name, content in _new_shards(archive, runs, read_recorded(campaign, campaign_id)):
        publish(campaign.shards / name, content)


def _new_shards(archive: Archive, runs: Runs, recorded: Recorded) -> Iterator[tuple[str, bytes]]:
    places = archive.finished()
    run_ids = archive.manifest.runs.run_id[places]
    is_new = (runs.places_of(run_ids) >= 0) & ~among(run_ids, finished_by(recorded))
    for place, origin in enumerate(archive.origins(places[is_new])):
        yield origin.adopted(recorded.campaign, place)
