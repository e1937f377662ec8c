"""Installs hyperjax: `pip install .`, with extras `pip install .[bsuite]`."""

import pathlib

import setuptools

HERE = pathlib.Path(__file__).parent
VERSION = next(
    line.split("'")[1]
    for line in (HERE / 'hyperjax' / '__init__.py').read_text().splitlines()
    if line.startswith('__version__'))

# The name of experiments/ where it is installed: "experiments" is everybody's.
COMMANDS = 'hyperjax_experiments'

EXTRAS = {
    # From 1.2.2 on it brings other simulators' assets, 600 MB of them; before
    # 1.2.5 only its Atari games have the faces of gymnasium 1.
    'atari': ['envpool>=1.1.1'],
    # The other backend of Atari, which needs no envpool.
    'ale': ['ale-py>=0.11', 'gymnasium>=1.1'],
    'bsuite': ['bsuite>=0.3.5'],
    'gymnasium': ['gymnasium>=1.1'],
    # Loggers beside CSV, see hyperjax.loggers.
    'tensorboard': ['tensorboardX>=2.6'],
    'wandb': ['wandb>=0.20'],  # Several runs in one process.
    # gymnax 1.0.1 imports six without saying so.
    'gymnax': ['gymnax>=1.0', 'six'],
    # Sweeps over machines.
    'cluster': ['distributed>=2024.8'],
    # What the commands under experiments/ and benchmarks/ need.
    'experiments': ['matplotlib>=3.9', 'tqdm>=4.66', 'tyro>=0.9.30'],
    'docs': ['mkdocs-material>=9.5', 'mkdocstrings-python>=1.10'],
    # The extra of pyright brings its own node, so that it needs no download.
    'test': ['beartype>=0.19', 'hypothesis>=6.100', 'pyright[nodejs]>=1.1.400',
             'pytest>=8.0', 'pytest-xdist>=3.5', 'ruff>=0.8'],
}

setuptools.setup(
    name='hyperjax',
    version=VERSION,
    description='Agents that explore by posterior sampling, in JAX.',
    long_description=(HERE / 'README.md').read_text(),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    project_urls={'Paper': 'https://arxiv.org/abs/2402.10228'},
    classifiers=[
        'Development Status :: 3 - Alpha',
        'Intended Audience :: Science/Research',
        'License :: OSI Approved :: Apache Software License',
        'Programming Language :: Python :: 3',
        'Programming Language :: Python :: 3 :: Only',
        'Programming Language :: Python :: 3.11',
        'Programming Language :: Python :: 3.12',
        'Programming Language :: Python :: 3.13',
        'Topic :: Scientific/Engineering :: Artificial Intelligence',
    ],
    packages=[
        *setuptools.find_packages(include=['hyperjax', 'hyperjax.*']),
        COMMANDS, *(f'{COMMANDS}.{name}'
                    for name in setuptools.find_packages('experiments'))],
    package_dir={COMMANDS: 'experiments'},
    package_data={
        'hyperjax': ['py.typed'],  # The annotations are for users.
        COMMANDS: ['published/*.csv', 'common/*.json']},
    entry_points={'console_scripts': [f'hyperjax={COMMANDS}.__main__:main']},
    python_requires='>=3.11',
    install_requires=[
        'chex>=0.1.90',
        'dm-env>=1.6',
        'flashbax>=0.1.3',
        'flax>=0.10.4',
        # shard_map at the top level with check_vma. On several CPU devices
        # 0.11.2 crashes where a loop carries an empty array, as DQN's index.
        'jax>=0.8,!=0.11.2',
        'jaxtyping>=0.2.36',  # Shapes in signatures.
        'numpy>=2.0',
        'optax>=0.2.4',
        'orbax-checkpoint>=0.11.22',  # Lists what a checkpoint holds.
        'psutil>=5.9',
        'rlax>=0.1.6',
        'tensorstore>=0.1.71',  # What orbax writes with.
    ],
    # gymnax 1.0.1 wants gymnasium below 1.4 and jax below 0.12, and so would
    # hold the others back.
    extras_require={**EXTRAS, 'all': sorted(
        requirement for name, requirements in EXTRAS.items()
        if name != 'gymnax' for requirement in requirements)},
)
