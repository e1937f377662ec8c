"""Every command of hyperjax by one name: `hyperjax deep-sea run --size 10`.

The program `hyperjax` comes with the package. In a clone the commands are also
`python -m experiments.deep_sea.run` and so on.
"""

from collections.abc import Sequence
import difflib
import importlib
import importlib.metadata
import importlib.util
import sys

# What follows `hyperjax`, the module, and what the command does.
_COMMANDS = {
    'deep-sea run': 'trains an agent on DeepSea',
    'deep-sea sweep': 'trains agents on several sizes',
    'deep-sea plot': 'draws episodes to solve over the size',
    'deep-sea table': 'prints a table of finished runs',
    'deep-sea pictures': "draws a run's pictures again",
    'deep-sea animation': 'draws an agent on its way to the treasure',
    'deep-sea tabular-optimist': 'what optimism alone needs on DeepSea',
    'bsuite run': 'trains an agent on ids of bsuite',
    'bsuite analyse': 'scores runs on bsuite',
    'atari run': 'trains an agent on Atari games',
    'atari sweep': 'trains an agent on Atari, game by game, on many machines',
    'atari analyse': 'scores runs on Atari',
    'atari pictures': "draws a run's pictures again",
    'tabular run': 'exact regret of tabular agents in one environment',
    'tabular cost': 'arithmetic of tabular agents against S, A, H, M and K',
    'tabular lemma': 'how long the perturbations keep within their band',
    'tabular scaling': 'how regret grows with S, A, H and K',
    'tabular table': 'prints tables of tabular runs, and draws them',
    'bandits run': 'regret of agents in linear bandits',
    'minatar run': 'trains an agent on a game of MinAtar',
    'minatar analyse': 'compares runs on MinAtar',
    'regression': 'errors of approximate posteriors, where they are known',
}

# What the commands import; it comes with the extra `experiments`.
_NEEDED = ('matplotlib', 'tqdm', 'tyro')


def _help() -> str:
  width = max(map(len, _COMMANDS))
  return '\n'.join([
      'usage: hyperjax COMMAND [OPTIONS]', '',
      *(f'  {name:{width}}  {does}' for name, does in _COMMANDS.items()), '',
      'hyperjax COMMAND --help lists the options of a command.'])


def main(argv: Sequence[str] | None = None):
  """Runs the command that the first words name.

  Args:
    argv: arguments, those of the process by default.
  """
  argv = list(sys.argv[1:] if argv is None else argv)
  if not argv or argv[0] in ('-h', '--help'):
    print(_help())
    sys.exit(0 if argv else 2)
  if argv == ['--version']:
    print(f'hyperjax {importlib.metadata.version("hyperjax")}')
    return
  for num_words in (2, 1):
    name = ' '.join(argv[:num_words])
    if name in _COMMANDS:
      break
  else:
    words = ' '.join(word for word in argv[:2] if not word.startswith('-'))
    known = (
        [name for name in _COMMANDS if name.split()[0] == argv[0]]
        or difflib.get_close_matches(words, _COMMANDS) or list(_COMMANDS))
    print(f'error: unknown command {words!r}; expected one of '
          f'{", ".join(known)}', file=sys.stderr)
    sys.exit(2)
  missing = [name for name in _NEEDED if not importlib.util.find_spec(name)]
  if missing:
    print(f'error: the commands need {", ".join(missing)}; install '
          f'hyperjax[experiments]', file=sys.stderr)
    sys.exit(1)
  # As with `python -m`: modules of a user's own, for --agent my_module:MyAgent.
  sys.path.append('')
  module = '.' + name.replace(' ', '.').replace('-', '_')
  importlib.import_module(module, __package__).main(argv[num_words:])


if __name__ == '__main__':
  main()
