"""Names that the archives and the workflow agree on; importing this costs nothing."""

SPLITS = ("train", "val", "test")
S1_FOLDER = "BigEarthNet-S1-v1.0"
"""The folder that the published archive of BigEarthNet v1 unpacks to."""
