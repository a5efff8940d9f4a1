"""The heights of all rows, and which row lies at a height: each answer takes log(n) steps (a Fenwick tree).
No Qt.

Source: P. M. Fenwick, "A New Data Structure for Cumulative Frequency Tables", 1994.
"""

from collections.abc import Iterable


class Heights:
    """Heights in whole pixels, by row."""

    def __init__(self, heights: Iterable[int] = ()) -> None:
        self._heights = list(heights)
        # sums[i] is of the rows (i - lowest bit of i) to i - 1; the first entry is of none.
        self._sums = [0, *self._heights]
        for number in range(1, len(self._sums)):
            above = number + (number & -number)
            if above < len(self._sums):
                self._sums[above] += self._sums[number]

    def __len__(self) -> int:
        return len(self._heights)

    def __getitem__(self, row: int) -> int:
        return self._heights[row]

    @property
    def total(self) -> int:
        """Of all rows."""
        return self.top(len(self._heights))

    def top(self, row: int) -> int:
        """Where a row begins."""
        total = 0
        while row:
            total += self._sums[row]
            row &= row - 1
        return total

    def at(self, y: int) -> int:
        """The row at a height; the nearest one for a height outside of all."""
        row, step = 0, 1 << max(len(self._heights).bit_length() - 1, 0)
        rest = max(y, 0)
        while step:
            if row + step <= len(self._heights) and self._sums[row + step] <= rest:
                row += step
                rest -= self._sums[row]
            step >>= 1
        return min(row, max(len(self._heights) - 1, 0))

    def set(self, row: int, height: int) -> int:
        """Give a row another height; returns by how much it grew."""
        by = height - self._heights[row]
        self._heights[row] = height
        number = row + 1
        while by and number < len(self._sums):
            self._sums[number] += by
            number += number & -number
        return by

    def append(self, height: int) -> None:
        """Add a row at the end."""
        number = len(self._heights) + 1
        first = number - (number & -number)
        self._sums.append(height + self.top(number - 1) - self.top(first))
        self._heights.append(height)

    def cut(self, row: int) -> None:
        """Remove this row and all after it."""
        del self._heights[row:]
        del self._sums[row + 1 :]
