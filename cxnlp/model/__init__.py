"""The French transformer: texts to probabilities. Torch is imported here and in `training`."""
