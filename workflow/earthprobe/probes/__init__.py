"""The probes: train and val in, scores out; a kind a module, with a YAML file of its options."""
