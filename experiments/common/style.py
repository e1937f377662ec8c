"""The look of figures."""

from collections.abc import Iterable, Sequence

from matplotlib import axes as axes_lib
import numpy as np

# Okabe and Ito's, which the colour-blind tell apart, without the yellow that
# is hard to see on white.
COLORS = ('#0072B2', '#D55E00', '#009E73', '#CC79A7', '#56B4E9', '#E69F00',
          '#000000')
GREY = '0.55'


def colors(names: Iterable[str]) -> dict[str, str]:
  """Returns a colour for each name, from the first on again after seven."""
  return {name: COLORS[i % len(COLORS)] for i, name in enumerate(names)}


def label_ends(
    ax: axes_lib.Axes, ends: Sequence[tuple[str, float, float, str]]):
  """Writes the names of lines beside the axes, each at its line's end.

  Args:
    ax: axes whose limits and scales are final.
    ends: name (may have several lines), x, y and colour of each line.
  """
  to_axes = ax.transData + ax.transAxes.inverted()
  placed = sorted(((*to_axes.transform((x, y)), name, color)
                   for name, x, y, color in ends), key=lambda end: end[1])
  heights = np.array([y for _, y, _, _ in placed])
  # Of half a name, as fractions of the axes' height.
  halves = [0.02 + 0.022 * name.count('\n') for _, _, name, _ in placed]
  for _ in range(200):  # Names that are too close push each other away.
    for i in range(len(heights) - 1):
      lack = halves[i] + halves[i + 1] - (heights[i + 1] - heights[i])
      if lack > 0.:
        heights[i] -= lack / 2.
        heights[i + 1] += lack / 2.
    heights = np.clip(heights, 0., 1.)  # Beside the axes, not above them.
  for (x, y, name, color), height in zip(placed, heights, strict=True):
    ax.annotate(
        name, (x, y), xytext=(1.04, height), xycoords='axes fraction',
        textcoords='axes fraction', color=color, fontsize='small', va='center',
        annotation_clip=False, arrowprops={
            'arrowstyle': '-', 'color': color, 'linewidth': 0.4,
            'alpha': 0.7, 'shrinkB': 4, 'relpos': (0., 0.5)})
