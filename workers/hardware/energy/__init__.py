"""What a machine draws: counted by component and phase, and beside that as watts over time."""
