"""Adam with weight decay apart from the gradient, both moments corrected for their start at 0.

Source: Loshchilov and Hutter, ICLR 2019, algorithm 2, with the schedule multiplier 1 and the decay
scaled by the learning rate, as PyTorch has it; the moments are Kingma and Ba's, ICLR 2015.
"""

STATES = ("exp_avg", "exp_avg_sq")
SETTINGS = ("learning_rate", "beta1", "beta2", "epsilon", "weight_decay")
LEARNING_RATE = 0.001
FLOP = 14
