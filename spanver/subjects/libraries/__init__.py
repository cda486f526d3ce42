"""Libraries of others as subjects, one adapter a file."""
