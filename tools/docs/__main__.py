"""`python -m tools.docs`: write the error pages and build the site into build/site."""

from __future__ import annotations

import sys
from pathlib import Path

from tools.docs.codes import ROOT, write_pages
from tools.docs.site import BrokenLink, build


def main() -> int:
    """Return the exit code: 0 built, 1 for a broken link."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build" / "site"
    for name in write_pages():
        print(f"docs/errors/{name}: written from src/headwater/help/codes.toml")
    try:
        pages = build(target)
    except BrokenLink as error:
        print(f"docs/{error}", file=sys.stderr)
        return 1
    print(f"{pages} pages: {target / 'index.html'}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
