"""Laws of the download of data sets, up to the network: known by digest, refused with a message, nothing left behind."""

import gzip
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from noisy import data
from noisy.datafiles import FILES, MD5, fetched


@contextmanager
def server(answer: Callable[[str], bytes]) -> Iterator[tuple[str, list[str]]]:
    """Address of an HTTP server or proxy, and the list of the addresses that it was asked for."""
    asked: list[str] = []

    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            content = answer(self.path)
            self.send_response(200 if content else 404)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as serving:
        thread = Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{serving.server_port}", asked
        finally:
            serving.shutdown()
            thread.join()


@pytest.fixture
def through(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """A function that sets the proxy for all addresses."""
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)

    def set_proxy(address: str) -> None:
        for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, address)

    return set_proxy


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "kmnist"])
def test_without_a_network_the_refusal_is_one_line_a_problem_and_leaves_nothing(
    name: str, tmp_path: Path, through: Callable[[str], None]
) -> None:
    for data_dir in (tmp_path, tmp_path / "not" / "there"):
        with socket.socket() as closed:  # bound but not listening: the port refuses, and nobody else gets it
            closed.bind(("127.0.0.1", 0))
            through(f"http://127.0.0.1:{closed.getsockname()[1]}")
            with pytest.raises(data.DataError) as error:
                data.stage(name, data_dir)
        details = error.value.details
        assert details[:4] == [f"{file}: missing" for file in FILES]
        assert all(line.startswith("download of http") and "refused" in line for line in details[4:-2])
        assert len(details[4:-2]) in (1, 2)  # one a mirror
        assert not any("\n" in line for line in details)
        assert "if this machine has no network, copy the files to " in details[-1]
        assert list(tmp_path.iterdir()) == []


PORTAL = b"<html>please log in to the campus network</html>"


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (PORTAL, "Not a gzipped file"),
        (gzip.compress(PORTAL, mtime=0), "MD5 "),
        (b"", "Not Found"),
        (gzip.compress(PORTAL, mtime=0)[:-9], "ended"),
    ],
)
def test_what_a_captive_portal_sends_is_refused(sent: bytes, said: str, tmp_path: Path, through: Callable[[str], None]) -> None:
    with server(lambda _: sent) as (proxy, asked):
        through(proxy)
        with pytest.raises(data.DataError) as error:
            data.stage("kmnist", tmp_path)
    assert asked == ["http://codh.rois.ac.jp/kmnist/dataset/kmnist/train-images-idx3-ubyte.gz"]
    assert any(line.startswith(f"download of {asked[0]}: ") and said in line for line in error.value.details)
    assert list(tmp_path.iterdir()) == []


def test_a_download_takes_the_first_mirror_that_has_the_file(digits_dir: Path, through: Callable[[str], None]) -> None:
    content = (digits_dir / "Digits" / "raw" / FILES[0]).read_bytes()
    sent = {"/none": b"", "/garbage": PORTAL, "/good": gzip.compress(content, mtime=0), "/never": PORTAL}
    with server(sent.__getitem__) as (address, asked):
        through("")
        assert fetched([address + path for path in sent], MD5["digits"][0]) == content
    assert asked == ["/none", "/garbage", "/good"]
