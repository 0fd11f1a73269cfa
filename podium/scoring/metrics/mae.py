"""The mean absolute error of the expected value, of classes that are numbers."""

from podium.scoring.number_losses import MAE

METRIC = MAE
