"""The figures: each is drawn from a CSV of the same name and says what is simulated or untrained."""
