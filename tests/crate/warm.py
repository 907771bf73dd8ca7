"""Puts the context of RO-Crate into the cache of its validator, which has no network here: `python warm.py CACHE`.

The validator asks the web for the context of version 1.1. The library `rocrate` comes with that of its newest version, which
has all terms of 1.1. The Python of `.venv-crate` runs this.
"""

import io
import sys
from pathlib import Path

import requests
import rocrate
import urllib3
from requests_cache import CachedSession

CONTEXT = Path(rocrate.__file__).parent / "data" / "ro-crate.jsonld"


class Shelf(requests.adapters.BaseAdapter):
    """Answers every request with the context."""

    def send(self, request: requests.PreparedRequest, **_: object) -> requests.Response:
        """The answer."""
        body, headers = io.BytesIO(CONTEXT.read_bytes()), {"Content-Type": "application/ld+json"}
        raw = urllib3.HTTPResponse(body=body, headers=headers, status=200, preload_content=False, request_url=request.url)
        return requests.adapters.HTTPAdapter().build_response(request, raw)

    def close(self) -> None:
        """There is nothing to close."""


session = CachedSession(cache_name=sys.argv[1], backend="sqlite", expire_after=-1)
session.mount("https://", Shelf())
for headers in ({}, {"Accept": "application/ld+json"}, {"Accept": "application/ld+json, application/json;q=0.9, */*;q=0.1"}):
    session.get("https://w3id.org/ro/crate/1.1/context", headers=headers).raise_for_status()
