"""The frozen models: patches in, vectors out; a kind a module, with a YAML file of its options."""
