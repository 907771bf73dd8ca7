"""python -m tests.grid_schema > hpc/grid.schema.json: the JSON schema of grid.yaml, as the table of its keys has it now."""

import json

from hpc.execution.choice import SECTION_SCHEMAS
from hpc.request.schema import schema


def page() -> str:
    """The file."""
    return json.dumps(schema(SECTION_SCHEMAS), indent=1) + "\n"


if __name__ == "__main__":
    print(page(), end="")
