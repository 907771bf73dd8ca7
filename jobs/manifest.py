"""The manifest: the list of all runs of a campaign. It is written as a whole and verified when it is read.

Each line is a JSON record. The record of a run is `{"run_id":ID,"spec":CANONICAL}`, and its id is the hash of CANONICAL, so a
record that was edited by hand no longer fits its id.
"""

import contextlib
import hashlib
import itertools
import json
import re
import secrets
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from jobs.files import named, publish
from jobs.reading import brief, made, open_regular, parse_json
from jobs.typed import typed
from noisy.runs import Runs
from noisy.spec import run_id_of

SCHEMA_VERSION = 1

_RUN_LINE = re.compile(rb'\{"run_id":"([0-9a-f]{16})","spec":(\{.*\})\}\n')


class ManifestError(Exception):
    """A manifest or task file is missing, damaged or edited. The message names the file, the line and what to do."""


class MissingError(ManifestError):
    """There is no manifest."""


class NewerError(ManifestError):
    """A newer version of the code wrote a file."""


def refuse_newer(path: Path, schema: int, known: int) -> None:
    """Check the schema number of a file against the newest one `known`.

    Raises:
        NewerError: the number is larger.
    """
    if schema > known:
        raise NewerError(f"{path}: schema {schema}, and this version of the code reads up to {known}; update the code")


@contextlib.contextmanager
def noting(problems: list[str]) -> Iterator[None]:
    """Add an error in the block to `problems`, and go on after the block. Files of a newer version are still refused."""
    try:
        yield
    except NewerError:
        raise
    except ManifestError as error:
        problems.append(str(error))


@dataclass(frozen=True)
class Header:
    """Line 1 of a manifest. campaign: a random id, made once; created: time of creation, ISO 8601, UTC."""

    campaign: str
    created: str
    code_commit: str
    n_runs: int
    digest: str  # SHA-256 of the lines of the runs
    schema: int = SCHEMA_VERSION


@dataclass(frozen=True)
class Manifest:
    """All runs of a campaign, in the grid's order."""

    header: Header
    runs: Runs


def write_manifest(path: Path, runs: Runs, code_commit: str, previous: Header | None = None, campaign: str = "") -> Header:
    """Write the manifest of `runs`.

    A rewritten manifest keeps the id and time of `previous`; a new one gets the id `campaign`, or a random one.
    """
    digest = hashlib.sha256()
    for line in _run_lines(runs):
        digest.update(line)
    identity = (previous.campaign, previous.created) if previous else (campaign or new_id(), _now())
    header = Header(*identity, code_commit, len(runs), digest.hexdigest())
    publish(path, itertools.chain([json_line(asdict(header))], _run_lines(runs)))
    return header


def new_id() -> str:
    """A random id for a campaign."""
    return secrets.token_hex(6)


def read_header(path: Path) -> Header:
    """Read only line 1 of a manifest.

    Raises:
        MissingError: there is no manifest.
        ManifestError: it is damaged, or a newer version wrote it.
        OSError: it cannot be read (the error names it), and what is in it is unknown.
    """
    try:
        with named(path), open_regular(path) as file:
            return _header(path, file.readline())
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:  # ValueError: not a path
        raise MissingError(f"{path}: cannot be read ({brief(error)}); is this a campaign's folder?") from error


def newest_campaign(results: Path) -> Path:
    """The folder of the newest campaign (by its manifest) in `results` or up to two levels below, except hidden folders.

    Raises:
        ManifestError: there is none.
    """
    every = (path for pattern in ("", "*/", "*/*/") for path in results.glob(pattern + "manifest.jsonl"))
    manifests = [path for path in every if not any(part.startswith(".") for part in path.relative_to(results).parts)]
    if not manifests:
        todo = f"name its folder with --output-dir, or make one with {typed('submit')}"
        raise ManifestError(f"{results}: no campaign here; {todo}")
    readable = []
    for path in manifests:
        with contextlib.suppress(ManifestError, OSError):
            readable.append((read_header(path).created, path))
    if not readable:
        raise ManifestError(f"{manifests[0]}: its first line cannot be read; name another campaign with --output-dir")
    return max(readable)[1].parent


def read_manifest(path: Path) -> Manifest:
    """Read and verify a manifest.

    Raises:
        MissingError: there is no manifest.
        ManifestError: a record does not fit its name, or lines are missing.
        NewerError: a record has a field or a value that this version of the code does not know.
        OSError: it cannot be read (the error names it), and what is in it is unknown.
    """
    header, digest = read_header(path), hashlib.sha256()

    def records() -> Iterator[tuple[bytes, str]]:
        with named(path), open_regular(path) as file:
            file.readline()
            for number, line in enumerate(file, start=2):
                digest.update(line)
                yield parse_run_line(path, number, line)

    try:
        runs = Runs.of_records(records())
    except (ValueError, TypeError) as error:  # each record fits its id, so it is as it was written
        raise NewerError(f"{path}: {brief(error)}; another version of the code wrote this: use that one") from error
    if len(runs) != header.n_runs or digest.hexdigest() != header.digest:
        said = f"its first line says {header.n_runs} runs with another digest"
        raise ManifestError(f"{path}: {len(runs)} runs, but {said}; {_REWRITE}")
    return Manifest(header, runs)


_REWRITE = "submit the grid again, which writes it again (results are kept)"


def run_records(runs: Runs) -> Iterator[bytes]:
    """The JSON of each run."""
    pairs = zip(runs.run_id.tolist(), runs.texts(), strict=True)
    return (b'{"run_id":"%b","spec":%b}' % (run_id, text.encode()) for run_id, text in pairs)


def _run_lines(runs: Runs) -> Iterator[bytes]:
    return (record + b"\n" for record in run_records(runs))


def parse_run_line(path: Path, number: int, line: bytes) -> tuple[bytes, str]:
    """The run_id and the canonical JSON in a line of a manifest.

    Raises:
        ManifestError: it is not the record of a run, or was changed.
    """
    match = _RUN_LINE.fullmatch(line)
    if not match:
        raise ManifestError(f"{path}: line {number}: not the record of a run: {line[:60]!r}; {_REWRITE}")
    run_id, canonical = match[1], match[2].decode(errors="replace")
    if run_id_of(canonical).encode() != run_id:
        where = f"{path}: line {number}: the record was changed: run {run_id.decode()}"
        raise ManifestError(f"{where} now reads {canonical[:500]}; {_REWRITE}")
    return run_id, canonical


def _header(path: Path, line: bytes) -> Header:
    try:
        fields = parse_json(line)
        refuse_newer(path, fields["schema"], SCHEMA_VERSION)
        return made(Header, fields)
    except (ValueError, KeyError, TypeError) as error:
        raise ManifestError(f"{path}: line 1: not the header of a manifest ({brief(error)}); {_REWRITE}") from error


def json_line(value: dict[str, Any]) -> bytes:
    """A record as a line of JSON."""
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="microseconds")
