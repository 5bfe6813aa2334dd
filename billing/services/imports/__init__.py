"""Imports of another system's visits: read, claimed by the plugins, billed and paid, a few short units for each visit."""
