"""The probes: each fits on the train and val splits of a feature set and scores val and test."""
