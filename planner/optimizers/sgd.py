"""Stochastic gradient descent with momentum: ``m = mu m + g; p -= lr m``.

Source: Sutskever et al., ICML 2013, eq. 1-2, with the velocity scaled by 1 / lr.
"""

STATES = ("momentum",)
SETTINGS = ("learning_rate", "momentum")
LEARNING_RATE = 0.05
FLOP = 4
