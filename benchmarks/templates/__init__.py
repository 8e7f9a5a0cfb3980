"""Public chat templates, as packages carry them: rendered here beside `transformers`."""
