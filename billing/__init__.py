"""clinic-billing: invoices, gapless numbers and one atomic payment that departments take part in."""
