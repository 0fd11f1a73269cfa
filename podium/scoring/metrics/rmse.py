"""The root mean squared error of the expected value, of classes that are numbers."""

from podium.scoring.number_losses import RMSE

METRIC = RMSE
