"""The lifecycle node: parameters, subscriptions, outputs, services and diagnostics."""
