"""Ordinary users of the machine and of the test cluster. Slurm exempts root from limits, and hides nothing from it."""

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

from tests import commands
from tests.slurm.cluster import NODES, cancel_all, drain, sh, submit_command

GROUP = "users"


@dataclass(frozen=True)
class User:
    """name: of the user, who has `account` in Slurm; home: a folder of their own; shared: what `readable` gives."""

    name: str
    account: str
    home: Path
    shared: Path

    def run(self, *command: object) -> subprocess.CompletedProcess:
        """Run a program as this user, in the project's folder."""
        base = self.shared / "base"
        environment = {
            **{"PATH": os.environ["PATH"], "SLURM_CONF": os.environ["SLURM_CONF"], "HOME": str(self.home), "LANG": "C.UTF-8"},
            **{"PYTHONHOME": str(base), "LD_LIBRARY_PATH": str(base / "lib"), "PYTHONPATH": str(self.shared / "packages")},
            **{"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"},
        }
        return subprocess.run(
            [str(each) for each in command],
            user=self.name,
            group=GROUP,
            extra_groups=[],
            umask=0o022,
            cwd=self.shared / "code",
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def python(self, module: str, *arguments: object) -> subprocess.CompletedProcess:
        """Run `python -m module arguments`."""
        return self.run(self.shared / "base" / "bin" / f"python3.{sys.version_info[1]}", "-m", module, *arguments)

    def submit(self, grid: Path, campaign: Path, *options: object) -> subprocess.CompletedProcess:
        """hpc.submit to Slurm, with the user's account."""
        command = submit_command(grid, campaign, self.home / "data")
        return self.python(*map(str, command), "--sbatch", f"account={self.account}", *options)


@contextmanager
def readable() -> Iterator[Path]:
    """A folder in which everybody can read this Python, its packages and this project. They are mounted, and cannot be written.

    It is removed only if it is empty: if a mount stayed, nothing behind it would be lost.
    """
    folder, mounted = Path(mkdtemp(prefix="readable.", dir="/tmp")), list[Path]()
    folder.chmod(0o755)
    try:
        for name, source in {"base": sys.base_prefix, "packages": sysconfig.get_path("purelib"), "code": commands.ROOT}.items():
            place = folder / name
            place.mkdir()
            sh(f"mount --bind '{source}' {place} && mount -o remount,ro,bind {place}")
            mounted.append(place)
        yield folder
    finally:
        for place in mounted:
            sh(f"umount --lazy {place}")
            place.rmdir()
        folder.rmdir()


@contextmanager
def two_users(cluster: Path) -> Iterator[tuple[User, User]]:
    """Two ordinary users of one group and one account. Nothing of them is left."""
    names, account = [f"{NODES}{letter}" for letter in "ab"], f"{NODES}crew"
    with readable() as shared:
        try:
            sh(f"sacctmgr -i add account {account}")
            for name in names:
                sh(f"useradd --no-create-home --home-dir {cluster / name} --gid {GROUP} {name}")
                sh(f"sacctmgr -i add user {name} account={account}")
                (cluster / name).mkdir()
                shutil.chown(cluster / name, name, GROUP)
            yield tuple(User(name, account, cluster / name, shared) for name in names)
        finally:
            cancel_all()
            drain()
            for name in names:
                sh(f"userdel {name}", check=False)
