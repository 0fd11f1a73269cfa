"""The Kullback-Leibler divergence from the labels in nats. With one label an image it is the log loss."""

from dataclasses import replace

from podium.scoring.metrics import log_loss

METRIC = replace(log_loss.METRIC, name="kl_divergence")
