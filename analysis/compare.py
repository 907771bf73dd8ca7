"""noisy compare A B: do two campaigns agree, cell by cell?

A and B are folders of campaigns, archives, or files results_per_run.csv. Writes compare.csv, compare.pdf and compare.png.
Exit status: 0 they agree, 1 a cell differs more than chance explains, 2 the input is wrong or a file cannot be written.
"""

from pathlib import Path

from analysis.ending import without_settings
from jobs.commandline import Parser


def main(argv: list[str] | None = None) -> None:
    """The command line above."""
    parser = Parser("compare", "Do two campaigns agree, cell by cell?")
    for name in ("A", "B"):
        parser.add_argument(name, type=Path, help="the folder of a campaign, its archive, or its results_per_run.csv")
    parser.add_argument(
        "--to", type=Path, default=Path(), help="folder for compare.csv and the figure (default: the current one)"
    )
    parser.add_argument(
        "--unpaired", action="store_true", help="do not compare in pairs: equal repeats share no random numbers"
    )
    options = parser.parse_args(argv)
    with without_settings():
        from analysis.campaigns import run  # takes a second

    run(options)


if __name__ == "__main__":
    main()
