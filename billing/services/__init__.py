"""Verbs: what can be done, one file per noun. Each takes `tx` first, checks its permission, and knows no interface."""
