"""What models are in sizes alone: any published config.json, without weights."""
