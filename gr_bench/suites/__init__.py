"""The suites that ship: TOML files."""
