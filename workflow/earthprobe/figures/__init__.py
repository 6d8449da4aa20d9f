"""The figures, one module each: `run` draws one from a CSV of the same name and says what is simulated or untrained."""
