"""Figures of runs on bsuite: a radar over tags, bars and curves by family."""

from pathlib import Path
import textwrap
from typing import Any

from matplotlib import figure
from matplotlib import lines as lines_lib
from matplotlib import patches
from matplotlib import ticker
import numpy as np

from ..common import files
from ..common import style
from . import families as families_lib
from . import reading
from . import scores as scores_lib
from . import table

# Published agents beside ours, where all would be too many, and their markers.
REFERENCES = {'DQN': 'o', 'Boot DQN': '^', 'Dreamer': 'D'}
_GREY = '0.35'
# In one row.
_MOST_BARS = 80
_NAMES = {'credit_assignment': 'credit\nassignment'}


def _title(tag: str) -> str:
  return _NAMES.get(tag, tag)


def _legend(fig: figure.Figure, handles: list[Any], where: str):
  """Adds a legend outside of the axes, and makes the figure taller by it."""
  width, height = fig.get_size_inches()
  longest = max(len(handle.get_label()) for handle in handles)
  # Of a letter, and of the line before each label, in inches.
  columns = int(width / (0.075 * longest + 0.6))
  columns = max(1, min(columns, len(handles), 4))
  fig.legend(handles=handles, frameon=False, loc=f'outside {where}',
             ncols=columns, fontsize='medium')
  fig.set_size_inches(width, height + 0.22 * -(-len(handles) // columns))


def draw_radar(scores: dict[str, table.Scores], path: Path) -> list[str]:
  """Draws the scores by tag, over the families that all agents have.

  Returns:
    Which tags are left out, or why there is no picture.
  """
  common = table.common_families(scores)
  families = {tag: [name for name in families_lib.with_tag(tag)
                    if name in common] for tag in families_lib.TAGS}
  tags = [tag for tag in families if families[tag]]
  missing = [tag.replace('_', ' ') for tag in families if not families[tag]]
  if len(tags) < 3:
    path.unlink(missing_ok=True)  # An earlier one would be of other runs.
    return [f'{path.name} is not drawn: no family of '
            f'{", ".join(missing)} is there for all agents.']
  angles = np.linspace(0., 2. * np.pi, len(tags) + 1)

  def ring(mine: table.Scores) -> np.ndarray:
    values = [table.of_families(mine, families[tag]).mean for tag in tags]
    return np.array([*values, values[0]])

  fig = figure.Figure(figsize=(8.2, 6.2), layout='constrained')
  ax = fig.add_subplot(projection='polar')
  ax.set_theta_zero_location('N')
  ax.set_theta_direction(-1)
  for agent, dashes in zip(('Boot DQN', 'Dreamer'), ('--', ':'), strict=True):
    ax.plot(angles, ring([table.published()[agent]]), dashes, color=_GREY,
            linewidth=1.3, label=f'{agent} (published)')
  for name, color in style.colors(scores).items():
    values = ring(scores[name])
    ax.fill(angles, values, color=color, alpha=0.1, linewidth=0)
    ax.plot(angles, values, color=color, linewidth=2., marker='o',
            markersize=4, label=name, clip_on=False, zorder=3)
  ax.set_ylim(0., 1.)
  ax.set_yticks([0.25, 0.5, 0.75, 1.], ['', '0.5', '', '1'], color='0.45',
                fontsize='small')
  ax.set_rlabel_position(180. / len(tags))
  ax.set_xticks(angles[:-1], [
      _title(tag) + ('' if len(families[tag]) == len(
          families_lib.with_tag(tag)) else (
              f'\n({len(families[tag])} of '
              f'{len(families_lib.with_tag(tag))})'))
      for tag in tags], fontsize='large')
  for label, angle in zip(ax.get_xticklabels(), angles, strict=False):
    side = np.sin(angle)
    label.set_horizontalalignment(
        'center' if abs(side) < 0.1 else 'left' if side > 0 else 'right')
    height = np.cos(angle)  # The lines of a label go away from the circle.
    label.set_verticalalignment(
        'center' if abs(height) < 0.3 else 'bottom' if height > 0 else 'top')
  ax.grid(color='0.85', linewidth=0.8)
  ax.spines['polar'].set_color('0.7')
  handles, _ = ax.get_legend_handles_labels()
  _legend(fig, [*handles[2:], *handles[:2]], 'lower center')
  files.write_figure(path, fig)
  return [f'{path.name} has no spoke for {", ".join(missing)}: no family of '
          f'it is there for all agents.'] * bool(missing)


def draw_bars(
    runs: reading.Runs, scores: dict[str, table.Scores], path: Path):
  """Draws the scores by family, type by type, with published ones as marks.

  A hatched bar is of a part of its family's ids or episodes.
  """
  parts = [_present(scores, list(families_lib.FAMILIES))]
  if len(parts[0]) * len(runs) > _MOST_BARS:
    first = [name for name in parts[0] if _type(name) in families_lib.TAGS[:3]]
    parts = [first, [name for name in parts[0] if name not in first]]
  parts = [families for families in parts if families]
  places = [_places(families) for families in parts]
  longest = max(x[-1] for x in places)
  fig = figure.Figure(
      figsize=(max(5.5, 2. + 0.52 * longest * max(1., 0.25 * len(runs))),
               0.3 + 3.9 * len(parts)), layout='constrained')
  axes = fig.subplots(len(parts), squeeze=False).flat
  partial = [_draw_bars(ax, runs, scores, families, x)
             for ax, families, x in zip(axes, parts, places, strict=True)]
  handles = [patches.Patch(color=color, label=name)
             for name, color in style.colors(runs).items()]
  if any(partial):
    handles.append(patches.Patch(
        facecolor='0.7', hatch='////', edgecolor='white',
        label='part of the ids or episodes'))
  handles += [lines_lib.Line2D(
      [], [], color='black', marker=marker, linestyle='none',
      markerfacecolor='white', label=f'{agent} (published)')
              for agent, marker in REFERENCES.items()]
  _legend(fig, handles, 'upper center')
  files.write_figure(path, fig)


def _type(family: str) -> str:
  return families_lib.FAMILIES[family].tags[0]


def _present(scores: dict[str, table.Scores], families: list[str]) -> list[str]:
  """Returns the families that a seed of any agent has."""
  return [family for family in families if any(
      family in seed for mine in scores.values() for seed in mine)]


def _places(families: list[str]) -> np.ndarray:
  """Returns where families are, from 0, with gaps between types."""
  types = [_type(family) for family in families]
  return np.arange(len(families)) + 0.7 * np.cumsum(
      [i > 0 and types[i] != types[i - 1] for i in range(len(types))])


def _draw_bars(
    ax: Any, runs: reading.Runs, scores: dict[str, table.Scores],
    families: list[str], x: np.ndarray) -> bool:
  """Draws some families at their places; returns whether a bar is hatched."""
  width, partial = 0.8 / len(runs), False
  for i, (name, color) in enumerate(style.colors(runs).items()):
    at = x + (i - (len(runs) - 1) / 2.) * width
    for place, family in zip(at, families, strict=True):
      estimate = table.of_family(scores[name], family)
      if estimate is None:
        continue
      part = bool(table.coverage(runs[name], family))
      partial |= part
      # So that a score of 0 can be told from none.
      ax.bar(place, max(estimate.mean, 0.006), 0.92 * width, color=color,
             alpha=0.55 if part else 1., hatch='////' if part else None,
             edgecolor='white', linewidth=0.)
      if not np.isnan(estimate.half):
        ax.errorbar(place, estimate.mean, estimate.half, color='black',
                    linewidth=0.9, capsize=min(2.5, 9. * width))
  for i, (agent, marker) in enumerate(REFERENCES.items()):
    values = [table.published()[agent][family] for family in families]
    ax.plot(x + 0.2 * (i - 1), values, marker, color='black', markersize=5,
            markerfacecolor='white', markeredgewidth=0.9, clip_on=False,
            zorder=4)
  types = [_type(family) for family in families]
  for tag in dict.fromkeys(types):
    mine = [place for place, other in zip(x, types, strict=True)
            if other == tag]
    ax.text(np.mean(mine), 1.05, _title(tag), ha='center', va='bottom',
            fontsize='medium', color='0.25')
    ax.plot([mine[0] - 0.45, mine[-1] + 0.45], [1.035, 1.035], color='0.6',
            linewidth=1., clip_on=False)
  ax.set_xticks(x, families, rotation=40, ha='right', rotation_mode='anchor')
  ax.set_xlim(-0.7, x[-1] + 0.7)
  ax.set_ylim(0., 1.)
  ax.set_ylabel('score')
  ax.set_axisbelow(True)
  ax.grid(axis='y', color='0.88', linewidth=0.8)
  ax.tick_params(axis='x', length=0)
  ax.spines[['top', 'right', 'left']].set_visible(False)
  return partial


def mean_and_range(
    curves: list[tuple[np.ndarray, np.ndarray]],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
  """Returns mean, least and largest value of the curves that have come so far.

  Args:
    curves: for each its episodes and its values, [T] each.

  Returns:
    Episodes at which any of the curves has a value, and the three, [T] each.
  """
  found = {}
  for episodes, values in curves:
    for episode, value in zip(episodes.tolist(), values.tolist(), strict=True):
      found.setdefault(episode, []).append(value)
  episodes = sorted(found)
  return (np.array(episodes), *(
      np.array([function(found[episode]) for episode in episodes])
      for function in (np.mean, np.min, np.max)))


def draw_learning(runs: reading.Runs, path: Path):
  """Draws what each family's score is made of: mean and range over its ids."""
  colors = style.colors(runs)
  families = [family for family in families_lib.FAMILIES if any(
      family in seed.logs for mine in runs.values() for seed in mine)]
  # So that a row is of one type, where types are of one size.
  types = list(map(_type, families))
  columns = max(types.count(types[0]), round(len(families)**0.5))
  rows = -(-len(families) // columns)
  fig = figure.Figure(
      figsize=(max(5., 2.6 * columns), 2.1 * rows + 0.8),
      layout='constrained')
  axes = fig.subplots(rows, columns, squeeze=False).flat
  for ax, family in zip(axes, families, strict=False):
    measure = scores_lib.measure(family)
    for name, mine in runs.items():
      curves = [(log.episodes, scores_lib.curve(family, log))
                for seed in mine for log in seed.logs.get(family, {}).values()]
      if not curves:
        continue
      episodes, mean, low, high = mean_and_range(curves)
      ax.fill_between(episodes, low, high, color=colors[name], alpha=0.13,
                      linewidth=0)
      whole = min(int(x[-1]) for x, _ in curves)
      for part, line in ((episodes <= whole, '-'), (episodes >= whole, ':')):
        ax.plot(episodes[part], mean[part], line, color=colors[name],
                linewidth=1.6)
    if measure.level is not None:
      ax.axhline(measure.level, color=_GREY, linewidth=0.9, linestyle='--')
    ax.set_xscale('log')
    ax.set_xlim(1, families_lib.FAMILIES[family].num_episodes)
    ax.set_title(family, fontsize='medium')
    ax.set_ylabel(measure.label, fontsize='small')
    ax.tick_params(labelsize='small')
    ax.xaxis.set_major_formatter(ticker.EngFormatter(sep=''))
    ax.yaxis.set_major_locator(ticker.MaxNLocator(4, steps=[1, 2, 5, 10]))
    ax.grid(color='0.92', linewidth=0.7)
    ax.spines[['top', 'right']].set_visible(False)
  for ax in list(fig.axes)[len(families):]:
    ax.set_visible(False)
  caption = ('Values are means over all episodes so far. Line and band: mean '
             'and range over ids and seeds, dotted where not all have come so '
             'far. Dashed: what the score compares them with.')
  fig.supxlabel('episode\n' + textwrap.fill(
      caption, int(11 * fig.get_figwidth())), fontsize='medium')
  _legend(fig, [lines_lib.Line2D([], [], color=color, label=name)
                for name, color in colors.items()], 'upper center')
  files.write_figure(path, fig)
