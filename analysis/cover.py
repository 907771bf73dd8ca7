"""What an archive says of itself: archive.json, its README, and the exact versions of the packages that made it."""

import itertools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from importlib import metadata
from typing import Any

import jinja2
import pandas as pd

from analysis.merge import Merged
from analysis.planned import MISSING
from jobs.image import FINISHED
from jobs.reading import made, parse_json

SCHEMA_VERSION = 1
PROJECT = "noisy-training"
_REQUIREMENT = re.compile(r"[\w.-]+")


@dataclass(frozen=True)
class About:
    """archive.json. created, ended: of the campaign and of its last finished run, ISO 8601, UTC.

    code_commits, versions, cpus: all that finished runs were made with. reference, style: with which the report was made; an
    empty reference is the report's own choice. has_shards: whether the shards are in the archive. license: an address or words.
    """

    name: str
    campaign: str
    created: str
    ended: str
    n_runs: int
    n_finished: int
    n_failed: int
    datasets: list[str]
    code_commits: list[str]
    versions: list[str]
    cpus: list[str]
    reference: str
    style: str
    has_shards: bool
    license: str
    authors: list[str]
    schema: int = SCHEMA_VERSION

    @classmethod
    def of(cls, name: str, merged: Merged, **chosen: Any) -> "About":
        """What a report found. At least one run is finished. chosen: the fields from `reference` on."""
        runs = merged.runs
        finished = runs[runs["status"].isin(FINISHED)]
        ended = datetime.fromtimestamp(int(finished["finished_at_s"].max()), timezone.utc).isoformat()
        header, n_failed = merged.planned.header, int((~runs["status"].isin([*FINISHED, MISSING])).sum())
        datasets, commits, versions, cpus = (_kinds(finished[one]) for one in ("dataset", "code_commit", "versions", "cpu"))
        begun = (name, header.campaign, header.created, ended, len(runs), len(finished), n_failed)
        return cls(*begun, datasets, commits, versions, cpus, **chosen)

    @classmethod
    def from_json(cls, content: bytes) -> "About":
        """archive.json.

        Raises:
            ValueError, TypeError: it is not one, or a newer version of the code wrote it.
        """
        found = made(cls, parse_json(content))
        lists = (found.datasets, found.code_commits, found.versions, found.cpus, found.authors)
        if not all(isinstance(one, str) for one in itertools.chain(*lists)):
            raise TypeError("a list holds something else than texts")
        if found.schema > SCHEMA_VERSION:
            raise ValueError(
                f"schema {found.schema}, and this version of the code reads up to {SCHEMA_VERSION}; update the code"
            )
        return found

    def to_json(self) -> bytes:
        """As text."""
        return json.dumps(asdict(self), indent=1).encode() + b"\n"

    def summary(self) -> str:
        """In one sentence."""
        return (
            f"{self.n_finished:,} of {self.n_runs:,} trainings of small neural networks on {', '.join(self.datasets)}, "
            "with noise in the training images."
        )


def _kinds(values: pd.Series) -> list[str]:
    return sorted(set(values.astype(str)) - {""})


def readme(about: About, described: Mapping[str, str]) -> str:
    """README.md. described: file or folder -> what it is."""
    return _README.render(about=about, described=described, project=PROJECT)


_README = jinja2.Environment(trim_blocks=True, keep_trailing_newline=True).from_string("""\
# {{ about.name }}

{{ about.summary() }} In every epoch, each pixel of a training image was replaced with probability `p` by a
new uniform random value. Accuracy is on the clean test set. The campaign began on {{ about.created[:10] }}, and its last run
ended on {{ about.ended[:10] }}.

{% if about.authors %}
Authors: {{ about.authors | join(", ") }}.
{% endif %}
Licence: {{ about.license }}

| file | |
|---|---|
{% for name, what in described.items() %}
| `{{ name }}` | {{ what }} |
{% endfor %}

## Read it

Begin with `report.html`. It opens in any browser and needs no network. `results.h5` is HDF5. xarray opens it with names, units
and dimensions:

```python
import xarray

runs = xarray.open_dataset("results.h5", engine="h5netcdf")
```

## Check it

```sh
sha256sum --check SHA256SUMS    # on macOS: shasum -a 256 --check SHA256SUMS
```

This says whether every file is as it was packed. If `{{ project }}` is installed, the next command also makes the CSV files
again from `results.h5` and compares them:

```sh
noisy archive --check .
```

## Make it again

Get the code of `{{ project }}` at the commit that trained the runs, and install the versions that trained them:

{% for commit in about.code_commits %}
* commit {{ commit }}
{% endfor %}
{% for one in about.versions %}
* {{ one }}
{% endfor %}

{% if about.code_commits | length > 1 or about.versions | length > 1 %}
Not all runs have the same. `results_per_run.csv` has the commit and the versions of each run.
{% endif %}
`requirements.txt` has the versions of all packages with which this archive was made. In the folder of the code:

```sh
noisy submit --grid grid.yaml --output-dir results/again
noisy compare results_per_run.csv results/again
```

Results are equal in every bit on a processor of the same kind, with the same versions and number of threads. Elsewhere rounding
differs and training amplifies it: then means and intervals agree, and `noisy compare` says whether they do. The runs were
trained on:

{% for cpu in about.cpus %}
* {{ cpu }}
{% endfor %}
""")


def requirements() -> str:
    """requirements.txt: the versions of all packages that this project needs, as they are installed here."""
    versions = dict(sorted(_installed(PROJECT)))
    versions.pop(PROJECT, None)
    head = "# With these versions this archive was made. README.md says with which ones the runs were trained.\n"
    return head + "".join(f"{name}=={version}\n" for name, version in versions.items())


def _installed(project: str) -> Iterator[tuple[str, str]]:
    """Name and version of a package and of all that it needs, as far as they are installed."""
    waiting, seen = [project], set[str]()
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in seen:
            continue
        seen.add(name)
        try:
            found = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        yield name, found.version
        needed = (text for text in found.requires or () if "extra ==" not in text)
        waiting += [match[0] for match in map(_REQUIREMENT.match, needed) if match]
