"""The API with the endpoint `/mcp`: `python -m ops.api_with_mcp`, as `python -m api.app`."""

from __future__ import annotations

import sys

from api.app import main as serve
from richregime.errors import ExtraMissing


def main(arguments: list[str] | None = None) -> int:
    """As `api.app.main`; 2 where the package `mcp` is missing."""
    try:
        from ops.mcp_endpoint import add_mcp
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in ("mcp", "mcp_types"):
            raise
        print(f"RICHREGIME_MCP: {ExtraMissing('mcp', 'mcp')}", file=sys.stderr)
        return 2
    return serve(arguments, extend=add_mcp)


if __name__ == "__main__":
    sys.exit(main())
