"""The pharmacy as a department of clinic-billing: products in batches, first expired, first out. It knows `billing.plugin` only."""
