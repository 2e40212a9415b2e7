"""Our paths beside the plain ways they replace, and beside more windows than fit in memory."""
