"""What happens to a message: dispatch, transactions, idempotency, delivery, projections, shutdown."""
