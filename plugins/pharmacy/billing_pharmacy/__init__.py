"""The pharmacy as a department of clinic-billing: products in batches, sold first-expired-first-out. It enters the core through `billing.plugin` only."""
