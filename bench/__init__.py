"""What `make bench` and `make rehearsal` measure; nothing here asserts a time."""
