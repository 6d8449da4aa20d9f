"""Where patches, their splits and their labels come from: a kind a module, with a YAML file of its facts."""
