"""What every part may use: nothing here knows a profile, a database or a notebook."""
