"""noisy archive [DIR]: a campaign as one file that others can open, check and go on with.

`--check FILE` compares every file of an archive with its digest, makes the CSVs again from results.h5 and compares them.
Exit status: 0 all well, 1 something cannot be trusted, 2 the input is wrong, or a file cannot be written.
"""

from pathlib import Path

from analysis.ending import without_settings
from jobs.commandline import Parser

_NO_LICENSE = "not stated; ask the authors before you use these data."


def main(argv: list[str] | None = None) -> None:
    """The command line above."""
    parser = _parser()
    options = parser.parse_args(argv)
    if options.check and any((options.output_dir, options.to, options.shards, options.reference)):
        parser.error("--check: not possible together with options that make an archive")
    with without_settings():
        from analysis.packing import run  # takes a second

    run(options)


def _parser() -> Parser:
    parser = Parser("archive", "Pack a campaign into one file, with a new report; or check such a file.")
    parser.add_campaign(())
    add = parser.add_argument
    add(
        "--to",
        type=Path,
        metavar="FILE",
        help="the file to write (default: the campaign's folder with .tar.gz behind its name)",
    )
    add("--shards", action="store_true", help="also pack the shards: all records, as the workers wrote them")
    add("--style", default="paper", choices=("paper", "slides"), help="sizes of the figures, as in noisy report")
    add("--reference", help="the activation that others are compared with, as in noisy report")
    add("--license", default=_NO_LICENSE, help="how the data may be used: the address of a licence, or words")
    add("--author", action="append", default=[], help="a name; may be given several times")
    add("--check", type=Path, metavar="FILE", help="check an archive, or the folder that it was unpacked to; write nothing")
    return parser


if __name__ == "__main__":
    main()
