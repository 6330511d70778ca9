"""What a comparison is about: which rows of a view are one and the same row."""
