"""Temporal-difference losses over an index-conditioned value function.

For a transition (s, a, r, d, s') with noise u in R^M the loss is

  E_z (y + u^T z - Q(s, a; z))^2,   y = r + d Q-(s', a*; z'),

where z' is drawn afresh at each update, independent of z, and a* is greedy at
z' for the online network (Double DQN) or for the target network (DQN). See Li
et al. (2024), eq. 6 to 8. There each transition has one z' of its own; with
`num_target_indices` y is a mean over K of them. `SampledTD` averages over K
draws of z, as published; `ExactTD` takes the expectation in closed form, at
lower cost and without sampling noise.

Algorithms differ in the components of a loss: the pairs of indices z and z'
(`Independent`, `Shared`, `Members`), the noise of a transition
(`hyperjax.data_noise`), and optimism over several z' in the target
(`hyperjax.acting.Optimism`). `CategoricalTD` is for values that are
distributions of returns. Regularisers wrap a loss
(`hyperjax.regularizers`).
"""

from hyperjax.losses.base import Loss
from hyperjax.losses.categorical import CategoricalTD
from hyperjax.losses.pairs import Independent
from hyperjax.losses.pairs import Members
from hyperjax.losses.pairs import Pairs
from hyperjax.losses.pairs import Shared
from hyperjax.losses.self_prediction import SelfPrediction
from hyperjax.losses.td import ExactTD
from hyperjax.losses.td import SampledTD
