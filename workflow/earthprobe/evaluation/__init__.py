"""What scores are worth: pure functions of arrays."""
