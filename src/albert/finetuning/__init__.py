"""From a labelled file to a model: data, attempts, thresholds, temperature, report and card."""
