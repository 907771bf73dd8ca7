"""Packing a campaign into one file, and checking such a file (`noisy archive`)."""

import argparse
import errno
import gzip
import re
import shutil
import sys
import tarfile
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

from analysis.comparisons import UnknownReference
from analysis.cover import About, readme, requirements
from analysis.ending import exit_with
from analysis.held import PER_RUN_CSV, Refused
from analysis.merge import forget_place
from jobs.archived import SUMS, ArchiveError, files_of, is_plain, sums, unpacked
from jobs.campaign import Campaign
from jobs.commandline import the_campaign
from jobs.extensions import intact_copies
from jobs.files import publish, replacing
from jobs.image import FINISHED
from jobs.manifest import ManifestError
from jobs.reading import read_regular
from jobs.shard import version_of
from jobs.typed import quoted, typed

_DESCRIBED = {
    "README.md": "what this is, how to check it, how to make it again",
    "report.html": "the report: one page with all findings and figures",
    "results_per_run.csv": "one row for each run",
    "results_summary.csv": "one row for each cell: means, spreads and intervals over repeats",
    "comparisons.csv": "differences between activations, models and values",
    "results.h5": "everything about each run, also the curves and one bit for each test image",
    "methods.md": "the methods, and a table, as text for a paper",
    "grid.yaml": "what was asked for",
    "manifest.jsonl": "all runs of the grid, with the hyperparameters of each",
    "archive.json": "when, with which code, versions and processors the runs were trained",
    "requirements.txt": "the versions of the packages that made this archive",
    "ro-crate-metadata.json": "the same for programs (RO-Crate 1.1)",
    SUMS: "the SHA-256 of every other file",
}
_ENDINGS = (".tar.gz", ".tgz")
_NOT_IN_NAMES = re.compile(r"[^\w.+-]+")


def run(options: argparse.Namespace) -> NoReturn:
    """Do what a command line asks for, and exit with its status."""
    command = (lambda: _check(options.check)) if options.check else (lambda: _make(options))
    exit_with(command, (ArchiveError, ManifestError, UnknownReference), refused=(Refused,))


def _check(path: Path) -> int:
    from analysis.checked import check  # a colleague's laptop that only checks needs no more than this

    with unpacked(path) as folder:
        try:
            lines, problems = check(folder)
        except ArchiveError as error:
            raise ArchiveError(f"{path}: {error}") from error
    print(*lines, sep="\n")
    for text in problems:
        print(f"problem: {text}", file=sys.stderr)
    if not problems:
        print(f"{path}: all is as it was packed")
    return 1 if problems else 0


def _make(options: argparse.Namespace) -> int:
    campaign = the_campaign(options.output_dir)
    target = options.to or _beside(campaign.folder)
    is_name = target.name.endswith(_ENDINGS)  # so a file of a campaign, or any other one, is never replaced by mistake
    if not is_name or target.is_dir() or not target.absolute().parent.is_dir():
        allowed = f"the name of a file in a folder that is there, with {' or '.join(_ENDINGS)} at its end"
        raise FileNotFoundError(errno.ENOENT, f"not possible; allowed: {allowed}", str(target))
    chosen = {"has_shards": options.shards, "style": options.style, "reference": options.reference or ""}
    about, problems = archive(campaign, target, **chosen, license=options.license, authors=options.author)
    print(f"{target}: {about.summary()}\nsize       {target.stat().st_size / 1e6:,.1f} MB")
    print(f"check it   {typed('archive')} --check {quoted(target)}")
    for text in problems:
        print(f"problem: {text}", file=sys.stderr)
    return 1 if problems or about.n_failed else 0


def _beside(folder: Path) -> Path:
    """The file beside a campaign's folder, with the folder's name; `.` and `x/..` are resolved, since they have none."""
    named = folder if folder.name not in ("", "..") else folder.resolve()
    return named.with_name(f"{named.name}.tar.gz")


