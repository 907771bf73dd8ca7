"""noisy merge A B ... --into C: campaigns, or archives of them, become one new campaign.

Runs that several have count once. Their records must agree, as two records of a run always must.
Exit status: 0 all well, 1 records disagree or cannot be used, 2 the input is wrong, or a file cannot be written.
"""

from pathlib import Path

from analysis.ending import without_settings
from jobs.commandline import Parser


def main(argv: list[str] | None = None) -> None:
    """The command line above."""
    parser = Parser("merge", "Make one new campaign of several.")
    parser.add_argument("parts", type=Path, nargs="+", metavar="CAMPAIGN", help="a campaign's folder, or an archive of one")
    parser.add_argument("--into", type=Path, required=True, metavar="DIR", help="the folder of the new campaign")
    options = parser.parse_args(argv)
    with without_settings():
        from analysis.merging import run  # takes a second

    run(options)


if __name__ == "__main__":
    main()
