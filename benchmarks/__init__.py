"""A demonstration and measurements. Uses the library as a program would; nothing imports it."""
