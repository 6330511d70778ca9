"""What every part may use: files and streams."""
