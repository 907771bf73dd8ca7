"""noisy report [DIR]: merge a campaign's shards; write CSVs, results.h5, figures and report.html.

Exit status: 0 all is well, even if runs are missing; 1 runs failed, something cannot be trusted, or the last results would be
replaced by fewer; 2 the input is wrong, or a file cannot be written.
"""

from pathlib import Path

from analysis.ending import without_settings
from jobs.commandline import Parser

WATCH_EVERY_S = 30
STYLES = ("paper", "slides")  # of analysis/figures/style.py, which is slow to import


def main(argv: list[str] | None = None) -> None:
    """The command line above."""
    parser = Parser("report", "Merge a campaign's shards; write CSVs, results.h5, figures and report.html.")
    parser.add_campaign()
    parser.add_argument("--to", type=Path, help="write here instead: if the campaign's folder is read-only, or with a FILTER")
    parser.add_argument(
        "--accept-fewer", action="store_true", help="replace the last results even if shards of runs in them are gone"
    )
    parser.add_argument(
        "--style", choices=STYLES, default="paper", help="size of figures and text: 5.5 inches, 8 points; or 11 and 16"
    )
    parser.add_argument(
        "--reference", help="the activation that others are compared with (default: relu if it is there, else the first)"
    )
    parser.add_argument(
        "--no-figures",
        action="store_true",
        help="write the CSVs and results.h5 only, which is faster; figures and pages of an earlier report are removed",
    )
    parser.add_argument(
        "--watch",
        type=float,
        nargs="?",
        const=0.0,
        metavar="SECONDS",
        help=f"renew the report until no run is missing (default: after {WATCH_EVERY_S} s, or ten times what it took)",
    )
    options = parser.parse_args(argv)
    if options.filter and not options.to:
        parser.error("a report with a FILTER needs --to DIR, since the campaign's folder is for the report on all of its runs")
    with without_settings():
        from analysis.making import run  # takes a second

    run(options)


if __name__ == "__main__":
    main()
