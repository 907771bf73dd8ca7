"""Making one campaign of several, or of archives of them (`noisy merge`)."""

import argparse
import errno
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np

from analysis.ending import exit_with
from analysis.held import Refused
from analysis.merge import Merged, look_at
from analysis.planned import CELL_FIELDS
from jobs.adopted import Origin, Results, only_in_results
from jobs.archived import SUMS, ArchiveError, not_as_packed, unpacked, wrong_files
from jobs.campaign import Campaign
from jobs.extensions import intact_copies
from jobs.files import make_folder, new_folder, publish
from jobs.image import FINISHED
from jobs.manifest import Manifest, ManifestError, new_id, read_manifest, write_manifest
from jobs.printing import count
from jobs.provenance import code_commit
from jobs.reading import read_regular
from jobs.shard import Shard, read_shards
from jobs.typed import quoted, typed
from noisy.runs import ID, Runs
from noisy.spec import RunSpec


@dataclass
class Part:
    """One of the campaigns that are merged.

    path: as given; folder: where its files are; archive: its content, if it is one; n_only_in_results: how many records were
    taken from its results.h5, because its shards have lost them.
    """

    path: Path
    folder: Path
    manifest: Manifest
    archive: Results | None = None
    n_only_in_results: int = 0

    def origins(self) -> Iterator[Origin | str]:
        """Its records, by shard; a line for each file or record that cannot be used."""
        if self.archive:
            yield from self.archive.origins(np.arange(len(self.manifest.runs)))
            return
        campaign, done = Campaign(self.folder), [np.empty(0, ID)]
        for shard in read_shards(campaign.shard_paths(), self.manifest.header.campaign):
            if isinstance(shard, Shard):
                done.append(shard.runs["run_id"][np.isin(shard.runs["status"], np.array(FINISHED, "S"))])
                yield from (
                    f"{shard.path}: the record of run {run_id} is damaged (crc32); left out" for run_id in shard.damaged
                )
                if len(shard.runs):
                    yield Origin.of_shard(shard)
            else:
                yield shard
        if lost := only_in_results(campaign, np.concatenate(done)):
            results, places = lost
            self.n_only_in_results = len(places)
            yield from results.origins(places)


def run(options: argparse.Namespace) -> NoReturn:
    """Merge the campaigns of a command line, and exit with its status."""
    exit_with(lambda: _merge(options), (ArchiveError, ManifestError, Refused))


def _merge(options: argparse.Namespace) -> int:
    problems = merge_campaigns(options.parts, options.into)
    for text in problems:
        print(f"problem: {text}", file=sys.stderr)
    return 1 if problems else 0


def merge_campaigns(paths: Sequence[Path], into: Path) -> list[str]:
    """Make a new campaign with all runs and records of others, and say what is in it. The others are not changed.

    Returns:
        What cannot be trusted, a line each.

    Raises:
        ArchiveError, ManifestError: one of them cannot be read; each that cannot is named.
        OSError: the new campaign cannot be written; nothing is left of it.
    """
    if os.path.lexists(into):
        raise FileExistsError(errno.EEXIST, "is there already; allowed for --into: a new name", str(into))
    with ExitStack() as stack:
        parts = _opened(paths, stack)
        _refuse_other_data(parts)
        _refuse_other_files(parts)
        make_folder(into.absolute().parent)
        with new_folder(into) as hidden:
            problems = _fill(Campaign(hidden), parts)
    merged = look_at(Campaign(into))
    _say(into, parts, merged)
    return [*problems, *merged.problems]


def _opened(paths: Sequence[Path], stack: ExitStack) -> list[Part]:
    parts, problems = list[Part](), list[str]()
    for path in paths:
        try:
            parts.append(_part(path, stack))
        except (ArchiveError, ManifestError) as error:
            problems.append(str(error))
    if problems:
        raise ManifestError("\n  ".join(problems))
    return parts


def _refuse_other_data(parts: Sequence[Part]) -> None:
    datasets = [(part, {_data_of(cell.spec) for cell in part.manifest.runs.cells}) for part in parts]
    if len(set.union(*(names for _, names in datasets))) > 1:
        each = "\n  ".join(f"{part.path}: {', '.join(sorted(names))}" for part, names in datasets)
        raise ManifestError(f"a campaign has one data set, and these have several; nothing was written\n  {each}")


