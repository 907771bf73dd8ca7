"""Own files that never end, or that end or crash the process that tries them: the answer names the file and the line."""

from pathlib import Path
from typing import Any

import pytest

from hpc.request.trying import answer_of, tried
from tests.processes import wait_for

HEAD = "import ctypes, os, time\nfrom noisy.extend import model\n"
IN_MODEL = "@model('slow')\ndef slow(activation, image_shape, n_classes):\n    {}\n"
ALLOWED = "allowed: a file that does not wait or loop forever"
ENDS = {  # the second of two files -> the most seconds, what is said of it
    "ctypes.string_at(0)\n": (60, "b.py, line 3: the process that executed it was killed by signal 11 (Segmentation fault)"),
    "sum(range(10**12))\n": (0.5, "b.py, line 3: not done after 0.5 s; " + ALLOWED),
    IN_MODEL.format("time.sleep(99)"): (
        6,
        "model 'slow' with activation 'relu': b.py, line 5: not done after 6 s; " + ALLOWED,
    ),
}


def two_files(folder: Path, text: str, limit_s: float) -> Any:
    request = {"model": ["slow"], "activation": ["relu"], "dataset": ["mnist"], "data_dir": str(folder), "is_kept": False}
    request["lengths"] = {"slow": {"batch_size": [128], "max_train_samples": [None]}}
    paths = [folder / "ä.py", folder / "b.py"]
    return tried(paths, [b"import threading\n" * 2, (HEAD + text).encode()], request, limit_s)


@pytest.mark.slow
@pytest.mark.parametrize("text", ENDS)
def test_a_file_that_does_not_come_back_is_named(text: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    limit_s, said = ENDS[text]
    assert two_files(tmp_path, text, limit_s) == {"registered": {}, "own_data": "", "problems": [(1, said)]}
    note = "note: model 'slow' with activation 'relu': b.py has been executed for 5 s, at most 6 s\n"
    assert capsys.readouterr().err == (note if limit_s == 6 else "")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_what_a_file_leaves_is_not_waited_for_and_ends_with_the_trial(tmp_path: Path) -> None:
    """A process, and a thread that ends with its process."""
    fork = f"if os.fork() == 0:\n    open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\n    time.sleep(99)\n"
    thread = "import threading\nthreading.Thread(target=time.sleep, args=(10**6,)).start()\n"
    answer = two_files(tmp_path, fork + "time.sleep(1)\n" + thread + IN_MODEL.format("return 3"), 60)
    assert answer["problems"] == [[1, "model 'slow' with activation 'relu': it is int; allowed: a torch.nn.Module"]]
    stat = Path("/proc", (tmp_path / "pid").read_text(), "stat")
    wait_for(lambda: not stat.exists() or stat.read_text().split(") ")[1][0] == "Z")


STACK = """[0, "", 60]
[0, "model 'm': ", 60]
Timeout (0:01:00)!
Thread 0x00007f01 (most recent call first):
  File "/home/\\xe4/nets.py", line 3 in other
  File "/home/\\xe4/nets.py", line 4 in run

Thread 0x00007f02 [python] (most recent call first):
  File "/lib/torch/nn.py", line 1 in forward
  File "/home/\\xe4/nets.py", line 7 in forward
  File "/home/\\xe4/nets.py", line 9 in <module>
"""


def test_the_line_is_the_innermost_of_the_file_in_the_first_thread() -> None:
    paths = [Path("/home/ä/nets.py")]
    ((number, text),) = answer_of(STACK, 1, paths)["problems"]
    assert (number, text.partition(";")[0]) == (0, "model 'm': nets.py, line 7: not done after 60 s")
    ((_, text),) = answer_of(STACK, 1, [Path("/home/other.py")])["problems"]
    assert text.startswith("model 'm': other.py: not done after 60 s")


def test_an_answer_counts_however_its_process_ended_afterwards() -> None:
    answer = {"registered": {"model": {}}, "own_data": "", "problems": []}
    assert answer_of('[0, "", 60]\n{"registered": {"model": {}}, "own_data": "", "problems": []}\n', -11, []) == answer
    for status in (0, 1):
        ((_, text),) = answer_of("", status, [Path("nets.py")])["problems"]
        assert text == f"nets.py: the process that executed it ended with status {status}"
    ((_, text),) = answer_of('[0, "", 60]\n{"registered": {"mo', -9, [Path("nets.py")])["problems"]
    assert text == "nets.py: the process that executed it was killed by signal 9 (Killed)"
