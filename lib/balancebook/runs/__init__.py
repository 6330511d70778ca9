"""Running notebooks: find them, check their parameters, execute them, keep and publish what they leave."""
