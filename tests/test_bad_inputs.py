"""docs/bad_inputs.md is up to date."""

from pathlib import Path

import pytest

from tests import bad_inputs, commands


@pytest.mark.slow
def test_the_page_is_what_the_commands_answer(digits_dir: Path) -> None:
    kept = (commands.ROOT / "docs" / "bad_inputs.md").read_text()
    assert bad_inputs.page(digits_dir) == kept, "python -m tests.bad_inputs > docs/bad_inputs.md"
