"""Which campaign and which runs a command means."""

import argparse
import dataclasses
import json
from pathlib import Path

from jobs.campaign import Campaign
from jobs.manifest import Manifest, ManifestError, newest_campaign, read_manifest
from noisy.spec import RunSpec, spec_of

_FIELDS = tuple(field.name for field in dataclasses.fields(RunSpec))


def add_campaign_option(parser: argparse.ArgumentParser) -> None:
    """The option that every command on an existing campaign has."""
    help_text = "the campaign's folder (default: the newest campaign below ./results)"
    parser.add_argument("--output-dir", type=Path, help=help_text)


def open_campaign(output_dir: Path | None) -> tuple[Campaign, Manifest]:
    """The campaign that is meant, and its verified manifest.

    Raises:
        ManifestError: there is none, or it was changed.
    """
    campaign = Campaign(output_dir or newest_campaign(Path("results")))
    return campaign, read_manifest(campaign.manifest)


def filter_option(text: str) -> tuple[str, object]:
    """`p=0.9` as (field, value).

    Raises:
        argparse.ArgumentTypeError: there is no such field.
    """
    name, equals, value = text.partition("=")
    if name not in _FIELDS or not equals:
        raise argparse.ArgumentTypeError(f"{text!r}: allowed: FIELD=VALUE with FIELD one of {', '.join(_FIELDS)}")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def matching(manifest: Manifest, filters: list[tuple[str, object]]) -> list[str]:
    """The run_ids, in the manifest's order, of the runs that fit every filter.

    Raises:
        ManifestError: no run does.
    """
    found = [run_id for run_id, text in manifest.runs.items() if _fits(spec_of(text), filters)]
    if not found:
        wanted = " ".join(f"{name}={value}" for name, value in filters)
        raise ManifestError(f"no run of the campaign has {wanted}; python -m hpc.status --cells lists what it has")
    return found


def _fits(run: RunSpec, filters: list[tuple[str, object]]) -> bool:
    values = ((getattr(run, name), value) for name, value in filters)
    return all((list(found) if isinstance(found, tuple) else found) == value for found, value in values)
