"""What a profile may say, key by key."""