def archive(campaign: Campaign, target: Path, **chosen: Any) -> tuple[About, list[str]]:
    """Make a new report and pack it with the campaign's files. Nothing in the campaign's folder is changed.

    Equal campaigns give equal bytes, with equal versions of the packages.

    Args:
        chosen: `has_shards`, `style`, `reference` (empty: the report's own choice), `license` and `authors`, as in `About`.

    Returns:
        What the archive says of itself; what in the campaign cannot be trusted, a line each.

    Raises:
        ManifestError, Refused, UnknownReference: there is nothing to pack, or no report can be made.
        OSError: a file cannot be read or written; a file that was at `target` is untouched.
    """
    name = _NOT_IN_NAMES.sub("_", campaign.folder.resolve().name).strip("._")
    name = name if name and is_plain(name) else f"campaign_{name}"  # some systems do not allow all names
    with tempfile.TemporaryDirectory(prefix=".noisy-archive-", dir=target.absolute().parent) as temporary:
        content = Path(temporary) / name
        content.mkdir()
        about, problems = _collect(campaign, content, chosen)
        _pack(content, target, int(datetime.fromisoformat(about.ended).timestamp()))
    return about, problems


def _collect(campaign: Campaign, folder: Path, chosen: dict[str, Any]) -> tuple[About, list[str]]:
    """Put everything that is packed into a folder."""
    from analysis.crate import METADATA, crate_metadata  # with rocrate and matplotlib, which --check does without
    from analysis.figures.saving import take_over
    from analysis.writing import write

    for path in (campaign.folder / "results.h5", campaign.folder / PER_RUN_CSV):
        if path.is_file():  # what a report would lose, an archive must not lose either; and what is known is not read again
            shutil.copyfile(path, folder / path.name)
    take_over(campaign.folder / "figures", folder / "figures")
    before = _versions(campaign, chosen["has_shards"])
    merged, _, _ = write(campaign, folder, style=chosen["style"], reference=chosen["reference"] or None)
    if not merged.runs["status"].isin(FINISHED).any():
        raise ManifestError(f"{campaign.folder}: no run is finished: there is nothing to pack")
    forget_place(folder / "results.h5", merged.planned)
    about = About.of(folder.name, merged, **chosen)
    described = {**_DESCRIBED, "figures/": "each figure as PDF, PNG and SVG, and its numbers as CSV"}
    for path in (campaign.grid, campaign.manifest):
        publish(folder / path.name, read_regular(path))
    if about.has_shards:
        described["shards/"] = "all records, as the workers wrote them"
        (folder / "shards").mkdir()
        for path in campaign.shard_paths():
            shutil.copyfile(path, folder / "shards" / path.name)
    own, missing = intact_copies(campaign, merged.planned.runs)
    if own:
        described["extensions/"] = "the user's own models, activations and data sets, as they were executed"
        (folder / "extensions").mkdir()
        for name, copy in own:
            publish(folder / "extensions" / name, copy)
    publish(folder / "archive.json", about.to_json())
    publish(folder / "requirements.txt", requirements().encode())
    publish(folder / "README.md", readme(about, described).encode(errors="backslashreplace"))
    sizes = {file: (folder / file).stat().st_size for file in files_of(folder)}
    publish(folder / METADATA, crate_metadata(about, sizes, _DESCRIBED))
    publish(folder / SUMS, sums(folder))
    if _versions(campaign, about.has_shards) != before:
        missing.append("files were written while the report was made, and may say more than it does; archive again later")
    return about, [*merged.problems, *missing]


def _versions(campaign: Campaign, has_shards: bool) -> list[tuple]:
    """Of the campaign's own files that are packed: another value once one was written."""
    shards = campaign.shard_paths() if has_shards else []
    return [(path.name, *version_of(path)) for path in (campaign.grid, campaign.manifest, *shards)]


def _pack(folder: Path, target: Path, time_s: int) -> None:
    """Write a tar.gz of a folder's files. Nothing of this machine, user or moment is in it."""
    with (
        replacing(target) as file,
        gzip.GzipFile("", "wb", 6, file, mtime=time_s) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for name in files_of(folder):
            member = tarfile.TarInfo(f"{folder.name}/{name}")
            member.size, member.mtime, member.mode = (folder / name).stat().st_size, time_s, 0o644
            with (folder / name).open("rb") as content:
                tar.addfile(member, content)
