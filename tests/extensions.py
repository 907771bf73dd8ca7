"""The example of docs/extensions.md: a small ResNet, swish, and a data set of three channels."""

import re
from pathlib import Path

from noisy import extend
from noisy.data import Data
from noisy.owndata import keep, own_data, own_folder
from noisy.spec import digest_of
from tests.commands import ROOT

PAGE = (ROOT / "docs/extensions.md").read_text()
(CODE,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
(GRID,) = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
DIGEST = digest_of(CODE.encode())
_MODELS = "models: {mlp: {hidden_sizes: [32]}}\n"
QUICK = GRID.replace(_MODELS, _MODELS[:-2] + ", resnet6: {epochs: 1, max_train_samples: 192}}\nmax_workers: 1\n")
assert QUICK != GRID  # the same 16 runs, most of which learn less


def write(folder: Path, code: str = CODE, grid: str = GRID) -> Path:
    """Write both files; returns the path of the grid."""
    (folder / "my_nets.py").write_text(code)
    (folder / "grid.yaml").write_text(grid)
    return folder / "grid.yaml"


def rings(data_dir: Path) -> Data:
    """The data set, kept in `data_dir`. This process has executed the file."""
    made = extend.registered(extend.load(CODE.encode(), "my_nets.py")).dataset["rings"]
    data = own_data("rings", made.read(data_dir), made.n_classes)
    keep(data, own_folder("rings", DIGEST, data_dir))
    return data