def _data_of(run: RunSpec) -> str:
    return f"{run.dataset} ({run.own_data})" if run.own_data else run.dataset


def _refuse_other_files(parts: Sequence[Part]) -> None:
    """Refuse runs that differ in their own files only. Tables do not name these files, so a cell would be there twice."""
    files = dict[tuple, str]()
    for part in parts:
        for cell in part.manifest.runs.cells:
            run = cell.spec
            named = " and ".join(f"extensions/{digest}_*" for digest in run.extensions.split("+"))
            other = files.setdefault(tuple(getattr(run, name) for name in CELL_FIELDS), named)
            if other != named:
                raise ManifestError(
                    f"{part.path}: model {run.model_type!r} with activation {run.activation!r} on {run.dataset} was trained "
                    f"with {named}, and another campaign has {other}; allowed: campaigns with the same version of an own file; "
                    "nothing was written"
                )


def _part(path: Path, stack: ExitStack) -> Part:
    if path.is_dir() and not (path / SUMS).exists():
        return Part(path, path, read_manifest(path / "manifest.jsonl"))
    folder = stack.enter_context(unpacked(path))
    if wrong := wrong_files(folder):
        raise ArchiveError(f"{path}: {not_as_packed(len(wrong))}; see {typed('archive')} --check {quoted(path)}")
    archive = Results.of(folder)
    return Part(path, folder, archive.manifest, archive)


def _fill(campaign: Campaign, parts: Sequence[Part]) -> list[str]:
    """Write the files of the new campaign; returns what could not be used, a line each."""
    its_id, problems, place, seen = new_id(), list[str](), 0, set[bytes]()
    campaign.shards.mkdir()
    for part in parts:
        copies, missing = intact_copies(Campaign(part.folder), part.manifest.runs)
        problems += missing
        for name, content in copies:  # equal names are equal files: the digest is in the name
            make_folder(campaign.extensions)
            publish(campaign.extensions / name, content)
        for origin in part.origins():
            if isinstance(origin, str):
                problems.append(origin)
                continue
            if (new := origin.unseen(seen)).records:
                name, content = new.adopted(its_id, place)
                publish(campaign.shards / name, content)
                place += 1
    publish(campaign.grid, _grid(parts))
    write_manifest(campaign.manifest, _runs(parts), code_commit(), campaign=its_id)
    return problems


def _runs(parts: Sequence[Part]) -> Runs:
    """All runs: those of the first campaign, then what each other one adds."""
    pairs = {
        run_id: text
        for part in parts
        for run_id, text in zip(part.manifest.runs.run_id.tolist(), part.manifest.runs.texts(), strict=True)
    }
    return Runs.of_records(pairs.items())


def _grid(parts: Sequence[Part]) -> bytes:
    """The first campaign's grid; grids that differ from it follow as comments."""
    texts = [read_regular(part.folder / "grid.yaml").decode(errors="backslashreplace") for part in parts]
    others = [(part, text) for part, text in zip(parts, texts, strict=True) if text != texts[0]]
    lines = (
        [f"# Merged from {', '.join(str(part.path) for part in parts)}. This is the grid of the first one."] if others else []
    )
    lines += texts[0].splitlines()
    for part, text in others:
        lines += ["", f"# The grid of {part.path}:", *(f"# {line}" for line in text.splitlines())]
    return "\n".join(lines).encode(errors="backslashreplace") + b"\n"


def _say(into: Path, parts: Sequence[Part], merged: Merged) -> None:
    n_finished = int(merged.runs["status"].isin(FINISHED).sum())
    for part in parts:
        n = part.n_only_in_results
        from_results = f"; the records of {n:,} come from its results.h5, since its shards have lost them" if n else ""
        print(f"{part.path}: {count(len(part.manifest.runs), 'run')}{from_results}")
    print(f"{into}: {count(len(merged.runs), 'run')}, {n_finished:,} done")
    print(*(f"note: {text}" for text in merged.notes), sep="\n", end="\n" if merged.notes else "")
    print(f"Next: {typed('report')} {quoted(into)}")
