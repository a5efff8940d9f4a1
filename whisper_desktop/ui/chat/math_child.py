"""A program of its own that draws formulas: LaTeX in, SVG out, a line of JSON for each.

What draws is 25 MB large, takes a fifth of a second to be loaded, and reads what a model wrote; here it
cannot hold up a window, and can be ended when it takes too long. Imports nothing of ours.
"""

import json
import sys
from typing import Any

_LONGEST_SVG = 400_000  # characters


def drawn(latex: str, *, display: bool, size: float) -> dict[str, Any]:
    """A formula as SVG, with its width, height and depth below the baseline; {} where it cannot be drawn.

    All lengths are in the unit of `size`, that of the font.
    """
    from ziafont.config import config
    from ziamath import zmath

    config.svg2 = False  # Qt draws paths, and not the symbols of SVG 2
    try:
        formula = zmath.Latex(latex, size=size, inline=not display)
        svg = formula.svg()
        (width, height), offset = formula.getsize(), formula.getyofst()
    except Exception:  # whatever a model writes, its source is shown then
        return {}
    if len(svg) > _LONGEST_SVG or not 0 < width < 1e5 or not 0 < height < 1e5:
        return {}
    return {"svg": svg, "width": width, "height": height, "depth": -offset}


def main() -> int:
    """Answer until nobody asks any more."""
    sys.setrecursionlimit(2_000)
    for line in sys.stdin.buffer:
        asked = json.loads(line)
        answer = drawn(asked["latex"], display=asked["display"], size=asked["size"])
        sys.stdout.buffer.write(json.dumps({"id": asked["id"], **answer}).encode() + b"\n")
        sys.stdout.buffer.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
