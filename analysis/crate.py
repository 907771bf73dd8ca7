"""ro-crate-metadata.json: what the files of an archive are, as RO-Crate 1.1, which repositories for research data read."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rocrate.model import ContextEntity
from rocrate.rocrate import ROCrate

from analysis.cover import PROJECT, About

METADATA = "ro-crate-metadata.json"
_FORMATS = {
    ".csv": "text/csv",
    ".h5": "application/x-hdf5",
    ".html": "text/html",
    ".json": "application/json",
    ".jsonl": "application/jsonl",
    ".md": "text/markdown",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
    ".yaml": "application/yaml",
}
_MADE_FROM = ("grid.yaml", "manifest.jsonl")


def crate_metadata(about: About, sizes: Mapping[str, int], described: Mapping[str, str]) -> bytes:
    """The text of the file.

    Args:
        sizes: file -> bytes; described: file -> what it is, for those that have a description.
    """
    crate = ROCrate(version="1.1")
    root = crate.root_dataset
    root["datePublished"] = about.ended  # not now: equal campaigns give equal archives
    root["name"], root["description"] = f"{PROJECT}: {about.name}", about.summary()
    root["identifier"] = f"{PROJECT}/{about.campaign}"
    for name, n_bytes in sizes.items():
        properties = {"name": described.get(name, name), "contentSize": str(n_bytes)}
        if encoding := _FORMATS.get(Path(name).suffix):
            properties["encodingFormat"] = encoding
        crate.add_file(dest_path=name, properties=properties)
    root["license"] = _license(crate, about.license)
    if about.authors:
        people = [_entity(crate, f"#author-{i}", "Person", name=name) for i, name in enumerate(about.authors, start=1)]
        root["author"] = _plain(people)
    commits = [
        _entity(crate, f"#code-{commit}", "SoftwareApplication", name=PROJECT, softwareVersion=f"commit {commit}")
        for commit in about.code_commits
    ]
    inputs, results = ([{"@id": name} for name in sizes if (name in _MADE_FROM) == is_input] for is_input in (True, False))
    action = {"name": "training of all runs, and their report", "endTime": about.ended}
    links = {"instrument": _plain(commits), "object": _plain(inputs), "result": _plain(results)}
    root["mentions"] = _entity(crate, "#trained", "CreateAction", **action, **links)
    return json.dumps(crate.metadata.generate(), indent=1).encode() + b"\n"


def _license(crate: ROCrate, text: str) -> Any:
    """A licence with an address is an entity of its own; any other text says by itself how the data may be used."""
    if not text.startswith(("http://", "https://")):
        return text
    return _entity(crate, text, "CreativeWork", name=text, description="the licence of these data")


def _entity(crate: ROCrate, identifier: str, kind: str, **properties: Any) -> ContextEntity:
    return crate.add(ContextEntity(crate, identifier, properties={"@type": kind, **properties}))


def _plain(values: list) -> Any:
    """RO-Crate wants a list of one value without its list."""
    return values[0] if len(values) == 1 else values
